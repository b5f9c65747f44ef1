"""STAGE=train: whether Mayfly learns as PyTorch does, on the same tokens."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import mean

from gpu_sides import SHAPES, TINY, Mode, Shape, mayfly_bench, peer
from gpu_stage import NO_INPUT, TIMED_OUT, Ended, Stage, carried, goal, open_device, program, run
from sides import write_random_shard
from tables import table



def train(stage: Stage) -> None:
    """Mayfly for a good third of the time; then the first part of that by PyTorch, which also compiles, twice."""
    open_device(stage)
    with tempfile.TemporaryDirectory() as folder:
        work, shape = Path(folder), TINY if stage.tiny else SHAPES[0]
        shard = work / "tokens.bin" if stage.tiny else carried("tokens.bin")
        if stage.tiny:
            write_random_shard(shard, shape.vocab_size, 20_000)
        if not shard.exists():
            stage.note(f"{shard} is missing: `make gpu-program` makes it, where Mayfly is built.")
            sys.exit(NO_INPUT)
        batch = best_batch(stage, shape)
        lines = train_mayfly(stage, shape, batch, shard, work / "run")
        if not lines:
            return
        rates = work / "rates.json"
        rates.write_text(json.dumps([line["learning_rate"] for line in lines]))
        curves = train_peers(stage, shape, batch, shard, rates, len(lines))
        compare_curves(stage, [line["loss"] for line in lines], curves)


def best_batch(stage: Stage, shape: Shape) -> int:
    """As the stage `bench` found."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return json.loads((stage.out / "bench.json").read_text())["best"][shape.name]["batch"]
    return shape.batches[1]


def train_mayfly(stage: Stage, shape: Shape, batch: int, shard: Path, out: Path) -> list[dict]:
    """The lines of its metrics."""
    whole = stage.left
    measured = mayfly_bench(stage, shape, batch, 2 if stage.tiny else 10)
    if "missing" in measured:
        stage.note(f"Mayfly, batch {batch}: {measured['missing']}.")
        return []
    steps = 64 if stage.tiny else max(8, int(0.36 * whole / measured["seconds"]))
    ended = run(
        stage, program("mayfly"), "train", "--data", shard, "--steps", steps, "--out", out, "--device", "cuda",
        "--precision", "bf16", *shape.settings(
            batch, data__order="sequential", train__schedule="cosine", train__min_lr_ratio=0.1,
            train__warmup_steps=min(100, steps // 4), train__learning_rate=6e-4),
        limit=0.5 * whole)
    metrics = out / "metrics.jsonl"
    lines = list(Ended(0, metrics.read_text(), "").lines) if metrics.exists() else []
    lines = [line for line in lines if line["kind"] == "train"]
    if ended.code == TIMED_OUT:
        stage.note(f"Mayfly was ended after {len(lines)} of {steps} updates: {ended.reason}.")
    elif ended.code != 0:
        stage.fail(f"mayfly train, after {len(lines)} updates: {ended.reason}")
    if lines:
        steady = lines[len(lines) // 10 :]
        seconds = sum(shape.context * batch / line["tokens_per_second"] for line in steady)
        waited = sum(line["data_wait_seconds"] for line in steady) / seconds
        rate = len(steady) * shape.context * batch / seconds
        stage.note(
            f"Mayfly, {shape.name}, batch {batch}: {len(lines)} updates in {lines[-1]['elapsed_seconds']:.0f} s, "
            f"{rate:,.0f} tokens/s (`mayfly bench`: {measured['tokens_per_second']:,.0f}), last loss "
            f"{mean(line['loss'] for line in lines[-20:]):.3f}. Waiting for data: {waited:.2%} of the time; goal "
            f"< 1 %: {goal(0.01, waited)}.",
            losses={"Mayfly": [line["loss"] for line in lines]}, data_wait_share=waited, tokens_per_second=rate)
    return lines


def train_peers(stage: Stage, shape: Shape, batch: int, shard: Path, rates: Path, steps: int) -> list[list[float]]:
    """PyTorch's losses with each seed, of as many updates as there is time for."""
    curves: list[list[float]] = []
    for seed in (1, 2):
        # What is left after starting and compiling: the second finds what the first has compiled.
        seconds = (stage.left - 110) / 2 if seed == 1 else stage.left - 45
        if not stage.has_time(60, f"PyTorch, seed {seed}"):
            break
        asked = shape.asked(batch) | {"rates": str(rates), "steps": steps, "shard": str(shard), "seed": seed}
        found = peer(stage, what="curve", seconds=max(10, seconds), **asdict(Mode("fp32", "flash")), **asked)
        if "missing" in found:
            stage.note(f"PyTorch, seed {seed}: {found['missing']}.")
            continue
        curves.append(found["losses"])
        steps = len(found["losses"])
        stage.document["losses"][f"PyTorch, seed {seed}"] = found["losses"]
        stage.note(f"PyTorch, seed {seed}: {steps} updates.")
    return curves


def compare_curves(stage: Stage, ours: list[float], curves: list[list[float]]) -> None:
    if not curves:
        return stage.note("No comparison: PyTorch's losses are missing.")
    common = min(map(len, [ours, *curves]))
    width = max(1, common // 8)
    rows, difference, spread = [], 0.0, 0.0
    for end in range(common - common // width * width + width, common + 1, width):
        window = slice(end - width, end)
        mine, others = mean(ours[window]), [mean(curve[window]) for curve in curves]
        difference, spread = mine - mean(others), max(others) - min(others)
        values = [f"{value:.4f}" for value in (mine, *others)]
        rows.append([f"{end - width + 1}–{end}", *values, f"{difference:+.4f}", f"{spread:.4f}"])
    names = [f"PyTorch, seed {number + 1}" for number in range(len(curves))]
    header = ["updates", "Mayfly", *names, "difference", "spread"]
    stage.write(
        f"Mean losses of the {common} updates that all have made, {common / len(ours):.0%} of Mayfly's; the same "
        "tokens in the same order, the same learning rates. The difference is from PyTorch's mean, the spread between "
        "its seeds.\n\n" + table(header, "l" + "r" * (3 + len(names)), rows), difference=difference, spread=spread)
    if len(curves) < 2:
        return stage.note("With one seed of PyTorch there is no spread to judge the difference by.")
    allowed = 3 * spread + 0.02
    verdict = f"In the last window Mayfly's loss is {difference:+.4f} from PyTorch's; allowed are ±{allowed:.4f}"
    stage.note(f"{verdict} (three spreads and 0.02).")
    if abs(difference) > allowed:
        stage.fail(verdict)
