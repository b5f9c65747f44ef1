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
import statistics

from runs import Results, planned, prepared, train

RESULTS = Results("scaling.jsonl")
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
SURPRISES = ("gcide", 2e6)
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
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, [run for run in runs() if key(run) not in done]))


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
    b, beta, a, few, worth = constants
    tokens = useful(run["tokens"], run["train_tokens"], worth) / (1 + few * run["batch_tokens"] / run["tokens"])
    N, D = run["matrix_parameters"] / 1e6, tokens / 1e6
    return counted(points, tokens) * (b * D**-beta + a * (D**DELTA / N)**ALPHA)


def fit(results: list[dict]) -> None:
    import numpy as np
    from scipy.optimize import least_squares

    texts = {(text, vocabulary): difficulty(text, vocabulary) for text in TEXTS for vocabulary in GRID}
    fitted = [run for run in results if run["text"] != SURPRISES[0] or run["tokens"] < SURPRISES[1]]

    def errors(x, runs=fitted):
        """Of the law, as logarithms."""
        return np.array([
            math.log(predicted(x, texts[run["text"], run["vocabulary"]], run) / (run["bits_per_byte"] * run["bytes_per_token"]))
            for run in runs
        ])

    def residuals(x):
        # What a text is off by in all runs with a vocabulary tells nothing of sizes.
        shifts = dict(zip(texts, [0, *x[5:]]))
        return errors(x[:5]) - np.array([shifts[run["text"], run["vocabulary"]] for run in fitted])

    more = len(texts) - 1
    start, scale = [0.8, 0.1, 0.1, 150, 4] + more * [0], [1, 0.1, 0.1, 100, 1] + more * [0.1]
    low, high = [0, 0, 0, 5, 0.3] + more * [-0.3], [3, 1, 2, 3000, 40] + more * [0.3]
    best = least_squares(residuals, start, bounds=(low, high), x_scale=scale, loss="soft_l1", f_scale=0.03)
    constants, shifts = list(best.x[:5]), dict(zip(texts, [0, *best.x[5:]]))
    # Of what most plans choose, and of its texts the middle one: what counting says of the dictionary is far off, and no reason
    # to be off elsewhere.
    middle = math.exp(-statistics.median(shifts[text, USUAL_VOCABULARY] for text in TEXTS))
    constants[0] *= middle
    constants[2] *= middle
    names = ["factor of data", "exponent of data", "factor of room", "few updates", "worth of repetitions"]
    for name, value in zip(names, constants):
        print(f"{name:24} {value:.4f}")
    off = errors(constants)
    for what, values in [("error", off), ("beside what a text is off by", best.fun)]:
        print(f"{len(fitted)} runs, {what}: {100 * abs(values).mean():.2f} % in the mean, "
              f"{100 * abs(values).max():.2f} % at most")
    print("\n| text | vocabulary | width | tokens of an update | tokens, millions | bits per byte | promised |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for run, error in sorted(zip(results, errors(constants, results)), key=lambda pair: key(pair[0])):
        print(f"| {run['text']} | {run['vocabulary']} | {run['width']} | {run['batch_tokens']} | {run['tokens'] / 1e6:.2f} | "
              f"{run['bits_per_byte']:.3f} | {100 * math.expm1(error):+.1f} % |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="no runs, only the fit")
    if not parser.parse_args().fit:
        measure()
    fit(RESULTS.all())
