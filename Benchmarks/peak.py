"""The processor's matrix peak: the fastest product that anybody computes here, in a loop, with all threads."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from machine import say
from sides import ROOT, pytorch, run

GEMM_BENCH = ROOT / ".build/gemm-bench/gemm_bench"
# The largest product of the 10.8M shape.
PRODUCT = "16384 × 1536 × 384"


def matrix_peaks(threads: int, seconds: float) -> dict[str, dict[str, float]]:
    """GFLOP/s by precision and by who computes."""
    peaks: dict[str, dict[str, float]] = {}

    def note(precision: str, who: str, gflops: float) -> None:
        known = peaks.setdefault(precision, {})
        known[who] = max(known.get(who, 0.0), gflops)

    for precision in ("fp32", "bf16"):
        ended = pytorch({"what": "matrix_peak", "precision": precision, "seconds": seconds}, threads)
        ended.require()
        note(precision, "torch.mm", json.loads(ended.output)["gflops"])
        if os.access(GEMM_BENCH, os.X_OK):
            for product in products(precision, threads, seconds):
                flops = 2e-9 * product["m"] * product["n"] * product["k"]
                note(precision, "Mayfly", flops / product["seconds"])
                note(precision, "oneDNN", flops / product["onednn_seconds"])
    return peaks


def products(precision: str, threads: int, seconds: float) -> list[dict]:
    """Our own and oneDNN's, side by side."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gemm.json"
        milliseconds = str(max(1, round(1000 * seconds / 10)))
        ended = run(
            [str(GEMM_BENCH), "--storage", precision, "--threads", str(threads), "--rounds", "3"]
            + ["--milliseconds", milliseconds, "--filter", PRODUCT, "--json", str(path)],
            OMP_NUM_THREADS=str(threads),
        )
        if ended.code != 0:
            # Not every processor, or oneDNN on it, has products of halves.
            say(f"gemm_bench --storage {precision} failed with {ended.code}: {ended.log.strip()[-200:]}")
            return []
        return json.loads(path.read_text())["products"]


def merged(one: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The larger of each."""
    return {
        precision: {
            who: max(one.get(precision, {}).get(who, 0.0), other.get(precision, {}).get(who, 0.0))
            for who in one.get(precision, {}) | other.get(precision, {})
        }
        for precision in one | other
    }


def peak_of(peaks: dict[str, dict[str, float]], precision: str) -> float:
    """Of a precision; where that is not known (auto), the highest."""
    best = {name: max(known.values()) for name, known in peaks.items()}
    return best.get(precision.removesuffix("-weights"), max(best.values()))
