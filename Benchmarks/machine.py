"""What a benchmark runs on."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def machine() -> dict[str, object]:
    try:
        info = Path("/proc/cpuinfo").read_text()
        names = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
        flags = next((line for line in info.splitlines() if line.startswith("flags")), "").split()
    except OSError:
        names, flags = [], []
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": cores(),
        "vector_units": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags],
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def vector_unit() -> str:
    """The widest that this machine computes with."""
    return (machine()["vector_units"] or ["none"])[-1]


def cores() -> int:
    """Physical ones that this process may use."""
    usable = os.sched_getaffinity(0)
    try:
        files = (Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in usable)
        return len({file.read_text() for file in files})
    except OSError:
        return len(usable)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
