"""`mayfly runs`: run folders as tables and as JSON, also broken ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support import command, mayfly, metrics, settings

EVERY = settings(train__eval_every=10)


@pytest.fixture(scope="module")
def runs(data: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, and what else may lie beside them."""
    folder = tmp_path_factory.mktemp("runs")
    mayfly("train", "--data", data, "--steps", 20, "--out", folder / "a-2", *small, *EVERY)
    mayfly(
        "train", "--data", data, "--steps", 40, "--out", folder / "a-10", *small, *EVERY,
        *settings(train__learning_rate=1e-3),
    )
    (folder / "notes").mkdir()
    (folder / "notes.txt").write_text("none")
    (folder / "broken").mkdir()
    (folder / "broken/run.yaml").write_text("train: [")
    shutil.copytree(folder / "a-2", folder / "half")
    lines = (folder / "half/metrics.jsonl").read_bytes()
    (folder / "half/metrics.jsonl").write_bytes(b"\xff\xfe\n" + lines[: len(lines) - 20])
    return folder


def test_list(runs: Path) -> None:
    found = {run["name"]: run for run in mayfly("runs", "list", runs, "--json").json["runs"]}
    assert list(found) == ["a-2", "a-10", "broken", "half"]
    assert [run["state"] for run in found.values()] == ["finished", "finished", "broken", "stopped"]
    for name, steps in (("a-2", 20), ("a-10", 40)):
        evals = metrics(runs / name, "eval")
        best = min(evals, key=lambda line: line["loss"])
        expected = {
            "steps": steps, "tokens": steps * 8 * 64, "val_loss": evals[-1]["loss"], "best_val_loss": best["loss"],
            "best_step": best["step"], "best_bits_per_byte": best["bits_per_byte"], "problems": [],
            "parameters": metrics(runs / name, "event")[0]["parameters"],
        }
        assert {key: found[name][key] for key in expected} == expected
    assert found["broken"]["steps"] is None and "run.yaml" in found["broken"]["problems"][0]
    assert found["half"]["steps"] == 20 and "2 broken lines" in found["half"]["problems"][0]
    result = mayfly("runs", "list", runs)
    rows = result.out.splitlines()
    assert len(rows) == 5 and "finished" in rows[1] and f"{found['a-2']['best_val_loss']:.4f}" in rows[1]
    assert "broken/run.yaml" in result.err and "2 broken lines" in result.err


def test_list_is_what_runs_does_in_its_folder(runs: Path, tmp_path: Path) -> None:
    done = subprocess.run(command("runs"), cwd=runs.parent, capture_output=True, text=True)
    assert done.returncode == 65 and "runs" in done.stderr
    (tmp_path / "runs").symlink_to(runs)
    done = subprocess.run(command("runs"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "a-10" in done.stdout


def test_show(runs: Path) -> None:
    shown = mayfly("runs", "show", runs / "a-10", "--json").json
    assert shown["settings"]["train.learning_rate"] == "0.001" and "train.seed" not in shown["settings"]
    assert [line["step"] for line in shown["evaluations"]] == [10, 20, 30, 40]
    assert shown["checkpoints"] == [{"step": 40, "links": ["latest", "best"]}]
    assert shown["events"] == {}
    text = mayfly("runs", "show", runs / "a-10").out
    assert "█" in text and "step 40: latest, best" in text and "train.learning_rate" in text
    assert "broken" in mayfly("runs", "show", runs / "broken").out
    assert "notes" in mayfly("runs", "show", runs / "notes", code=65).err
    assert "gone" in mayfly("runs", "show", runs / "gone", code=65).err


def test_compare(runs: Path) -> None:
    found = mayfly("runs", "compare", runs / "a-2", runs / "a-10", "--json").json
    assert found["settings"] == {"train.learning_rate": ["0.003", "0.001"], "train.steps": ["20", "40"]}
    at = found["at_equal_tokens"]
    assert at["tokens"] == 20 * 8 * 64
    first, second = ({line["step"]: line["loss"] for line in metrics(runs / name, "eval")} for name in ("a-2", "a-10"))
    assert at["val_loss"] == [first[20], second[20]]
    assert at["train_loss"] == [metrics(runs / name, "train")[19]["loss"] for name in ("a-2", "a-10")]
    assert 0 < found["at_equal_time"]["elapsed_seconds"] <= min(run["elapsed_seconds"] for run in found["runs"])
    text = mayfly("runs", "compare", runs / "a-2", runs / "a-10").out
    assert "train.learning_rate" in text and "at 10.2k tokens" in text and "hidden_size" not in text
    assert json.loads(mayfly("runs", "compare", runs / "a-2", runs / "broken", "--json").out)["at_equal_time"] is None
    mayfly("runs", "compare", runs / "a-2", code=64)


def test_a_run_at_work_is_running(data: Path, small: list[str], tmp_path: Path) -> None:
    arguments = ["train", "--data", data, "--steps", 100_000, "--out", tmp_path / "runs/now", *small]
    process = subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / "runs/now/metrics.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.05)
        [run] = mayfly("runs", "list", tmp_path / "runs", "--json").json["runs"]
        assert run["state"] == "running"
    finally:
        process.kill()
        process.wait()
    [run] = mayfly("runs", "list", tmp_path / "runs", "--json").json["runs"]
    assert run["state"] in ("stopped", "broken")


def test_losses_at_the_ends_of_floating_point(runs: Path, tmp_path: Path) -> None:
    """What others have written into a log is drawn, or left out: never a crash."""
    for number, losses in enumerate([(1e308, -1e308), (5e-324, 0), (1e308,) * 200]):
        folder = tmp_path / f"{number}"
        shutil.copytree(runs / "a-2", folder)
        line = metrics(folder, "train")[0]
        with (folder / "metrics.jsonl").open("a") as log:
            for step, loss in enumerate(losses):
                log.write(json.dumps(line | {"step": 21 + step, "loss": loss}) + "\n")
        assert "loss" in mayfly("runs", "show", folder).out
