"""Folders that transformers saved score the same here: every architecture, and every way of writing it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support import CONTEXT, VOCABULARY, assert_same_logprobs, load_model, logprobs, make_model, mayfly

IDS = [int(i) for i in np.random.default_rng(3).integers(0, VOCABULARY, CONTEXT)]

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "gpt2, untied": ("gpt2", {"tie_word_embeddings": False}),
    "gpt2, relu, own inner width": ("gpt2", {"activation_function": "relu", "n_inner": 77}),
    "gpt2, exact gelu": ("gpt2", {"activation_function": "gelu"}),
    "llama": ("llama", {}),
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, all heads have keys": ("llama", {"num_key_value_heads": 3}),
    "llama, wide heads": ("llama", {"head_dim": 32}),
    "llama, other epsilon": ("llama", {"rms_norm_eps": 0.02}),
    "qwen3, tied": ("qwen3", {}),
    "qwen3, untied": ("qwen3", {"tie_word_embeddings": False}),
    "qwen3, biases": ("qwen3", {"attention_bias": True}),
    "nanochat": ("nanochat", {}),
    "nanochat, tied": ("nanochat", {"tie_word_embeddings": True}),
    "nanochat, shared keys": ("nanochat", {"num_key_value_heads": 1}),
    "nanochat, other softcap": ("nanochat", {"final_logit_softcapping": 2.0}),
    "nanochat, no softcap": ("nanochat", {"final_logit_softcapping": None}),
}


def score(folder: Path, *more: object) -> dict[str, Any]:
    return mayfly("score", folder, "--ids", ",".join(map(str, IDS)), "--json", *more).json


@pytest.mark.parametrize(("architecture", "changes"), MODELS.values(), ids=MODELS.keys())
def test_random_weights_score_as_in_transformers(tmp_path: Path, architecture: str, changes: dict[str, Any]) -> None:
    make_model(architecture, **changes).save_pretrained(tmp_path)
    model = load_model(tmp_path)
    found = score(tmp_path)
    assert found["ids"] == IDS
    assert_same_logprobs(model, IDS, found["logprobs"])
    assert found["loss"] == pytest.approx(-sum(found["logprobs"][1:]) / (len(IDS) - 1), abs=1e-6)


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "nanochat"])
@pytest.mark.parametrize("place", ["top level", "rope_parameters"])
def test_rope_theta_is_found_where_old_and_new_versions_write_it(
    tmp_path: Path, architecture: str, place: str
) -> None:
    theta = 777.0
    make_model(architecture, rope_parameters={"rope_type": "default", "rope_theta": theta}).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    config.pop("rope_parameters", None)
    config.pop("rope_theta", None)
    if place == "top level":
        config |= {"rope_theta": theta, "rope_scaling": None}
    else:
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    file.write_text(json.dumps(config))

    model = load_model(tmp_path)
    assert model.config.rope_parameters["rope_theta"] == theta, "the reference must have read it too"
    assert_same_logprobs(model, IDS, score(tmp_path)["logprobs"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_weights_saved_in_half_precision(tmp_path: Path, architecture: str, dtype: torch.dtype) -> None:
    make_model(architecture).to(dtype).save_pretrained(tmp_path)
    assert_same_logprobs(load_model(tmp_path), IDS, score(tmp_path)["logprobs"])


@pytest.mark.parametrize("architecture", ["gpt2", "qwen3"])
def test_weights_in_several_files(tmp_path: Path, architecture: str) -> None:
    make_model(architecture).save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1, "the folder must be sharded, or nothing is tested"
    assert_same_logprobs(load_model(tmp_path), IDS, score(tmp_path)["logprobs"])


@pytest.mark.parametrize("architecture", ["gpt2", "nanochat"])
def test_the_most_likely_alternatives(tmp_path: Path, architecture: str) -> None:
    make_model(architecture).save_pretrained(tmp_path)
    expected = logprobs(load_model(tmp_path), IDS)
    top = score(tmp_path, "--top", 5)["top"]
    assert len(top) == len(IDS)
    assert not top[0], "nothing comes before the first token"
    for position in range(1, len(IDS)):
        values, ids = expected[position].topk(5)
        assert [entry["id"] for entry in top[position]] == ids.tolist()
        assert [entry["logprob"] for entry in top[position]] == pytest.approx(values.tolist(), abs=1e-4)


def test_more_ids_than_the_context_are_scored_in_rows_or_refused_by_name(tmp_path: Path) -> None:
    make_model("gpt2").save_pretrained(tmp_path)
    many = IDS + IDS
    result = mayfly("score", tmp_path, "--ids", ",".join(map(str, many)), "--json", code=(0, 65))
    if result.code == 65:
        assert str(CONTEXT) in result.err, "the message names the context"
        assert not result.out
    else:
        assert len(result.json["logprobs"]) == len(many)


@pytest.mark.parametrize("ids", ["1,2,99999", "1,-2", "1,two", "1,,2"])
def test_ids_that_cannot_be_are_refused(tmp_path: Path, ids: str) -> None:
    make_model("gpt2").save_pretrained(tmp_path)
    result = mayfly("score", tmp_path, f"--ids={ids}", code=65)
    assert result.err and not result.out
