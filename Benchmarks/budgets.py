"""Whether budgets are kept: trains for so many seconds, as they are, slowed down in the middle, and killed and resumed.

    python3 Benchmarks/budgets.py [--seconds 60 180 600 1800] [--text shakespeare] [--threads N]

Prints how long the processes ran beside the budget, what the learning rate was at the end, and what the plan had promised. A
run is right if it ends between 97 % and 100.5 % of its budget, or one second over where that is more. Exit 1 if one is not.
What ran is added to docs/budgets.jsonl.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runs import Results, raw, read_run
from sides import MAYFLY

RESULTS = Results("budgets.jsonl")
KINDS = ["plain", "slowed", "killed"]


def seconds_of(command: list, at: float = 0, act=None) -> float:
    """Runs a command, does something to its process at a time, and says how long it ran."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = None
    if act:
        time.sleep(at)
        after = act(process)
    code = process.wait()
    took = time.monotonic() - start
    if after:
        after()
    if code not in (0, -9):
        sys.exit(f"exit {code}: {' '.join(map(str, command))}")
    return took


def slow(_process: subprocess.Popen):
    """Other processes take a part of every core from here on."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]

    def end() -> None:
        for each in busy:
            each.kill()
            each.wait()

    return end


def run(kind: str, seconds: float, text: Path, threads: int | None) -> bool:
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "run"
        common = [MAYFLY, "train", "--data", text, "--out", out, "--budget", f"{seconds:g}s"]
        common += ["--threads", str(threads)] if threads else []
        if kind == "plain":
            took = seconds_of(common)
        elif kind == "slowed":
            took = seconds_of(common, seconds / 2, slow)
        else:
            took = seconds_of(common, 0.4 * seconds, lambda process: process.kill())
            took += seconds_of([*common, "--resume"])
        ended = read_run(out)
        rates = [line["learning_rate"] for line in ended.metrics if line["kind"] == "train"]
        reached, planned = ended.bits_per_byte[-1], ended.plan or {}
        memory = [line["peak_memory_bytes"] for line in ended.metrics if line.get("name") == "finished"][-1]
        kept = 0.97 * seconds <= took <= max(1.005 * seconds, seconds + 1)
        ends_low = rates[-1] <= 0.01 * max(rates)
        RESULTS.add({
            "text": text.parent.name, "budget": seconds, "kind": kind, "cores": len(os.sched_getaffinity(0)), "seconds": took,
            "last_rate": rates[-1] / max(rates), "planned": planned["bits_per_byte"], "reached": reached,
            "planned_memory": planned["memory_bytes"], "memory": memory,
        })
        print(
            f"{seconds:6g} s {kind:7} {took:8.2f} s = {100 * took / seconds:6.2f} %  last rate {rates[-1] / max(rates):.4f} "
            f"of the peak  planned {planned['bits_per_byte']:.3f}, reached {reached:.3f} "
            f"({100 * (reached / planned['bits_per_byte'] - 1):+.1f} %)  memory {memory / planned['memory_bytes']:.3f} of the "
            f"plan's  {'ok' if kept and ends_low else 'NOT KEPT'}", flush=True)
        return kept and ends_low


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[60, 180, 600, 1800])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--text", default="shakespeare")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    text = raw(options.text)
    results = [run(kind, seconds, text, options.threads) for seconds in options.seconds for kind in options.kinds]
    sys.exit(0 if all(results) else 1)
