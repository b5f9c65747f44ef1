"""What people see of a training: TensorBoard's own reader, and a training that nothing of it can stop."""

from __future__ import annotations

import math
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

from support import command, mayfly, metrics, settings

EVERY = settings(train__eval_every=10, train__checkpoint_every=10, train__keep_checkpoints=9)


def arguments(data: Path, out: Path, small: list[str], steps: int, *more: object) -> list[object]:
    return ["train", "--data", data, "--steps", steps, "--out", out, *small, *EVERY, *more]


def events(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE)
    found.Reload()
    return found


def assert_same_curves(run: Path) -> None:
    """TensorBoard shows each update and each evaluation of metrics.jsonl once, in order, with the same numbers."""
    found = events(run)
    names = ["loss", "accuracy", "learning_rate", "grad_norm", "tokens_per_second"]
    expected = {f"train/{name}": [(line["step"], line[name]) for line in metrics(run, "train")] for name in names}
    for name in ["loss", "accuracy", "bits_per_byte"]:
        expected[f"val/{name}"] = [(line["step"], line[name]) for line in metrics(run, "eval")]
    for part in metrics(run, "layers")[0]["weight_rms"]:
        tag = f"weight_rms/{part}"
        expected[tag] = [(line["step"], line["weight_rms"][part]) for line in metrics(run, "layers")]
    assert set(found.Tags()["scalars"]) == set(expected)
    for tag, values in expected.items():
        scalars = found.Scalars(tag)
        assert [scalar.step for scalar in scalars] == [step for step, _ in values], tag
        for scalar, (_, value) in zip(scalars, values):
            assert math.isclose(scalar.value, value, rel_tol=1e-6), tag


def test_tensorboard_shows_what_happened(data: Path, small: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    mayfly(*arguments(data, run, small, 30))
    assert_same_curves(run)
    found = events(run)
    samples = found.Tensors("samples")
    assert [sample.step for sample in samples] == [10, 20, 30]
    written = (run / "samples/step-00000030.txt").read_text()
    shown = samples[-1].tensor_proto.string_val[0].decode()
    assert [line.strip() for line in shown.strip().splitlines()] == [line.strip() for line in written.strip().splitlines()]
    assert "learning_rate: 0.003" in found.Tensors("settings")[0].tensor_proto.string_val[0].decode()
    assert found.SummaryMetadata("samples").plugin_data.plugin_name == "text"


def test_a_resumed_run_shows_no_step_twice(data: Path, small: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(command(*arguments(data, run, small, 100_000)), stderr=subprocess.DEVNULL)
    while not (run / "checkpoints/step-00000020").exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    # What the killed process had not written to its end is passed over.
    file = next(run.glob("events.out.tfevents.*"))
    os.truncate(file, file.stat().st_size - 3)
    done = max(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*"))
    mayfly(*arguments(data, run, small, done + 15, "--resume"))
    assert len(list(run.glob("events.out.tfevents.*"))) == 2
    steps = [scalar.step for scalar in events(run).Scalars("train/loss")]
    # The second before the kill may be lost, but nothing after the resume is.
    assert steps == sorted(set(steps)) and steps[-15:] == list(range(done + 1, done + 16))


def test_a_run_that_was_stopped_and_resumed_has_every_step(data: Path, small: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    mayfly(*arguments(data, run, small, 14))
    mayfly(*arguments(data, run, small, 26, "--resume"))
    assert_same_curves(run)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_for_events_stops_no_training(data: Path, small: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    # Two are there, so the next is the third.
    for number in (2, 3):
        (run / f"events.out.tfevents.00000{number}.mayfly").symlink_to("/dev/full")
    result = mayfly(*arguments(data, run, small, 30))
    said = [line for line in result.err.splitlines() if "TensorBoard" in line]
    assert len(said) == 1 and "No space left" in said[0] and "000003" in said[0]
    assert len(metrics(run, "train")) == 30
    assert metrics(run, "event")[-1]["name"] == "finished"


def test_events_that_cannot_be_made_stop_no_training(data: Path, small: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    # One is there, so the next is the second.
    (run / "events.out.tfevents.000002.mayfly").mkdir(parents=True)
    result = mayfly(*arguments(data, run, small, 12))
    assert sum("TensorBoard" in line for line in result.err.splitlines()) == 1
    assert len(metrics(run, "train")) == 12


def test_metrics_say_where_and_how_large(data: Path, small: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    mayfly(*arguments(data, run, small, 10))
    started, finished = metrics(run, "event")
    assert (started["name"], started["step"], finished["name"], finished["step"]) == ("started", 0, "finished", 10)
    assert started["device"].startswith("CPU") and started["parameters"] > 10_000
    layers = metrics(run, "layers")[-1]["weight_rms"]
    assert list(layers) == ["embedding", "layers.0", "layers.1", "head"]
    assert all(0.001 < size < 1 for size in layers.values())


def test_a_signal_leaves_whole_events(data: Path, small: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(command(*arguments(data, run, small, 100_000)), stderr=subprocess.DEVNULL)
    while not (run / "checkpoints/latest").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert_same_curves(run)
