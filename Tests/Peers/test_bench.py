"""The benchmark runs, and what it compares is the same work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from support import MAYFLY, ROOT, mayfly, settings


def python(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "Benchmarks" / script), *map(str, arguments)], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, env=os.environ | {"MAYFLY": str(MAYFLY)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a quick run: one thread, as several may wait for each other for long where others compute."""
    out = tmp_path_factory.mktemp("bench") / "results.json"
    python(
        "bench.py", "--shape", "tiny", "--quick", "--mode", "eager-fp32", "--mode", "eager-bf16", "--threads", 1, "--seed", 3, "--precision", "fp32",
        "--precision", "bf16", "--out", out,
    )
    return out


def test_a_quick_run_leaves_results(results: Path) -> None:
    document = json.loads(results.read_text())
    assert (document["seed"], document["threads"], document["rounds"]) == (3, 1, 1)
    assert document["machine"]["cores"] >= 1
    (found,) = document["results"]
    sides = {side["name"]: side for side in found["sides"]}
    assert set(sides) == {"Mayfly fp32", "Mayfly bf16", "PyTorch eager fp32", "PyTorch eager bf16"}
    assert sorted(found["orders"][0]) == sorted(sides)
    for name, side in sides.items():
        if side["missing"]:
            assert name == "Mayfly bf16" and side["missing"] == "not built" and side["median"] is None
        else:
            assert side["median"] == median(side["tokens_per_second"]) > 0 and side["peak_mb"] > 0
    fastest = {
        program: max(
            (side for side in sides.values() if side["program"] == program and side["median"]),
            key=lambda side: side["median"],
        )
        for program in ("mayfly", "pytorch")
    }
    assert (found["mayfly"], found["pytorch"]) == (fastest["mayfly"]["name"], fastest["pytorch"]["name"])
    ratio = fastest["mayfly"]["median"] / fastest["pytorch"]["median"]
    assert [found["ratio"], document["geometric_mean"]] == pytest.approx([ratio, ratio])
    memory = fastest["mayfly"]["peak_mb"] / fastest["pytorch"]["peak_mb"]
    assert found["memory_ratio"] == pytest.approx(memory)
    assert found["matrix_share"].keys() == {name for name, side in sides.items() if side["median"]}
    assert document["matrix_peaks"]["fp32"]["torch.mm"] > 0 and document["matrix_peaks"]["bf16"]["torch.mm"] > 0
    assert [entry["threads"] for entry in found["scaling"]] == [1] and found["scaling"][0]["efficiency"] == 1
    assert {"Linear", "Attention", "HeadLoss", "AdamW"} <= {each["kind"] for each in found["profile"]["operations"]}


def test_its_tables_say_the_same(results: Path) -> None:
    (found,) = json.loads(results.read_text())["results"]
    text = results.with_suffix(".md").read_text()
    for side in found["sides"]:
        assert side["name"] in text and (side["missing"] or f"{side['median']:,.0f}") in text
    assert f"**{found['ratio']:.2f}**" in text
    assert all(operation["kind"] in text for operation in found["profile"]["operations"])


def test_flops_are_those_of_the_program(results: Path) -> None:
    """But attention's scores, which the backward pass computes again, count once."""
    (found,) = json.loads(results.read_text())["results"]
    shape = found["shape"]
    again = 2 * shape["num_hidden_layers"] * shape["hidden_size"] * (shape["context"] + 1) / 2
    tokens = shape["batch_size"] * shape["context"]
    assert found["profile"]["flops"] == pytest.approx((shape["flops_per_token"] + again) * tokens)


@pytest.mark.parametrize("architecture", ["gpt2", "encoder"])
def test_both_sides_train_the_same_parameters(architecture: str) -> None:
    sizes = {
        "num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 48, "vocab_size": 70,
        "max_position_embeddings": 20,
    }
    asked = sizes | {
        "what": "train", "architecture": architecture, "batch_size": 2, "context": 16, "steps": 1, "warmup": 2,
        "threads": 1, "precision": "fp32", "compiled": False,
    }
    theirs = json.loads(python("pytorch_peer.py", json.dumps(asked)))["parameters"]
    model = settings(**{f"model__{key}": value for key, value in (sizes | {"architecture": architecture}).items()})
    shape = settings(train__context=16, train__batch_size=2)
    ours = mayfly("bench", *model, *shape, "--steps", 1, "--threads", 1, "--json").json["parameters"]
    # Mayfly counts the table of sinusoids as well, which is not trained.
    assert ours == theirs + (20 * 48 if architecture == "encoder" else 0)


def test_a_quick_run_of_decoding_leaves_results(tmp_path: Path) -> None:
    out = tmp_path / "decode.json"
    python("decode.py", "--tiny", "--quick", "--threads", 1, "--seed", 3, "--out", out)
    document = json.loads(out.read_text())
    model, sides = document["model"], document["sides"]
    weights = 12 * model["num_hidden_layers"] * model["hidden_size"] ** 2 + model["vocab_size"] * model["hidden_size"]
    assert document["bytes_per_token"] == 4 * weights and document["bandwidth"] > 0
    assert sides["Mayfly"]["missing"] is None and sides["Mayfly"]["ratio"] == 1
    for name, side in sides.items():
        # The other programs need not be there.
        if side["missing"]:
            assert side["missing"] == "not installed" and name in ("llama.cpp", "mlx-lm")
            continue
        assert side["bytes_per_second"] == pytest.approx(side["median"] * document["bytes_per_token"])
        assert side["bandwidth_share"] == pytest.approx(side["bytes_per_second"] / document["bandwidth"])
    assert f"{sides['Mayfly']['median']:,.1f}" in out.with_suffix(".md").read_text()


def test_cells_follow_from_the_seed() -> None:
    def cells(seed: int) -> list[dict[str, Any]]:
        return json.loads(python("bench.py", "--cells", 12, "--seed", seed, "--list"))["shapes"]

    drawn = cells(7)
    assert drawn == cells(7) != cells(8)
    assert [cell["architecture"] for cell in drawn] == ["gpt2", "encoder"] * 6
    for cell in drawn:
        assert 64 <= cell["hidden_size"] <= 1024 and cell["hidden_size"] % cell["num_attention_heads"] == 0
        assert 64 <= cell["context"] <= 2048 and cell["context"] <= cell["max_position_embeddings"]
        assert 65 <= cell["vocab_size"] <= 50_257 and 1 <= cell["batch_size"] <= 64
        assert cell["num_hidden_layers"] >= 1
        # A few seconds an update on two cores.
        assert cell["flops_per_token"] * cell["batch_size"] * cell["context"] <= 4e11
