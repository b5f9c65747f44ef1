"""A training on a terminal: a block at the end that is alive, and lines that stay above it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from support import command

TOKEN = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b.|.", re.DOTALL)


class Screen:
    """A terminal that knows what is needed: lines that break at its edge, and the cursor's way up."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0
        self.unknown: set[str] = set()

    def feed(self, text: str) -> None:
        for found in TOKEN.finditer(text):
            token, count, action = found.group(0), int(found.group(1) or 1), found.group(2)
            line = self.lines[self.row]
            if action == "A":
                self.row = max(0, self.row - count)
            elif action in ("K", "J"):
                self.lines[self.row] = line[: self.column]
                if action == "J":
                    del self.lines[self.row + 1 :]
            elif token.startswith("\x1b"):
                self.unknown.add(token)
            elif token == "\r":
                self.column = 0
            elif token == "\n":
                self.down()
            else:
                if self.column == self.columns:
                    self.down()
                    self.column = 0
                    line = self.lines[self.row]
                line = line.ljust(self.column)
                self.lines[self.row] = line[: self.column] + token + line[self.column + 1 :]
                self.column += 1

    def down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")


class Terminal:
    """The program in a terminal of its own."""

    def __init__(self, arguments: list[object], columns: int, term: str = "xterm-256color") -> None:
        self.fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            command(*arguments), stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
            env=os.environ | {"TERM": term},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inner)
        self.screen = Screen(columns)
        self.bytes = b""

    def read(self, seconds: float) -> bool:
        """False: the program has closed the terminal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    new = os.read(self.fd, 1 << 16)
                except OSError:
                    return False
                if not new:
                    return False
                self.bytes += new
        return True

    def shown(self) -> list[str]:
        self.screen.__init__(self.screen.columns)
        self.screen.feed(self.bytes.decode("utf-8", errors="ignore"))
        return self.screen.lines

    def wait_for(self, text: str) -> list[str]:
        deadline = time.monotonic() + 60
        while text not in "\n".join(self.shown()):
            assert time.monotonic() < deadline, self.shown()
            self.read(0.2)
        return self.shown()

    def end(self) -> int:
        while self.read(1):
            pass
        os.close(self.fd)
        return self.process.wait(60)


def arguments(data: Path, small: list[str], out: Path, steps: int) -> list[object]:
    return ["train", "--data", data, "--steps", steps, "--out", out, *small, "--set", "train.eval_every=1000"]


@pytest.mark.parametrize("columns", [80, 26])
def test_the_end_of_the_screen_is_alive_until_ctrl_c(
    data: Path, small: list[str], tmp_path: Path, columns: int
) -> None:
    terminal = Terminal(arguments(data, small, tmp_path / "run", 1_000_000), columns)
    terminal.wait_for("tokens/s")
    terminal.read(1.5)
    lines = terminal.shown()
    bar, loss, machine = lines[-3:]
    assert set(bar) & set("█░") and "%" in bar
    assert re.fullmatch(r" loss \d\.\d{3}  [▁▂▃▄▅▆▇█]+", loss)
    assert machine.startswith(" ") and "tokens/s" in machine and ("memory" in machine) == (columns == 80)
    assert all(len(line) < columns for line in (bar, loss, machine))
    assert sum("tokens/s" in line for line in lines) == 1, "it is drawn over, not again"
    os.write(terminal.fd, b"\x03")
    assert terminal.end() == 130
    lines = terminal.shown()
    assert "stopped and saved" in "\n".join(lines)[-250:].replace("\n", "")
    assert sum("tokens/s" in line for line in lines) == 1
    assert lines[-1] == "", "the shell's prompt has a line of its own"
    assert terminal.screen.unknown == set(), "nothing is left that must be put right"


def test_at_the_end_all_of_it_is_seen_as_done(data: Path, small: list[str], tmp_path: Path) -> None:
    terminal = Terminal(arguments(data, small, tmp_path / "run", 40), 100)
    assert terminal.end() == 0
    text = "\n".join(terminal.shown())
    assert "100 %" in text and "step 40" in text and "░" not in text


def test_a_terminal_that_cannot_go_up_gets_lines(data: Path, small: list[str], tmp_path: Path) -> None:
    terminal = Terminal(arguments(data, small, tmp_path / "run", 20), 80, term="dumb")
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.bytes and b"tokens/s" in terminal.bytes


def test_a_terminal_shows_control_characters_of_a_model_and_obeys_none(run: Path) -> None:
    asked = ["generate", run, "--prompt", "a\x1b[31mb\rc", "--max-tokens", 20]
    terminal = Terminal(asked, 80)
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.bytes and "a␛[31mb␍c" in terminal.bytes.decode()
    # A file gets the text as it is.
    piped = subprocess.run(command(*asked), capture_output=True, check=True).stdout
    assert piped.startswith(b"a\x1b[31mb\rc")
