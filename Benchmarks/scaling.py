"""Fits the scaling law that plans a time budget: trains the decoders that a budget chooses from, of several widths, for
several numbers of tokens, on three texts, and writes each result into docs/scaling.jsonl as it comes. What is there is
not run again, so that it can be stopped at any time. Then it fits, and prints the constants of
Sources/Training/Planning/ScalingLaw.swift.

    python3 Benchmarks/scaling.py [--fit]          --fit: no runs, only the fit
"""

import argparse
import concurrent.futures
import json
import math
import os

from runs import Results, planned, prepared, train

RESULTS = Results("scaling.jsonl")
TEXTS = ["shakespeare", "python", "gcide"]
# Width: tokens of its runs, in thousands.
GRID = {64: [256, 1024, 4096], 96: [256, 1024, 4096], 128: [256, 1024, 4096], 192: [256, 1024, 2048], 256: [512, 1024]}
# Tokens per update and tokens of the runs that tell what a larger batch costs, at a width of 128.
BATCHES = [(256, 1024), (4096, 1024), (16384, 1024), (4096, 4096)]
# Far beyond what the others read: text, width, tokens.
LONG = [("gcide", 96, 16384)]
USUAL_BATCH = 1024
# The exponent of parameters: small runs can't tell it, and larger ones agree on about so much.
ALPHA = 0.3


def runs() -> list[dict]:
    grid = [
        {"text": text, "width": width, "batch_tokens": USUAL_BATCH, "tokens": thousands << 10}
        for width, sizes in GRID.items() for thousands in sizes for text in TEXTS
    ]
    batches = [
        {"text": text, "width": 128, "batch_tokens": batch, "tokens": thousands << 10}
        for batch, thousands in BATCHES for text in TEXTS[:2]
    ]
    long = [
        {"text": text, "width": width, "batch_tokens": USUAL_BATCH, "tokens": thousands << 10}
        for text, width, thousands in LONG
    ]
    return sorted(grid + batches + long, key=lambda run: run["tokens"] * run["width"] ** 1.5)


def result(run: dict) -> dict:
    """The run with what it found."""
    context = 128 if run["width"] < 192 else 256
    data = prepared(run["text"])
    ended = train(
        data, "--threads", 1, "--preset", f"decoder-{run['width']}", "--steps", run["tokens"] // run["batch_tokens"],
        settings={"train.batch_size": run["batch_tokens"] // context})
    summary = json.loads((data / "dataset.json").read_text())
    layers, width = ended.config["num_hidden_layers"], ended.config["hidden_size"]
    return run | {
        "bits_per_byte": ended.bits_per_byte[-1], "matrix_parameters": 12 * layers * width * width,
        "train_tokens": summary["tokens"]["train"],
        "bytes_per_token": summary["bytes"]["train"] / summary["tokens"]["train"],
    }


def key(run: dict) -> tuple:
    return run["text"], run["width"], run["batch_tokens"], run["tokens"]


def measure() -> None:
    done = {key(run) for run in RESULTS.all()}

    def work(run: dict) -> None:
        found = RESULTS.add(result(run))
        print(f"{run['text']:12} width {run['width']:4} batch {run['batch_tokens']:6} "
              f"tokens {run['tokens'] / 1e6:5.2f}M: {found['bits_per_byte']:.4f}", flush=True)

    for text in TEXTS:
        prepared(text)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, [run for run in runs() if key(run) not in done]))


def found_by_plan(text: str) -> tuple[list[tuple[float, float]], float]:
    """What a counting model makes of the text (tokens counted, bits per token), and the scale of the gradients' noise."""
    plan = planned(prepared(text), 1800)
    return [(point["tokens"], point["bits_per_token"]) for point in plan["difficulty"]], plan["noise_scale_tokens"]


def counted(points: list[tuple[float, float]], tokens: float) -> float:
    """As TextDifficulty.bitsPerToken."""
    upper = next((i for i in range(1, len(points)) if points[i][0] >= tokens), len(points) - 1)
    (n, low), (m, high) = points[upper - 1], points[upper]
    distance, flattening = math.log(tokens / m), 0.4
    beyond = (1 - math.exp(-flattening * distance)) / flattening if distance > 0 else distance
    return high * math.exp(math.log(high / low) / math.log(m / n) * beyond)


def useful(tokens: float, there: float) -> float:
    """As ScalingLaw.usefulTokens."""
    repetitions, worth = max(0.0, tokens / there - 1), 15.4
    return min(tokens, there) + there * worth * (1 - math.exp(-repetitions / worth))


def predicted(constants, text: tuple[list[tuple[float, float]], float], run: dict) -> float:
    """As ScalingLaw.bitsPerToken."""
    irreducible, a, b, beta = constants
    points, noise = text
    tokens = useful(run["tokens"], run["train_tokens"]) / (1 + run["batch_tokens"] / noise)
    N, D = run["matrix_parameters"] / 1e6, tokens / 1e6
    return counted(points, tokens) * (irreducible + a * N**-ALPHA + b * D**-beta)


def fit(results: list[dict]) -> None:
    import numpy as np
    from scipy.optimize import least_squares

    # Smaller batches than the planner has are noise.
    results = [run for run in results if run["batch_tokens"] >= USUAL_BATCH]
    texts = {text: found_by_plan(text) for text in {run["text"] for run in results}}

    def residuals(x):
        return [
            math.log(predicted(x, texts[run["text"]], run) / (run["bits_per_byte"] * run["bytes_per_token"]))
            for run in results
        ]

    start, low, high = [0.5, 0.2, 0.1, 0.5], [0, 0, 0, 0.02], [2, 3, 5, 1.5]
    best = least_squares(residuals, start, bounds=(low, high), loss="soft_l1", f_scale=0.01)
    errors = np.abs(best.fun)
    names = ["irreducible", "factor of parameters", "factor of data", "exponent of data"]
    for name, value in zip(names, best.x):
        print(f"{name:24} {value:.4f}")
    print(f"{len(results)} runs, error {100 * errors.mean():.2f} % in the mean, {100 * errors.max():.2f} % at most")
    for run, error in zip(results, best.fun):
        print(f"  {run['text']:12} {run['width']:4} {run['batch_tokens']:6} {run['tokens'] / 1e6:5.2f}M "
              f"{run['bits_per_byte']:.4f} {100 * error:+.1f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="no runs, only the fit")
    if not parser.parse_args().fit:
        measure()
    fit(RESULTS.all())
