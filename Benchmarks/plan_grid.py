"""Whether plans are good: trains a grid of widths and batches for the time of a budget, and compares the best of them with
what the plan for that budget chooses.

    python3 Benchmarks/plan_grid.py [--text shakespeare] [--minutes 3] [--seeds 3] [--widths 128 160 192 256]

The whole grid runs with one seed; its best three and the plan's choice with all. Results go into docs/plan-grid.jsonl as they
come, and what is there of such a machine and the same recipe is not run again. The machine should be idle.
"""

from __future__ import annotations

import argparse
import statistics

from machine import vector_unit
from runs import RECIPE, Results, prepared, train

RESULTS = Results("plan-grid.jsonl")
BATCH_TOKENS = [1024, 2048, 4096]
# What these budgets learn from such texts when they begin with the text itself.
VOCABULARY = 4096


def run(text: str, minutes: float, seed: int, width: int | None, batch_tokens: int | None) -> dict:
    """What a setting reaches, of the architecture that the plan chose; without a width, what the plan chooses and reaches."""
    budget = ["--budget", f"{60 * minutes:g}s", "--seed", seed]
    if width is None or batch_tokens is None:
        ended = train(prepared(text, VOCABULARY), *budget, evaluates=True)
        plan = ended.plan or {}
        more = {
            "planned": plan["bits_per_byte"], "planned_width": plan["hidden_size"],
            "planned_batch_tokens": plan["batch_size"] * plan["context"], "architecture": ended.config["model_type"],
        }
    else:
        context = 128 if width < 192 else 256
        ended = train(
            prepared(text, VOCABULARY), *budget, "--preset", f"decoder-{width}",
            settings={
                "train.batch_size": max(1, batch_tokens // context),
                "model.architecture": next(each["architecture"] for each in found(text, minutes) if "architecture" in each),
            },
            evaluates=True)
        more = {}
    return {"bits_per_byte": ended.whole, "tokens": ended.tokens} | more


def conditions(text: str, minutes: float) -> dict:
    """What the settings of one grid share."""
    return {"text": text, "minutes": minutes, "recipe": RECIPE, "vector_unit": vector_unit()}


def found(text: str, minutes: float) -> list[dict]:
    return [each for each in RESULTS.all() if conditions(text, minutes).items() <= each.items()]


def measured(text: str, minutes: float, seed: int, width: int | None, batch_tokens: int | None) -> float:
    key = {"seed": seed, "width": width, "batch_tokens": batch_tokens}
    for each in found(text, minutes):
        if key.items() <= each.items():
            return each["bits_per_byte"]
    result = RESULTS.add(conditions(text, minutes) | key | run(text, minutes, seed, width, batch_tokens))
    print(f"seed {seed}, width {width}, {batch_tokens} tokens: {result['bits_per_byte']:.4f}", flush=True)
    return result["bits_per_byte"]


def check(text: str, minutes: float, seeds: int, widths: list[int]) -> None:
    measured(text, minutes, 1, None, None)
    grid = {
        (width, batch): measured(text, minutes, 1, width, batch) for width in widths for batch in BATCH_TOKENS
    }
    finalists = sorted(grid, key=lambda setting: grid[setting])[:3]

    # Side by side: a machine's speed changes with the hours.
    rounds = [
        {setting: measured(text, minutes, seed, *setting) for setting in [(None, None), *finalists]}
        for seed in range(1, seeds + 1)
    ]
    means = {setting: statistics.mean(each[setting] for each in rounds) for setting in finalists}
    planned = statistics.mean(each[None, None] for each in rounds)
    print("| width | " + " | ".join(f"{batch} tokens" for batch in BATCH_TOKENS) + " |\n|---|" + "---:|" * len(BATCH_TOKENS))
    for width in widths:
        print(f"| {width} | " + " | ".join(f"{grid[width, batch]:.3f}" for batch in BATCH_TOKENS) + " |")
    best = min(means, key=lambda setting: means[setting])
    plans = [each for each in found(text, minutes) if each["width"] is None]
    errors = [each["bits_per_byte"] / each["planned"] - 1 for each in plans]
    print(
        f"{text}, {minutes:g} minutes, means of {seeds} seeds: the plan's choice {planned:.4f}, the best of the grid "
        f"{means[best]:.4f} (width {best[0]}, {best[1]} tokens): {planned - means[best]:+.4f}; reached beside promised "
        + ", ".join(f"{100 * error:+.1f} %" for error in errors))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", default="shakespeare")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--widths", type=int, nargs="+", default=[128, 160, 192, 256],
        help="around what plans choose (default: on two cores with AVX512-BF16); a best one at an edge wants wider or smaller ones")
    options = parser.parse_args()
    check(options.text, options.minutes, options.seeds, options.widths)
