"""`mayfly embed`: vectors as transformers' states give them, and the nearest texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers

from support import latest, mayfly

LINES = ["The miller paints the bridge.", "", "A grey cat answers the winter.", "河水", "the miller paints the bridge"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\r\n".join(LINES) + "\r\n", encoding="utf-8", newline="")
    return path


def test_vectors_are_means_of_the_last_states(run: Path, file: Path) -> None:
    found = mayfly("embed", run, "--file", file, "--json").json["vectors"]
    assert len(found) == len(LINES)
    model = transformers.AutoModel.from_pretrained(latest(run), dtype=torch.float32).eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(latest(run) / "tokenizer.json"))
    for line, vector in zip(LINES, found):
        ids = tokenizer.encode(line, add_special_tokens=False).ids
        if not ids:
            assert not any(vector)
            continue
        mean = model(torch.tensor([ids])).last_hidden_state[0].mean(0)
        assert vector == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)


def test_the_nearest_come_first(run: Path, file: Path) -> None:
    found = mayfly("embed", run, "--file", file, "--query", LINES[0], "--top", 2, "--json").json["neighbours"]
    assert [hit["line"] for hit in found] == [1, 5]
    assert found[0]["similarity"] == pytest.approx(1) and found[0]["text"] == LINES[0]
    shown = mayfly("embed", run, "--file", file, "--query", LINES[0], "--top", 2).out.splitlines()
    assert shown[0] == f"1.0000\t1\t{LINES[0]}"


def test_long_texts_are_cut_and_counted(run: Path) -> None:
    result = mayfly("embed", run, "--text", "stones " * 200, "--text", "stones", "--json")
    assert "cut 1 texts" in result.err and len(result.json["vectors"]) == 2


def test_bad_input(run: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"")
    assert str(empty) in mayfly("embed", run, "--file", empty, code=65).err
    mayfly("embed", run, "--file", tmp_path / "none.txt", code=65)
    mayfly("embed", run, code=64)
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe\x00a\nb\n")
    assert len(json.loads(mayfly("embed", run, "--file", tmp_path / "odd.txt", "--json").out)["vectors"]) == 2
