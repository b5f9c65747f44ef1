"""BERT folders with random weights fill in masks as transformers does, whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from support import learnable_ids, mayfly, settings, write_shard

MASK = 103
SHAPES: dict[str, dict[str, Any]] = {
    "usual": {},
    "untied": {"tie_word_embeddings": False},
    "relu": {"hidden_act": "relu"},
    "gelu by tanh": {"hidden_act": "gelu_new"},
    "silu": {"hidden_act": "silu"},
    "large epsilon": {"layer_norm_eps": 0.03},
    "one token type": {"type_vocab_size": 1},
    "odd sizes": {
        "vocab_size": 211, "hidden_size": 45, "num_attention_heads": 5, "intermediate_size": 77, "num_hidden_layers": 3,
    },
    "one head, one layer": {"num_attention_heads": 1, "num_hidden_layers": 1},
}


def make_bert(kind: type = transformers.BertForMaskedLM, **changes: Any) -> transformers.PreTrainedModel:
    """A tiny BERT, every tensor random."""
    sizes = {
        "vocab_size": 300, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 90,
        "max_position_embeddings": 40,
    }
    model = kind(transformers.BertConfig(**{**sizes, **changes})).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            is_norm = "LayerNorm.weight" in name
            tensor.copy_(1 + 0.1 * noise if is_norm else noise * (0.1 if tensor.ndim == 1 else 0.15))
    return model


def tokens(vocabulary: int, count: int = 40) -> list[int]:
    ids = [int(i) for i in np.random.default_rng(5).integers(0, vocabulary, count)]
    for position in (3, 17, count - 1):
        ids[position] = MASK
    return ids


def score(folder: Path, ids: list[int], *more: object) -> dict[str, Any]:
    return mayfly("score", folder, "--ids", ",".join(map(str, ids)), "--top", 5, "--json", *more).json


@torch.no_grad()
def assert_same_top(model: transformers.PreTrainedModel, ids: list[int], found: dict[str, Any]) -> None:
    positions = [i for i, id in enumerate(ids) if id == MASK]
    assert found["ids"] == ids
    assert found["mask_positions"] == positions
    assert found["logprobs"] is None and found["loss"] is None
    assert len(found["top"]) == len(positions)
    output = model(torch.tensor([ids]))
    logits = output.prediction_logits if hasattr(output, "prediction_logits") else output.logits
    expected = torch.log_softmax(logits[0].double(), dim=-1)
    for position, top in zip(positions, found["top"]):
        values, best = expected[position].topk(5)
        assert [entry["id"] for entry in top] == best.tolist()
        assert [entry["logprob"] for entry in top] == pytest.approx(values.tolist(), abs=1e-4)


def load(folder: Path) -> transformers.PreTrainedModel:
    model, info = transformers.BertForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), f"transformers complains about {folder}: {info}"
    return model.eval()


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_the_top_five_at_masks_both_directions(tmp_path: Path, changes: dict[str, Any]) -> None:
    make_bert(**changes).save_pretrained(tmp_path / "theirs")
    model = load(tmp_path / "theirs")
    ids = tokens(model.config.vocab_size)
    assert_same_top(model, ids, score(tmp_path / "theirs", ids))

    # Mayfly's own copy: a training whose updates are too small to change a weight.
    shard(tmp_path / "data/train.bin", model.config.vocab_size)
    mayfly(
        "train", "--data", tmp_path / "data", "--init-from", tmp_path / "theirs", "--steps", 1, "--out",
        tmp_path / "run", *settings(train__learning_rate=1e-30, train__batch_size=1, train__context=16),
    )
    ours = tmp_path / "run/checkpoints/latest"
    saved, original = load(ours), model.state_dict()
    assert json.loads((ours / "config.json").read_text())["mask_token_id"] == MASK
    for name, tensor in saved.state_dict().items():
        if name == "cls.predictions.bias" and not model.config.tie_word_embeddings:
            name = "cls.predictions.decoder.bias"  # transformers computes with this one
        assert torch.equal(tensor, original[name]), name
    assert_same_top(saved, ids, score(ours, ids))


def shard(path: Path, vocabulary: int) -> None:
    path.parent.mkdir()
    write_shard(path, learnable_ids(400, vocabulary, seed=1))


def rewrite(folder: Path, change: Any) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def test_folders_of_other_ages_and_kinds(tmp_path: Path) -> None:
    pretraining = make_bert(transformers.BertForPreTraining)
    pretraining.save_pretrained(tmp_path)
    ids = tokens(300)
    assert "cls.seq_relationship.weight" in load_file(tmp_path / "model.safetensors")
    assert_same_top(pretraining, ids, score(tmp_path, ids))

    rewrite(tmp_path, lambda tensors: {name.removeprefix("bert."): t for name, t in tensors.items()})
    assert_same_top(pretraining, ids, score(tmp_path, ids))

    def old(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        renamed = {}
        for name, tensor in tensors.items():
            for new, before in names.items():
                name = name.replace(new, before)
            renamed[name] = tensor
        return renamed | {"embeddings.position_ids": torch.arange(40)[None]}

    rewrite(tmp_path, old)
    assert_same_top(pretraining, ids, score(tmp_path, ids))


def test_which_token_is_the_mask(tmp_path: Path) -> None:
    make_bert().save_pretrained(tmp_path)
    ids = tokens(300)
    expected = score(tmp_path, ids)
    # A file that is no tokenizer: ids need none.
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "WordPiece"}}')
    assert score(tmp_path, ids) == expected

    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"mask_token_id": 7}))
    assert score(tmp_path, [1, 7, 2])["mask_positions"] == [1]
    assert score(tmp_path, [1, 9, 2, 9], "--mask-id", 9)["mask_positions"] == [1, 3]
    none = mayfly("score", tmp_path, "--ids", "1,2,3", "--json", code=65)
    assert "mask" in none.err and "7" in none.err and not none.out
    mayfly("score", tmp_path, "--ids", "1,2", "--mask-id", 300, code=65)
    long = mayfly("score", tmp_path, "--ids", ",".join(["7"] * 41), code=65)
    assert "41" in long.err and "40" in long.err
    (tmp_path / "tokenizer.json").unlink()
    assert "score" in mayfly("generate", tmp_path, "--prompt", "x", code=65).err


@pytest.mark.parametrize(
    "change",
    [
        {"position_embedding_type": "relative_key"}, {"is_decoder": True}, {"hidden_act": "quick_gelu"},
        {"mask_token_id": 300}, {"num_attention_heads": 7}, {"type_vocab_size": 0}, {"layer_norm_eps": "small"},
    ],
)
def test_what_would_be_computed_wrongly_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    make_bert().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = mayfly("score", tmp_path, "--ids", "1,103", code=65)
    assert next(iter(change)) in result.err
