"""Training in halves: it ends where fp32 does, and leaves what fp32 leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from support import latest, mayfly, metrics

HALVES = ["bf16", "fp16"]


def train(data: Path, out: Path, small: list[str], *more: object) -> None:
    mayfly("train", "--data", data, "--steps", 60, "--out", out, *small, *more)


def recorded_precision(run: Path) -> str:
    lines = (run / "run.yaml").read_text().splitlines()
    return next(line.split(": ")[1] for line in lines if line.startswith("  precision: "))


@pytest.fixture(scope="module")
def full(data: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("full") / "run"
    train(data, out, small, "--precision", "fp32")
    return out


@pytest.fixture(scope="module", params=HALVES)
def halves(
    request: pytest.FixtureRequest, data: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("halves") / "run"
    train(data, out, small, "--precision", request.param)
    return request.param, out


def test_it_begins_and_ends_where_fp32_does(halves: tuple[str, Path], full: Path) -> None:
    precision, out = halves
    first, expected = metrics(out, "train")[0], metrics(full, "train")[0]
    assert first["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    assert first["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-2)
    ends = [metrics(folder, "eval")[-1]["loss"] for folder in (out, full)]
    print(f"{precision}: {ends[0]:.4f}, fp32: {ends[1]:.4f}")
    assert ends[0] == pytest.approx(ends[1], abs=0.03)
    assert ends[0] < metrics(out, "train")[0]["loss"] - 1, "both have learned"
    assert [line["loss"] for line in metrics(out, "train")] != [line["loss"] for line in metrics(full, "train")]
    assert "skipped_update" not in [event["name"] for event in metrics(out, "event")]


def test_its_checkpoint_holds_fp32(halves: tuple[str, Path], data: Path) -> None:
    _, out = halves
    for name in ("model.safetensors", "optimizer.safetensors"):
        with safe_open(str(latest(out) / name), "pt") as file:
            assert {file.get_slice(key).get_dtype() for key in file.keys()} == {"F32"}
    found = mayfly("eval", out, "--data", data, "--json").json
    assert found["loss"] == pytest.approx(metrics(out, "eval")[-1]["loss"], rel=1e-5)


def test_it_goes_on_as_it_began(halves: tuple[str, Path], data: Path, small: list[str]) -> None:
    precision, out = halves
    assert recorded_precision(out) == precision
    resume = ["train", "--data", data, "--steps", 62, "--out", out, "--resume", *small]
    refused = mayfly(*resume, "--precision", "fp32", code=65)
    assert "train.precision" in refused.err and precision in refused.err
    mayfly(*resume, "--precision", "auto")
    assert len(metrics(out, "train")) == 62
    assert recorded_precision(out) == precision


def test_what_auto_chose_is_kept(run: Path) -> None:
    assert recorded_precision(run) in ("fp32", "bf16")
