"""The classic encoder's layers equal torch.nn.TransformerEncoder with the same weights, forward and backward."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from support import ROOT, load_torch_encoder, mayfly, settings

PEER = ROOT / ".build/release/EncoderPeer"
LAYERS, WIDTH, HEADS, INNER = 6, 512, 8, 2048
TOLERANCE = 1e-5

# (B, T, C) and the lengths of the sequences: the rest is padding.
INPUTS = {"one sequence": ((1, 100, WIDTH), [100]), "padded": ((3, 17, WIDTH), [17, 9, 1])}


class Times(torch.nn.Module):
    """Multiplies by a mask that somebody else has drawn."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask


def encoder(rate: float) -> torch.nn.TransformerEncoder:
    torch.manual_seed(1)
    layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, dropout=rate, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
    with torch.no_grad():
        # Layers begin as copies of one, biases as zero and norms as one: a mix-up of two would not show.
        for tensor in model.parameters():
            tensor += 0.02 * torch.randn_like(tensor)
    return model


def hand_over(model: torch.nn.TransformerEncoder, masks: list[torch.Tensor], patch: pytest.MonkeyPatch) -> None:
    """Replaces every dropout by ours: probabilities, attention's output, activations, the feed-forward's output."""
    for layer, part in zip(model.layers, zip(*[iter(masks)] * 4)):
        attend, mask = layer.self_attn.forward, part[0]

        def forward(*inputs, attend=attend, mask=mask, **more):
            with patch.context() as inner:
                inner.setattr(torch.nn.functional, "dropout", lambda x, p: x * mask.view_as(x))
                return attend(*inputs, **{**more, "need_weights": True})

        layer.self_attn.forward = forward
        layer.dropout1, layer.dropout, layer.dropout2 = (Times(mask) for mask in part[1:])


def assert_close(found: torch.Tensor, expected: torch.Tensor, name: str) -> float:
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    assert error <= TOLERANCE, f"{name}: {error:.2e}"
    return error


@pytest.mark.parametrize("rate", [0.0, 0.1], ids=["evaluation", "training with our masks"])
@pytest.mark.parametrize(("shape", "lengths"), INPUTS.values(), ids=INPUTS.keys())
def test_layers_equal_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], lengths: list[int], rate: float
) -> None:
    model = encoder(rate)
    x, dy = torch.randn(shape, requires_grad=True), torch.randn(shape)
    inputs = {
        "x": x.detach(), "dy": dy, "lengths": torch.tensor(lengths).float(), "heads": torch.tensor([float(HEADS)]),
        "dropout": torch.tensor([rate]),
    }
    save_file(inputs | model.state_dict(), tmp_path / "in.safetensors")
    subprocess.run([PEER, tmp_path / "in.safetensors", tmp_path / "out.safetensors"], check=True)
    found = load_file(tmp_path / "out.safetensors")

    model.train(rate > 0)
    masks = [found[f"mask.{i}"] for i in range(sum(name.startswith("mask.") for name in found))]
    assert len(masks) == (4 * LAYERS if rate else 0)
    for mask in masks:
        assert (mask == 0).float().mean().item() == pytest.approx(rate, abs=0.02)
    hand_over(model, masks, monkeypatch)
    padding = torch.arange(shape[1]) >= torch.tensor(lengths)[:, None]
    y = model(x, src_key_padding_mask=padding)
    y.backward(dy)

    errors = [assert_close(found["y"], y.detach(), "y"), assert_close(found["dx"], x.grad, "dx")]
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        errors.append(assert_close(found[name], parameter.grad, name))
    print(f"largest error {max(errors):.1e} over y, dx and {len(parameters)} weights")


def test_a_trained_encoder_opens_in_pytorch(tmp_path: Path, data: Path) -> None:
    """The folder's tensors are torch's state_dict, and its top five those that PyTorch computes with them."""
    mayfly(
        "train", "--data", data, "--steps", 30, "--out", tmp_path / "run", *settings(
            model__architecture="encoder", model__hidden_size=48, model__num_hidden_layers=2,
            model__num_attention_heads=3, model__intermediate_size=80, model__max_position_embeddings=32,
            train__context=32, train__batch_size=4, model__dropout=0.1,
        ),
    )
    folder = tmp_path / "run/checkpoints/latest"
    logits_of, mask = load_torch_encoder(folder)
    ids = [5, 6, mask, 8, 9, 10, mask, 12]
    found = mayfly("score", folder, "--ids", ",".join(map(str, ids)), "--top", 5, "--json").json
    assert found["mask_positions"] == [2, 6]
    assert found["logprobs"] is None and found["loss"] is None
    expected = torch.log_softmax(logits_of(ids), dim=-1)
    for position, top in zip(found["mask_positions"], found["top"]):
        values, best = expected[position].topk(5)
        assert [entry["id"] for entry in top] == best.tolist()
        assert [entry["logprob"] for entry in top] == pytest.approx(values.tolist(), abs=1e-4)
