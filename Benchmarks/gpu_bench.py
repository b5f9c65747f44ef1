"""STAGE=bench: how fast Mayfly trains beside PyTorch at its best."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import median

from gpu_sides import GIB, SHAPES, TINY, Mode, Shape, measure_mayfly, measure_peer, measure_rates, runs_table
from gpu_stage import Stage, goal, open_device
from machine import say
from tables import table

# Dense bf16 (Turing: fp16) TFLOP/s of data sheets.
PEAKS = {"H100 PCIe": 756, "H100": 989, "H200": 989, "A100": 312, "RTX 4090": 165.2, "L4": 121, "T4": 65}


def bench(stage: Stage) -> None:
    open_device(stage)
    rates = measure_rates(stage)
    attention, weights = "cudnn", "fp32"
    for index, shape in enumerate([TINY] if stage.tiny else SHAPES):
        if not stage.has_time(60, shape.name):
            continue
        # A model compiled whole takes this long for its layers.
        parts = "model" if stage.tiny or stage.left > 60 + 20 * shape.num_hidden_layers else "blocks"
        first = [Mode("fp32", "flash", parts), Mode("fp32", "cudnn", parts), Mode("bf16", "cudnn", parts)]
        mine = best_mayfly(stage, shape)
        theirs = best_peer(stage, shape, first if index == 0 else [Mode(weights, attention, parts)])
        if mine is None or theirs is None or theirs.mode is None:
            stage.write(f"## {shape.name}\n\nNo comparison: a side is missing.\n\n{runs_table(stage, shape)}")
            continue
        attention, weights = theirs.mode.attention, theirs.mode.weights
        if index == 0:
            theirs = smaller_peer(stage, shape, theirs)
            alternate(stage, shape, mine, theirs)
        compare(stage, shape, mine, theirs, rates)


@dataclass
class Best:
    """A side's fastest, and what was measured of it."""

    batch: int
    mode: Mode | None
    found: list[dict]

    @property
    def rate(self) -> float:
        return median(found["tokens_per_second"] for found in self.found)


def best_mayfly(stage: Stage, shape: Shape) -> Best | None:
    """The fastest batch: smaller ones are tried for as long as they are faster."""
    best = None
    for batch in shape.batches:
        if not stage.has_time(40, f"{shape.name}, Mayfly, batch {batch}"):
            break
        found = measure_mayfly(stage, shape, batch)
        if "missing" in found:
            continue
        if best and found["tokens_per_second"] <= best.rate:
            break
        best = Best(batch, None, [found])
        if shape is not SHAPES[0]:
            break  # time is short: the largest that fits
    return best


def best_peer(stage: Stage, shape: Shape, modes: list[Mode]) -> Best | None:
    """The fastest of these modes, the last of them with the attention that was faster, each with the largest batch."""
    best, batches = None, list(shape.batches)
    for mode in modes:
        if best and best.mode and mode.weights != best.mode.weights:
            mode = Mode(mode.weights, best.mode.attention, mode.compiled)
        for batch in list(batches):
            if not stage.has_time(70, f"{shape.name}, PyTorch, {mode.name}, batch {batch}"):
                return best
            found = measure_peer(stage, shape, batch, mode)
            if "missing" in found:
                if "out of memory" not in found["missing"].lower():
                    break  # isn't a matter of size
                batches.remove(batch)
                continue
            batches = [batch, *(size for size in batches if size < batch)]
            if best is None or found["tokens_per_second"] > best.rate:
                best = Best(batch, mode, [found])
            break
    return best


def smaller_peer(stage: Stage, shape: Shape, best: Best) -> Best:
    """The same mode with the next batch, where that is faster."""
    smaller = [batch for batch in shape.batches if batch < best.batch]
    if not smaller or not best.mode or not stage.has_time(200, f"{shape.name}, PyTorch with a smaller batch"):
        return best
    found = measure_peer(stage, shape, smaller[0], best.mode)
    faster = found.get("tokens_per_second", 0) > best.rate
    return Best(smaller[0], best.mode, [found]) if faster else best


