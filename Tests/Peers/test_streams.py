"""stdout, stderr and signals belong to whoever started the program: closed, full or broken, they cause no crash."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import command, mayfly

CANNOT_WRITE = 73


def started(arguments: list[object], **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*arguments), stdin=subprocess.DEVNULL, timeout=120, **options)


@pytest.fixture(params=["doctor", "generate", "tokenize"])
def writer(request: pytest.FixtureRequest, run: Path, tmp_path: Path) -> list[object]:
    """A command that writes to stdout."""
    if request.param == "doctor":
        return ["doctor", "--json"]
    if request.param == "generate":
        return ["generate", run, "--prompt", "The", "--max-tokens", 20]
    (tmp_path / "text.txt").write_text("a text\n" * 50_000)
    return ["tokenize", run, "--file", tmp_path / "text.txt"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_stdout_is_an_error(writer: list[object]) -> None:
    with open("/dev/full", "wb") as full:
        done = started(writer, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == CANNOT_WRITE and b"stdout" in done.stderr


def test_a_closed_stdout_is_an_error(writer: list[object]) -> None:
    done = started(writer, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
    assert done.returncode == CANNOT_WRITE and b"stdout" in done.stderr


@pytest.mark.parametrize("action", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_reader_that_leaves_is_an_end(writer: list[object], action: signal.Handlers) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = started(
        writer, stdout=writing, stderr=subprocess.PIPE, restore_signals=False,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, action),
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def close_all() -> None:
    for descriptor in range(3):
        os.close(descriptor)


@pytest.mark.parametrize("closing", [close_all, lambda: os.close(2)], ids=["all closed", "stderr closed"])
def test_what_is_said_lands_in_no_file(
    data: Path, small: list[str], tmp_path: Path, closing: Callable[[], None]
) -> None:
    arguments = ["train", "--data", data, "--steps", 3, "--out", tmp_path / "run", *small]
    assert subprocess.run(command(*arguments), preexec_fn=closing, timeout=120).returncode == 0
    mayfly("eval", tmp_path / "run", "--data", data)
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert all(line.startswith("{") and line.endswith("}") for line in lines)


def test_training_goes_on_when_nobody_reads_what_it_says(data: Path, small: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = started(["train", "--data", data, "--steps", 3, "--out", tmp_path / "run", *small], stderr=writing)
    os.close(writing)
    assert done.returncode == 0


def test_a_terminal_that_closes_costs_nothing(data: Path, small: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        command("train", "--data", data, "--steps", 100_000, "--out", out, *small), stderr=subprocess.PIPE,
        # Under nohup it would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"step"):
            break
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGHUP
    mayfly("eval", out, "--data", data)
