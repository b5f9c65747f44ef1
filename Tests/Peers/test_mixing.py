"""Training on several data sets, and on rows of whole documents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from support import latest, mayfly, metrics, prose, settings, write_shard

SMALL = settings(
    model__hidden_size=32, model__num_hidden_layers=1, model__num_attention_heads=2, train__context=32,
    train__batch_size=8, train__precision="fp32", model__dropout=0)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two data sets with one tokenizer, the second four times as large, and one with another tokenizer."""
    folder = tmp_path_factory.mktemp("sets")
    made = []
    for index, (size, tokenizer) in enumerate([(20_000, None), (80_000, 0), (20_000, None)]):
        text = folder / f"{index}.jsonl"
        documents = [prose(300, seed=100 * index + place) for place in range(size // 300)]
        text.write_text("".join(json.dumps({"text": document}) + "\n" for document in documents))
        out = folder / f"{index}"
        choice = ("--vocab-size", 280 + 10 * index) if tokenizer is None else ("--tokenizer", made[tokenizer])
        mayfly("prepare", text, "--out", out, *choice, "--dedupe", "none")
        made.append(out)
    return made


def test_two_data_sets_train_as_one_and_go_on_where_they_were(sets: list[Path], tmp_path: Path) -> None:
    both = ["--data", sets[0], "--data", sets[1], *settings(data__weights=[3, 1])]
    constant = [*SMALL, *settings(train__schedule="constant")]
    for name, steps in (("whole", 12), ("parts", 5)):
        mayfly("train", *both, "--out", tmp_path / name, "--steps", steps, *constant)
    mayfly("train", *both, "--out", tmp_path / "parts", "--steps", 12, "--resume", *constant)
    whole, parts = (latest(tmp_path / name) / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    assert metrics(tmp_path / "whole", "eval")[-1]["bits_per_byte"] > 0
    run = (tmp_path / "whole/run.yaml").read_text()
    assert "3.0" in run and "weights" in run
    # Other data, or other weights, are another run.
    assert "--data" in mayfly(
        "train", "--data", sets[0], "--out", tmp_path / "parts", "--steps", 14, "--resume", code=65).err
    assert "data.weights" in mayfly(
        "train", *both[:4], *settings(data__weights=[1, 3]), "--out", tmp_path / "parts", "--steps", 14, "--resume",
        code=65).err


def test_weights_say_how_often_each_is_seen(tmp_path: Path) -> None:
    """What follows id 3 is always 1 in one set, always 2 in the other: the model learns their shares."""
    for index in range(2):
        (tmp_path / f"{index}").mkdir()
        write_shard(tmp_path / f"{index}/train.bin", np.tile([3, 1 + index], 2500))
    run = tmp_path / "run"
    mayfly(
        "train", "--data", tmp_path / "0", "--data", tmp_path / "1", "--out", run, "--steps", 60, *SMALL,
        *settings(data__weights=[4, 1], model__vocab_size=5, train__context=1, train__batch_size=400))
    guess = mayfly("score", run, "--ids", "3,1", "--top", 5, "--json").json["top"][1]
    share = {each["id"]: np.exp(each["logprob"]) for each in guess}
    assert 0.65 < share[1] < 0.95 and share[1] > 2 * share[2]


@pytest.mark.parametrize(
    ("data", "weights", "expected"),
    [
        ([0, 2], None, "another tokenizer"), ([0, 1], [1], "2 numbers"), ([0, 1], [1, 0], "data.weights"),
        ([0], [1, 2], "1 number"),
    ])
def test_what_cannot_be_mixed_is_an_error(
    sets: list[Path], tmp_path: Path, data: list[int], weights: list[int] | None, expected: str
) -> None:
    arguments = [word for index in data for word in ("--data", sets[index])]
    arguments += settings(data__weights=weights) if weights else []
    result = mayfly("train", *arguments, "--out", tmp_path / "run", "--steps", 2, *SMALL, code=65)
    assert expected in result.err


def test_text_among_several_is_an_error_that_says_how_to_prepare_it(sets: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(prose(1000))
    result = mayfly(
        "train", "--data", sets[0], "--data", tmp_path / "text.txt", "--out", tmp_path / "run", "--steps", 2, code=65)
    assert "mayfly prepare" in result.err and "--tokenizer" in result.err


@pytest.mark.parametrize("mask", [False, True])
def test_rows_of_whole_documents_train_and_go_on_to_the_bit(sets: list[Path], tmp_path: Path, mask: bool) -> None:
    packed = ["--data", sets[0], *SMALL, *settings(data__packing="best-fit", data__document_mask=mask)]
    mayfly("train", *packed, "--out", tmp_path / "whole", "--steps", 10, *settings(train__schedule="constant"))
    mayfly("train", *packed, "--out", tmp_path / "parts", "--steps", 4, *settings(train__schedule="constant"))
    mayfly("train", *packed, "--out", tmp_path / "parts", "--steps", 10, "--resume", *settings(train__schedule="constant"))
    whole, parts = (latest(tmp_path / name) / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    losses = [line["loss"] for line in metrics(tmp_path / "whole", "train")]
    assert all(np.isfinite(losses)) and losses[-1] < losses[0]


def test_whole_documents_need_to_know_where_documents_end(tmp_path: Path) -> None:
    write_shard(tmp_path / "train.bin", np.arange(1000) % 50)
    result = mayfly(
        "train", "--data", tmp_path / "train.bin", "--out", tmp_path / "run", "--steps", 2, *SMALL,
        *settings(data__packing="best-fit", model__vocab_size=50), code=65)
    assert "data.packing" in result.err
