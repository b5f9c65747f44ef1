"""`mayfly chat` in a terminal: what Ctrl-C and Ctrl-D do, and that earlier turns are remembered."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import command, mayfly, settings


class Terminal:
    """A program with a terminal of its own, whose keys are Ctrl-C and the like as a person's are."""

    def __init__(self, *arguments: object) -> None:
        self.descriptor, other = pty.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command(*arguments)], stdin=other, stdout=other, stderr=other)
        os.close(other)
        self.seen = ""

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def wait_for(self, text: str, timeout: float = 60) -> str:
        """What comes up to a text, and that."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.descriptor], [], [], left)[0], f"no {text!r} in {self.seen!r}"
            self.seen += self.read()
        found, self.seen = self.seen.split(text, 1)
        return found + text

    def read(self) -> str:
        try:
            return os.read(self.descriptor, 65536).decode("utf-8", "replace")
        except OSError:  # the other end is closed
            pytest.fail(f"the program ended with {self.process.wait()}: {self.seen!r}")

    def end(self) -> int:
        """The exit code; what came before it is in `seen`."""
        code = self.process.wait(60)
        while select.select([self.descriptor], [], [], 0)[0]:
            try:
                self.seen += os.read(self.descriptor, 65536).decode()
            except OSError:
                break
        return code


@pytest.fixture(scope="module")
def model(data: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hardly trained, it repeats itself where only the likeliest token is taken; there is room for a lot of that."""
    out = tmp_path_factory.mktemp("models") / "talkative"
    mayfly(
        "train", "--data", data, "--steps", 5, "--out", out, *small,
        *settings(model__max_position_embeddings=65536),
    )
    return out


@pytest.fixture
def terminal(model: Path) -> Iterator[Terminal]:
    terminal = Terminal("chat", model, "--max-tokens", 60000, "--temperature", 0, "--threads", 1)
    try:
        terminal.wait_for("> ")
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.descriptor)


INTERRUPT, END = "\x03", "\x04"


def test_interrupting_an_answer_ends_the_answer_alone(terminal: Terminal) -> None:
    for _ in range(2):
        terminal.press("Hello\n")
        terminal.wait_for("Hello\r\n")
        terminal.seen += terminal.read()  # the answer has begun
        terminal.press(INTERRUPT)
        terminal.wait_for("\r\n> ")
    terminal.press("/quit\n")
    assert terminal.end() == 0
    assert terminal.seen == "/quit\r\n"


def test_interrupting_a_message_ends_the_program(terminal: Terminal) -> None:
    terminal.press("Hel" + INTERRUPT)
    assert terminal.end() == 130
    assert terminal.seen.endswith("^C\r\n")  # of what was typed, the terminal forgets what nobody has read


def test_the_end_of_the_input_ends_the_program(terminal: Terminal) -> None:
    terminal.press(END)
    assert terminal.end() == 0
    assert terminal.seen == "\r\n"
