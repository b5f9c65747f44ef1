"""The opponent in a race: nanoGPT's recipe for small machines in PyTorch, for so many seconds of training.

Run by race.py in a process of its own:  race_peer.py '{"train": FOLDER, "test": FOLDER, "seconds": 300, …}'  prints one
JSON document. The model is nanoGPT's GPT (learned or rotary positions, no biases, tied head), AdamW fused, bf16 autocast
and compiled where asked. Compiling, tokenizing and the measurement at the end do not count: the clock runs for updates
alone. Rows are drawn anywhere in the text, as nanoGPT does.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional


# MARK: Text


def read(folder: str) -> list[str]:
    return [path.read_text(encoding="utf-8", errors="replace") for path in sorted(Path(folder).iterdir())]


class Characters:
    """A token for each character that the text has often, bytes for the others."""

    def __init__(self, texts: list[str]) -> None:
        counts = Counter()
        for text in texts:
            counts.update(text)
        self.ids = {character: 256 + i for i, (character, n) in enumerate(sorted(counts.items())) if n >= 5}
        self.ids = {character: 256 + i for i, character in enumerate(self.ids)}
        self.size = 256 + len(self.ids)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for character in text:
            known = self.ids.get(character)
            ids.extend(character.encode() if known is None else [known])
        return ids


class BytePairs:
    """Byte-level BPE, learned from the text that is trained on."""

    def __init__(self, texts: list[str], size: int) -> None:
        from tokenizers import ByteLevelBPETokenizer

        self.tokenizer = ByteLevelBPETokenizer()
        self.tokenizer.train_from_iterator(texts, vocab_size=size, min_frequency=2, show_progress=False)
        self.size = self.tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).ids


# MARK: Model


def rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """(B, H, T, D) turned by its position."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cosines - b * sines, b * cosines + a * sines), dim=-1)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, context: int, rotary: bool) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.norm_1, self.norm_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        half = width // heads // 2
        angles = torch.arange(context)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        if self.rotary:
            q, k = (rotated(part, self.cosines[:t], self.sines[:t]).to(v.dtype) for part in (q, k))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class GPT(nn.Module):
    def __init__(self, vocabulary: int, layers: int, heads: int, width: int, context: int, rotary: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = None if rotary else nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, context, rotary) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim >= 2:
                ends_branch = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * layers) if ends_branch else 1))

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(inputs)
        if self.positions is not None:
            x = x + self.positions.weight[: inputs.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.view(-1))


# MARK: The race


def rate(recipe: dict, progress: float, step: int) -> float:
    warm = min(1.0, (step + 1) / recipe["warmup"])
    floor = recipe["floor"]
    decayed = 1 - progress if recipe["schedule"] == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return recipe["rate"] * warm * (floor + (1 - floor) * decayed)


def race(recipe: dict) -> dict:
    torch.manual_seed(recipe["seed"])
    torch.set_num_threads(recipe["threads"])
    texts, test = read(recipe["train"]), read(recipe["test"])
    tokenizer = Characters(texts) if recipe["vocabulary"] == 0 else BytePairs(texts, recipe["vocabulary"])
    tokens = torch.tensor([i for text in texts for i in tokenizer.encode(text)], dtype=torch.long)
    held_out = torch.tensor([i for text in test for i in tokenizer.encode(text)], dtype=torch.long)
    B, T = recipe["batch"], recipe["context"]
    model = GPT(tokenizer.size, recipe["layers"], recipe["heads"], recipe["width"], T, recipe["rotary"])
    loss_of = torch.compile(model, dynamic=False) if recipe["compiled"] else model

    def optimizer() -> torch.optim.Optimizer:
        matrices = [p for p in model.parameters() if p.ndim >= 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        return torch.optim.AdamW(
            [{"params": matrices, "weight_decay": recipe["decay"]}, {"params": others, "weight_decay": 0.0}],
            lr=recipe["rate"], betas=(0.9, recipe["beta2"]), fused=True)

    half = torch.autocast("cpu", torch.bfloat16) if recipe["bf16"] else contextlib.nullcontext()

    def batch() -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(tokens) - T - 1, (B,))
        rows = tokens[starts[:, None] + torch.arange(T + 1)]
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

    def update(adam: torch.optim.Optimizer) -> None:
        with half:
            loss = loss_of(*batch())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)

    # What compiles does so here; then everything begins anew.
    begun = {name: value.clone() for name, value in model.state_dict().items()}
    warm = optimizer()
    for _ in range(5):
        update(warm)
    model.load_state_dict(begun)
    adam = optimizer()
    torch._dynamo.config.error_on_recompile = True

    start, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < recipe["seconds"]:
        for group in adam.param_groups:
            group["lr"] = rate(recipe, elapsed / recipe["seconds"], steps)
        update(adam)
        steps += 1
    trained = time.perf_counter() - start

    # Every token but the first is predicted once, in rows of the context that don't overlap.
    torch._dynamo.config.error_on_recompile = False
    nats, predicted = 0.0, held_out.numel() - 1
    model.eval()
    with torch.no_grad():
        for begin in range(0, predicted, T):
            end = min(begin + T, predicted)
            inputs, targets = held_out[begin:end][None], held_out[begin + 1 : end + 1][None]
            nats += model(inputs, targets).item() * (end - begin)
    size = sum(len(text.encode()) for text in test)
    return {
        "bits_per_byte": nats / math.log(2) / size, "steps": steps, "seconds": trained,
        "tokens_per_second": steps * B * T / trained, "vocabulary": tokenizer.size,
        "parameters": sum(p.numel() for p in model.parameters()), "pytorch": torch.__version__,
    }


if __name__ == "__main__":
    print(json.dumps(race(json.loads(sys.argv[1]))))
