"""Trainings that benchmarks compare: prepared texts, runs in folders that are gone afterwards, results written as they come."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sides import MAYFLY, ROOT
from sides import run as run_command

# What the recipe was changed in last: its results are its own.
RECIPE = "no softcap"


class Results:
    """A file of JSON lines: what is there is not measured again."""

    def __init__(self, name: str) -> None:
        self.path = ROOT / "docs" / name
        self.lock = threading.Lock()

    def all(self) -> list[dict]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def add(self, result: dict) -> dict:
        with self.lock, self.path.open("a") as file:
            file.write(json.dumps(result) + "\n")
        return result


def raw(text: str, split: str = "train") -> Path:
    """One of the texts of Scripts/fetch-texts."""
    folder = ROOT / "data/texts" / text / split
    if not folder.exists():
        subprocess.run([ROOT / "Scripts/fetch-texts"], check=True)
    return folder


def prepared(text: str, vocabulary: int = 1024) -> Path:
    folder = ROOT / f"data/prepared/{text}-{vocabulary}"
    if not folder.exists():
        subprocess.run(
            [MAYFLY, "prepare", raw(text), "--out", folder, "--vocab-size", str(vocabulary)], check=True)
    return folder


@dataclass(frozen=True)
class Run:
    metrics: list[dict]
    config: dict
    """Of the model."""
    plan: dict | None
    """What a budget's plan chose."""

    whole: float | None
    """Bits per byte of the whole validation split at the end, of which a budget's evaluations look at a part."""

    @property
    def bits_per_byte(self) -> list[float]:
        """Of the validation split, on the way and at the end."""
        return [line["bits_per_byte"] for line in self.metrics if line["kind"] == "eval"]

    @property
    def tokens(self) -> int:
        return [line["tokens"] for line in self.metrics if line["kind"] == "train"][-1]


def mayfly(*arguments: object) -> str:
    """What it prints; where it fails, this program ends with its last words."""
    ended = run_command([str(MAYFLY), *map(str, arguments)])
    ended.require()
    return ended.output


def read_run(folder: Path, whole: float | None = None) -> Run:
    plan = folder / "plan.json"
    return Run(
        metrics=[json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()],
        config=json.loads((folder / "checkpoints/latest/config.json").read_text()),
        plan=json.loads(plan.read_text())["chosen"] if plan.exists() else None, whole=whole)


def train_into(run: Path, data: Path, *arguments: object, settings: dict[str, object] | None = None) -> None:
    sets = [word for key, value in (settings or {}).items() for word in ("--set", f"{key}={value}")]
    mayfly("train", "--data", data, "--out", run, *arguments, *sets)


def train(
    data: Path, *arguments: object, settings: dict[str, object] | None = None, evaluates: bool = False
) -> Run:
    with tempfile.TemporaryDirectory() as work:
        run = Path(work) / "run"
        train_into(run, data, *arguments, settings=settings)
        whole = None
        if evaluates:
            whole = json.loads(mayfly("eval", run, "--data", data, "--split", "val", "--json"))["bits_per_byte"]
        return read_run(run, whole)


def planned(data: Path, seconds: float, *arguments: object) -> dict:
    """What `mayfly plan` says of a budget."""
    return json.loads(mayfly("plan", "--data", data, "--budget", f"{seconds:g}s", "--json", *arguments))


Job = TypeVar("Job")


def on_each_core(work: Callable[[Job], None], jobs: Iterable[Job]) -> None:
    """Does jobs of one thread, as many at a time as there are cores to run on."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(work, jobs))
