"""How long training waits for data at the fastest shape of a CPU, from memory, from the disk, and from a disk throttled to 20 MB/s.

    sudo python3 Benchmarks/data_wait.py [--megabytes 200] [--steps 1500]

The text is larger than what is read of it, and the page cache is dropped before each run, so that rows come from the disk.
Throttling is the kernel's, by a control group, which only root can make.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from prepare import WORK, generated
from runs import prepared
from sides import MAYFLY

BYTES_PER_SECOND = 20_000_000


def group(folder: Path) -> Path:
    """A control group whose processes read no faster from the disk that has the folder; the file that processes join by."""
    number = os.stat(folder).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    first = Path("/sys/fs/cgroup/blkio")
    if first.exists():
        made = first / "mayfly-data-wait"
        made.mkdir(exist_ok=True)
        (made / "blkio.throttle.read_bps_device").write_text(f"{device} {BYTES_PER_SECOND}")
    else:
        made = Path("/sys/fs/cgroup/mayfly-data-wait")
        Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+io")
        made.mkdir(exist_ok=True)
        (made / "io.max").write_text(f"{device} rbps={BYTES_PER_SECOND}")
    return made / "cgroup.procs"


def waited(data: Path, steps: int, cache: int, procs: Path | None) -> str:
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3")

    def join() -> None:
        if procs:
            procs.write_text(str(os.getpid()))

    with tempfile.TemporaryDirectory() as work:
        run = Path(work) / "run"
        settings = {
            "data.cache": cache, "train.batch_size": 16, "train.context": 128, "train.eval_every": 0,
            "train.checkpoint_every": 0,
        }
        sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        subprocess.run(
            [MAYFLY, "train", "--data", data, "--preset", "decoder-64", "--steps", str(steps), "--out", run, *sets], check=True,
            capture_output=True, preexec_fn=join)
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    updates = [line for line in lines if line["kind"] == "train"]
    # The first update waits for the disk's first answer, as long as the run may last.
    total = updates[-1]["elapsed_seconds"] - updates[0]["elapsed_seconds"]
    wait = sum(line["data_wait_seconds"] for line in updates[1:])
    speed = sum(line["tokens_per_second"] for line in updates[1:]) / (len(updates) - 1)
    return (
        f"{100 * wait / total:.3f} % of {total:.1f} s waited, the first update {1000 * updates[0]['data_wait_seconds']:.0f} ms, "
        f"{speed / 1000:.0f}k tokens/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1500)
    options = parser.parse_args()
    data = WORK / f"data-{options.megabytes}"
    if not data.exists():
        subprocess.run(
            [MAYFLY, "prepare", generated(options.megabytes), "--out", data, "--tokenizer", prepared("python", 1024)],
            check=True, capture_output=True)
    procs = group(data)
    for name, cache, limit in (
        ("in memory", 1 << 30, None), ("from the disk", 0, None), ("from a disk of 20 MB/s", 0, procs),
        ("in memory, read from a disk of 20 MB/s", 1 << 30, procs),
    ):
        print(f"{name}: {waited(data, options.steps, cache, limit)}", flush=True)
