"""Training speed of Mayfly and PyTorch, side by side: the same shapes, in one run.

    make bench                                   three shapes, five rounds
    make bench BENCH="--quick"                   one short round: a look, not a measurement
    make bench BENCH="--shape 0.8M --rounds 9 --out results.json"
    make bench BENCH="--cells 12 --seed 7"       shapes drawn by a seed instead, decoders and encoders
    make bench BENCH="--precision bf16 --mode eager-bf16 --mode compiled-bf16"

Both sides train on random tokens with AdamW, clipping and no dropout. PyTorch does so in four modes: eager and compiled
(torch.compile), in fp32 and with bf16 autocast. A round measures every side once, each in a process of its own, in an
order that chance decides, so that a machine that gets warmer or busier hits all. What counts is the ratio within a
round, of Mayfly's fastest precision to PyTorch's fastest mode, and the median of the rounds.

For each shape there is more: peak memory; the share of the processor's matrix peak, which is measured here, too; how
the speed grows with threads; the time of each operation. Results go into a JSON file and, as tables, a Markdown file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import median

from machine import cores, machine, say
from peak import matrix_peaks, merged, peak_of
from shapes import FLOPS_FORMULA, SHAPES, TINY, Shape, draw_cells
from sides import MAYFLY, ROOT, Measured, Missing, Side, measure, profile_mayfly
from tables import markdown

SCALING_ROUNDS = 3


# --- Rounds -----------------------------------------------------------------------------------------------------------


def compare(shape: Shape, sides: list[Side], rounds: int, threads: int, chance: random.Random) -> dict:
    """All sides on one shape."""
    measured: dict[str, list[Measured]] = {side.name: [] for side in sides}
    missing: dict[str, str] = {}
    orders: list[list[str]] = []
    for number in range(rounds):
        order = chance.sample(sides, len(sides))
        orders.append([side.name for side in order])
        for side in order:
            if side.name in missing:
                continue
            try:
                found = measure(side, shape, threads)
            except Missing as reason:
                missing[side.name] = str(reason)
                say(f"{shape.name}: {side.name}: {reason}")
                continue
            measured[side.name].append(found)
            say(
                f"{shape.name}: round {number + 1} of {rounds}: {side.name}: {found.tokens_per_second:,.0f} tokens/s, "
                f"{found.peak_mb:,.0f} MB" + disturbance(found)
            )
    return summary(shape, sides, measured, missing) | {"orders": orders}


def disturbance(measured: Measured) -> str:
    others = measured.others or 0.0
    return f" (others used {others:.0%} of the cores)" if others > 0.03 else ""


def summary(
    shape: Shape, sides: list[Side], measured: dict[str, list[Measured]], missing: dict[str, str]
) -> dict:
    rates = {name: [m.tokens_per_second for m in list] for name, list in measured.items() if list}
    peaks = {name: max(m.peak_mb for m in measured[name]) for name in rates}

    def fastest(program: str) -> str:
        names = [side.name for side in sides if side.program == program and side.name in rates]
        if not names:
            sys.exit(f"{program} could not be measured: {missing}")
        return max(names, key=lambda name: median(rates[name]))

    ours, theirs = fastest("mayfly"), fastest("pytorch")
    ratios = {
        side.name: [a / b for a, b in zip(rates[side.name], rates[theirs])]
        for side in sides
        if side.program == "mayfly" and side.name in rates
    }
    leanest = min(peaks[side.name] for side in sides if side.program == "pytorch" and side.name in peaks)
    return {
        "shape": shape.described(),
        "parameters": measured[theirs][0].parameters,
        "pytorch_version": measured[theirs][0].version,
        "sides": [
            asdict(side)
            | {
                "name": side.name,
                "tokens_per_second": rates.get(side.name, []),
                "median": median(rates[side.name]) if side.name in rates else None,
                "peak_mb": peaks.get(side.name),
                "others": max((m.others or 0.0 for m in measured[side.name]), default=None),
                "missing": missing.get(side.name),
            }
            for side in sides
        ],
        "mayfly": ours,
        "pytorch": theirs,
        "ratios": ratios,
        "ratio": median(ratios[ours]),
        "memory_ratio": peaks[ours] / peaks[theirs],
        "memory_ratio_leanest": peaks[ours] / leanest,
    }


def scaling(shape: Shape, side: Side, threads: int, rounds: int, chance: random.Random) -> list[dict]:
    """Mayfly on one thread, two, four and so on, alternately; efficiency 1: n threads are n times as fast as one."""
    counts = sorted({1, threads} | {2**i for i in range(1, threads.bit_length()) if 2**i < threads})
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for number in range(rounds):
        for count in chance.sample(counts, len(counts)):
            rates[count].append(measure(side, shape, count).tokens_per_second)
            say(f"{shape.name}: threads {count}, round {number + 1} of {rounds}: {rates[count][-1]:,.0f} tokens/s")
    return [
        {
            "threads": count,
            "tokens_per_second": rates[count],
            "median": median(rates[count]),
            "efficiency": median(many / one / count for many, one in zip(rates[count], rates[1])),
        }
        for count in counts
    ]


def add_matrix_shares(document: dict) -> None:
    """FLOPs per second of each side ÷ the peak of its precision."""
    for result in document["results"]:
        flops = result["shape"]["flops_per_token"]
        result["matrix_share"] = {
            side["name"]: side["median"] * flops / (1e9 * peak_of(document["matrix_peaks"], side["precision"]))
            for side in result["sides"]
            if side["median"]
        }


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


MODES = [
    "eager-fp32", "compiled-fp32", "eager-bf16", "compiled-bf16", "eager-bf16-weights", "compiled-bf16-weights",
]


# --- The command line -------------------------------------------------------------------------------------------------


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [shape.name for shape in (*SHAPES, TINY)]
    parser.add_argument("--shape", action="append", choices=names, help="only this one")
    parser.add_argument("--cells", type=int, metavar="N", help="N shapes drawn by the seed instead")
    parser.add_argument("--list", action="store_true", help="print the shapes as JSON and measure nothing")
    parser.add_argument(
        "--precision", action="append", choices=("fp32", "bf16", "fp16", "auto"),
        help="of Mayfly; may be given again (default: fp32 and bf16)",
    )
    parser.add_argument(
        "--mode", action="append", choices=MODES,
        help="of PyTorch; may be given again (default: the first four). bf16-weights: bf16 weights and an fp32 copy for AdamW",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=cores(), help="of every side (default: one per core)")
    parser.add_argument("--seed", type=int, help="of the order of the sides, and of cells (default: by chance)")
    parser.add_argument("--quick", action="store_true", help="one round with few updates")
    parser.add_argument("--out", type=Path, default=ROOT / ".build/bench/results.json", help="where the JSON goes")
    parser.add_argument("--markdown", type=Path, help="where the tables go (default: beside the JSON, .md)")
    options = parser.parse_args()
    if options.cells and options.shape:
        parser.error("--cells and --shape: one of them")
    if options.rounds < 1 or options.threads < 1 or (options.cells is not None and options.cells < 1):
        parser.error("--rounds, --threads and --cells: at least 1")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10_000)
    if options.quick:
        options.rounds = 1
    return options


def main() -> None:
    options = parse()
    if options.cells:
        shapes = draw_cells(options.cells, options.seed)
    else:
        names = options.shape or [shape.name for shape in SHAPES]
        shapes = [shape for shape in (*SHAPES, TINY) if shape.name in names]
    if options.list:
        print(json.dumps({"seed": options.seed, "shapes": [shape.described() for shape in shapes]}, indent=2))
        return
    if not os.access(MAYFLY, os.X_OK):
        sys.exit(f"{MAYFLY} is missing: run `make build` first, or set MAYFLY")
    if options.quick:
        shapes = [shape.shortened() for shape in shapes]

    sides = [Side("mayfly", precision) for precision in dict.fromkeys(options.precision or ["fp32", "bf16"])]
    for mode in dict.fromkeys(options.mode or MODES[:4]):
        compiled, precision = mode.split("-", 1)
        sides.append(Side("pytorch", precision, compiled == "compiled"))
    here = machine()
    say(f"{here['cpu']}, {here['cores']} cores ({', '.join(here['vector_units'])}); seed {options.seed}")
    if here["load_before"] > 0.5:
        say(f"warning: the machine is busy (load {here['load_before']}); expect noise")

    chance = random.Random(options.seed)
    document: dict = {
        "machine": here, "threads": options.threads, "quick": options.quick, "rounds": options.rounds,
        "seed": options.seed, "cells": bool(options.cells), "flops_formula": FLOPS_FORMULA, "matrix_peaks": {},
        "results": [],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tables = options.markdown or options.out.with_suffix(".md")
    for shape in shapes:
        # Beside each shape, as the machine may be faster or slower by then.
        seconds = 0.3 if options.quick else 2.0
        document["matrix_peaks"] = merged(document["matrix_peaks"], matrix_peaks(options.threads, seconds))
        result = compare(shape, sides, options.rounds, options.threads, chance)
        document["results"].append(result)
        if not options.cells:
            side = next(side for side in sides if side.name == result["mayfly"])
            rounds = min(options.rounds, SCALING_ROUNDS)
            result["scaling"] = scaling(shape, side, options.threads, rounds, chance)
            result["profile"] = profile_mayfly(side, shape, options.threads)
        add_matrix_shares(document)
        document["geometric_mean"] = geometric_mean([result["ratio"] for result in document["results"]])
        document["machine"]["load_after"] = round(os.getloadavg()[0], 2)
        # Written as they arrive: an interrupted run keeps what it measured.
        options.out.write_text(json.dumps(document, indent=2) + "\n")
        tables.write_text(markdown(document))
    print(markdown(document))
    say(f"written to {options.out} and {tables}")


if __name__ == "__main__":
    main()
