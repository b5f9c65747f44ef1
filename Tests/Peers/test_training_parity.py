"""Thirty updates from the same weights on the same tokens follow PyTorch's, loss by loss and norm by norm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from support import CONTEXT, VOCABULARY, learnable_ids, make_model, mayfly, metrics, settings, write_shard

STEPS, BATCH, EVAL_EVERY = 30, 8, 10
# Two training shards, odd in length and smaller than the run needs: rows must stop at a shard's end and wrap.
TRAIN_SHARDS = (3_001, 2_500)


@dataclass(frozen=True)
class Recipe:
    learning_rate: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    warmup_steps: int = 6
    schedule: str = "cosine"
    min_lr_ratio: float = 0.1

    def rate(self, step: int) -> float:
        """The learning rate of an update; updates count from 1."""
        if step <= self.warmup_steps:
            return self.learning_rate * step / self.warmup_steps
        progress = (step - self.warmup_steps) / (STEPS - self.warmup_steps)
        floor = self.learning_rate * self.min_lr_ratio
        falling = 0.5 * (1 + math.cos(math.pi * progress)) if self.schedule == "cosine" else 1 - progress
        return floor + falling * (self.learning_rate - floor)

    def settings(self) -> list[str]:
        return settings(
            data__order="sequential", train__optimizer="adamw", train__context=CONTEXT, train__batch_size=BATCH,
            train__learning_rate=self.learning_rate, train__betas=list(self.betas), train__eps=self.eps,
            train__weight_decay=self.weight_decay, train__grad_clip=self.grad_clip,
            train__warmup_steps=self.warmup_steps, train__schedule=self.schedule,
            train__min_lr_ratio=self.min_lr_ratio, train__eval_every=EVAL_EVERY,
        )


@dataclass(frozen=True)
class Evaluated:
    loss: float
    accuracy: float
    tokens: int


def rows(shards: list[np.ndarray]) -> torch.Tensor:
    """(N, T + 1): each row starts at the last token of the one before it, which was a target only."""
    found = [
        shard[i : i + CONTEXT + 1] for shard in shards for i in range(0, len(shard) - CONTEXT, CONTEXT)
    ]
    return torch.from_numpy(np.stack(found))


@torch.no_grad()
def evaluate(model: torch.nn.Module, ids: np.ndarray) -> Evaluated:
    """Every token but the first predicted once, in rows that do not overlap; the last row may be short."""
    total, right = 0.0, 0
    for start in range(0, len(ids) - 1, CONTEXT):
        row = torch.from_numpy(ids[start : start + CONTEXT + 1])
        logits = model(row[None, :-1]).logits[0]
        total += torch.nn.functional.cross_entropy(logits.double(), row[1:], reduction="sum").item()
        right += int((logits.argmax(dim=-1) == row[1:]).sum())
    return Evaluated(total / (len(ids) - 1), right / (len(ids) - 1), len(ids) - 1)


@dataclass(frozen=True)
class Curve:
    losses: list[float]
    norms: list[float]
    val: dict[int, Evaluated]
    test: Evaluated


def train_in_pytorch(
    model: torch.nn.Module, recipe: Recipe, train: list[np.ndarray], val: np.ndarray, test: np.ndarray
) -> Curve:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.eps,
    )
    batches = rows(train)
    losses: list[float] = []
    norms: list[float] = []
    evaluated: dict[int, Evaluated] = {}
    for step in range(1, STEPS + 1):
        row = batches[[i % len(batches) for i in range((step - 1) * BATCH, step * BATCH)]]
        logits = model(row[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), row[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
        if step % EVAL_EVERY == 0:
            evaluated[step] = evaluate(model, val)
    return Curve(losses, norms, evaluated, evaluate(model, test))


def assert_same_evaluation(found: dict[str, float], expected: Evaluated) -> None:
    assert found["loss"] == pytest.approx(expected.loss, rel=1e-4)
    # Two logits that differ in the last bit may fall either way: one token, no more.
    assert found["accuracy"] == pytest.approx(expected.accuracy, abs=1.01 / expected.tokens)


CASES = {
    "gpt2": ("gpt2", Recipe(), "auto"),
    "gpt2, accumulated": ("gpt2", Recipe(), 2),
    "llama": ("llama", Recipe(schedule="linear", min_lr_ratio=0.0), "auto"),
    "llama, accumulated": ("llama", Recipe(schedule="linear", min_lr_ratio=0.0), 2),
    "qwen3": ("qwen3", Recipe(betas=(0.85, 0.99), eps=1e-6), "auto"),
    "qwen3, accumulated": ("qwen3", Recipe(betas=(0.85, 0.99), eps=1e-6), 2),
    "nanochat": ("nanochat", Recipe(), "auto"),
    "nanochat, accumulated": ("nanochat", Recipe(), 2),
}


@pytest.mark.parametrize(("architecture", "recipe", "micro_batch"), CASES.values(), ids=CASES.keys())
def test_thirty_updates_follow_pytorch(
    tmp_path: Path, architecture: str, recipe: Recipe, micro_batch: int | str
) -> None:
    model = make_model(architecture)
    start, folder, out = tmp_path / "start", tmp_path / "data", tmp_path / "run"
    model.save_pretrained(start)
    folder.mkdir()
    train = [learnable_ids(count, VOCABULARY, seed) for seed, count in enumerate(TRAIN_SHARDS)]
    val, test = learnable_ids(701, VOCABULARY, 7), learnable_ids(643, VOCABULARY, 8)
    for i, shard in enumerate(train):
        write_shard(folder / f"train-{i:05}.bin", shard)
    write_shard(folder / "val-00000.bin", val)
    write_shard(folder / "test-00000.bin", test)

    expected = train_in_pytorch(model, recipe, train, val, test)
    clipped = sum(norm > recipe.grad_clip for norm in expected.norms)
    assert clipped > 0, "the clip must bind somewhere, or it is not tested"
    assert expected.losses[-1] < expected.losses[0] - 0.1, "training must show, or nothing is tested"

    mayfly(
        "train", "--data", folder, "--init-from", start, "--steps", STEPS, "--out", out, "--precision", "fp32",
        "--threads", 2, *recipe.settings(), *settings(train__micro_batch_size=micro_batch),
    )
    lines = metrics(out, "train")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["tokens"] for line in lines] == [step * BATCH * CONTEXT for step in range(1, STEPS + 1)]
    assert [line["learning_rate"] for line in lines] == pytest.approx(
        [recipe.rate(step) for step in range(1, STEPS + 1)], rel=1e-5, abs=1e-12
    )
    assert [line["loss"] for line in lines] == pytest.approx(expected.losses, rel=1e-4)
    assert [line["grad_norm"] for line in lines] == pytest.approx(expected.norms, rel=1e-3)

    on_val = {line["step"]: line for line in metrics(out, "eval") if line["split"] == "val"}
    for step, evaluation in expected.val.items():
        assert_same_evaluation(on_val[step], evaluation)
    for split, evaluation in (("val", expected.val[STEPS]), ("test", expected.test)):
        found = mayfly("eval", out, "--data", folder, "--split", split, "--json").json
        assert_same_evaluation(found, evaluation)
        assert found["tokens"] == evaluation.tokens
        assert found["perplexity"] == pytest.approx(math.exp(evaluation.loss), rel=1e-3)
