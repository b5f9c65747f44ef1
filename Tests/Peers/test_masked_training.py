"""Masked training on the tests' own prose: it learns, resumes bit for bit, and goes on as documented."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from support import latest, learnable_ids, mayfly, metrics, settings, write_shard

ENCODER = settings(
    model__architecture="encoder", model__hidden_size=64, model__num_hidden_layers=2, model__num_attention_heads=4,
    model__intermediate_size=128, model__max_position_embeddings=64, model__dropout=0.1, train__context=64,
    train__batch_size=8, train__learning_rate=2e-3, train__warmup_steps=50,
)


def train(data: Path, out: Path, steps: int, *more: object) -> None:
    mayfly("train", "--data", data, "--steps", steps, "--out", out, *ENCODER, *more)


@pytest.fixture(scope="module")
def encoder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoder") / "run"
    # For the first thousand steps it knows little more than which tokens are frequent.
    train(data, out, 2500)
    return out


def test_it_beats_the_most_frequent_token_by_far(data: Path, encoder: Path) -> None:
    for split in ("val", "test"):
        found = mayfly("eval", encoder, "--data", data, "--split", split, "--json").json
        assert found == mayfly("eval", encoder, "--data", data, "--split", split, "--json").json
        print(f"{split}: {found['accuracy']:.1%} of {found['tokens']} masked tokens, "
              f"the most frequent token {found['baseline_accuracy']:.1%}")
        assert found["bits_per_byte"] is None
        assert found["accuracy"] > found["baseline_accuracy"] + 0.2
        tokens = json.loads((data / "dataset.json").read_text())["tokens"][split]
        assert found["tokens"] == pytest.approx(0.15 * tokens, rel=0.2)
    last = metrics(encoder, "eval")[-1]
    assert last["loss"] == pytest.approx(mayfly("eval", encoder, "--data", data, "--json").json["loss"], rel=1e-5)
    assert last["bits_per_byte"] is None
    assert not list((encoder / "samples").iterdir()), "such a model can't write"


def test_it_has_a_mask_and_fills_it_in(data: Path, encoder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(latest(encoder) / "tokenizer.json"))
    mask = tokenizer.token_to_id("<|mask|>")
    assert mask == Tokenizer.from_file(str(data / "tokenizer.json")).get_vocab_size()
    config = json.loads((latest(encoder) / "config.json").read_text())
    assert config["mask_token_id"] == mask and config["vocab_size"] == mask + 1
    text = "The miller <|mask|> the bridge. A grey cat paints<|mask|> lanterns."
    found = mayfly("score", encoder, "--text", text, "--json").json
    assert found["ids"] == tokenizer.encode(text, add_special_tokens=False).ids
    assert found["mask_positions"] == [i for i, id in enumerate(found["ids"]) if id == mask]
    assert [len(top) for top in found["top"]] == [5, 5]
    assert "<|mask|>" in mayfly("score", encoder, "--text", "no gap", code=65).err
    assert "score" in mayfly("generate", encoder, "--prompt", "The", code=65).err


def numbers(run: Path) -> list[tuple[object, ...]]:
    return [(line["step"], line["loss"], line["grad_norm"]) for line in metrics(run, "train")]


def test_a_resumed_run_has_the_same_bits(data: Path, tmp_path: Path) -> None:
    every = settings(train__checkpoint_every=7, train__keep_checkpoints=9, train__eval_every=5)
    train(data, tmp_path / "whole", 20, *every)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut", symlinks=True)
    for step in ("step-00000014", "step-00000020"):
        shutil.rmtree(tmp_path / "cut/checkpoints" / step)
    mayfly("train", "--data", data, "--steps", 20, "--out", tmp_path / "cut", "--resume")
    assert numbers(tmp_path / "cut") == numbers(tmp_path / "whole")
    for file in ("model.safetensors", "optimizer.safetensors", "tokenizer.json", "config.json"):
        assert (latest(tmp_path / "cut") / file).read_bytes() == (latest(tmp_path / "whole") / file).read_bytes(), file


def test_micro_batches_hide_the_same_tokens(data: Path, tmp_path: Path) -> None:
    none = settings(model__dropout=0)
    train(data, tmp_path / "whole", 3, *none)
    train(data, tmp_path / "split", 3, *none, *settings(train__micro_batch_size=2))
    whole, split = (metrics(tmp_path / name, "train") for name in ("whole", "split"))
    assert [line["loss"] for line in whole] == pytest.approx([line["loss"] for line in split], rel=1e-5)


def test_ids_without_a_tokenizer_leave_the_last_id_to_the_mask(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_shard(tmp_path / "data/train.bin", learnable_ids(2000, 50, seed=2))
    train(tmp_path / "data", tmp_path / "run", 2, *settings(model__vocab_size=51))
    assert json.loads((latest(tmp_path / "run") / "config.json").read_text())["mask_token_id"] == 50
    ids = np.full(2000, 49)
    write_shard(tmp_path / "data/train.bin", ids)
    mayfly(
        "train", "--data", tmp_path / "data", "--steps", 1, "--out", tmp_path / "other", *ENCODER,
        *settings(model__vocab_size=50), code=65,
    )


def test_a_preset_and_what_cannot_be(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = settings(model__num_hidden_layers=1, train__batch_size=2, train__context=16)
    mayfly("train", "--data", data, "--steps", 1, "--out", out, "--preset", "encoder", *small)
    config = json.loads((latest(out) / "config.json").read_text())
    assert (config["model_type"], config["hidden_size"], config["num_attention_heads"]) == ("encoder", 512, 8)
    assert (config["intermediate_size"], config["hidden_act"]) == (2048, "relu")
    assert "dropout: 0.1" in (out / "run.yaml").read_text()
    for setting in ("position_embedding_type=rotary", "num_key_value_heads=2", "attention_bias=false"):
        for architecture in ("encoder", "bert"):
            refused = mayfly(
                "train", "--data", data, "--steps", 1, "--out", tmp_path / "bad", "--set",
                f"model.architecture={architecture}", "--set", f"model.{setting}", code=65,
            )
            assert setting.split("=")[0] in refused.err
