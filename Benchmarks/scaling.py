"""Fits the scaling law that plans a time budget: trains the decoders that a budget chooses from, of several widths, for
several numbers of tokens, on three texts, and writes each result into docs/scaling.jsonl as it comes. What is there is
not run again, so that it can be stopped at any time. Then it fits, and prints the constants of
Sources/Training/Planning/ScalingLaw.swift. Some runs in that file are none of these: those of a "budget" of so many seconds, as
`mayfly train --budget` planned them; and the one on "mixed" text, with its difficulty beside it, of a GPU
(docs/benchmarks.md). Fitted are also the runs of three minutes of Benchmarks/plan_grid.py, but for those that a plan chose.

    python3 Benchmarks/scaling.py [--fit]          --fit: no runs, only the fit
"""

import argparse
import json
import math

from runs import Results, on_each_core, planned, prepared, train

RESULTS = Results("scaling.jsonl")
PLAN_GRID = Results("plan-grid.jsonl")
TEXTS = ["shakespeare", "python", "gcide"]
# Vocabulary: width: tokens of its runs, in thousands.
GRID = {
    1024: {64: [256, 1024, 4096], 96: [1024], 128: [256, 1024, 4096], 192: [256, 1024], 256: [512]},
    4096: {64: [1024], 96: [1024, 4096], 128: [256, 1024, 4096], 160: [8192], 192: [1024, 4096]},
}
# Vocabulary, tokens per update, and tokens of the runs that tell what a larger batch costs, at a width of 128.
BATCHES = [(1024, 4096, 1024), (1024, 16384, 1024), (1024, 4096, 4096), (4096, 4096, 1024), (4096, 4096, 4096)]
USUAL_BATCH = 1024
USUAL_VOCABULARY = 4096
# The dictionary's models find out after two million tokens, from one update to the next, how its entries are built: no law of
# counting foresees that, and these runs are not fitted.
SURPRISE = "gcide"
# A grid on another machine, of a later recipe: it tests the law, and is not fitted.
TEST = "avx2"
# A run of so many updates has half of its tokens for nothing: what goes best through the pairs of runs that differ in their
# batch alone.
FEW_UPDATES = 100
# The exponent of parameters: small runs can't tell it, and larger ones agree on about so much.
ALPHA = 0.3
# How the room that is needed grows with the tokens: 0.6 fits as well as any larger, by which more tokens would do harm.
DELTA = 0.6


def runs() -> list[dict]:
    grid = [
        {"text": text, "vocabulary": vocabulary, "width": width, "batch_tokens": USUAL_BATCH, "tokens": thousands << 10}
        for vocabulary, widths in GRID.items() for width, sizes in widths.items() for thousands in sizes for text in TEXTS
    ]
    batches = [
        {"text": text, "vocabulary": vocabulary, "width": 128, "batch_tokens": batch, "tokens": thousands << 10}
        for vocabulary, batch, thousands in BATCHES for text in TEXTS[:2]
    ]
    return sorted(grid + batches, key=lambda run: run["tokens"] * run["width"] ** 1.5)


