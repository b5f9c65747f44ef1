"""Whether halves train as well as fp32: the same runs in each precision, compared by their final validation loss.

    make bench-precision                                       both models, three seeds (most of an hour on two cores)
    make bench-precision PRECISION="--model 0.8M --seeds 1 --steps 100"

Shakespeare's characters, the demo's files; the last tenth of each work is for validation. Runs that differ only in precision
have the same seed: the same weights at first, the same rows. What counts is the mean of their paired differences.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from machine import cores
from shapes import SHAPES, Shape
from sides import ROOT, Side, mayfly, mayfly_settings, write_shard

KNOWN = {shape.name: shape for shape in SHAPES}
MODELS = {
    "0.8M": replace(KNOWN["0.8M"], steps=1000),
    "10.8M": replace(KNOWN["10.8M"], batch_size=8, steps=300),
}


def write_characters(texts: Path, folder: Path) -> int:
    """Shards of character ids; the number of characters that there are."""
    works = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(texts.glob("*.txt"))]
    ids = {character: index for index, character in enumerate(sorted(set("".join(works))))}
    train, val = [], []
    for work in works:
        cut = len(work) * 9 // 10
        train += [ids[character] for character in work[:cut]]
        val += [ids[character] for character in work[cut:]]
    write_shard(folder / "train-00000.bin", len(train), [train])
    write_shard(folder / "val-00000.bin", len(val), [val])
    return len(ids)


def final_loss(shape: Shape, precision: str, seed: int, data: Path, threads: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        mayfly(
            Side("mayfly", precision), threads, "train", "--data", str(data), "--out", str(run), "--steps",
            str(shape.steps), "--seed", str(seed), *mayfly_settings(shape), "--set",
            f"train.warmup_steps={shape.steps // 10}",
        )
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if line["kind"] == "eval"][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--precision", choices=("bf16", "fp16"), action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="instead of each model's own")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--texts", type=Path, default=ROOT / "data/shakespeare")
    parser.add_argument("--out", type=Path, help="a JSON file of the results")
    arguments = parser.parse_args()
    results = []
    print("| model | updates | precision | loss of each seed | fp32 | mean difference, nats | spread |")
    print("|---|---:|---|---|---|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        characters = write_characters(arguments.texts, data)
        for name in arguments.model or MODELS:
            steps = arguments.steps or MODELS[name].steps
            shape, losses = replace(MODELS[name], vocab_size=characters, steps=steps), {}
            for precision in ("fp32", *(arguments.precision or ("bf16", "fp16"))):
                losses[precision] = [
                    final_loss(shape, precision, 1 + seed, data, arguments.threads)
                    for seed in range(arguments.seeds)
                ]
                if precision == "fp32":
                    continue
                differences = [ours - full for ours, full in zip(losses[precision], losses["fp32"], strict=True)]
                spread = stdev(differences) if len(differences) > 1 else 0.0
                results.append({
                    "model": name, "steps": steps, "precision": precision, "losses": losses[precision],
                    "fp32": losses["fp32"], "mean_difference": mean(differences), "spread": spread,
                })
                shown = [", ".join(f"{loss:.4f}" for loss in losses[kind]) for kind in (precision, "fp32")]
                print(
                    f"| {name} | {steps} | {precision} | {shown[0]} | {shown[1]} | {mean(differences):+.4f} | "
                    f"{spread:.4f} |", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