def alternate(stage: Stage, shape: Shape, mine: Best, theirs: Best) -> None:
    """Two more rounds."""
    for number in (2, 3):
        if not stage.has_time(60, f"{shape.name}, round {number}"):
            return
        pair = measure_mayfly(stage, shape, mine.batch), measure_peer(stage, shape, theirs.batch, theirs.mode)
        if not any("missing" in found for found in pair):
            mine.found.append(pair[0])
            theirs.found.append(pair[1])


def peak_of(device: str) -> float | None:
    return next((peak for name, peak in PEAKS.items() if re.search(rf"\b{name}\b", device)), None)


def compare(stage: Stage, shape: Shape, mine: Best, theirs: Best, rates: dict) -> None:
    ratios = [m["tokens_per_second"] / t["tokens_per_second"] for m, t in zip(mine.found, theirs.found)]
    ratio, last = median(ratios), mine.found[-1]
    tflops = mine.rate * shape.flops_per_token / 1e12
    peak, product = peak_of(rates.get("device", "")), rates.get("product_tflops")
    planned, taken = (last["device_memory"][f"{kind}_bytes"] for kind in ("planned", "reported"))
    more, idle = taken / planned - 1, last["idle_share"]
    on_goal = shape is SHAPES[0]
    rows = [
        ["Mayfly, tokens/s", f"**{mine.rate:,.0f}**", f"batch {mine.batch}; runs: {len(mine.found)}",
         f"≥ 554,000, stretch 677,000: {goal(mine.rate, 554e3, 677e3)}" if on_goal else ""],
        ["PyTorch, tokens/s", f"{theirs.rate:,.0f}", f"{theirs.mode.name}; batch {theirs.batch}", ""],
        ["ratio", f"**{ratio:.2f}**", f"{min(ratios):.2f} to {max(ratios):.2f}",
         f"≥ 1.1, stretch 1.25: {goal(ratio, 1.1, 1.25)}"],
        ["TFLOP/s", f"{tflops:,.1f}", f"{share(tflops, peak)} of the peak, {share(tflops, product)} of torch.mm's", ""],
        ["memory planned, GiB", f"{planned / GIB:.2f}", f"taken {taken / GIB:.2f}, {more:+.1%}",
         f"within 5 %: {goal(0.05, abs(more))}"],
        ["idle", f"{idle:.2%}", "", f"< 1 %: {goal(0.01, idle)}"],
    ]
    total = last["profiled_seconds"]
    operations = [
        [o["kind"], str(o["calls"]), f"{1e3 * o['seconds']:.3f}", f"{o['seconds'] / total:.1%}",
         f"{o['flops'] / o['seconds'] / 1e12:,.0f}" if o["flops"] and o["seconds"] else ""]
        for o in last["operations"]
    ]
    operations.append(["other", "", f"{1e3 * last['other_seconds']:.3f}", f"{last['other_seconds'] / total:.1%}", ""])
    stage.write(
        f"## {shape.name}\n\n" + table(["", "", "", "goal"], "lrll", rows)
        + "\n\nMayfly keeps AdamW's moments in bf16, as is its default, PyTorch in fp32. All runs:\n\n"
        + runs_table(stage, shape) + f"\n\nMayfly's update of {1e3 * last['seconds']:.1f} ms by operation, each "
        f"waited for ({1e3 * total:.1f} ms in all):\n\n"
        + table(["operation", "calls", "ms", "share", "TFLOP/s"], "lrrrr", operations))
    stage.document.setdefault("best", {})[shape.name] = {
        "tokens_per_second": mine.rate, "batch": mine.batch, "pytorch_tokens_per_second": theirs.rate,
        "pytorch_batch": theirs.batch, "pytorch_mode": theirs.mode.name, "ratios": ratios, "tflops": tflops,
        "memory_beyond_plan": more, "idle_share": idle,
    }
    stage.save()
    say(f"{stage.name}: {shape.name}: {mine.rate:,.0f} tokens/s, {ratio:.2f} of PyTorch's")


def share(rate: float, whole: float | None) -> str:
    return f"{rate / whole:.0%}" if whole else "unknown share"
