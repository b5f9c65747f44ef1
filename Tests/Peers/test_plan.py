"""`mayfly plan` and what `train --budget` makes of it; BPE-dropout from outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from support import mayfly, metrics, write_shard

BAD_INPUT, USAGE = 65, 64


def test_a_plan_is_a_table_a_sentence_and_json(data: Path) -> None:
    text = mayfly("plan", "--data", data, "--budget", "20s", "--explain", "batch").out
    assert "bits per byte" in text and "parameters, as in 20s" in text and "gradient noise scale" in text
    plan = mayfly("plan", "--data", data, "--budget", "20s", "--json").json
    assert plan["chosen"] in plan["candidates"]
    # Of those that the law can't tell apart the smallest.
    assert plan["chosen"]["bits_per_byte"] <= 1.002 * min(each["bits_per_byte"] for each in plan["candidates"])
    for each in plan["candidates"]:
        assert each["tokens"] == each["updates"] * each["batch_size"] * each["context"] and each["memory_bytes"] > 0


def test_a_plan_is_a_config_to_train_with(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    mayfly("plan", "--data", data, "--budget", "10s", "--out", config, "--set", "train.seed=7")
    mayfly("train", "--data", data, "--config", config, "--budget", "8s", "--out", tmp_path / "run")
    found = (tmp_path / "run/run.yaml").read_text()
    assert "optimizer: muon" in found and "seed: 7" in found


def test_a_run_tells_what_was_planned_and_what_came(data: Path, tmp_path: Path) -> None:
    # A batch whose memory is more than what planning takes.
    told = mayfly(
        "train", "--data", data, "--budget", "15s", "--out", tmp_path / "run", "--set", "train.batch_size=256").err
    assert "planned" in told and "reached" in told
    plan = mayfly("runs", "show", tmp_path / "run", "--json").json["plan"]
    assert plan["planned"]["bits_per_byte"] > 0 and plan["reached"]["bits_per_byte"] > 0
    assert plan["reached"]["memory_bytes"] == pytest.approx(plan["planned"]["memory_bytes"], rel=0.05)
    assert (tmp_path / "run/plan.json").exists()


def test_a_text_that_is_read_many_times(tmp_path: Path) -> None:
    text = tmp_path / "small.txt"
    text.write_text("".join(f"The {n % 97} foxes of line {n} jump over {n * n % 89} dogs.\n" for n in range(1000)))
    mayfly("prepare", text, "--out", tmp_path / "data", "--vocab-size", 300)
    plan = mayfly("plan", "--data", tmp_path / "data", "--budget", "20s", "--json").json
    assert plan["chosen"]["passes"] > 4 and plan["additions"]["data.bpe_dropout"] and "by heart" in plan["reason"]
    mayfly("train", "--data", tmp_path / "data", "--budget", "10s", "--out", tmp_path / "run")
    settings = (tmp_path / "run/run.yaml").read_text()
    # How much depends on how often this machine reads the text.
    dropout = json.loads((tmp_path / "run/plan.json").read_text())["additions"]["model.dropout"]
    assert float(dropout) > 0 and f"\n  dropout: {dropout}\n" in settings and "patience: 3" in settings


def test_passes_are_explained(data: Path) -> None:
    text = mayfly("plan", "--data", data, "--budget", "20s", "--explain", "batch").out
    assert "rows of a pass" in text and "tokens/s" in text and "MiB" in text


def test_a_budget_counts_from_the_start_of_the_program(data: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("The quick brown fox jumps over the lazy dog.\n" * 4000)
    mayfly("train", "--data", texts, "--budget", "12s", "--out", tmp_path / "run")
    # Learning a vocabulary, counting and measuring came before the first update.
    first = metrics(tmp_path / "run", "train")[0]
    assert first["elapsed_seconds"] > 2 * first["tokens"] / first["tokens_per_second"]


def test_ids_without_a_tokenizer_need_a_vocabulary(tmp_path: Path) -> None:
    shard = tmp_path / "ids.bin"
    write_shard(shard, np.random.default_rng(1).integers(0, 50, 20_000).astype(np.uint16))
    assert "model.vocab_size" in mayfly("plan", "--data", shard, "--budget", "5s", code=BAD_INPUT).err
    plan = mayfly("plan", "--data", shard, "--budget", "5s", "--set", "model.vocab_size=50", "--json").json
    assert plan["chosen"]["bits_per_byte"] is None and plan["chosen"]["bits_per_token"] > 0
    dropout = mayfly(
        "train", "--data", shard, "--steps", 1, "--out", tmp_path / "run", "--set", "model.vocab_size=50", "--set",
        "data.bpe_dropout=0.1", code=BAD_INPUT)
    assert "data.bpe_dropout" in dropout.err and "tokenizer" in dropout.err


@pytest.mark.parametrize("budget", ["soon", "-3s", "0s", ""])
def test_a_budget_that_is_none(data: Path, budget: str) -> None:
    assert "--budget" in mayfly("plan", "--data", data, f"--budget={budget}", code=USAGE).err


def test_dropout_of_merges_changes_the_rows_and_resumes(data: Path, small: list[str], tmp_path: Path) -> None:
    def losses(run: Path) -> list[float]:
        return [line["loss"] for line in metrics(run, "train")]

    dropout = ["--set", "data.bpe_dropout=0.2"]
    whole, parts, plain = tmp_path / "whole", tmp_path / "parts", tmp_path / "plain"
    mayfly("train", "--data", data, "--steps", 12, "--out", whole, *small, *dropout)
    mayfly("train", "--data", data, "--steps", 12, "--out", plain, *small)
    assert losses(whole) != losses(plain)
    mayfly("train", "--data", data, "--steps", 5, "--out", parts, *small, *dropout, "--set", "train.schedule=constant")
    mayfly("train", "--data", data, "--steps", 12, "--out", parts, "--resume")
    whole_constant = tmp_path / "constant"
    mayfly(
        "train", "--data", data, "--steps", 12, "--out", whole_constant, *small, *dropout, "--set",
        "train.schedule=constant")
    assert losses(parts) == losses(whole_constant)
