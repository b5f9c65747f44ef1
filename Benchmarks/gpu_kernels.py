"""STAGE=kernels: whether everything is right on the card."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from gpu_stage import TIMED_OUT, Stage, open_device, program, run
from machine import say
from tables import table



def kernels(stage: Stage) -> None:
    open_device(stage)
    whole = stage.left
    check_program(stage, "operations", 0.4 * whole)
    check_program(stage, "training", 0.25 * whole)
    check_kernels(stage)


def check_program(stage: Stage, check: str, limit: float) -> None:
    """A part of gpu-check."""
    ended = run(stage, program("gpu-check"), check, limit=limit)
    found = list(ended.lines)

    def worst(precision: str) -> dict:
        # JSON has no infinity.
        return max(
            (f for f in found if f["precision"] == precision),
            key=lambda f: float("inf") if f["error"] is None else f["error"] / f["tolerance"])

    def error(case: dict) -> str:
        return "infinite" if case["error"] is None else f"{case['error']:.2g}"

    def row(precision: str) -> list[str]:
        passed = [f["passes"] for f in found if f["precision"] == precision]
        case = worst(precision)
        return [precision, str(len(passed)), str(sum(passed)), error(case), f"{case['tolerance']:.2g}", case["name"]]

    precisions = list(dict.fromkeys(f["precision"] for f in found))
    header = ["precision", "cases", "right", "worst error", "allowed", "case"]
    stage.write(
        f"## {check.capitalize()} beside the reference\n\n" + table(header, "lrrrrl", map(row, precisions)),
        **{check: found})
    wrong = [f for f in found if not f["passes"]]
    for f in wrong:
        stage.fail(f"{check}: {f['name']}, {f['precision']}: error {error(f)}, allowed {f['tolerance']:.2g}")
    if ended.code == TIMED_OUT:
        stage.note(f"**gpu-check {check} was ended** after {len(found)} cases, {ended.reason}: it is slow, or hangs.")
    elif ended.code != 0 and not (wrong and ended.code == 1):
        stage.fail(f"gpu-check {check}, after {len(found)} cases: {ended.reason}")
    say(f"{check}: {len(found) - len(wrong)} of {len(found)} right")


def check_kernels(stage: Stage) -> None:
    """Each kernel by itself."""
    if not stage.has_time(20, "each kernel by itself"):
        return
    report_file = stage.out / "kernels.xml"
    report_file.unlink(missing_ok=True)
    selected = ["-k", "norm"] if stage.tiny else []
    ended = run(
        stage, sys.executable, "-m", "pytest", "Tests/CUDAKernels", "-q", "--tb=short", f"--junitxml={report_file}",
        "-p", "no:cacheprovider", *selected)
    summary = (ended.output.strip().splitlines() or [ended.reason])[-1].strip("= ")
    stage.write(f"## Each kernel beside fp64\n\n`pytest Tests/CUDAKernels`: {summary}.", kernels=summary)
    say(f"kernels: {summary}")
    failed = list(failures(report_file)) if report_file.exists() else []
    for what in failed:
        stage.fail(what)
    if ended.code == TIMED_OUT:
        stage.note(f"Not all kernels were tested: {ended.reason}.")
    elif ended.code != 0 and not failed:
        stage.fail(f"pytest ended with {ended.code}: {(ended.output + ended.log).strip()[-500:]}")


def failures(report_file: Path) -> Iterator[str]:
    for case in ElementTree.parse(report_file).iter("testcase"):
        for problem in [*case.iter("failure"), *case.iter("error")]:
            message = (problem.get("message") or "").splitlines() or ["?"]
            yield f"{case.get('name')}: {message[0][:200]}"
