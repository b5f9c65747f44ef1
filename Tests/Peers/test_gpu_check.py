"""`make gpu-check`, tried without a GPU: Mayfly on the CUDA driver for tests, PyTorch on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

DRIVER = ROOT / ".build/cuda-test-driver"


def check(stage: str, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "Benchmarks/gpu_check.py", stage, "--tiny", "--out", out],
        env=os.environ | {"MAYFLY": str(ROOT / ".build/release/mayfly")} | environment, capture_output=True, text=True,
        timeout=600)


@pytest.mark.parametrize("stage", ["bench", "train"])
def test_measures_both_sides(stage: str, tmp_path: Path) -> None:
    done = check(stage, tmp_path, MAYFLY_CUDA_PATH=str(DRIVER), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / f"{stage}.json").read_text())
    assert found["finished"] and found["wrong"] == []
    assert (tmp_path / f"{stage}.md").read_text() in done.stdout
    if stage == "bench":
        assert found["best"]["tiny"]["tokens_per_second"] > 0 and found["best"]["tiny"]["ratios"]
    else:
        assert {len(losses) for losses in found["losses"].values()} == {64} and abs(found["difference"]) < 0.05


def test_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    done = check("bench", tmp_path, MAYFLY_CUDA_PATH=str(tmp_path))
    assert done.returncode == 69 and "No GPU for Mayfly" in done.stderr
