"""What a plan's settings for small texts are worth: 1 MB of text, read twenty times, with them and without.

    python3 Benchmarks/small_text.py [--text shakespeare] [--seeds 3] [--set NAME=key=value,… …]

The model is decoder-128; what protects it is what the plan adds for the budget in which one thread reads the text twenty times.
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
SIZE, PASSES = 1_000_000, 20
# decoder-128.
MODEL = {
    "model.hidden_size": 128, "model.num_hidden_layers": 4, "model.num_attention_heads": 4, "train.context": 128,
    "train.batch_size": 8,
}
# What a plan adds for other reasons.
BESIDE = {"model.architecture", "train.micro_batch_size"}


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


def plan(text: str) -> dict:
    """The passes of a budget that is enough for twenty, and what its plan adds."""
    known = next((each["plan"] for each in RESULTS.all() if each["text"] == text), None)
    if known:
        return known
    sets = [word for key, value in MODEL.items() for word in ("--set", f"{key}={value}")]
    seconds = 300.0
    while True:
        found = planned(data(text), seconds, "--threads", 1, *sets)
        passes = found["chosen"]["passes"]
        if abs(passes / PASSES - 1) < 0.05:
            return {"passes": passes, "additions": found["additions"]}
        seconds *= PASSES / passes


def choices_of(chosen: dict) -> dict[str, dict[str, str]]:
    """With what protects, and without."""
    kept = {key: value for key, value in chosen["additions"].items() if key in BESIDE}
    return {"none": kept, "planned": chosen["additions"]}


def run(text: str, seed: int, settings: dict[str, str]) -> list[float]:
    """Bits per byte of the validation split on the way and at the end."""
    tokens = json.loads((data(text) / "dataset.json").read_text())["tokens"]["train"]
    steps = tokens * PASSES // (MODEL["train.batch_size"] * MODEL["train.context"])
    return train(
        data(text), "--preset", f"decoder-{MODEL['model.hidden_size']}", "--threads", 1, "--steps", steps, "--seed", seed,
        settings={"train.eval_every": steps // 10} | settings).bits_per_byte


def measure(text: str, seeds: int, chosen: dict, choices: dict[str, dict[str, str]]) -> None:
    done = [(each["text"], each["name"], each["seed"]) for each in RESULTS.all()]
    jobs = [(name, seed) for seed in range(1, seeds + 1) for name in choices if (text, name, seed) not in done]

    def work(job: tuple[str, int]) -> None:
        name, seed = job
        bits = run(text, seed, choices[name])
        RESULTS.add(
            {"text": text, "name": name, "seed": seed, "settings": choices[name], "bits_per_byte": bits, "plan": chosen})
        print(f"seed {seed}, {name}: {bits[-1]:.4f}", flush=True)

    on_each_core(work, jobs)


def table(text: str) -> None:
    results = [each for each in RESULTS.all() if each["text"] == text]
    print("| settings | seeds | at the end, each | mean | best on the way, mean |\n|---|---:|---|---:|---:|")
    for name in dict.fromkeys(each["name"] for each in results):
        runs = [each for each in results if each["name"] == name]
        ends = [each["bits_per_byte"][-1] for each in runs]
        settings = ", ".join(f"`{key}={value}`" for key, value in runs[0]["settings"].items())
        print(
            f"| {name}: {settings} | {len(runs)} | {', '.join(f'{end:.3f}' for end in ends)} | {statistics.mean(ends):.4f} "
            f"| {statistics.mean(min(each['bits_per_byte']) for each in runs):.4f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", default="shakespeare")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=key=value,…")
    options = parser.parse_args()
    chosen = plan(options.text)
    print(chosen, flush=True)
    choices = choices_of(chosen)
    for choice in options.set:
        name, settings = choice.split("=", 1)
        choices[name] = choices["none"] | dict(setting.split("=") for setting in settings.split(","))
    measure(options.text, options.seeds, chosen, choices)
    table(options.text)
