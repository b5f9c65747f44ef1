"""Every CUDA kernel against fp64, on awkward shapes: within 1e-5 of the largest element in fp32, 2e-2 in bf16 and fp16.

What a kernel reads as halves is rounded to halves before the reference gets it.
"""

import math
import struct

import numpy as np
import pytest
import reference
import torch
from device import STORAGES, Array, CUDAError, Device, Int64, View

TOLERANCE = {"fp32": 1e-5, "bf16": 2e-2, "fp16": 2e-2}
SEED, SITE, STEP, LOSS_SCALE = 0x1234_5678_9ABC_DEF0, 3, 7, 8.0


@pytest.fixture(scope="session")
def opened() -> Device:
    return Device()


@pytest.fixture
def device(opened: Device):
    torch.manual_seed(0)
    yield opened
    opened.free()


@pytest.fixture(params=STORAGES)
def storage(opened: Device, request) -> str:
    if request.param == "bf16" and opened.architecture == "sm_75":
        pytest.skip("sm_75 has no bf16")
    return request.param


def up(a: int, b: int) -> int:
    return -(-a // b)


def random(storage: str, *shape: int, scale: float = 1.0) -> torch.Tensor:
    return (torch.randn(*shape) * scale).to(STORAGES[storage])


def wide(tensor: torch.Tensor, gradient: bool = False) -> torch.Tensor:
    return tensor.double().requires_grad_(gradient)


def check(got: Array | torch.Tensor, want: torch.Tensor, storage: str) -> None:
    got = (got.get() if isinstance(got, Array) else got).double()
    assert got.shape == want.shape
    want = want.detach().double()
    infinite = want.isinf()
    assert torch.equal(got[infinite], want[infinite])
    got, want = got[~infinite], want[~infinite]
    assert not got.isnan().any(), f"{int(got.isnan().sum())} of {got.numel()} are NaN"
    if want.numel() == 0:
        return
    largest = want.abs().max().item()
    assert (got - want).abs().max().item() <= TOLERANCE[storage] * max(largest, 1e-30)


def same_bits(a: Array, b: Array) -> bool:
    view = torch.int32 if a.dtype == torch.float32 else torch.int16
    return torch.equal(a.get().view(view), b.get().view(view))


def run_state(device: Device) -> Array:
    return device.array(packed(struct.pack("QIf", SEED, STEP, LOSS_SCALE)))


def packed(fields: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(fields), dtype=torch.uint8)


# MARK: Flat operations


@pytest.mark.parametrize("count", [1, 7, 8, 65, 2048, 5003])
def test_flat(device: Device, storage: str, count: int) -> None:
    a, b = random(storage, count), random(storage, count)
    y, grid = device.empty(count, dtype=STORAGES[storage]), up(count, 2048)
    device.launch("elementwise:mf_add", storage, grid, 256, Int64(count), device.array(a), device.array(b), y)
    check(y, wide(a) + wide(b), storage)
    x = torch.randn(count)
    device.launch("elementwise:mf_narrow", storage, grid, 256, Int64(count), device.array(x), y)
    assert torch.equal(y.get(), x.to(STORAGES[storage]))
    floats = device.empty(count)
    device.launch("elementwise:mf_widen", storage, grid, 256, Int64(count), y, floats)
    assert torch.equal(floats.get(), x.to(STORAGES[storage]).float())
    capped = device.array(40 * x)
    device.launch("elementwise:mf_softcap", storage, grid, 256, Int64(count), 15.0, capped)
    check(capped, 15 * torch.tanh(wide(40 * x) / 15), "fp32")


def test_flat_at_an_odd_address(device: Device, storage: str) -> None:
    x = torch.randn(103)
    floats, halves = device.array(x), device.array(torch.zeros(103, dtype=STORAGES[storage]))
    device.launch("elementwise:mf_narrow", storage, 1, 256, Int64(100), View(floats, 3), View(halves, 1))
    expected = torch.zeros(103, dtype=STORAGES[storage])
    expected[1:101] = x[3:].to(STORAGES[storage])
    assert torch.equal(halves.get(), expected)


@pytest.mark.parametrize("rows, width, ld", [(1, 1, 1), (5, 7, 9), (3, 2100, 2104)])
def test_bias(device: Device, storage: str, rows: int, width: int, ld: int) -> None:
    x, bias = random(storage, rows, ld), torch.randn(width)
    y = device.array(x)
    device.launch(
        "elementwise:mf_add_bias", storage, (rows, up(width, 2048)), 256, Int64(width), Int64(ld), device.array(bias),
        y)
    check(y.get()[:, :width], wide(x)[:, :width] + wide(bias), storage)
    assert torch.equal(y.get()[:, width:], x[:, width:])


@pytest.mark.parametrize("count", [1, 9, 4097, 20011])
def test_dropout(device: Device, storage: str, count: int) -> None:
    x, y = random(storage, count), device.empty(count, dtype=STORAGES[storage])
    device.launch(
        "dropout:mf_dropout", storage, up(count, 2048), 256, Int64(count), 0.3, SITE, run_state(device),
        device.array(x), y)
    check(y, wide(x) * reference.flat_dropout(count, 0.3, SEED, SITE, STEP), storage)


@pytest.mark.parametrize("rows, width", [(1, 1), (3, 7), (5, 24), (33, 136)])
@pytest.mark.parametrize("kind", range(5))
def test_activation(device: Device, storage: str, kind: int, rows: int, width: int) -> None:
    x, dy = random(storage, rows * width, scale=2), random(storage, rows * width)
    want = wide(x, gradient=True)
    result = reference.activation(kind, want)
    result.backward(wide(dy))
    count, like = rows * width, STORAGES[storage]
    grid = up(up(count, 8), 256)
    y, again, dx = (device.empty(count, dtype=like) for _ in range(3))
    inputs = device.array(x)
    device.launch("activation:mf_activation", storage, grid, 256, kind, Int64(1), Int64(count), inputs, y)
    check(y, result, storage)
    device.launch(
        "activation:mf_activation_gradient", storage, grid, 256, kind, Int64(1), Int64(count), inputs,
        device.array(dy), dx, again)
    check(dx, want.grad, storage)
    assert same_bits(y, again)


@pytest.mark.parametrize("rows, width", [(1, 1), (3, 7), (5, 24), (33, 136)])
@pytest.mark.parametrize("kind", range(5))
def test_gated_activation(device: Device, storage: str, kind: int, rows: int, width: int) -> None:
    x, dy = random(storage, rows, 2 * width, scale=2), random(storage, rows, width)
    want = wide(x, gradient=True)
    result = reference.activation(kind, want[:, :width]) * want[:, width:]
    result.backward(wide(dy))
    like, grid = STORAGES[storage], up(rows * up(width, 8), 256)
    y, again, dx = (device.empty(*shape, dtype=like) for shape in ((rows, width), (rows, width), (rows, 2 * width)))
    inputs, shape = device.array(x), (Int64(rows), Int64(width))
    device.launch("activation:mf_gated_activation", storage, grid, 256, kind, *shape, inputs, y)
    check(y, result, storage)
    device.launch(
        "activation:mf_gated_activation_gradient", storage, grid, 256, kind, *shape, inputs, device.array(dy), dx,
        again)
    check(dx, want.grad, storage)
    assert same_bits(y, again)


# MARK: Sums and the optimizer


@pytest.mark.parametrize("count", [1, 1003, 30011])
def test_sum_of_squares_and_state(device: Device, count: int) -> None:
    x = torch.randn(count)
    blocks = min(1024, up(count, 8192))
    partials = device.empty(blocks, dtype=torch.float64)
    device.launch("sums:mf_sum_of_squares", "fp32", blocks, 256, Int64(count), device.array(x), partials)
    norm = wide(x).square().sum().sqrt().item() / LOSS_SCALE
    assert math.isclose(partials.get().sum().sqrt().item() / LOSS_SCALE, norm, rel_tol=1e-6)
    no = math.inf
    for loss, limits, skips in (
        (1.5, (no, no), 0), (1.5, (1.5, norm * 1.01), 0), (math.nan, (no, no), 1), (math.inf, (no, no), 1),
        (1.5, (1.4, no), 1), (1.5, (no, norm * 0.99), 1),
    ):
        state = device.array(packed(struct.pack("dddfi", 0, loss, 0, 0, -1)))
        update = device.array(packed(struct.pack("8f2d", 0, 0, 0, 0, 0, 0, norm / 3, LOSS_SCALE, *limits)))
        device.launch("optimizer:mf_gradient_state", "fp32", 1, 256, Int64(blocks), partials, update, state)
        found = struct.unpack("dddfi", bytes(state.get().tolist()))
        assert math.isclose(found[0], norm, rel_tol=1e-6) and found[4] == skips
        assert math.isclose(found[3], 1 / 3 / LOSS_SCALE, rel_tol=1e-5)


def test_loss_total(device: Device) -> None:
    rows = 1001
    losses, correct, weights = torch.randn(rows), (torch.rand(rows) < 0.5).float(), (torch.rand(rows) < 0.7).float()
    losses[weights == 0] = math.nan
    state = device.array(packed(struct.pack("dddfi", 9, 5.0, 2.0, 0, 0)))
    arguments = [device.array(each) for each in (losses, correct, weights, torch.tensor([50.0]))]
    counted = weights != 0
    expected = [wide(losses)[counted].sum().item() / 50, wide(correct)[counted].sum().item() / 50]
    for accumulate in (0, 1):
        device.launch("sums:mf_loss_total", "fp32", 1, 1024, Int64(rows), *arguments, state, accumulate)
        _, loss, accuracy, _, _ = struct.unpack("dddfi", bytes(state.get().tolist()))
        assert math.isclose(loss, (1 + accumulate) * expected[0], rel_tol=1e-9)
        assert math.isclose(accuracy, (1 + accumulate) * expected[1], rel_tol=1e-9)


@pytest.mark.parametrize("rows, width, ld", [(1, 1, 1), (9, 7, 7), (300, 65, 72), (513, 264, 264)])
def test_column_sums(device: Device, storage: str, rows: int, width: int, ld: int) -> None:
    x, y = random(storage, rows, ld), torch.randn(width)
    blocks = up(rows, 256)
    partials, result = device.empty(blocks, width), device.array(y)
    device.launch(
        "sums:mf_column_sums", storage, (up(width, 256), blocks), 256, Int64(rows), Int64(width), device.array(x),
        Int64(ld), partials)
    want = wide(x)[:, :width].sum(dim=0)
    for accumulate in (1, 0):
        device.launch(
            "sums:mf_add_partials", storage, up(width, 32), 1024, Int64(blocks), Int64(width), partials, Int64(width),
            result, accumulate)
        check(result, want + wide(y) if accumulate else want, "fp32")


@pytest.mark.parametrize("half_moments", [False, True])
@pytest.mark.parametrize("skips", [0, 1])
def test_adamw(device: Device, storage: str, half_moments: bool, skips: int) -> None:
    if half_moments and storage != "bf16":
        pytest.skip("moments are halved with bf16 alone")
    counts, starts, chances = [64, 5, 9001], [0, 64, 72], [17, 18, 19]
    decays, rates = [0.99, 1.0, 0.98], [1.0, 3.0, 0.5]
    total = 9080
    like = torch.bfloat16 if half_moments else torch.float32
    weights, gradients = torch.randn(total), torch.randn(total)
    m, v = torch.randn(total).to(like), torch.rand(total).to(like)
    beta1, beta2, epsilon, root_scale, step, scale = 0.9, 0.95, 1e-8, 1.3, 0.01, 0.25
    chunks = b"".join(
        struct.pack("qii", start + at, min(8192, count - at), segment)
        for segment, (start, count) in enumerate(zip(starts, counts))
        for at in range(0, count, 8192)
    )
    segments = b"".join(struct.pack("qffI4x", *segment) for segment in zip(starts, decays, rates, chances))
    update = struct.pack("8f2d", 1 - beta1, beta2, 1 - beta2, epsilon, root_scale, step, 0, 1, math.inf, math.inf)
    state = struct.pack("dddfi", 1, 1, 1, scale, skips)
    constants = [device.array(packed(each)) for each in (chunks, segments, update, state)]
    arrays = [device.array(each) for each in (weights, m, v, torch.zeros(total, dtype=STORAGES[storage]), gradients)]
    name = "mf_adamw_half_moments" if half_moments else "mf_adamw"
    device.launch(f"optimizer:{name}", storage, len(chunks) // 16, 256, *constants, *arrays)
    if skips:
        assert torch.equal(arrays[0].get(), weights) and torch.equal(arrays[1].get(), m)
        return
    used = torch.cat([torch.arange(start, start + count) for start, count in zip(starts, counts)])
    decay, rate = torch.ones(2, total, dtype=torch.float64)
    for start, count, *factors in zip(starts, counts, decays, rates):
        decay[start : start + count], rate[start : start + count] = factors
    g = wide(gradients) * scale
    new_m, new_v = wide(m) + (g - wide(m)) * (1 - beta1), beta2 * wide(v) + (1 - beta2) * g * g
    w = wide(weights) * decay - step * rate * new_m / (new_v.sqrt() * root_scale + epsilon)
    check(arrays[0].get()[used], w[used], "fp32")
    check(arrays[3].get()[used], w[used], storage)
    unused = torch.ones(total, dtype=torch.bool)
    unused[used] = False
    assert torch.equal(arrays[0].get()[unused], weights[unused])
    for array, exact, before in ((arrays[1], new_m, m), (arrays[2], new_v, v)):
        if not half_moments:
            check(array.get()[used], exact[used], "fp32")
            continue
        # Up or down as the CPU's kernels decide, but where the last bit of the sum itself is another one.
        random = reference.chance(counts, chances)
        random = random & 0xFFFF if array is arrays[1] else random >> 16
        bits = exact[used].float().numpy().view(np.uint32).astype(np.int64)
        expected = torch.from_numpy(((bits + random) >> 16).astype(np.uint16).view(np.int16))
        assert (array.get()[used].view(torch.int16) == expected).double().mean() > 0.99
        assert torch.equal(array.get()[unused], before[unused])


@pytest.mark.parametrize("half_moments", [False, True])
@pytest.mark.parametrize("skips", [0, 1])
def test_muon(device: Device, storage: str, half_moments: bool, skips: int) -> None:
    if half_moments and storage != "bf16":
        pytest.skip("moments are halved with bf16 alone")
    # The last begins where nothing is aligned, and what lies between is nobody's.
    shapes, starts, places = [(7, 65), (130, 72), (3, 5), (5, 3)], [0, 464, 9824, 9839], [0, 464, 9824, 9840]
    total = 9856
    like = torch.bfloat16 if half_moments else torch.float32
    weights, gradients, m = torch.randn(total), torch.randn(total), torch.randn(total).to(like)
    momentum, rate, decay, margin, chance, scale = 0.9, 0.02, 0.99, 1.02, 17, 0.25
    chunks, matrices = [], []
    for index, ((rows, columns), start, place) in enumerate(zip(shapes, starts, places)):
        first, count = len(chunks), rows * columns
        chunks += [(start + at, min(8192, count - at), index) for at in range(0, count, 8192)]
        stretch = math.sqrt(max(1, rows / columns))
        matrices.append((start, place, stretch, first, len(chunks) - first))
    constants = [
        device.array(packed(b"".join(struct.pack("qii", *chunk) for chunk in chunks))),
        device.array(packed(b"".join(struct.pack("qqfii4x", *matrix) for matrix in matrices))),
        device.array(packed(struct.pack("4fI", momentum, rate, decay, margin, chance))),
        device.array(packed(struct.pack("dddfi", 1, 1, 1, scale, skips))),
    ]
    chunk_table, matrix_table, update, state = constants
    partials, x = device.empty(len(chunks), dtype=torch.float64), device.empty(total, dtype=STORAGES[storage])
    moments, grads = device.array(m), device.array(gradients)
    suffix = "_half_moments" if half_moments else ""
    device.launch(
        f"muon:mf_muon_squares{suffix}", storage, len(chunks), 256, chunk_table, update, state, moments, grads, partials)
    device.launch(
        f"muon:mf_muon_momentum{suffix}", storage, len(chunks), 256, *constants, partials, moments, grads, x)
    if skips:
        assert torch.equal(moments.get(), m) and x.get().isnan().all()
    used = torch.zeros(total, dtype=torch.bool)
    new_m = wide(m) * momentum + wide(gradients) * scale * (1 - momentum)
    u = new_m * momentum + wide(gradients) * scale * (1 - momentum)
    stretches, at_x = torch.ones(total, dtype=torch.float64), torch.zeros(total, dtype=torch.int64)
    for (rows, columns), start, place, matrix in zip(shapes, starts, places, matrices):
        own = slice(start, start + rows * columns)
        used[own], stretches[own] = True, matrix[2]
        at_x[own] = torch.arange(place, place + rows * columns)
        u[own] /= margin * u[own].norm()
    if not skips:
        check(x.get()[at_x[used]], u[used], storage)
        beside = torch.ones(total, dtype=torch.bool)
        beside[at_x[used]] = False
        assert x.get()[beside].isnan().all()
        assert torch.equal(moments.get()[~used], m[~used])
        if half_moments:
            # Up or down as the CPU's kernels decide, but where the last bit of the sum itself is another one.
            random = reference.chance([total], [chance]) & 0xFFFF
            bits = new_m.float().numpy().view(np.uint32).astype(np.int64)
            expected = torch.from_numpy(((bits + random) >> 16).astype(np.uint16).view(np.int16))
            assert (moments.get().view(torch.int16) == expected)[used].double().mean() > 0.99
        else:
            check(moments.get()[used], new_m[used], "fp32")
    # Any X: what products would have made of it.
    orthogonal = torch.randn(total).to(STORAGES[storage])
    arrays = [device.array(orthogonal), device.array(weights), device.array(torch.zeros(total, dtype=STORAGES[storage]))]
    device.launch("muon:mf_muon_weights", storage, len(chunks), 256, *constants, *arrays)
    w = wide(weights) * decay - rate * stretches * wide(orthogonal)[at_x]
    check(arrays[1].get()[used], wide(weights)[used] if skips else w[used], "fp32")
    check(arrays[2].get()[used], torch.zeros(int(used.sum())) if skips else w[used], storage)
    assert torch.equal(arrays[1].get()[~used], weights[~used])


# MARK: Norms

WIDEST = [256, 512, 768, 1024, 2048, 4096, 8192]


@pytest.mark.parametrize("rows, width, kernel", [
    (5, 1, 256), (5, 3, 256), (9, 65, 256), (17, 256, 256), (3, 300, 512), (9, 768, 768), (11, 1000, 1024),
    (3, 1100, 2048), (2, 2500, 4096), (2, 4104, 8192)])
@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("full", [True, False])
def test_norm(device: Device, storage: str, kind: int, rows: int, width: int, kernel: int, full: bool) -> None:
    x, dy, addend = random(storage, rows, width) + 0.5, random(storage, rows, width), random(storage, rows, width)
    weight, bias = torch.randn(width) + 1, torch.randn(width)
    wx, ww, wb = wide(x, True), wide(weight, True), wide(bias, True)
    want = reference.norm(kind, wx, ww if full else None, wb if full and kind == 0 else None, 1e-5)
    want.backward(wide(dy))
    like = STORAGES[storage]
    y, again, dx = (device.empty(rows, width, dtype=like) for _ in range(3))
    mean, rstd = device.empty(rows) if kind == 0 else None, device.empty(rows)
    inputs = device.array(x)
    vectors = [device.array(weight), device.array(bias) if kind == 0 else None] if full else [None, None]
    a_block, of_gradient = (8, 4) if kernel <= 1024 else (1, 1)
    shape = (kind, Int64(rows), Int64(width), 1e-5)
    device.launch(f"norm:mf_norm_{kernel}", storage, up(rows, a_block), 256, *shape, inputs, *vectors, y, mean, rstd)
    check(y, want, storage)
    blocks = min(512, up(rows, of_gradient))
    partials = device.empty(blocks, 2 * width) if full else None
    added = device.array(addend) if full else None
    device.launch(
        f"norm:mf_norm_gradient_{kernel}", storage, blocks, 128 if kernel <= 1024 else 256, *shape, inputs, device.array(dy),
        added, *vectors, mean, rstd, dx, again if full else None, partials, shared=8 * width)
    check(dx, wx.grad + wide(addend) if full else wx.grad, storage)
    if not full:
        return
    assert same_bits(y, again)
    dweight, dbias = device.empty(width), device.empty(width)
    for result, offset in ((dweight, 0), (dbias, width)):
        device.launch(
            "sums:mf_add_partials", storage, up(width, 32), 1024, Int64(blocks), Int64(width), View(partials, offset),
            Int64(2 * width), result, 0)
    # Where x̂ is ±1 the rounding of x̂ itself is what is left; sums of a few are compared with what they are sums of.
    check(dweight, ww.grad, storage)
    if kind == 0:
        check(dbias, wb.grad, storage)


@pytest.mark.parametrize("rows, heads, query_heads, tail, size", [
    (3, 3, 2, 1, 1), (5, 5, 3, 2, 7), (4, 6, 4, 2, 64), (3, 3, 2, 1, 80), (9, 4, 3, 1, 128), (2, 2, 1, 1, 256)])
@pytest.mark.parametrize("in_place", [False, True])
def test_head_norm(device: Device, storage: str, rows: int, heads: int, query_heads: int, tail: int, size: int,
                   in_place: bool) -> None:
    ld, like = (heads + tail) * size, STORAGES[storage]
    x, dy = random(storage, rows, ld), random(storage, rows, ld)
    weights = torch.randn(2, size) + 1
    wx, ww = wide(x, True), wide(weights, True)
    parts = wx.reshape(rows, heads + tail, size)
    which = ww[[0] * query_heads + [1] * (heads - query_heads)]
    normalized = reference.norm(1, parts[:, :heads], which, None, 1e-6)
    want = torch.cat([normalized, parts[:, heads:]], dim=1).reshape(rows, ld)
    want.backward(wide(dy))
    inputs, vectors = device.array(x), [device.array(weights[0]), device.array(weights[1])]
    y = device.array(x) if in_place else device.empty(rows, ld, dtype=like)
    rstd = device.empty(rows, heads)
    shape = (Int64(ld), heads, query_heads, size, 1e-6)
    device.launch(
        "head_norm:mf_head_norm", storage, rows, 128, *shape, y if in_place else inputs, *vectors, y, rstd)
    check(y, want, storage)
    outer = device.array(dy)
    dx = outer if in_place else device.empty(rows, ld, dtype=like)
    blocks = min(512, rows)
    partials = device.empty(blocks, 2 * size)
    device.launch(
        "head_norm:mf_head_norm_gradient", storage, blocks, 128, Int64(rows), *shape, inputs, outer, *vectors, rstd, dx,
        partials)
    check(dx, wx.grad, storage)
    for index in range(2):
        result = device.empty(size)
        device.launch(
            "sums:mf_add_partials", storage, up(size, 32), 1024, Int64(blocks), Int64(size),
            View(partials, index * size), Int64(2 * size), result, 0)
        check(result, ww.grad[index], storage)


@pytest.mark.parametrize("rows, heads, tail, size", [(3, 2, 1, 2), (5, 3, 0, 14), (7, 3, 2, 64), (2, 1, 1, 128)])
@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("in_place", [False, True])
def test_rotary(device: Device, storage: str, rows: int, heads: int, tail: int, size: int, inverse: int,
                in_place: bool) -> None:
    ld = (heads + tail) * size
    x, angles = random(storage, rows, ld), torch.rand(11, size // 2) * 6
    positions = torch.randint(0, 11, (rows,), dtype=torch.int32)
    cosines, sines = angles.cos(), angles.sin()
    parts = wide(x).reshape(rows, heads + tail, size)
    picked = positions.long()
    turned = reference.rotary(parts[:, :heads], wide(cosines)[picked], wide(sines)[picked] * (1 - 2 * inverse))
    want = torch.cat([turned, parts[:, heads:]], dim=1).reshape(rows, ld)
    inputs = device.array(x)
    y = inputs if in_place else device.empty(rows, ld, dtype=STORAGES[storage])
    device.launch(
        "rotary:mf_rotary", storage, rows, 128, Int64(ld), heads, size, device.array(positions), device.array(cosines),
        device.array(sines), inverse, inputs, y)
    check(y, want, storage)


# MARK: Embedding and pooling


@pytest.mark.parametrize("rows, width, vocabulary", [
    (1, 1, 1), (7, 5, 3), (100, 24, 1000), (150, 264, 2), (2500, 8, 70000), (300, 9, 300)])
def test_embedding(device: Device, storage: str, rows: int, width: int, vocabulary: int) -> None:
    table, dy = random(storage, vocabulary, width), random(storage, rows, width)
    # Few ids are frequent, as in text.
    ids = (torch.rand(rows) ** 3 * vocabulary).to(torch.int32)
    y, keys = device.empty(rows, width, dtype=STORAGES[storage]), device.array(ids)
    device.launch(
        "embedding:mf_embedding", storage, (up(rows, 8), up(width, 256)), 256, Int64(rows), Int64(width), 1.5, keys,
        device.array(table), y)
    check(y, 1.5 * wide(table)[ids.long()], storage)

    tiles, order = up(rows, 2048), None
    for shift in range(0, max(1, (vocabulary - 1).bit_length()), 8):
        offsets = device.empty(256, tiles, dtype=torch.int32)
        new_keys, new_order = (device.empty(rows, dtype=torch.int32) for _ in range(2))
        device.launch("embedding:mf_sort_count", storage, tiles, 256, Int64(rows), keys, shift, offsets)
        device.launch("embedding:mf_sort_offsets", storage, 1, 256, tiles, offsets)
        device.launch(
            "embedding:mf_sort_move", storage, tiles, 256, Int64(rows), keys, order, shift, offsets, new_keys,
            new_order)
        keys, order = new_keys, new_order
    expected = torch.sort(ids, stable=True)
    assert torch.equal(keys.get(), expected.values) and torch.equal(order.get().long(), expected.indices)

    before = torch.randn(vocabulary, width)
    gradient, heads = device.array(before), device.empty(up(rows, 32), width)
    grid = (up(rows, 32), up(width, 256))
    device.launch(
        "embedding:mf_embedding_gradient", storage, grid, 32, Int64(rows), Int64(width), 1.5, keys, order,
        device.array(dy), gradient, heads)
    device.launch(
        "embedding:mf_embedding_gradient_rest", storage, grid, 32, Int64(rows), Int64(width), keys, gradient, heads)
    check(gradient, wide(before).index_add(0, ids.long(), 1.5 * wide(dy)), "fp32")


@pytest.mark.parametrize("batch, time, width, pools", [(1, 1, 1, 1), (2, 13, 7, 3), (3, 40, 264, 2)])
def test_mean_pool(device: Device, storage: str, batch: int, time: int, width: int, pools: int) -> None:
    x, dy = random(storage, batch, time, width), random(storage, batch, pools, width)
    ranges = torch.randint(-3, time + 4, (batch, pools, 2), dtype=torch.int32)
    want = wide(x, True)
    means = []
    for b in range(batch):
        for s in range(pools):
            start, end = max(0, int(ranges[b, s, 0])), min(time, int(ranges[b, s, 1]))
            means.append(want[b, start:end].mean(dim=0) if start < end else 0 * want[b, 0])
    result = torch.stack(means).reshape(batch, pools, width)
    result.backward(wide(dy))
    like, places = STORAGES[storage], device.array(ranges)
    y, dx = device.empty(batch, pools, width, dtype=like), device.empty(batch, time, width, dtype=like)
    device.launch(
        "mean_pool:mf_mean_pool", storage, (up(width, 256), pools, batch), 256, time, Int64(width), places,
        device.array(x), y)
    check(y, result, storage)
    device.launch(
        "mean_pool:mf_mean_pool_gradient", storage, (up(width, 256), up(time, 8), batch), 256, time, Int64(width),
        pools, places, device.array(dy), dx)
    check(dx, want.grad, storage)


def convolved(x: torch.Tensor, weight: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Each token and those before it in its text, by channel."""
    y = x
    for j, w in enumerate(weight, start=1):
        before = torch.nn.functional.pad(x, (0, 0, j, 0))[:, : x.shape[1]]
        y = y + w * before * (positions >= j)[..., None]
    return y


@pytest.mark.parametrize("batch, time, width, taps, text", [(1, 1, 1, 1, 1), (2, 13, 7, 3, 5), (3, 300, 264, 2, 300)])
def test_convolution(device: Device, storage: str, batch: int, time: int, width: int, taps: int, text: int) -> None:
    x, dy, weight = random(storage, batch, time, width), random(storage, batch, time, width), torch.randn(taps, width)
    positions = (torch.arange(time, dtype=torch.int32) % text).repeat(batch, 1)
    want, w = wide(x, True), wide(weight, True)
    y = convolved(want, w, positions)
    y.backward(wide(dy))
    like, rows, grid = STORAGES[storage], batch * time, (up(width, 256), up(batch * time, 8))
    given, taken = [device.empty(batch, time, width, dtype=like) for _ in range(2)]
    held, factors, places, gradient = (device.array(each) for each in (x, weight, positions, dy))
    device.launch(
        "convolution:mf_convolution", storage, grid, 256, Int64(rows), time, Int64(width), taps, Int64(0), held, factors,
        places, None, given)
    check(given, y, storage)
    dx, blocks = device.empty(batch, time, width, dtype=like), up(rows, 256)
    device.launch(
        "convolution:mf_convolution_gradient", storage, grid, 256, Int64(rows), time, Int64(width), taps, held, factors,
        places, gradient, dx, taken)
    check(dx, want.grad, storage)
    assert torch.equal(taken.get(), given.get())
    partials = device.empty(blocks, taps, width)
    device.launch(
        "convolution:mf_convolution_weight_gradient", storage, (up(width, 256), blocks, taps), 256, Int64(rows), time,
        Int64(width), taps, held, places, gradient, partials)
    check(partials.get().sum(dim=0), w.grad, "fp32")
    # The second half of each row, what is before it in a cache.
    half = time // 2
    if half == 0:
        return
    cache = torch.zeros(batch, time, width)
    cache[:, :half] = x[:, :half].float()
    cached, tail = device.array(cache), device.empty(batch, time - half, width, dtype=like)
    ids = torch.arange(half, time, dtype=torch.int32).repeat(batch, 1)
    rest = batch * (time - half)
    device.launch(
        "convolution:mf_convolution", storage, (up(width, 256), up(rest, 8)), 256, Int64(rest), time - half, Int64(width),
        taps, Int64(time), device.array(x[:, half:].contiguous()), factors, device.array(ids), cached, tail)
    whole = convolved(wide(x), wide(weight), torch.arange(time).repeat(batch, 1))
    check(tail, whole[:, half:], storage)
    assert torch.equal(cached.get(), x.float())


# MARK: Head


@pytest.mark.parametrize("rows, vocabulary, ld", [(1, 1, 8), (3, 7, 8), (4, 5003, 5008), (3, 9000, 9000)])
@pytest.mark.parametrize("cap, smoothing, z_loss", [(0.0, 0.0, 0.0), (5.0, 0.0, 0.0), (0.0, 0.1, 0.02), (5.0, 0.2, 0.01)])
@pytest.mark.parametrize("halves", [False, True])
def test_head_loss(
    device: Device, storage: str, rows: int, vocabulary: int, ld: int, cap: float, smoothing: float, z_loss: float,
    halves: bool,
) -> None:
    if halves and storage == "fp32":
        pytest.skip("there are no halves in fp32")
    logits = 3 * torch.randn(rows, ld)
    if vocabulary > 3:
        # A tie, with other threads' too: the first is the largest.
        logits[0, [1, 2, vocabulary // 3 + 2, vocabulary - 1]] = 20
    if halves:
        logits = logits.to(STORAGES[storage])
    targets = torch.randint(0, vocabulary, (rows,), dtype=torch.int32)
    targets[0] = min(1, vocabulary - 1)
    weights = torch.rand(rows) + 0.5
    if rows > 2:
        weights[1], targets[1] = 0, -100
        logits[1] = math.nan
    counted = weights != 0
    z = wide(logits, True)
    used = z[counted, :vocabulary]
    capped = cap * torch.tanh(used / cap) if cap else used
    picked = targets[counted].long()
    losses = torch.zeros(rows, dtype=torch.float64)
    losses[counted] = torch.nn.functional.cross_entropy(capped, picked, reduction="none", label_smoothing=smoothing)
    losses[counted] += z_loss * capped.logsumexp(dim=-1) ** 2
    ((losses * wide(weights)).sum() / 12.5 * LOSS_SCALE).backward()
    correct = torch.zeros(rows)
    correct[counted] = (capped.argmax(dim=-1) == picked).float()
    constants = [device.array(targets), device.array(weights), device.array(torch.tensor([12.5])), run_state(device)]
    kernel = "head_loss:mf_head_loss" if halves else "head_loss:mf_head_loss_fp32"
    for gradient in (0, 1):
        found, right, inputs = device.empty(rows), device.empty(rows), device.array(logits)
        device.launch(
            kernel, storage, rows, 512, Int64(vocabulary), Int64(ld), cap, smoothing, z_loss, inputs, *constants, found, right, gradient)
        check(found, losses, "fp32")
        assert torch.equal(right.get(), correct)
        after = inputs.get()
        if not gradient:
            assert torch.equal(after[counted], logits[counted])
            continue
        dz = after.view(STORAGES[storage]).reshape(rows, -1)
        assert not dz[:, vocabulary : up(vocabulary, 8) * 8].any()
        check(dz[:, :vocabulary], torch.where(counted[:, None], z.grad[:, :vocabulary], 0), storage)


# MARK: Attention

SHAPES = [  # batch, time, query heads, key heads, head size
    (1, 1, 1, 1, 64), (2, 60, 2, 1, 32), (1, 150, 2, 2, 64), (1, 65, 3, 1, 96), (1, 140, 2, 1, 128), (1, 300, 1, 1, 32),
    (2, 33, 4, 2, 64)]
PLAIN_SHAPES = [(1, 1, 1, 1, 1), (2, 37, 2, 1, 7), (1, 50, 4, 2, 64), (1, 20, 1, 1, 80), (1, 35, 2, 1, 256)]


def random_ranges(batch: int, time: int) -> torch.Tensor:
    """Any at all: beyond the ends, empty, not in order."""
    start = torch.randint(-5, time + 1, (batch, time))
    ranges = torch.stack([start, start + torch.randint(-3, time + 5, (batch, time))], dim=-1).to(torch.int32)
    ranges[:, time // 2] = 0
    return ranges


def windows(batch: int, time: int) -> torch.Tensor:
    """The last 20 keys: most tiles meet no query of a block."""
    end = torch.arange(1, time + 1).expand(batch, time)
    return torch.stack([(end - 20).clamp(min=0), end], dim=-1).to(torch.int32)


def attention_case(device: Device, storage: str, tensor_cores: bool, shape, mask: int, rate: float) -> None:
    batch, time, heads, kv_heads, size = shape
    width, like = (heads + 2 * kv_heads) * size, STORAGES[storage]
    qkv, dout = random(storage, batch, time, width), random(storage, batch, time, heads * size)
    ranges = {2: random_ranges, 3: windows}[mask](batch, time) if mask >= 2 else None
    mask = min(mask, 2)
    want = wide(qkv, True)
    parts = want.reshape(batch, time, heads + 2 * kv_heads, size)
    factors = reference.attention_dropout(batch, heads, time, rate, SEED, SITE, STEP) if rate else None
    scale = 1 / math.sqrt(size)
    result, log_sums = reference.attention(
        parts[:, :, :heads], parts[:, :, heads : heads + kv_heads], parts[:, :, heads + kv_heads :], scale,
        reference.visible(mask, ranges, batch, time), factors)
    result.backward(wide(dout).reshape(result.shape))

    inputs = device.array(qkv)
    o, lse = device.empty(batch, time, heads * size, dtype=like), device.empty(batch, heads, time)
    dqkv, delta = device.empty(batch, time, width, dtype=like), device.empty(batch, heads, time)
    k_column, v_column = heads * size, (heads + kv_heads) * size
    arguments = (
        time, kv_heads, size, scale, mask, None if ranges is None else device.array(ranges), rate, SITE,
        run_state(device), inputs, View(inputs, k_column), View(inputs, v_column), Int64(width), Int64(width))
    if tensor_cores:
        file, prefix, suffix = "attention_tensor", "mf_attention", f"{size}_dropout" if rate else f"{size}"
        mine, theirs = 128, 64
        keys = 64 if size <= 64 and not rate else 32
        shared = [256 * size + 8 * size * keys, (256 if size <= 64 else 384) * size, 256 * size]
    else:
        file, prefix = "attention", "mf_attention_plain"
        suffix = next(widest for widest in (32, 64, 96, 128, 256) if size <= widest)
        mine = theirs = 16
        shared = [192 * (size | 1), 384 * (size | 1), 384 * (size | 1)]
    device.launch(
        f"{file}:{prefix}_{suffix}", storage, (up(time, mine), heads, batch), 128, *arguments, o, Int64(heads * size),
        lse, shared=shared[0])
    check(o, result.reshape(o.shape), storage)
    check(lse, log_sums, "fp32" if storage == "fp32" else storage)

    outer, ld = device.array(dout), Int64(heads * size)
    device.launch(
        "sums:mf_attention_delta", storage, batch * time, 128, time, heads, size, o, ld, outer, ld, delta)
    check(delta, (wide(o.get()) * wide(dout)).reshape(batch, time, heads, size).sum(-1).transpose(1, 2), "fp32")
    backward = (*arguments, heads, outer, ld, lse, delta)
    again = device.empty(batch, time, width, dtype=like)
    # On a real GPU twice: blocks end in another order each time, the bits stay.
    for to in (dqkv,) if device.is_for_tests else (dqkv, again):
        device.launch(
            f"{file}:{prefix}_keys_{suffix}", storage, (up(time, theirs), kv_heads, batch), 128, *backward,
            View(to, k_column), View(to, v_column), Int64(width), shared=shared[1])
        device.launch(
            f"{file}:{prefix}_queries_{suffix}", storage, (up(time, theirs), heads, batch), 128, *backward, to,
            Int64(width), shared=shared[2])
    assert device.is_for_tests or same_bits(dqkv, again)
    gradients = [dqkv.get()]
    if tensor_cores and size <= 64 and not rate and device.architecture != "sm_75":
        # Fewer blocks than there is to do: they take turns.
        blocks, tiles = up(batch * kv_heads, 2), up(time, 64)
        sums = device.empty(blocks, heads // kv_heads * tiles * 64 * size)
        whole = device.empty(batch, time, width, dtype=like)
        device.launch(
            f"{file}:{prefix}_whole_{size}", storage, blocks, 256, *arguments, batch, heads, outer, ld, lse, delta, sums,
            whole, View(whole, k_column), View(whole, v_column), Int64(width), shared=768 * size + 32768 + 8 * tiles)
        gradients.append(whole.get())
    # With one key alone dq and dk are 0 but for what rounding leaves.
    for gradient in gradients:
        for start, end in ((0, k_column), (k_column, v_column), (v_column, width)) if time > 1 else ((0, width),):
            check(gradient[..., start:end], want.grad[..., start:end], storage)


@pytest.mark.parametrize("shape", PLAIN_SHAPES)
@pytest.mark.parametrize("mask", range(4))
@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_plain_attention(device: Device, storage: str, shape, mask: int, rate: float) -> None:
    attention_case(device, storage, False, shape, mask, rate)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mask", range(4))
@pytest.mark.parametrize("rate", [0.0, 0.25])
@pytest.mark.parametrize("storage", ["bf16", "fp16"], indirect=True)
def test_attention_on_tensor_cores(device: Device, storage: str, shape, mask: int, rate: float) -> None:
    if shape[-1] == 128 and device.architecture == "sm_75":
        pytest.skip("sm_75 has no room for heads of 128")
    attention_case(device, storage, True, shape, mask, rate)


@pytest.mark.parametrize("batch, time, heads, kv_heads, size, capacity, split", [
    (1, 1, 1, 1, 1, 4, 128), (2, 3, 4, 2, 64, 300, 128), (1, 2, 2, 1, 80, 140, 256), (2, 1, 2, 2, 256, 200, 128)])
def test_cached_attention(device: Device, storage: str, batch: int, time: int, heads: int, kv_heads: int, size: int,
                          capacity: int, split: int) -> None:
    width = kv_heads * size
    qkv = random(storage, batch, time, heads * size + 2 * width)
    k_cache, v_cache = torch.randn(batch, capacity, width), torch.randn(batch, capacity, width)
    first = torch.randint(0, capacity - time + 1, (batch, 1))
    first[0] = capacity - time
    positions = (first + torch.arange(time)).to(torch.int32)
    new_k, new_v = wide(k_cache), wide(v_cache)
    for b in range(batch):
        for t in range(time):
            new_k[b, positions[b, t]] = wide(qkv)[b, t, heads * size : heads * size + width]
            new_v[b, positions[b, t]] = wide(qkv)[b, t, heads * size + width :]
    scores = torch.einsum(
        "bthd,bjhd->bthj", wide(qkv)[..., : heads * size].reshape(batch, time, heads, size),
        new_k.reshape(batch, capacity, kv_heads, size).repeat_interleave(heads // kv_heads, dim=2)) * 0.3
    scores = scores.masked_fill(torch.arange(capacity) > positions[:, :, None, None], -math.inf)
    values = new_v.reshape(batch, capacity, kv_heads, size).repeat_interleave(heads // kv_heads, dim=2)
    want = torch.einsum("bthj,bjhd->bthd", scores.softmax(-1), values).reshape(batch, time, heads * size)

    inputs, places = device.array(qkv), device.array(positions)
    caches = [device.array(k_cache), device.array(v_cache)]
    ld = Int64(heads * size + 2 * width)
    device.launch(
        "cached_attention:mf_cache_append", storage, (batch * time, up(width, 256)), 32, time, Int64(width),
        Int64(capacity), places, View(inputs, heads * size), View(inputs, heads * size + width), ld, *caches)
    check(caches[0], new_k, "fp32")
    check(caches[1], new_v, "fp32")
    for keys in (split, up(capacity, 128) * 128):
        splits = up(capacity, keys)
        o = device.empty(batch, time, heads * size, dtype=STORAGES[storage])
        partials = device.empty(batch * time, heads, splits, size + 2) if splits > 1 else None
        device.launch(
            "cached_attention:mf_cached_attention", storage, (batch * time, heads, splits), 128, time, kv_heads, size,
            Int64(capacity), Int64(keys), 0.3, places, inputs, ld, *caches, o, Int64(heads * size), partials)
        if splits > 1:
            device.launch(
                "cached_attention:mf_cached_attention_merge", storage, (batch * time, heads), 128, size, splits,
                Int64(keys), places, partials, o, Int64(heads * size))
        check(o, want, storage)


def test_reads_beyond_an_array_are_errors(device: Device) -> None:
    """That the driver for tests sees them, or else the tests above would prove less than they seem to."""
    if not device.is_for_tests:
        pytest.skip("a real GPU does not look at every access")
    with pytest.raises(CUDAError):
        device.launch(
            "elementwise:mf_widen", "fp32", 1, 256, Int64(9), device.array(torch.zeros(8)), device.empty(9))
