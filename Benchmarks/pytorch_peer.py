"""The opponent: a Transformer in PyTorch, written for speed, timed update by update.

Run by bench.py in a process of its own:  pytorch_peer.py '{"hidden_size": 128, …}'  prints one JSON document.

What a careful user does is done here: the fused AdamW, `scaled_dot_product_attention` (flash attention where PyTorch
has it), gradients set to None, batches made before the clock starts, autocast around forward and loss alone (it casts
each weight once a step), a masked model's head at masked positions only. Compiled, the first updates, which compile,
come before the clock, and a later recompilation would be an error.

bf16 is autocast, as most people do it: weights, gradients and moments stay fp32. `bf16-weights` is a recipe that saves
the casts: a model in bf16 whose gradients are bf16, too, and an fp32 copy of the weights that AdamW updates.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from shapes import MASKED

class Attention(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)  # (B, H, T, D)
        return self.out(y.transpose(1, 2).reshape(b, t, c))


class Feedforward(nn.Module):
    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        return self.down(functional.gelu(h, approximate="tanh") if self.causal else functional.relu(h))


class Block(nn.Module):
    """Pre-norm in a decoder, post-norm in an encoder."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.norm_2 = nn.LayerNorm(width)
        self.feedforward = Feedforward(width, causal)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        if self.causal:
            x = x + self.attention(self.norm_1(x))
            return x + self.feedforward(self.norm_2(x))
        x = self.norm_1(x + self.attention(x))
        return self.norm_2(x + self.feedforward(x))


class Decoder(nn.Module):
    """GPT-2."""

    def __init__(self, layers: int, heads: int, width: int, vocabulary: int, positions: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads, causal=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(inputs) + self.positions.weight[: inputs.shape[1]]  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)  # (B, T, V), tied
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    def batch(self, batch_size: int, context: int) -> tuple[Tensor, ...]:
        tokens = torch.randint(self.tokens.num_embeddings, (batch_size, context + 1))
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


class Encoder(nn.Module):
    """The classic encoder, which fills in masked tokens."""

    def __init__(self, layers: int, heads: int, width: int, vocabulary: int, positions: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.blocks = nn.ModuleList(Block(width, heads, causal=False) for _ in range(layers))
        self.scale = math.sqrt(width)
        angles = torch.arange(positions)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
        self.register_buffer("positions", torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :width])

    def forward(self, inputs: Tensor, masked: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(inputs) * self.scale + self.positions[: inputs.shape[1]]  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        x = x.view(-1, x.shape[-1])[masked]  # (M, C)
        return functional.cross_entropy(functional.linear(x, self.tokens.weight, self.bias), targets)  # of (M, V)

    def batch(self, batch_size: int, context: int) -> tuple[Tensor, ...]:
        mask = self.tokens.num_embeddings - 1
        inputs = torch.randint(mask, (batch_size, context))
        # As many in each batch, so that a compiled model sees one shape.
        masked = torch.randperm(inputs.numel())[: max(1, round(MASKED * inputs.numel()))].sort().values
        targets = inputs.view(-1)[masked]
        inputs.view(-1)[masked] = mask
        return inputs, masked, targets


def make_model(shape: dict) -> Decoder | Encoder:
    kind = {"gpt2": Decoder, "encoder": Encoder}[shape["architecture"]]
    model = kind(
        shape["num_hidden_layers"], shape["num_attention_heads"], shape["hidden_size"], shape["vocab_size"],
        shape["max_position_embeddings"],
    )
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            nn.init.normal_(parameter, std=0.02)
    return model


class PeakMemory:
    """The most memory that this process has held since the last reset (Linux), in MB."""

    def reset(self) -> None:
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")

    @property
    def value(self) -> float | None:
        with contextlib.suppress(OSError), open("/proc/self/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
        return None


def train(shape: dict) -> dict:
    """Updates of one shape in one mode."""
    torch.manual_seed(0)
    model = make_model(shape)
    masters = None
    if shape["precision"] == "bf16-weights":
        masters = [p.detach().clone() for p in model.parameters()]
        for master in masters:
            master.grad = torch.zeros_like(master)
        model = model.to(torch.bfloat16)
    updated = masters or list(model.parameters())
    decayed = [p for p in updated if p.ndim >= 2]
    others = [p for p in updated if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=1e-3, betas=(0.9, 0.95), fused=True,
    )
    # Batches are made before the clock starts: nothing but training is timed.
    batches = [model.batch(shape["batch_size"], shape["context"]) for _ in range(8)]
    loss_of = torch.compile(model, dynamic=False) if shape["compiled"] else model

    @torch.no_grad()
    def update() -> None:
        weights = list(model.parameters())
        if masters:
            torch._foreach_copy_([p.grad for p in masters], [p.grad for p in weights])
        torch.nn.utils.clip_grad_norm_(updated, 1.0)
        optimizer.step()
        if masters:
            torch._foreach_copy_(weights, masters)

    def step(number: int) -> float:
        began = time.perf_counter()
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=shape["precision"] == "bf16"):
            loss = loss_of(*batches[number % len(batches)])
        loss.backward()
        update()
        loss.item()
        return time.perf_counter() - began

    # At least two with different tokens: the first compiles, the second shows whether that holds.
    began = time.perf_counter()
    for number in range(max(2, shape["warmup"])):
        step(number)
    warmup_seconds = time.perf_counter() - began
    if shape["compiled"]:
        torch.compiler.set_stance("fail_on_recompile")
    memory = PeakMemory()
    memory.reset()  # compiling is not counted here either
    return {
        "step_seconds": [step(number) for number in range(shape["steps"])],
        "warmup_seconds": warmup_seconds,
        "peak_mb": memory.value,
        "parameters": sum(p.numel() for p in model.parameters()),
        "version": torch.__version__,
    }


def matrix_peak(precision: str, seconds: float) -> dict:
    """The fastest product of large square matrices, in GFLOP/s."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    best = (0.0, 0)
    sizes = (256, 1024, 2048) if seconds < 1 else (256, 1024, 2048, 4096)
    for n in sizes:
        # Without instructions for bf16 a product takes minutes that takes milliseconds with them.
        if best[1] and 2e-9 * n**3 / best[0] > 10 * seconds:
            break
        a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
        c = torch.empty(n, n, dtype=dtype)
        torch.mm(a, b, out=c)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds / len(sizes):
            began = time.perf_counter()
            torch.mm(a, b, out=c)
            best = max(best, (2e-9 * n**3 / (time.perf_counter() - began), n))
    return {"gflops": best[0], "size": best[1], "version": torch.__version__}


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    result = matrix_peak(asked["precision"], asked["seconds"]) if asked["what"] == "matrix_peak" else train(asked)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
