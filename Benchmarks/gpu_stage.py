"""A stage of gpu_check.py: what it finds, written as it arrives, and the programs that it runs."""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from machine import say
from sides import ROOT

CARRIED = ROOT / ".build/gpu"
NO_INPUT, NO_DEVICE, TIMED_OUT = 66, 69, 124


class Stage:
    """Findings, written as they arrive."""

    def __init__(self, name: str, out: Path, seconds: float, tiny: bool) -> None:
        self.name, self.out, self.tiny = name, out, tiny
        self.deadline = time.monotonic() + seconds
        self.document: dict = {"stage": name, "tiny": tiny, "finished": False, "wrong": []}
        self.parts: list[str] = []
        out.mkdir(parents=True, exist_ok=True)
        self.save()

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def has_time(self, seconds: float, what: str) -> bool:
        if self.tiny or self.left > seconds:
            return True
        self.note(f"Skipped for want of time: {what}.")
        return False

    def note(self, text: str, **findings: object) -> None:
        """A sentence, for whoever watches, too."""
        say(f"{self.name}: {text}")
        self.write(text, **findings)

    def write(self, part: str, **findings: object) -> None:
        self.parts.append(part)
        self.keep(**findings)

    def keep(self, **findings: object) -> None:
        self.document |= findings
        self.save()

    def save(self) -> None:
        (self.out / f"{self.name}.json").write_text(json.dumps(self.document, indent=2) + "\n")
        title = f"# {self.name}" + (" (tiny, on the driver for tests: no measurement)" if self.tiny else "")
        (self.out / f"{self.name}.md").write_text("\n\n".join([title, self.verdict, *self.parts]) + "\n")

    @property
    def verdict(self) -> str:
        wrong = self.document["wrong"]
        state = "" if self.document["finished"] else "Not finished. "
        if not wrong:
            return f"{state}Nothing was found wrong."
        return "\n".join([f"{state}**{len(wrong)} wrong:**\n", *(f"- {what}" for what in wrong)])

    def fail(self, what: str) -> None:
        say(f"{self.name}: WRONG: {what}")
        self.document["wrong"].append(what)
        self.save()


def goal(value: float, floor: float, stretch: float | None = None) -> str:
    if value < floor:
        return "short"
    return "met, and the stretch" if stretch and value >= stretch else "met"


def carried(name: str) -> Path:
    """What `make gpu-program` has left, unpacked where that is newer."""
    path, packed = CARRIED / name, CARRIED / f"{name}.xz"
    if packed.exists() and not (path.exists() and path.stat().st_mtime >= packed.stat().st_mtime):
        with lzma.open(packed) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
        path.chmod(0o755)
    return path


def program(name: str) -> str:
    """From the environment, carried here, or built here."""
    given = os.environ.get(name.upper().replace("-", "_"))
    path = Path(given) if given else carried(name)
    if not given and not path.exists():
        path = ROOT / ".build/release" / name
    if not path.exists():
        say(f"{path} is missing: `make gpu-program` makes it, where Swift is")
        sys.exit(NO_INPUT)
    return str(path.absolute())


@dataclass(frozen=True)
class Ended:
    code: int
    output: str
    log: str

    @property
    def reason(self) -> str:
        """The last that it said of why it failed."""
        lines = [line.strip() for line in self.log.splitlines() if line.strip()] or [f"ended with {self.code}"]
        # Advice and traces may follow an error.
        errors = [line for line in lines if re.search(r"(Error|Exception|error)\b.*:", line)]
        return (errors if errors and self.code != TIMED_OUT else lines)[-1][:300]

    @property
    def lines(self) -> Iterator[dict]:
        """Its JSON lines; the last of a program that was ended may be cut."""
        for line in self.output.splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def run(stage: Stage, *command: object, limit: float = 1e9) -> Ended:
    """A program, which ends with the stage at the latest: a kernel that hangs must not hide what else was found."""
    seconds = max(5, min(limit, stage.left))
    # Files instead of pipes: helpers of a compiler may hold those open after their parent has ended.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=log, cwd=ROOT,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = TIMED_OUT
        finally:
            # Its helpers, too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        log.seek(0)
        said = log.read() + (f"\nnot done after {seconds:.0f} s" if code == TIMED_OUT else "")
        return Ended(code, output.read(), said)


def open_device(stage: Stage) -> None:
    """Says what Mayfly and the driver find, or ends."""
    ended = run(stage, program("mayfly"), "doctor", "--json", limit=60)
    found = json.loads(ended.output) if ended.code == 0 else {"gpu_problem": ended.reason}
    if found["gpu_problem"]:
        stage.note(f"No GPU for Mayfly: {found['gpu_problem']}.", doctor=found)
        sys.exit(NO_DEVICE)
    stage.note(f"Mayfly uses {found['uses']}.", doctor=found)
    query = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu"
    if shutil.which("nvidia-smi"):
        ended = run(stage, "nvidia-smi", f"--query-gpu={query}", "--format=csv", limit=30)
        if ended.code == 0:
            columns = zip(*(line.split(", ") for line in ended.output.splitlines()[:2]))
            described = "; ".join(f"{name.split(' [')[0]} {value}" for name, value in columns)
            stage.note(f"nvidia-smi: {described}.", nvidia_smi=described)
