"""Runs that go wrong end with a finite, useful model: rates that are too high, poisoned batches, full disks."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support import command, latest, learnable_ids, mayfly, metrics, settings, write_shard

VOCABULARY = 61
TINY = settings(
    model__architecture="gpt2", model__vocab_size=VOCABULARY, model__hidden_size=32, model__num_hidden_layers=2,
    model__num_attention_heads=2, model__max_position_embeddings=32, train__context=32, train__batch_size=4,
    train__optimizer="adamw", train__learning_rate=1e-2, train__warmup_steps=20, train__precision="fp32",
)
# What a model reaches that knows only how frequent each token is.
FREQUENCIES = float(np.log(VOCABULARY))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_shard(folder / "train.bin", learnable_ids(30_000, VOCABULARY, seed=1))
    write_shard(folder / "val.bin", learnable_ids(2_000, VOCABULARY, seed=2))
    return folder


def assert_useful(run: Path, below: float = 0.75 * FREQUENCIES) -> None:
    assert metrics(run, "eval")[-1]["loss"] < below
    assert "NaN" not in json.dumps(metrics(run))
    text = mayfly("score", run, "--ids", "1,12,6,37,9", "--json")
    assert all(np.isfinite(value) for value in text.json["logprobs"][1:])


def events(run: Path, name: str) -> list[dict[str, object]]:
    return [line for line in metrics(run, "event") if line["name"] == name]


@pytest.mark.parametrize("factor", [1, 10, 100])
def test_a_learning_rate_that_is_too_high_ends_with_a_useful_model(
    shards: Path, tmp_path: Path, factor: int
) -> None:
    out = tmp_path / "run"
    result = mayfly(
        "train", "--data", shards, "--steps", 1500, "--out", out, *TINY, *settings(train__learning_rate=1e-2 * factor)
    )
    print(f"{factor} times the rate: {metrics(out, 'eval')[-1]['loss']:.3f}, {len(events(out, 'rolled_back'))} times back")
    assert_useful(out, 0.95 * FREQUENCIES if factor == 100 else 0.75 * FREQUENCIES)
    for event in events(out, "rolled_back"):
        assert f"step {event['from_step']}" in result.err, "it is said where it happens"


def test_poisoned_batches_are_skipped_or_do_no_harm(shards: Path, tmp_path: Path) -> None:
    clean = learnable_ids(30_000, VOCABULARY, seed=1)
    poisoned = clean.copy()
    poisoned[12_000:12_200] = 5  # One token again and again: more than a batch of it.
    poisoned[20_000:20_200] = np.random.default_rng(3).integers(0, VOCABULARY, 200)
    losses = []
    for name, ids in (("clean", clean), ("poisoned", poisoned)):
        write_shard(shards / "train.bin", ids)
        out = tmp_path / name
        mayfly(
            "train", "--data", shards, "--steps", 230, "--out", out, *TINY, *settings(data__order="sequential")
        )
        assert_useful(out)
        losses.append(metrics(out, "eval")[-1]["loss"])
        skipped = events(out, "skipped_update")
        assert {event["reason"] for event in skipped} <= {"loss_spike", "gradient_spike"}
        assert bool(skipped) == (name == "poisoned")
    assert losses[1] < losses[0] + 0.2


def test_no_numbers_at_all_is_an_error_that_says_what_to_do(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = mayfly(
        "train", "--data", shards, "--steps", 200, "--out", out, *TINY,
        *settings(train__learning_rate=1e30, train__warmup_steps=0, train__max_rollbacks=1, train__checkpoint_every=1),
        code=1,
    )
    assert "train.learning_rate" in result.err and "train.max_rollbacks" in result.err
    assert "going back 1 time" in result.err
    # Nothing that is broken is left to go on with.
    assert not list((out / "checkpoints").glob("step-*"))


def test_a_full_disk_is_said_once_and_survived(shards: Path, tmp_path: Path) -> None:
    """A limit on the size of files, set on the running process and lifted again, is as a disk that is full for a while."""
    out = tmp_path / "run"
    process = subprocess.Popen(
        command(
            "train", "--data", shards, "--steps", 100_000, "--out", out, *TINY,
            *settings(train__checkpoint_every=200)
        ),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    try:
        wait_for(process, lambda: (out / "checkpoints/latest").exists())
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        size = (out / "metrics.jsonl").stat().st_size
        time.sleep(3)
        before = (out / "checkpoints/latest").resolve().name
        assert (out / "checkpoints/latest").exists(), "the last whole one stays"
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_for(process, lambda: (out / "checkpoints/latest").resolve().name != before)
        assert (out / "metrics.jsonl").stat().st_size > size
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 143
        assert errors.decode().count("the training goes on, and this is tried again") == 1, errors.decode()
    finally:
        process.kill()
        process.wait()
    # No line is lost or half.
    steps = [line["step"] for line in metrics(out, "train")]
    assert steps == list(range(1, len(steps) + 1))
    assert latest(out).name == f"step-{steps[-1]:08}"


def test_a_disk_that_stays_full_ends_with_73(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        command("train", "--data", shards, "--steps", 100_000, "--out", out, *TINY),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    try:
        wait_for(process, lambda: (out / "metrics.jsonl").exists() and (out / "metrics.jsonl").stat().st_size > 0)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 73
        assert "can't be written" in errors.decode()
    finally:
        process.kill()
        process.wait()


def wait_for(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    while not condition():
        assert process.poll() is None, f"it ended with {process.returncode}"
        time.sleep(0.01)
