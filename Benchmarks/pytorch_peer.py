"""The opponent: a GPT-2 in eager fp32 PyTorch, written for speed, timed update by update.

Run by bench.py in a process of its own:  pytorch_peer.py '{"hidden_size": 128, …}'  prints one JSON document.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, D)
        return self.out(y.transpose(1, 2).reshape(b, t, c))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        return x + self.down(functional.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, layers: int, heads: int, width: int, vocabulary: int, positions: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.ndim >= 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(inputs) + self.positions.weight[: inputs.shape[1]]  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)  # (B, T, V), tied
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def main() -> None:
    shape = json.loads(sys.argv[1])
    torch.set_num_threads(shape["threads"])
    torch.manual_seed(0)
    model = GPT2(
        shape["num_hidden_layers"], shape["num_attention_heads"], shape["hidden_size"], shape["vocab_size"],
        shape["max_position_embeddings"],
    )
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=1e-3, betas=(0.9, 0.95), fused=True,
    )
    # Batches are made before the clock starts: nothing but training is timed.
    batches = [
        torch.randint(shape["vocab_size"], (shape["batch_size"], shape["context"] + 1)) for _ in range(8)
    ]
    pairs = [(batch[:, :-1].contiguous(), batch[:, 1:].contiguous()) for batch in batches]
    seconds: list[float] = []
    for step in range(shape["steps"]):
        began = time.perf_counter()
        inputs, targets = pairs[step % len(pairs)]
        optimizer.zero_grad(set_to_none=True)
        loss = model(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - began)
    tokens = shape["batch_size"] * shape["context"]
    parameters = sum(p.numel() for p in model.parameters())
    rate = tokens / median(seconds[shape["warmup"] :])
    print(json.dumps({"tokens_per_second": rate, "parameters": parameters, "version": torch.__version__}))


if __name__ == "__main__":
    main()
