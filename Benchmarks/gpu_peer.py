"""PyTorch on a GPU, at its best: what gpu_check.py holds Mayfly against. Each run is a process of its own:

    gpu_peer.py '{"what": "rates", …}'       the card's own rates: copying, a large product
    gpu_peer.py '{"what": "speed", …}'       updates of GPT-2 on random tokens
    gpu_peer.py '{"what": "curve", …}'       losses on the tokens of a shard, in order

prints one JSON document. The model is pytorch_peer.py's. For speed its vocabulary is padded to a multiple of 64, as
everybody does for tensor cores; losses are of the very same model, without padding. Compiled, fused AdamW, clipping,
the attention that is asked for; what compiles runs before the clock. "compiled": "model" compiles all at once; "blocks"
compiles one block for all of them, and the head, which takes a fraction of that time.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from pytorch_peer import Decoder, make_model

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ATTENTION = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """The median of single runs, after some that are not counted; of a GPU by its own clock."""
    for _ in range(5):
        work()
    synchronize()
    if DEVICE == "cpu":
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        return median(times)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    marks[0].record()
    for mark in marks[1:]:
        work()
        mark.record()
    synchronize()
    return median(first.elapsed_time(second) / 1e3 for first, second in zip(marks, marks[1:]))


def rates(asked: dict) -> dict:
    size, count = asked["size"], asked["bytes"] // 4
    a, b = (torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.randn(count, device=DEVICE)
    target = torch.empty_like(source)
    return {
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU",
        "version": torch.__version__,
        "product_tflops": 2e-12 * size**3 / seconds_of(lambda: torch.mm(a, b, out=product), 50),
        "copy_gb_per_second": 2e-9 * 4 * count / seconds_of(lambda: target.copy_(source), 50),
    }


@torch.no_grad()
def begin_as_gpt2(model: Decoder) -> None:
    """Biases of 0, and what is added to the residual stream smaller the more of it there is."""
    for block in model.blocks:
        for linear in (block.attention.qkv, block.attention.out, block.feedforward.up, block.feedforward.down):
            linear.bias.zero_()
        for linear in (block.attention.out, block.feedforward.down):
            linear.weight.div_((2 * len(model.blocks)) ** 0.5)


def compiled(model: Decoder, parts: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The model's loss."""
    if parts == "model":
        return torch.compile(model, dynamic=False)
    for block in model.blocks:
        block.compile(dynamic=False)

    @torch.compile(dynamic=False)
    def head(x: Tensor, targets: Tensor) -> Tensor:
        logits = functional.linear(model.norm(x), model.tokens.weight)  # (B, T, V), tied
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
        """As the model computes it."""
        x = model.tokens(inputs) + model.positions.weight[: inputs.shape[1]]  # (B, T, C)
        for block in model.blocks:
            x = block(x)
        return head(x, targets)

    return loss_of


class Training:
    """A model with its optimizer: fp32 weights under autocast, or bf16 weights with an fp32 copy that AdamW updates."""

    def __init__(self, asked: dict, vocabulary: int) -> None:
        torch.manual_seed(asked.get("seed", 0))
        torch.set_float32_matmul_precision("high")
        self.model = make_model(asked | {"architecture": "gpt2", "vocab_size": vocabulary}).to(DEVICE)
        begin_as_gpt2(self.model)
        self.masters: list[nn.Parameter] | None = None
        if asked["weights"] == "bf16":
            self.masters = [nn.Parameter(p.detach().clone()) for p in self.model.parameters()]
            for master in self.masters:
                master.grad = torch.zeros_like(master)
            self.model = self.model.to(torch.bfloat16)
        self.updated = self.masters or list(self.model.parameters())
        groups = [
            {"params": [p for p in self.updated if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in self.updated if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
        self.autocasts = self.masters is None
        # The trial without a GPU has neither the time to compile nor these ways of attention.
        self.loss_of = compiled(self.model, asked["compiled"]) if DEVICE == "cuda" else self.model
        self.attention = ATTENTION[asked["attention"]] if DEVICE == "cuda" else None

    def step(self, inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.zero_grad(set_to_none=True)
        chosen = sdpa_kernel(self.attention) if self.attention else contextlib.nullcontext()
        with chosen, torch.autocast(DEVICE, torch.bfloat16, enabled=self.autocasts):
            loss = self.loss_of(inputs, targets)
        loss.backward()
        with torch.no_grad():
            if self.masters:
                torch._foreach_copy_([p.grad for p in self.masters], [p.grad for p in self.model.parameters()])
            nn.utils.clip_grad_norm_(self.updated, 1.0)
            self.optimizer.step()
            if self.masters:
                torch._foreach_copy_(list(self.model.parameters()), self.masters)
        return loss.detach()


def speed(asked: dict) -> dict:
    training = Training(asked, (asked["vocab_size"] + 63) // 64 * 64)
    shape = (asked["batch_size"], asked["context"])
    batches = [torch.randint(asked["vocab_size"], shape, device=DEVICE) for _ in range(4)]

    def steps(count: int) -> None:
        for number in range(count):
            training.step(batches[number % 4], batches[(number + 1) % 4], 1e-3)

    began = time.perf_counter()
    steps(3)
    synchronize()
    warmup = time.perf_counter() - began
    times = []
    for _ in range(3):
        synchronize()
        began = time.perf_counter()
        steps(asked["steps"])
        synchronize()
        times.append((time.perf_counter() - began) / asked["steps"])
    return {
        "tokens_per_second": shape[0] * shape[1] / median(times),
        "warmup_seconds": warmup,
        "peak_bytes": torch.cuda.max_memory_allocated() if DEVICE == "cuda" else None,
        "version": torch.__version__,
    }


def curve(asked: dict) -> dict:
    """Losses for as many updates as there are seconds, of those that Mayfly made: its rows, its learning rates."""
    training = Training(asked, asked["vocab_size"])
    learning_rates = json.loads(Path(asked["rates"]).read_text())
    B, T = asked["batch_size"], asked["context"]
    tokens = np.memmap(asked["shard"], dtype=np.uint16, mode="r", offset=1024)
    rows = (len(tokens) - 1) // T

    def batch(number: int) -> tuple[Tensor, Tensor]:
        starts = (number * B + np.arange(B)) % rows * T
        ids = torch.from_numpy(np.stack([tokens[s : s + T + 1] for s in starts]).astype(np.int64)).to(DEVICE)
        return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    losses: list[Tensor] = []
    began = time.monotonic()
    for number in range(asked["steps"]):
        losses.append(training.step(*batch(number), learning_rates[number]))
        if number % 20 == 0:
            synchronize()
            if number == 0:  # has compiled
                began = time.monotonic()
            if time.monotonic() - began > asked["seconds"]:
                break
    return {"losses": [loss.item() for loss in losses]}


def main() -> None:
    asked = json.loads(sys.argv[1])
    if asked["device"] != DEVICE:
        sys.exit(f"PyTorch {torch.__version__} finds no GPU")
    try:
        result = {"rates": rates, "speed": speed, "curve": curve}[asked["what"]](asked)
    except torch.cuda.OutOfMemoryError:
        result = {"missing": "out of memory"}  # which is a finding
    print(json.dumps(result))


if __name__ == "__main__":
    main()
