"""What the kernels should give: plain formulas in fp64, gradients by PyTorch."""

import math

import numpy as np
import torch


def philox(counters: np.ndarray, seed: int) -> np.ndarray:
    """Philox4x32-10 of (n, 4) counters: (n, 4) words. Salmon et al., SC 2011."""
    low = np.uint64(0xFFFFFFFF)
    state = counters.astype(np.uint64).T
    keys = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    for _ in range(10):
        first, second = state[0] * np.uint64(0xD2511F53), state[2] * np.uint64(0xCD9E8D57)
        state = [
            (second >> np.uint64(32)) ^ state[1] ^ keys[0],
            second & low,
            (first >> np.uint64(32)) ^ state[3] ^ keys[1],
            first & low,
        ]
        keys = [(keys[0] + np.uint64(0x9E3779B9)) & low, (keys[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(state, axis=1)


def dropout_factors(words: np.ndarray, rate: float) -> torch.Tensor:
    threshold = int(float(np.float32(rate)) * 2**32)
    return torch.from_numpy((words >= threshold) / (1 - float(np.float32(rate))))


def flat_dropout(count: int, rate: float, seed: int, site: int, step: int) -> torch.Tensor:
    blocks = np.arange((count + 3) // 4, dtype=np.uint64)
    fixed = [np.full_like(blocks, value) for value in (0, site, step)]
    return dropout_factors(philox(np.stack([blocks, *fixed], axis=1), seed).reshape(-1)[:count], rate)


def attention_dropout(batch: int, heads: int, time: int, rate: float, seed: int, site: int, step: int) -> torch.Tensor:
    """(B, H, T, T)."""
    rows, blocks = batch * heads * time, (time + 3) // 4
    row, block = np.meshgrid(np.arange(rows), np.arange(blocks), indexing="ij")
    fixed = [np.full(row.size, value) for value in (site, step)]
    words = philox(np.stack([block.ravel(), row.ravel(), *fixed], axis=1), seed)
    return dropout_factors(words.reshape(rows, -1)[:, :time], rate).reshape(batch, heads, time, time)


def chance(counts: list[int], chances: list[int]) -> np.ndarray:
    """The words by which moments are rounded, of all segments' elements one after another: lowbias32 of Wellons."""
    words = []
    for count, number in zip(counts, chances):
        x = np.arange(count, dtype=np.uint32) ^ np.uint32(number)
        x = (x ^ x >> 16) * np.uint32(0x7FEB352D)
        x = (x ^ x >> 15) * np.uint32(0x846CA68B)
        words.append(x ^ x >> 16)
    return np.concatenate(words).astype(np.int64)


def visible(mask: int, ranges: torch.Tensor | None, batch: int, time: int) -> torch.Tensor:
    """(B, T, T): whether query i of sequence b sees key j. mask: 0 causal, 1 full, 2 ranges."""
    i, j = torch.arange(time)[:, None], torch.arange(time)[None, :]
    if mask == 0:
        return (j <= i).expand(batch, time, time)
    if mask == 1:
        return torch.ones(batch, time, time, dtype=torch.bool)
    return (j >= ranges[..., 0:1]) & (j < ranges[..., 1:2])


def attention(q, k, v, scale, sees, factors=None):
    """q (B, T, H, D), k and v (B, T, K, D), sees (B, T, T): o (B, T, H, D) and lse (B, H, T)."""
    group = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, dim=2), v.repeat_interleave(group, dim=2)
    scores = torch.einsum("bihd,bjhd->bhij", q, k) * scale
    scores = scores.masked_fill(~sees[:, None], -math.inf)
    lse = torch.logsumexp(scores, dim=-1)
    nothing = ~sees.any(dim=-1)[:, None, :, None]
    p = torch.exp(scores - torch.where(lse.isinf(), 0.0, lse)[..., None]).masked_fill(nothing, 0.0)
    if factors is not None:
        p = p * factors
    return torch.einsum("bhij,bjhd->bihd", p, v), lse


def activation(kind: int, x: torch.Tensor) -> torch.Tensor:
    match kind:
        case 0:
            return torch.relu(x)
        case 1:
            return torch.relu(x).square()
        case 2:
            return x * torch.sigmoid(x)
        case 3:
            return torch.nn.functional.gelu(x)
        case 4:
            return torch.nn.functional.gelu(x, approximate="tanh")


def norm(kind: int, x, weight, bias, epsilon: float):
    """kind: 0 layer, 1 RMS."""
    centred = x - x.mean(dim=-1, keepdim=True) if kind == 0 else x
    y = centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + epsilon)
    if weight is not None:
        y = y * weight
    return y if bias is None or kind == 1 else y + bias


def rotary(x, cosines, sines):
    """x (N, H, D), tables (N, D/2)."""
    half = x.shape[-1] // 2
    x1, x2, c, s = x[..., :half], x[..., half:], cosines[:, None], sines[:, None]
    return torch.cat([x1 * c - x2 * s, x2 * c + x1 * s], dim=-1)
