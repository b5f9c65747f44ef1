"""Mayfly and PyTorch on a GPU: models, and one measurement of either side."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from gpu_stage import TIMED_OUT, Stage, program, run
from machine import say
from tables import table

GIB = 2**30
PEER = Path(__file__).with_name("gpu_peer.py")


@dataclass(frozen=True)
class Shape:
    name: str
    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    parameters: float
    batches: tuple[int, ...]  # micro-batches to try, the largest first
    context: int = 1024
    vocab_size: int = 50_257

    @property
    def flops_per_token(self) -> float:
        """6 per parameter, and attention's causal half."""
        return 6 * self.parameters + 6 * self.num_hidden_layers * self.context * self.hidden_size

    def asked(self, batch: int) -> dict:
        """For gpu_peer.py."""
        sizes = {key: value for key, value in asdict(self).items() if key not in ("name", "parameters", "batches")}
        return sizes | {"max_position_embeddings": self.context, "batch_size": batch}

    def settings(self, batch: int, **more: object) -> list[str]:
        values = {
            "model.architecture": "gpt2", "model.num_hidden_layers": self.num_hidden_layers,
            "model.hidden_size": self.hidden_size, "model.num_attention_heads": self.num_attention_heads,
            "model.max_position_embeddings": self.context, "model.vocab_size": self.vocab_size,
            "train.context": self.context, "train.batch_size": batch, "train.optimizer": "adamw",
            "train.learning_rate": 1e-3, "train.weight_decay": 0.1, "train.betas": "[0.9, 0.95]",
            "train.grad_clip": 1.0,
        } | {key.replace("__", "."): value for key, value in more.items()}
        return [argument for key, value in values.items() for argument in ("--set", f"{key}={value}")]
SHAPES = [
    Shape("124M", 12, 768, 12, 124.44e6, (64, 32, 16)),
    Shape("350M", 24, 1024, 16, 354.82e6, (32, 16, 8)),
    Shape("1.5B", 48, 1600, 25, 1557.6e6, (16, 8, 4)),
]
TINY = Shape("tiny", 1, 64, 2, 0.1e6, (4, 2), context=32, vocab_size=300)


@dataclass(frozen=True)
class Mode:
    """One of PyTorch's; see gpu_peer.py."""

    weights: str  # fp32 with autocast, or bf16 with an fp32 copy
    attention: str
    compiled: str = "model"

    @property
    def name(self) -> str:
        weights = "autocast" if self.weights == "fp32" else "bf16 weights"
        return f"{weights}, {self.attention}, {self.compiled} compiled"


def mayfly_bench(stage: Stage, shape: Shape, batch: int, steps: int) -> dict:
    """Its JSON, or {"missing": reason}: where memory or time is short, that is a finding; all else is wrong."""
    ended = run(
        stage, program("mayfly"), "bench", "--json", "--device", "cuda", "--precision", "bf16", "--steps", steps,
        *shape.settings(batch), limit=150)
    if ended.code == 0:
        return json.loads(ended.output)
    if ended.code != TIMED_OUT and "can't be had" not in ended.reason:
        stage.fail(f"mayfly bench, {shape.name}, batch {batch}: {ended.reason}")
    return {"missing": ended.reason}


def peer(stage: Stage, **asked: object) -> dict:
    """PyTorch's answer, or {"missing": reason}."""
    ended = run(stage, sys.executable, PEER, json.dumps(asked | {"device": "cpu" if stage.tiny else "cuda"}))
    return json.loads(ended.output.splitlines()[-1]) if ended.code == 0 else {"missing": ended.reason}


def measure_rates(stage: Stage) -> dict:
    size, count = (256, 1 << 20) if stage.tiny else (8192, 4 << 30)
    found = peer(stage, what="rates", size=size, bytes=count)
    if "missing" in found:
        stage.note(f"PyTorch can't be measured: {found['missing']}.", rates=found)
    else:
        stage.note(
            f"{found['device']}, PyTorch {found['version']}: {found['product_tflops']:,.1f} TFLOP/s of bf16 products "
            f"of {size}³, {found['copy_gb_per_second']:,.0f} GB/s copied on the device (read and written).",
            rates=found)
    return found


def report(stage: Stage, shape: Shape, side: str, batch: int, found: dict) -> None:
    speed = found.get("missing") or f"{found['tokens_per_second']:,.0f} tokens/s"
    say(f"{stage.name}: {shape.name}, batch {batch}, {side}: {speed}")
    stage.document.setdefault("runs", []).append({"shape": shape.name, "side": side, "batch": batch} | found)
    stage.save()


def runs_table(stage: Stage, shape: Shape) -> str:
    def row(found: dict) -> list[str]:
        if "missing" in found:
            return [found["side"], str(found["batch"]), found["missing"], ""]
        peak = found.get("peak_bytes") or found.get("device_memory", {}).get("reported_bytes")
        memory = f"{peak / GIB:.2f}" if peak else ""
        return [found["side"], str(found["batch"]), f"{found['tokens_per_second']:,.0f}", memory]

    rows = [row(found) for found in stage.document.get("runs", []) if found["shape"] == shape.name]
    return table(["run", "batch", "tokens/s", "GiB"], "lrrr", rows)


def measure_mayfly(stage: Stage, shape: Shape, batch: int) -> dict:
    found = mayfly_bench(stage, shape, batch, 2 if stage.tiny else 20)
    report(stage, shape, "Mayfly", batch, found)
    return found


def measure_peer(stage: Stage, shape: Shape, batch: int, mode: Mode) -> dict:
    found = peer(stage, what="speed", steps=2 if stage.tiny else 10, **asdict(mode), **shape.asked(batch))
    report(stage, shape, f"PyTorch, {mode.name}", batch, found)
    return found
