"""The sides of a benchmark, each measured in a process of its own."""

from __future__ import annotations

import array
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from shapes import Shape

ROOT = Path(__file__).resolve().parents[1]
MAYFLY = Path(os.environ.get("MAYFLY", ROOT / ".build/release/mayfly")).absolute()
PEER = Path(__file__).with_name("pytorch_peer.py")


@dataclass(frozen=True)
class Side:
    program: str  # mayfly or pytorch
    precision: str  # of PyTorch also bf16-weights: see pytorch_peer.py
    compiled: bool = False

    @property
    def name(self) -> str:
        precision = self.precision.replace("-", " ")
        if self.program == "mayfly":
            return f"Mayfly {precision}"
        return f"PyTorch {'compiled' if self.compiled else 'eager'} {precision}"


@dataclass(frozen=True)
class Measured:
    tokens_per_second: float  # from the median time of an update
    peak_mb: float  # the most memory held, libraries included
    others: float | None  # the share of the cores that other processes used meanwhile
    parameters: int | None = None
    version: str | None = None


class Missing(Exception):
    """A side that can't be measured here, with the reason."""


@dataclass(frozen=True)
class Ended:
    command: list[str]
    code: int
    output: str
    log: str
    peak_mb: float
    others: float | None

    def require(self) -> None:
        if self.code != 0:
            sys.exit(f"{' '.join(self.command)}\nfailed with {self.code}:\n{self.log[-3000:]}")


def busy_seconds() -> float | None:
    """Of all cores together since the machine started, other machines on the same processor included (Linux)."""
    try:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run(command: list[str], **environment: str) -> Ended:
    # What a child is said to have held begins with what this process holds: it must stay small.
    with tempfile.TemporaryFile("w+") as log:
        busy, began = busy_seconds(), time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            env=os.environ | environment,
        )
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        now, took = busy_seconds(), time.monotonic() - began
        others = None
        if busy is not None and now is not None:
            own = usage.ru_utime + usage.ru_stime
            others = max(0.0, now - busy - own) / (took * (os.cpu_count() or 1))
        log.seek(0)
        # KiB on Linux, bytes elsewhere.
        unit = 1024 if sys.platform == "linux" else 1024 * 1024
        return Ended(command, process.returncode, output, log.read(), usage.ru_maxrss / unit, others)


def measure(side: Side, shape: Shape, threads: int) -> Measured:
    """Raises Missing."""
    return (measure_mayfly if side.program == "mayfly" else measure_pytorch)(side, shape, threads)


# --- Mayfly -----------------------------------------------------------------------------------------------------------


def write_shard(path: Path, count: int, parts: Iterable[list[int]]) -> None:
    """`count` token ids, in parts."""
    with path.open("wb") as shard:
        array.array("i", [20240520, 1, count] + [0] * 253).tofile(shard)
        for part in parts:
            array.array("H", part).tofile(shard)


def write_random_shard(path: Path, vocabulary: int, count: int) -> None:
    generator = random.Random(0)
    sizes = (min(4096, count - start) for start in range(0, count, 4096))
    write_shard(path, count, (generator.choices(range(vocabulary), k=size) for size in sizes))


def mayfly_settings(shape: Shape) -> list[str]:
    settings: dict[str, object] = {
        "model.architecture": shape.architecture,
        "model.num_hidden_layers": shape.num_hidden_layers,
        "model.num_attention_heads": shape.num_attention_heads,
        "model.hidden_size": shape.hidden_size,
        "model.vocab_size": shape.vocab_size,
        "model.max_position_embeddings": shape.max_position_embeddings,
        "train.context": shape.context,
        "train.batch_size": shape.batch_size,
        "train.optimizer": "adamw",
        "train.learning_rate": 1e-3,
        "train.weight_decay": 0.1,
        "train.grad_clip": 1.0,
    }
    return [argument for key, value in settings.items() for argument in ("--set", f"{key}={value}")]


def mayfly(side: Side, threads: int, *arguments: str) -> Ended:
    """Raises Missing where this precision is not built."""
    device = ["--precision", side.precision, "--device", "cpu", "--threads", str(threads)]
    ended = run([str(MAYFLY), *arguments, *device])
    if ended.code in (64, 65) and side.precision != "fp32" and "precision" in ended.log:
        raise Missing("not built")
    ended.require()
    return ended


def measure_mayfly(side: Side, shape: Shape, threads: int) -> Measured:
    """A training as anybody runs it, its last checkpoint included (which is not timed)."""
    with tempfile.TemporaryDirectory() as folder:
        shard, out = Path(folder) / "tokens.bin", Path(folder) / "run"
        # An encoder's last id is its mask.
        vocabulary = shape.vocab_size - (1 if shape.architecture == "encoder" else 0)
        write_random_shard(shard, vocabulary, 8 * shape.tokens + 1)
        steps = str(shape.warmup + shape.steps)
        ended = mayfly(
            side, threads, "train", "--data", str(shard), "--steps", steps, "--out", str(out), *mayfly_settings(shape)
        )
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        rates = [line["tokens_per_second"] for line in lines if line["kind"] == "train"]
    return Measured(median(rates[shape.warmup :]), ended.peak_mb, ended.others)


def profile_mayfly(side: Side, shape: Shape, threads: int) -> dict:
    """Where the time of an update goes, by operation."""
    steps = str(max(2, shape.steps // 4))
    return json.loads(mayfly(side, threads, "bench", "--json", "--steps", steps, *mayfly_settings(shape)).output)


# --- PyTorch ----------------------------------------------------------------------------------------------------------


def pytorch(asked: dict, threads: int) -> Ended:
    return run(
        [sys.executable, str(PEER), json.dumps(asked | {"threads": threads})], OMP_NUM_THREADS=str(threads),
        # What one round has compiled, the next ones find; and no helpers of the compiler stay while updates are timed.
        TORCHINDUCTOR_CACHE_DIR=str(ROOT / ".build/bench/inductor"), TORCHINDUCTOR_COMPILE_THREADS="1",
    )


def measure_pytorch(side: Side, shape: Shape, threads: int) -> Measured:
    asked = asdict(shape) | {"what": "train", "precision": side.precision, "compiled": side.compiled}
    ended = pytorch(asked, threads)
    if ended.code != 0 and side.compiled:
        lines = [line for line in ended.log.splitlines() if "Error" in line] or ["?"]
        raise Missing(f"does not compile: {lines[-1].strip()[:200]}")
    ended.require()
    result = json.loads(ended.output)
    return Measured(
        shape.tokens / median(result["step_seconds"]), result["peak_mb"] or ended.peak_mb, ended.others,
        result["parameters"], result["version"],
    )
