"""Where the time of an update on a GPU should go: estimates from what each operation computes and moves.

    python3 Benchmarks/roofline.py [--rows] [--muon]

Nothing here is measured: the rates of cards are assumptions (below); docs/benchmarks.md has what a card then did. A
model's update is one pass of B × 1,024 tokens of GPT-2 with bf16 activations, as Mayfly's kernels run it. Bytes are
counted in U, one activation of N tokens: 2·N·C bytes.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass

T, V = 1024, 50_257


@dataclass(frozen=True)
class Card:
    name: str
    peak: float  # dense bf16 (Turing: fp16) TFLOP/s of the data sheet
    product: float  # TFLOP/s that a large product should sustain in a hot step
    bandwidth: float  # TB/s that a streaming kernel should reach
    multiprocessors: int
    tile: tuple[int, int]
    ramp: int  # what starting and ending a tile costs, as more of k
    attention: tuple[float, float]  # TFLOP/s forward and backward, of the pairs that a causal mask leaves
    fuses_gelu: bool


CARDS = [
    Card("H200", 989, 720, 4.22, 132, (128, 256), 80, (150, 135), True),
    Card("H100", 989, 650, 3.02, 132, (128, 256), 80, (150, 135), True),
    Card("RTX 4090", 165.2, 155, 0.93, 128, (128, 128), 24, (70, 58), False),
    Card("T4 (fp16)", 65, 33, 0.26, 40, (128, 128), 32, (8, 5), False),
]


@dataclass(frozen=True)
class Model:
    name: str
    layers: int
    width: int
    parameters: float
    rows: dict[str, int]  # the micro-batch, by card

    @property
    def flops_per_token(self) -> float:
        """6 × parameters + 6 × layers × context × width: attention's causal half."""
        return 6 * self.parameters + 6 * self.layers * T * self.width


MODELS = [
    Model("124M", 12, 768, 124.44e6, {"H200": 64, "H100": 64, "RTX 4090": 16, "T4 (fp16)": 8}),
    Model("350M", 24, 1024, 354.82e6, {"H200": 32, "H100": 32, "RTX 4090": 8}),
    Model("1.5B", 48, 1600, 1557.6e6, {"H200": 16, "H100": 8}),
]


def product_seconds(card: Card, m: int, n: int, k: int, more_bytes: float = 0.0, splits: bool = False) -> float:
    """Of D (m × n) = A·B: the slower of arithmetic, in whole waves of tiles, and memory. Weight gradients split k."""
    arithmetic = math.inf
    for parts in range(1, 17 if splits else 2):
        tiles = math.ceil(m / card.tile[0]) * math.ceil(n / card.tile[1]) * parts
        waves = tiles / (math.ceil(tiles / card.multiprocessors) * card.multiprocessors)
        depth = k / parts
        time = 2 * m * n * k / (card.product * 1e12 * waves * depth / (depth + card.ramp))
        # Partial sums are written and read, half of it in the cache.
        time += parts * m * n * 4 / (card.bandwidth * 1e12) if parts > 1 else 0
        arithmetic = min(arithmetic, time)
    memory = (2 * (m * k + k * n) + (8 if splits else 2) * m * n + more_bytes) / (card.bandwidth * 1e12)
    return max(arithmetic, memory) + 2e-6


def muon(card: Card, model: Model) -> float:
    """Seconds of the products that make matrices orthogonal: five times A = X·Xᵀ, B = bA + cA·A, X ← aX + B·X."""

    def batch(count: int, m: int, n: int, k: int, adds: bool = True) -> float:
        return product_seconds(card, count * m, n, k, 2 * ((count - 1) * k * n + (count * m * n if adds else 0)))

    C, L = model.width, model.layers
    shapes = [(4 * L, C, C), (2 * L, C, 4 * C)]  # matrices, their shorter and their longer side
    return 5 * sum(
        batch(count, n, n, longer, adds=False) + batch(count, n, n, n) + batch(count, n, longer, n)
        for count, n, longer in shapes
    )


def optimizer(card: Card, model: Model, with_muon: bool) -> dict[str, float]:
    def stream(bytes_each: float, parameters: float) -> float:
        return bytes_each * parameters / (card.bandwidth * 1e12)

    if not with_muon:
        return {"norm of gradients, AdamW": stream(34, model.parameters)}
    matrices = 12 * model.layers * model.width**2
    return {
        "norm of gradients, AdamW": stream(4, model.parameters) + stream(30, model.parameters - matrices),
        # Gradients and momentum twice, weights once, X written and read.
        "Muon's norms, momentum, weights": stream(34, matrices),
        "Muon's products": muon(card, model),
    }


def update(card: Card, model: Model, with_muon: bool = False) -> dict[str, float]:
    """Seconds of each part."""
    N, C, L = model.rows[card.name] * T, model.width, model.layers
    U = 2 * N * C
    head_width = math.ceil(V / 8) * 8

    def stream(units: float) -> float:
        return L * units * U / (card.bandwidth * 1e12)

    gelu = 4 * U if card.fuses_gelu else 0
    forward = [(3 * C, C, 0), (C, C, U), (4 * C, C, gelu), (C, 4 * C, U)]  # out, in, more bytes: the residual, GELU's input
    backward = [(C, 3 * C, 0), (C, C, 0), (C, 4 * C, 0), (4 * C, C, gelu)]
    weights = [(C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)]
    attention = 2 * L * N * T * C
    logits = 2 * N * head_width
    return {
        "products, forward": L * sum(product_seconds(card, N, n, k, more) for n, k, more in forward),
        "products, inputs' gradients": L * sum(product_seconds(card, N, n, k, more) for n, k, more in backward),
        "products, weights' gradients": L * sum(product_seconds(card, k, n, N, splits=True) for k, n in weights),
        "head's products": product_seconds(card, N, head_width, C) + product_seconds(card, N, C, head_width)
        + product_seconds(card, C, head_width, N, splits=True),
        "attention, forward": max(attention / (card.attention[0] * 1e12), stream(4)),
        "attention, backward": max(2.5 * attention / (card.attention[1] * 1e12), stream(9)),
        # Two norms; GELU where products don't have it.
        "rows, forward": stream(4 if card.fuses_gelu else 12),
        # Two norms with an addend; GELU; sums of columns for four biases.
        "rows, backward": stream(8 + (0 if card.fuses_gelu else 12) + 9),
        "loss": 2 * logits / (card.bandwidth * 1e12),
        "embedding, last norm": 12 * U / (card.bandwidth * 1e12),
        **optimizer(card, model, with_muon),
        "gaps between kernels": (24 * L + 20) * 0.6e-6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", action="store_true", help="show each part, too")
    parser.add_argument("--muon", action="store_true", help="with Muon for the matrices in place of AdamW for all")
    options = parser.parse_args()
    print("| model | card | batch | ms | tokens/s | share of the peak |\n|---|---|---|---:|---:|---:|")
    for model in MODELS:
        for card in CARDS:
            if card.name not in model.rows:
                continue
            parts = update(card, model, options.muon)
            seconds, tokens = sum(parts.values()), model.rows[card.name] * T
            share = model.flops_per_token * tokens / seconds / (card.peak * 1e12)
            print(
                f"| {model.name} | {card.name} | {model.rows[card.name]} × {T:,} | {1e3 * seconds:.1f} | "
                f"{tokens / seconds:,.0f} | {100 * share:.0f} % |"
            )
            if options.rows:
                for name, part in parts.items():
                    print(f"| | {name} | | {1e3 * part:.1f} | | {100 * part / seconds:.0f} % of the update |")


if __name__ == "__main__":
    main()
