"""What a plan's settings for small texts are worth: 1 MB of text, read twenty times, with them and without.

    python3 Benchmarks/small_text.py [--text shakespeare] [--seeds 3] [--width 96] [--set NAME=key=value,… …]

--set tries other settings beside those of the plan, under a name. Each run is of a number of updates, so that a busy machine
changes nothing, on one thread, as many at a time as there are cores. Results go into docs/small-text.jsonl as they come, and
what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from runs import Results, on_each_core, planned, raw, train
from sides import MAYFLY, ROOT

RESULTS = Results("small-text.jsonl")
SIZE, PASSES, BATCH_TOKENS = 1_000_000, 20, 1024


def data(text: str) -> Path:
    """The first megabyte of a text, prepared; a tenth of it is for validation."""
    folder = ROOT / f"data/prepared/small-{text}"
    if not folder.exists():
        with tempfile.TemporaryDirectory() as work:
            left = SIZE
            for path in sorted(raw(text).iterdir()):
                part = path.read_bytes()[:left]
                (Path(work) / path.name).write_bytes(part.decode("utf-8", "ignore").encode())
                left -= len(part)
                if left == 0:
                    break
            subprocess.run(
                [MAYFLY, "prepare", work, "--out", folder, "--vocab-size", "1024", "--val-fraction", "0.1"], check=True)
    return folder


def protections(text: str) -> dict[str, str]:
    """What a plan adds where a small text is read often."""
    additions = planned(data(text), 3600)["additions"]
    return {key: value for key, value in additions.items() if key != "train.micro_batch_size"}


def run(text: str, width: int, seed: int, settings: dict[str, str]) -> list[float]:
    """Bits per byte of the validation split on the way and at the end."""
    tokens = json.loads((data(text) / "dataset.json").read_text())["tokens"]["train"]
    steps = tokens * PASSES // BATCH_TOKENS
    return train(
        data(text), "--preset", f"decoder-{width}", "--threads", 1, "--steps", steps, "--seed", seed,
        settings={"train.eval_every": steps // 10} | settings).bits_per_byte


def measure(text: str, width: int, seeds: int, choices: dict[str, dict[str, str]]) -> None:
    done = [(each["text"], each["width"], each["settings"], each["seed"]) for each in RESULTS.all()]
    jobs = [
        (settings, seed) for seed in range(1, seeds + 1) for settings in choices.values()
        if (text, width, settings, seed) not in done
    ]
    def work(job: tuple[dict[str, str], int]) -> None:
        settings, seed = job
        bits = run(text, width, seed, settings)
        RESULTS.add({"text": text, "width": width, "seed": seed, "settings": settings, "bits_per_byte": bits})
        print(f"seed {seed}: {bits[-1]:.4f}  {settings or 'none'}", flush=True)

    on_each_core(work, jobs)


def table(text: str, width: int) -> None:
    results = [each for each in RESULTS.all() if (each["text"], each["width"]) == (text, width)]
    print("| settings | seeds | at the end, each | mean | best on the way, mean |\n|---|---:|---|---:|---:|")
    kinds: list[dict[str, str]] = []
    for each in results:
        if each["settings"] not in kinds:
            kinds.append(each["settings"])
    for settings in kinds:
        runs = [each["bits_per_byte"] for each in results if each["settings"] == settings]
        ends = [bits[-1] for bits in runs]
        name = ", ".join(f"`{key}={value}`" for key, value in settings.items()) or "none"
        print(
            f"| {name} | {len(runs)} | {', '.join(f'{end:.3f}' for end in ends)} | {statistics.mean(ends):.4f} "
            f"| {statistics.mean(min(bits) for bits in runs):.4f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", default="shakespeare")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=key=value,…")
    options = parser.parse_args()
    choices: dict[str, dict[str, str]] = {"none": {}, "planned": protections(options.text)}
    for choice in options.set:
        name, settings = choice.split("=", 1)
        choices[name] = dict(setting.split("=") for setting in settings.split(","))
    measure(options.text, options.width, options.seeds, choices)
    table(options.text, options.width)
