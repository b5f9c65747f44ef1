"""Training speed of Mayfly and PyTorch, side by side: the same shapes, alternately, in one run.

    make bench                       all shapes, five rounds (about a quarter of an hour on two cores)
    make bench BENCH="--quick"       one short round
    make bench BENCH="--shape 0.8M --rounds 9 --out results.json"

Both train in fp32 with AdamW and gradient clipping, on random tokens. Each round runs both, in turns first, so that
a machine that gets warmer or busier hits both; what counts is the ratio within a round, and the median of the rounds.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
MAYFLY = Path(os.environ.get("MAYFLY", ROOT / ".build/release/mayfly"))


@dataclass(frozen=True)
class Shape:
    name: str
    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int
    batch_size: int
    context: int
    steps: int
    warmup: int = 2  # updates that are not counted: caches, allocators and clocks settle


SHAPES = [
    Shape("0.8M", 4, 4, 128, 65, 64, batch_size=12, context=64, steps=120, warmup=20),
    Shape("10.8M", 6, 6, 384, 65, 256, batch_size=64, context=256, steps=5, warmup=1),
    Shape("124M", 12, 12, 768, 50_257, 1024, batch_size=4, context=64, steps=12),
]


@dataclass(frozen=True)
class Measured:
    tokens_per_second: float
    peak_mb: float  # of the whole process, its libraries included


def run(command: list[str]) -> tuple[str, float]:
    """A process's output and its peak memory in MB; its log is shown only if it fails."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            sys.exit(f"{' '.join(command)}\nfailed with {process.returncode}:\n{log.read()[-2000:]}")
    return output, usage.ru_maxrss / 1024


def write_random_shard(path: Path, vocabulary: int, count: int) -> None:
    generator = random.Random(0)
    with path.open("wb") as shard:
        array.array("i", [20240520, 1, count] + [0] * 253).tofile(shard)
        array.array("H", generator.choices(range(vocabulary), k=count)).tofile(shard)


def measure_mayfly(shape: Shape, threads: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        shard, out = Path(folder) / "tokens.bin", Path(folder) / "run"
        write_random_shard(shard, shape.vocab_size, 8 * shape.batch_size * shape.context + 1)
        settings: dict[str, object] = {
            "model.architecture": "gpt2",
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
        arguments = [str(MAYFLY), "train", "--data", str(shard), "--steps", str(shape.steps), "--out", str(out)]
        arguments += ["--precision", "fp32", "--device", "cpu", "--threads", str(threads)]
        for key, value in settings.items():
            arguments += ["--set", f"{key}={value}"]
        _, peak = run(arguments)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        rates = [line["tokens_per_second"] for line in lines if line["kind"] == "train"]
    return Measured(median(rates[shape.warmup :]), peak)


def measure_pytorch(shape: Shape, threads: int) -> tuple[Measured, dict[str, object]]:
    described = json.dumps(asdict(shape) | {"threads": threads})
    output, peak = run([sys.executable, str(Path(__file__).with_name("pytorch_peer.py")), described])
    result = json.loads(output)
    return Measured(result["tokens_per_second"], peak), result


def machine() -> dict[str, object]:
    try:
        info = Path("/proc/cpuinfo").read_text()
        names = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
        flags = next((line for line in info.splitlines() if line.startswith("flags")), "").split()
    except OSError:
        names, flags = [], []
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "vector_units": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags],
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def compare(shape: Shape, rounds: int, threads: int) -> dict[str, object]:
    ours: list[Measured] = []
    theirs: list[Measured] = []
    detail: dict[str, object] = {}
    for number in range(rounds):
        for side in ("mayfly", "pytorch") if number % 2 == 0 else ("pytorch", "mayfly"):
            if side == "mayfly":
                ours.append(measure_mayfly(shape, threads))
            else:
                measured, detail = measure_pytorch(shape, threads)
                theirs.append(measured)
        ratio = ours[-1].tokens_per_second / theirs[-1].tokens_per_second
        print(f"{shape.name}: round {number + 1} of {rounds}, ratio {ratio:.2f}", file=sys.stderr)
    ratios = [our.tokens_per_second / their.tokens_per_second for our, their in zip(ours, theirs)]
    return {
        "shape": asdict(shape),
        "parameters": detail["parameters"],
        "pytorch_version": detail["version"],
        "mayfly": [asdict(measured) for measured in ours],
        "pytorch": [asdict(measured) for measured in theirs],
        "ratios": ratios,
        "ratio": median(ratios),
    }


def row(result: dict) -> str:
    shape = result["shape"]
    rates = [median(m["tokens_per_second"] for m in result[side]) for side in ("mayfly", "pytorch")]
    peaks = [max(m["peak_mb"] for m in result[side]) for side in ("mayfly", "pytorch")]
    ratios = result["ratios"]
    return (
        f"| {result['parameters'] / 1e6:.1f}M | {shape['num_hidden_layers']} × {shape['hidden_size']}, "
        f"{shape['vocab_size']:,} tokens | {shape['batch_size']} × {shape['context']} | {rates[0]:,.0f} "
        f"| {rates[1]:,.0f} | **{result['ratio']:.2f}** ({min(ratios):.2f}–{max(ratios):.2f}) "
        f"| {peaks[0]:,.0f} / {peaks[1]:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shape", action="append", choices=[shape.name for shape in SHAPES], help="only this one")
    parser.add_argument("--quick", action="store_true", help="one round with few updates: a look, not a measurement")
    parser.add_argument("--out", type=Path, default=ROOT / ".build/bench/results.json", help="where the JSON goes")
    options = parser.parse_args()
    if not os.access(MAYFLY, os.X_OK):
        sys.exit(f"{MAYFLY} is missing: run `make build` first, or set MAYFLY")

    here = machine()
    print(f"{here['cpu']}, {here['cores']} cores ({', '.join(here['vector_units'])}), {options.threads} threads, fp32")
    if here["load_before"] > 0.5:
        print(f"warning: the machine is busy (load {here['load_before']}); expect noise", file=sys.stderr)
    header = (
        "\n| model | layers × width, vocabulary | batch | Mayfly, tokens/s | PyTorch, tokens/s | ratio (range) "
        "| peak memory, MB |\n|---|---|---|---|---|---|---|"
    )
    results = []
    for shape in SHAPES:
        if options.shape and shape.name not in options.shape:
            continue
        if options.quick:
            shape = Shape(**(asdict(shape) | {"steps": shape.warmup + max(3, shape.steps // 8)}))
        results.append(compare(shape, 1 if options.quick else options.rounds, options.threads))
        # Written as they arrive: an interrupted run keeps what it measured.
        options.out.parent.mkdir(parents=True, exist_ok=True)
        document = {"machine": here, "threads": options.threads, "quick": options.quick, "results": results}
        options.out.write_text(json.dumps(document, indent=2) + "\n")
    print("\n".join([header, *map(row, results)]))
    print(f"\nPyTorch {results[0]['pytorch_version']}, eager, fused AdamW. Details: {options.out}")


if __name__ == "__main__":
    main()
