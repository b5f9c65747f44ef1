"""A race at equal wall-clock: `mayfly train --budget 5m` with no other setting against nanoGPT's recipes in PyTorch, on the
same cores in turn, in bits per byte of text that neither saw.

    python3 Benchmarks/race.py tune [--text NAME] [--seconds 60]    searches the opponent's rate, width and vocabulary,
                                                                    then runs the finalists for five times as long
    python3 Benchmarks/race.py [--rounds 3] [--seconds 300]         the race itself

Both write what they find into docs/race.jsonl as it comes, and go on where they were; the race takes the best recipe of
each kind that `tune` has found for the text. Mayfly's seconds are those of the whole process: reading, learning a
vocabulary, planning, training, the evaluation at the end. PyTorch's are those of its updates alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import vector_unit
from runs import Results, mayfly, raw, read_run
from sides import ROOT

PYTHON = ROOT / ".venv/bin/python"
RESULTS = Results("race.jsonl")
TEXTS = ["shakespeare", "python", "gcide"]
KINDS = ["characters", "bpe"]

# Where a processor doesn't multiply bf16 itself, PyTorch is many times slower with it.
HAS_BF16 = vector_unit() in {"avx512_bf16", "amx_bf16"}
# nanoGPT's own settings for a CPU, where the search begins.
NANOGPT = {
    "layers": 4, "heads": 4, "width": 128, "context": 64, "batch": 12, "rate": 1e-3, "beta2": 0.99, "decay": 0.1,
    "warmup": 100, "floor": 0.1, "schedule": "cosine", "rotary": False, "bf16": HAS_BF16, "compiled": True,
}
# One setting after the other: the best of a line goes into the next. The first text is searched whole, byte pairs from what
# characters have found, the other texts from what the first has found.
WHOLE = {
    "characters": [
        {"rate": [2e-3, 4e-3]}, {"schedule": ["linear"], "floor": [0.0]}, {"rotary": [True]}, {"width": [96]},
        {"context": [128, 256]}, {"batch": [6, 24]}, {"rate": [3e-3, 6e-3]},
    ],
    "bpe": [
        {"schedule": ["linear"], "floor": [0.0]}, {"vocabulary": [2048, 8192]}, {"width": [96, 128]}, {"context": [64, 128]},
        {"batch": [6, 24]}, {"rate": [3e-3, 6e-3]},
    ],
}
AGAIN = {
    "characters": [{"rate": [3e-3, 6e-3]}, {"width": [96, 128]}],
    "bpe": [{"vocabulary": [2048, 4096, 8192]}, {"width": [96, 128]}, {"rate": [3e-3, 6e-3]}],
}
# What a short search may have chosen wrongly for a longer run.
FINALS = {"characters": [{"width": 128}], "bpe": [{"width": 128, "rate": 4e-3}, {"width": 160, "rate": 3e-3}]}


def peer(name: str, recipe: dict, seconds: float, seed: int) -> dict:
    request = recipe | {
        "train": str(raw(name)), "test": str(raw(name, "test")), "seconds": seconds, "seed": seed,
        "threads": os.cpu_count(),
    }
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("race_peer.py"), json.dumps(request)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def ours(name: str, seconds: float, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        start = time.perf_counter()
        mayfly("train", "--data", raw(name), "--budget", f"{seconds:g}s", "--out", work / "run", "--seed", seed)
        took = time.perf_counter() - start
        mayfly(
            "prepare", raw(name, "test"), "--tokenizer", work / "run", "--out", work / "test", "--val-fraction", 0,
            "--test-fraction", 0)
        evaluated = mayfly("eval", work / "run", "--data", work / "test", "--split", "train", "--json")
        ended = read_run(work / "run")
        plan = ended.plan or {}
        return {
            "bits_per_byte": json.loads(evaluated)["bits_per_byte"], "seconds": took, "width": ended.config["hidden_size"],
            "vocabulary": ended.config["vocab_size"], "planned_tokens": plan["tokens"], "tokens": ended.tokens,
            # Of the validation split, both.
            "planned": plan["bits_per_byte"], "reached": ended.bits_per_byte[-1],
        }


# MARK: The search


def tried(name: str, kind: str, seconds: float, recipe: dict) -> dict:
    for result in RESULTS.all():
        if (result.get("tune"), result.get("kind"), result.get("budget"), result.get("recipe")) == (
            name, kind, seconds, recipe
        ):
            return result
    result = RESULTS.add({"tune": name, "kind": kind, "budget": seconds, "recipe": recipe} | peer(name, recipe, seconds, 1))
    print(f"{name} {kind}: {result['bits_per_byte']:.4f}  {json.dumps(recipe)}", flush=True)
    return result


def tune(name: str, seconds: float) -> None:
    for kind in KINDS:
        if name == TEXTS[0]:
            search = WHOLE[kind]
            start = NANOGPT | {"vocabulary": 0} if kind == "characters" else tuned(name, "characters") | {"vocabulary": 4096}
        else:
            search, start = AGAIN[kind], tuned(TEXTS[0], kind)
        best = tried(name, kind, seconds, start)
        for line in search:
            for values in zip(*line.values()):
                recipe = best["recipe"] | dict(zip(line, values))
                result = tried(name, kind, seconds, recipe)
                if result["bits_per_byte"] < best["bits_per_byte"]:
                    best = result
        for change in [{}, *FINALS[kind]]:
            tried(name, kind, 5 * seconds, best["recipe"] | change)


def tuned(name: str, kind: str) -> dict:
    """The best recipe of the longest search."""
    results = [result for result in RESULTS.all() if result.get("tune") == name and result.get("kind") == kind]
    if not results:
        sys.exit(f"no recipe for {name} yet; run: python3 Benchmarks/race.py tune --text {name}")
    # What was found with this machine's precision counts, if anything was.
    results = [result for result in results if result["recipe"]["bf16"] == HAS_BF16] or results
    longest = max(result["budget"] for result in results)
    best = min((result for result in results if result["budget"] == longest), key=lambda each: each["bits_per_byte"])
    return best["recipe"] | {"bf16": HAS_BF16}


# MARK: The race


def race(names: list[str], rounds: int, seconds: float) -> None:
    done = {(each["race"], each["side"], each["budget"], each["round"]) for each in raced()}
    for turn in range(1, rounds + 1):
        for name in names:
            sides = [
                ("mayfly", seconds, lambda: ours(name, seconds, turn)),
                *((kind, seconds, lambda kind=kind: peer(name, tuned(name, kind), seconds, turn)) for kind in KINDS),
                ("mayfly", seconds / 3, lambda: ours(name, seconds / 3, turn)),
            ]
            for side, budget, run in sides:
                if (name, side, budget, turn) in done:
                    continue
                result = RESULTS.add(
                    {"race": name, "side": side, "budget": budget, "round": turn, "bf16": HAS_BF16} | run())
                print(f"round {turn} {name}: {side} in {budget:g} s: {result['bits_per_byte']:.4f}", flush=True)


def raced() -> list[dict]:
    """On machines with this one's precision: others have another speed."""
    return [each for each in RESULTS.all() if "race" in each and each["bf16"] == HAS_BF16]


def table() -> None:
    results = raced()
    print("| text | seconds | Mayfly | nanoGPT, characters | nanoGPT, BPE |\n|---|---|---|---|---|")
    for name in TEXTS:
        for budget in sorted({each["budget"] for each in results if each["race"] == name}):
            cells = []
            for side in ["mayfly", *KINDS]:
                values = [
                    each["bits_per_byte"] for each in results
                    if (each["race"], each["side"], each["budget"]) == (name, side, budget)
                ]
                cells.append(
                    f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})" if values else "")
            print(f"| {name} | {budget:g} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["race", "tune", "table"], default="race")
    parser.add_argument("--text", choices=TEXTS, action="append", help="only this text; may be given again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="of one run: 300, in a search 60")
    options = parser.parse_args()
    names = options.text or TEXTS
    if options.what == "tune":
        for name in names:
            tune(name, options.seconds or 60)
    elif options.what == "race":
        race(names, options.rounds, options.seconds or 300)
    table()