def result(run: dict) -> dict:
    """The run with what it found."""
    context = 128 if run["width"] < 192 else 256
    data = prepared(run["text"], run["vocabulary"])
    ended = train(
        data, "--threads", 1, "--preset", f"decoder-{run['width']}", "--steps", run["tokens"] // run["batch_tokens"],
        settings={"train.batch_size": run["batch_tokens"] // context, "model.architecture": "mayfly"})
    summary = json.loads((data / "dataset.json").read_text())
    layers, width = ended.config["num_hidden_layers"], ended.config["hidden_size"]
    return run | {
        "bits_per_byte": ended.bits_per_byte[-1], "matrix_parameters": 12 * layers * width * width,
        "train_tokens": summary["tokens"]["train"],
        "bytes_per_token": summary["bytes"]["train"] / summary["tokens"]["train"],
    }


def key(run: dict) -> tuple:
    return run["text"], run["vocabulary"], run["width"], run["batch_tokens"], run["tokens"]


def measure() -> None:
    done = {key(run) for run in RESULTS.all()}

    def work(run: dict) -> None:
        found = RESULTS.add(result(run))
        print(f"{run['text']:12} vocabulary {run['vocabulary']} width {run['width']:4} batch {run['batch_tokens']:6} "
              f"tokens {run['tokens'] / 1e6:5.2f}M: {found['bits_per_byte']:.4f}", flush=True)

    for text in TEXTS:
        for vocabulary in GRID:
            prepared(text, vocabulary)
    on_each_core(work, [run for run in runs() if key(run) not in done])


def plan_grid(results: list[dict]) -> list[dict]:
    """Runs of Benchmarks/plan_grid.py, as those here."""
    # What all runs of a text share.
    same = {run["text"]: run for run in results if run["vocabulary"] == USUAL_VOCABULARY}
    # Vocabularies don't change a width's layers.
    parameters = {run["width"]: run["matrix_parameters"] for run in results}
    runs = [run for run in PLAN_GRID.all() if run["width"] and run["seed"] == 1]
    return [
        same[run["text"]] | {"matrix_parameters": parameters[run["width"]], "minutes": run["minutes"]}
        | {key: run[key] for key in ["width", "batch_tokens", "tokens", "bits_per_byte", "vector_unit"]}
        for run in runs
    ]


def difficulty(text: str, vocabulary: int) -> list[tuple[float, float]]:
    """What a counting model makes of the text: tokens counted, bits per token."""
    plan = planned(prepared(text, vocabulary), 1800)
    return [(point["tokens"], point["bits_per_token"]) for point in plan["difficulty"]]


def counted(points: list[tuple[float, float]], tokens: float) -> float:
    """As TextDifficulty.bitsPerToken."""
    upper = next((i for i in range(1, len(points)) if points[i][0] >= tokens), len(points) - 1)
    (n, low), (m, high) = points[upper - 1], points[upper]
    distance, flattening = math.log(tokens / m), 0.2
    beyond = (1 - math.exp(-flattening * distance)) / flattening if distance > 0 else distance
    return high * math.exp(math.log(high / low) / math.log(m / n) * beyond)


def useful(tokens: float, there: float, worth: float) -> float:
    """As ScalingLaw.usefulTokens."""
    repetitions = max(0.0, tokens / there - 1)
    return min(tokens, there) + there * worth * (1 - math.exp(-repetitions / worth))


def predicted(constants, points: list[tuple[float, float]], run: dict) -> float:
    """As ScalingLaw.bitsPerToken."""
    b, start, beta, a, worth = constants
    share, there = 1 / (1 + FEW_UPDATES * run["batch_tokens"] / run["tokens"]), run["train_tokens"]
    N, D = run["matrix_parameters"] / 1e6, share * useful(run["tokens"], there, worth) / 1e6
    met = there * (1 - math.exp(-share * run["tokens"] / there))
    steepness = max(0.01, math.log(counted(points, there / 4) / counted(points, there)) / math.log(4))
    return counted(points, met) * (b * (1 + D / start)**(-beta * steepness) + a * steepness * (D**DELTA / N)**ALPHA)


def fit(results: list[dict]) -> None:
    import numpy as np
    from scipy.optimize import least_squares

    texts = {(text, vocabulary): difficulty(text, vocabulary) for text in TEXTS for vocabulary in GRID}
    fitted = [
        run for run in results
        if "difficulty" in run
        or (run["vocabulary"] == USUAL_VOCABULARY and run["text"] != SURPRISE and run.get("vector_unit") != TEST)
    ]
    tests = [run for run in results if run.get("vector_unit") == TEST]

    def error(x, run: dict) -> float:
        """Of the law, as a logarithm."""
        points = run.get("difficulty") or texts[run["text"], run["vocabulary"]]
        return math.log(predicted(x, points, run) / (run["bits_per_byte"] * run["bytes_per_token"]))

    best = least_squares(
        lambda x: np.array([error(x, run) for run in fitted]), [0.9, 1, 1, 1, 4],
        bounds=([0, 0.01, 0, 0, 0.1], [3, 100, 10, 10, 40]), loss="soft_l1", f_scale=0.03)
    for name, value in zip(
            ["factor of data", "tokens that only count", "exponent of data", "factor of room", "worth of repetitions"], best.x):
        print(f"{name:24} {value:.4f}")
    for name, those in ("fitted", fitted), ("not fitted, but for a test", tests):
        off = np.array([100 * abs(error(best.x, run)) for run in those])
        print(f"{len(those)} runs {name}: {off.mean():.2f} % off in the mean, {off.max():.2f} % at most")
    print("\n| text | vocabulary | width | tokens of an update | tokens, millions | bits per byte | promised | fitted |")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    for run in sorted(results, key=lambda run: ("minutes" in run, key(run))):
        print(f"| {run['text']} | {run['vocabulary']} | {run['width']} | {run['batch_tokens']} | {run['tokens'] / 1e6:.2f} | "
              f"{run['bits_per_byte']:.3f} | {100 * math.expm1(error(best.x, run)):+.1f} % | {'yes' if run in fitted else ''} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="no runs, only the fit")
    if not parser.parse_args().fit:
        measure()
    results = RESULTS.all()
    fit(results + plan_grid(results))
