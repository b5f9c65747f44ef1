"""What is trained in a benchmark: three known shapes, and others drawn by a seed."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass, replace

MASKED = 0.15  # of the tokens of a masked model's batch


@dataclass(frozen=True)
class Shape:
    name: str
    architecture: str  # gpt2, or encoder: filling in masked tokens
    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int
    batch_size: int
    context: int
    steps: int  # updates that are timed
    warmup: int = 2  # updates before: caches, allocators and clocks settle

    @property
    def tokens(self) -> int:
        """Of an update."""
        return self.batch_size * self.context

    @property
    def matrix_weights(self) -> int:
        """Weights of matrix products: 12·C² a layer, and the head, which is also the embedding."""
        return 12 * self.num_hidden_layers * self.hidden_size**2 + self.vocab_size * self.hidden_size

    @property
    def flops_per_token(self) -> float:
        """See FLOPS_FORMULA."""
        L, C, V, T = self.num_hidden_layers, self.hidden_size, self.vocab_size, self.context
        keys, predicted = ((T + 1) / 2, 1.0) if self.architecture == "gpt2" else (T, MASKED)
        return 6 * (12 * L * C**2 + predicted * C * V) + 12 * L * C * keys

    @property
    def estimated_gb(self) -> float:
        """About what PyTorch, eager in fp32, takes: weights, gradients and moments; twenty values of width C a layer and
        three of width V for each token; its libraries."""
        values = 20 * self.hidden_size * self.num_hidden_layers + 3 * self.vocab_size
        return (16 * self.matrix_weights + 4 * self.tokens * values) / 1e9 + 0.5

    def shortened(self) -> Shape:
        """For a look."""
        return replace(self, steps=max(3, self.steps // 8))

    def described(self) -> dict[str, object]:
        more = {"matrix_weights": self.matrix_weights, "flops_per_token": self.flops_per_token}
        return asdict(self) | more


FLOPS_FORMULA = (
    "6 × (12·L·C² + C·V) + 12·L·C·K for each token: two FLOPs for each weight of a matrix product and each of forward, "
    "input gradient and weight gradient; for attention the same with two products over K keys, the context or, where it "
    "is causal, (context + 1)/2. What is computed twice, as attention's scores, counts once; of a masked model's head only "
    "the masked 15 % count"
)

SHAPES = [
    Shape("0.8M", "gpt2", 4, 4, 128, 65, 64, batch_size=12, context=64, steps=120, warmup=20),
    Shape("10.8M", "gpt2", 6, 6, 384, 65, 256, batch_size=64, context=256, steps=5),
    Shape("124M", "gpt2", 12, 12, 768, 50_257, 1024, batch_size=4, context=64, steps=12),
]
# Only where it is asked for: to see whether everything works.
TINY = Shape("tiny", "gpt2", 2, 2, 32, 65, 16, batch_size=2, context=16, steps=24)

# Of one update of a cell: a few seconds on two cores; memory that a machine of 16 GB has.
MOST_FLOPS = 4e11
MOST_GB = 12.0
TIMED_FLOPS = 1e12
MOST_LAYERS = 12


def draw_cells(count: int, seed: int) -> list[Shape]:
    """Shapes all over the place, a decoder and an encoder in turn, that fit the limits above; the same for each seed."""
    generator = random.Random(seed)

    def between(low: int, high: int, multiple: int = 1) -> int:
        """Uniform in the logarithm."""
        x = math.exp(generator.uniform(math.log(low), math.log(high)))
        return min(high, max(low, round(x / multiple) * multiple))

    cells: list[Shape] = []
    while len(cells) < count:
        width = between(64, 1024, multiple=32)
        heads = width // generator.choice([size for size in (32, 64, 128) if width % size == 0])
        context = between(64, 2048)
        cell = Shape(
            f"cell {len(cells) + 1}", ("gpt2", "encoder")[len(cells) % 2], generator.randint(1, MOST_LAYERS), heads,
            width, between(65, 50_257), context, between(1, 64), context, steps=3,
        )
        while cell.num_hidden_layers > 0 and not fits(cell):
            cell = replace(cell, num_hidden_layers=cell.num_hidden_layers - 1)
        if cell.num_hidden_layers > 0:
            steps = TIMED_FLOPS / (cell.flops_per_token * cell.tokens)
            cells.append(replace(cell, steps=min(100, max(3, round(steps)))))
    return cells


def fits(cell: Shape) -> bool:
    return cell.flops_per_token * cell.tokens <= MOST_FLOPS and cell.estimated_gb <= MOST_GB
