"""What a real card does with Mayfly: is it right, how fast is it beside PyTorch, does it learn as PyTorch does?

    make gpu-probe                      the card and its rates, PyTorch's baseline
    make gpu-check STAGE=kernels        every operation, short trainings, every kernel, beside references
    make gpu-check STAGE=bench          GPT-2 of 124M, 350M and 1.5B parameters beside PyTorch
    make gpu-check STAGE=train          three minutes of 124M beside PyTorch's losses on the same tokens

Needs PyTorch and pytest for the Python that runs it. A stage ends within its --seconds, the most important things
first, and writes STAGE.json and STAGE.md as it goes. It fails (1) only where something is wrong; a missed goal is said.
Without a GPU it ends with 69, without what it runs or reads with 66. `--tiny` tries it all without a GPU: Mayfly on the
CUDA driver for tests, which MAYFLY_CUDA_PATH names, PyTorch on the CPU.
"""

from __future__ import annotations

import argparse
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
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median

from machine import say
from sides import ROOT, write_random_shard
from tables import table

CARRIED = ROOT / ".build/gpu"
PEER = Path(__file__).with_name("gpu_peer.py")
NO_INPUT, NO_DEVICE, TIMED_OUT = 66, 69, 124
# Dense bf16 (Turing: fp16) TFLOP/s of data sheets.
PEAKS = {"H100 PCIe": 756, "H100": 989, "H200": 989, "A100": 312, "RTX 4090": 165.2, "L4": 121, "T4": 65}
GIB = 2**30


@dataclass(frozen=True)
class Shape:
    name: str
    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    parameters: float
    batches: tuple[int, ...]  # micro-batches to try, the largest first
    context: int = 1024
    vocab_size: int = 50_257

    @property
    def flops_per_token(self) -> float:
        """6 per parameter, and attention's causal half."""
        return 6 * self.parameters + 6 * self.num_hidden_layers * self.context * self.hidden_size

    def asked(self, batch: int) -> dict:
        """For gpu_peer.py."""
        sizes = {key: value for key, value in asdict(self).items() if key not in ("name", "parameters", "batches")}
        return sizes | {"max_position_embeddings": self.context, "batch_size": batch}

    def settings(self, batch: int, **more: object) -> list[str]:
        values = {
            "model.architecture": "gpt2", "model.num_hidden_layers": self.num_hidden_layers,
            "model.hidden_size": self.hidden_size, "model.num_attention_heads": self.num_attention_heads,
            "model.max_position_embeddings": self.context, "model.vocab_size": self.vocab_size,
            "train.context": self.context, "train.batch_size": batch, "train.optimizer": "adamw",
            "train.learning_rate": 1e-3, "train.weight_decay": 0.1, "train.betas": "[0.9, 0.95]",
            "train.grad_clip": 1.0,
        } | {key.replace("__", "."): value for key, value in more.items()}
        return [argument for key, value in values.items() for argument in ("--set", f"{key}={value}")]


SHAPES = [
    Shape("124M", 12, 768, 12, 124.44e6, (64, 32, 16)),
    Shape("350M", 24, 1024, 16, 354.82e6, (32, 16, 8)),
    Shape("1.5B", 48, 1600, 25, 1557.6e6, (16, 8, 4)),
]
TINY = Shape("tiny", 1, 64, 2, 0.1e6, (4, 2), context=32, vocab_size=300)


@dataclass(frozen=True)
class Mode:
    """One of PyTorch's; see gpu_peer.py."""

    weights: str  # fp32 with autocast, or bf16 with an fp32 copy
    attention: str
    compiled: str = "model"

    @property
    def name(self) -> str:
        weights = "autocast" if self.weights == "fp32" else "bf16 weights"
        return f"{weights}, {self.attention}, {self.compiled} compiled"


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


# --- Programs ---------------------------------------------------------------------------------------------------------


def program(name: str) -> str:
    """From the environment, carried here, or built here."""
    given = os.environ.get(name.upper().replace("-", "_"))
    carried, packed = CARRIED / name, CARRIED / f"{name}.xz"
    if not given and packed.exists() and not (carried.exists() and carried.stat().st_mtime >= packed.stat().st_mtime):
        with lzma.open(packed) as source, carried.open("wb") as target:
            shutil.copyfileobj(source, target)
        carried.chmod(0o755)
    path = given or str(carried if carried.exists() else ROOT / ".build/release" / name)
    if not shutil.which(path):
        say(f"{path} is missing: `make gpu-program` makes it, where Swift is")
        sys.exit(NO_INPUT)
    return path


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


def mayfly_bench(stage: Stage, shape: Shape, batch: int, steps: int) -> dict:
    """Its JSON, or {"missing": reason}: where memory or time is short, that is a finding; all else is wrong."""
    ended = run(
        stage, program("mayfly"), "bench", "--json", "--device", "cuda", "--precision", "bf16", "--steps", steps,
        *shape.settings(batch), limit=150)
    if ended.code == 0:
        return json.loads(ended.output)
    if ended.code != TIMED_OUT and "can't be had" not in ended.reason:
        stage.fail(f"mayfly bench, {shape.name}, batch {batch}: {ended.reason}")
    return {"missing": ended.reason}


def peer(stage: Stage, **asked: object) -> dict:
    """PyTorch's answer, or {"missing": reason}."""
    ended = run(stage, sys.executable, PEER, json.dumps(asked | {"device": "cpu" if stage.tiny else "cuda"}))
    return json.loads(ended.output.splitlines()[-1]) if ended.code == 0 else {"missing": ended.reason}


# --- The card ---------------------------------------------------------------------------------------------------------


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


def measure_rates(stage: Stage) -> dict:
    size, count = (256, 1 << 20) if stage.tiny else (8192, 4 << 30)
    found = peer(stage, what="rates", size=size, bytes=count)
    if "missing" in found:
        stage.note(f"PyTorch can't be measured: {found['missing']}.", rates=found)
    else:
        stage.note(
            f"{found['device']}, PyTorch {found['version']}: {found['product_tflops']:,.1f} TFLOP/s of bf16 products "
            f"of {size}³, {found['copy_gb_per_second']:,.0f} GB/s copied on the device (read and written).", rates=found)
    return found


# --- probe ------------------------------------------------------------------------------------------------------------


def probe(stage: Stage) -> None:
    open_device(stage)
    measure_rates(stage)
    ended = run(stage, program("gpu-check"), "products", *((64, 64, 300) if stage.tiny else (16384, 768, 50257)))
    products = list(ended.lines)
    if products:
        rows = [
            [p["name"], f"{p['rows']:,}", f"{p['from']:,}", f"{p['to']:,}", f"{1e3 * p['seconds']:.3f}",
             f"{p['tflops']:,.1f}"]
            for p in products
        ]
        stage.write(
            f"Mayfly's matrix products as training runs them, {products[0]['precision']}:\n\n"
            + table(["product", "rows", "from", "to", "ms", "TFLOP/s"], "lrrrrr", rows), products=products)
    if ended.code != 0:
        stage.fail(f"gpu-check products: {ended.reason}")
    shape = TINY if stage.tiny else SHAPES[0]
    for mode in (Mode("fp32", "cudnn"), Mode("fp32", "flash")):
        if stage.has_time(60, f"PyTorch, {mode.name}"):
            measure_peer(stage, shape, shape.batches[1], mode)
    stage.write(f"PyTorch's baseline:\n\n{runs_table(stage, shape)}")


# --- kernels ----------------------------------------------------------------------------------------------------------


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

    def row(precision: str) -> list[str]:
        passed = [f["passes"] for f in found if f["precision"] == precision]
        case = worst(precision)
        error = "infinite" if case["error"] is None else f"{case['error']:.2g}"
        return [precision, str(len(passed)), str(sum(passed)), error, f"{case['tolerance']:.2g}", case["name"]]

    precisions = list(dict.fromkeys(f["precision"] for f in found))
    header = ["precision", "cases", "right", "worst error", "allowed", "case"]
    stage.write(
        f"## {check.capitalize()} beside the reference\n\n" + table(header, "lrrrrl", map(row, precisions)),
        **{check: found})
    wrong = [f for f in found if not f["passes"]]
    for f in wrong:
        stage.fail(f"{check}: {f['name']}, {f['precision']}: error {f['error']}, allowed {f['tolerance']}")
    if ended.code != 0 and not (wrong and ended.code == 1):
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


# --- bench ------------------------------------------------------------------------------------------------------------


@dataclass
class Best:
    """A side's fastest, and what was measured of it."""

    batch: int
    mode: Mode | None
    found: list[dict]

    @property
    def rate(self) -> float:
        return median(found["tokens_per_second"] for found in self.found)


def report(stage: Stage, shape: Shape, side: str, batch: int, found: dict) -> None:
    speed = found.get("missing") or f"{found['tokens_per_second']:,.0f} tokens/s"
    say(f"{stage.name}: {shape.name}, batch {batch}, {side}: {speed}")
    stage.document.setdefault("runs", []).append({"shape": shape.name, "side": side, "batch": batch} | found)
    stage.save()


def runs_table(stage: Stage, shape: Shape) -> str:
    def row(found: dict) -> list[str]:
        if "missing" in found:
            return [found["side"], str(found["batch"]), found["missing"], ""]
        peak = found.get("peak_bytes") or found.get("device_memory", {}).get("reported_bytes")
        memory = f"{peak / GIB:.2f}" if peak else ""
        return [found["side"], str(found["batch"]), f"{found['tokens_per_second']:,.0f}", memory]

    rows = [row(found) for found in stage.document.get("runs", []) if found["shape"] == shape.name]
    return table(["run", "batch", "tokens/s", "GiB"], "lrrr", rows)


def measure_mayfly(stage: Stage, shape: Shape, batch: int) -> dict:
    found = mayfly_bench(stage, shape, batch, 2 if stage.tiny else 20)
    report(stage, shape, "Mayfly", batch, found)
    return found


def measure_peer(stage: Stage, shape: Shape, batch: int, mode: Mode) -> dict:
    found = peer(stage, what="speed", steps=2 if stage.tiny else 10, **asdict(mode), **shape.asked(batch))
    report(stage, shape, f"PyTorch, {mode.name}", batch, found)
    return found


def best_mayfly(stage: Stage, shape: Shape) -> Best | None:
    """The fastest batch: smaller ones are tried for as long as they are faster."""
    best = None
    for batch in shape.batches:
        if not stage.has_time(40, f"{shape.name}, Mayfly, batch {batch}"):
            break
        found = measure_mayfly(stage, shape, batch)
        if "missing" in found:
            continue
        if best and found["tokens_per_second"] <= best.rate:
            break
        best = Best(batch, None, [found])
        if shape is not SHAPES[0]:
            break  # time is short: the largest that fits
    return best


def best_peer(stage: Stage, shape: Shape, modes: list[Mode]) -> Best | None:
    """The fastest of these modes, the last of them with the attention that was faster, each with the largest batch."""
    best, batches = None, list(shape.batches)
    for mode in modes:
        if best and best.mode and mode.weights != best.mode.weights:
            mode = Mode(mode.weights, best.mode.attention, mode.compiled)
        for batch in list(batches):
            if not stage.has_time(70, f"{shape.name}, PyTorch, {mode.name}, batch {batch}"):
                return best
            found = measure_peer(stage, shape, batch, mode)
            if "missing" in found:
                if "out of memory" not in found["missing"].lower():
                    break  # isn't a matter of size
                batches.remove(batch)
                continue
            batches = [batch, *(size for size in batches if size < batch)]
            if best is None or found["tokens_per_second"] > best.rate:
                best = Best(batch, mode, [found])
            break
    return best


def smaller_peer(stage: Stage, shape: Shape, best: Best) -> Best:
    """The same mode with the next batch, where that is faster."""
    smaller = [batch for batch in shape.batches if batch < best.batch]
    if not smaller or not best.mode or not stage.has_time(200, f"{shape.name}, PyTorch with a smaller batch"):
        return best
    found = measure_peer(stage, shape, smaller[0], best.mode)
    faster = found.get("tokens_per_second", 0) > best.rate
    return Best(smaller[0], best.mode, [found]) if faster else best


def bench(stage: Stage) -> None:
    open_device(stage)
    rates = measure_rates(stage)
    attention, weights = "cudnn", "fp32"
    for index, shape in enumerate([TINY] if stage.tiny else SHAPES):
        if not stage.has_time(60, shape.name):
            continue
        # A model compiled whole takes this long for its layers.
        parts = "model" if stage.tiny or stage.left > 60 + 20 * shape.num_hidden_layers else "blocks"
        first = [Mode("fp32", "flash", parts), Mode("fp32", "cudnn", parts), Mode("bf16", "cudnn", parts)]
        mine = best_mayfly(stage, shape)
        theirs = best_peer(stage, shape, first if index == 0 else [Mode(weights, attention, parts)])
        if mine is None or theirs is None or theirs.mode is None:
            stage.write(f"## {shape.name}\n\nNo comparison: a side is missing.\n\n{runs_table(stage, shape)}")
            continue
        attention, weights = theirs.mode.attention, theirs.mode.weights
        if index == 0:
            theirs = smaller_peer(stage, shape, theirs)
            alternate(stage, shape, mine, theirs)
        compare(stage, shape, mine, theirs, rates)


def alternate(stage: Stage, shape: Shape, mine: Best, theirs: Best) -> None:
    """Two more rounds."""
    for number in (2, 3):
        if not stage.has_time(60, f"{shape.name}, round {number}"):
            return
        pair = measure_mayfly(stage, shape, mine.batch), measure_peer(stage, shape, theirs.batch, theirs.mode)
        if not any("missing" in found for found in pair):
            mine.found.append(pair[0])
            theirs.found.append(pair[1])


def goal(value: float, floor: float, stretch: float | None = None) -> str:
    if value < floor:
        return "short"
    return "met, and the stretch" if stretch and value >= stretch else "met"


def peak_of(device: str) -> float | None:
    return next((peak for name, peak in PEAKS.items() if re.search(rf"\b{name}\b", device)), None)


def compare(stage: Stage, shape: Shape, mine: Best, theirs: Best, rates: dict) -> None:
    ratios = [m["tokens_per_second"] / t["tokens_per_second"] for m, t in zip(mine.found, theirs.found)]
    ratio, last = median(ratios), mine.found[-1]
    tflops = mine.rate * shape.flops_per_token / 1e12
    peak, product = peak_of(rates.get("device", "")), rates.get("product_tflops")
    planned, taken = (last["device_memory"][f"{kind}_bytes"] for kind in ("planned", "reported"))
    more, idle = taken / planned - 1, last["idle_share"]
    on_goal = shape is SHAPES[0]
    rows = [
        ["Mayfly, tokens/s", f"**{mine.rate:,.0f}**", f"batch {mine.batch}; runs: {len(mine.found)}",
         f"≥ 554,000, stretch 677,000: {goal(mine.rate, 554e3, 677e3)}" if on_goal else ""],
        ["PyTorch, tokens/s", f"{theirs.rate:,.0f}", f"{theirs.mode.name}; batch {theirs.batch}", ""],
        ["ratio", f"**{ratio:.2f}**", f"{min(ratios):.2f} to {max(ratios):.2f}",
         f"≥ 1.1, stretch 1.25: {goal(ratio, 1.1, 1.25)}"],
        ["TFLOP/s", f"{tflops:,.1f}", f"{share(tflops, peak)} of the peak, {share(tflops, product)} of torch.mm's", ""],
        ["memory planned, GiB", f"{planned / GIB:.2f}", f"taken {taken / GIB:.2f}, {more:+.1%}",
         f"within 5 %: {goal(0.05, abs(more))}"],
        ["idle", f"{idle:.2%}", "", f"< 1 %: {goal(0.01, idle)}"],
    ]
    total = last["profiled_seconds"]
    operations = [
        [o["kind"], str(o["calls"]), f"{1e3 * o['seconds']:.3f}", f"{o['seconds'] / total:.1%}",
         f"{o['flops'] / o['seconds'] / 1e12:,.0f}" if o["flops"] and o["seconds"] else ""]
        for o in last["operations"]
    ]
    operations.append(["other", "", f"{1e3 * last['other_seconds']:.3f}", f"{last['other_seconds'] / total:.1%}", ""])
    stage.write(
        f"## {shape.name}\n\n" + table(["", "", "", "goal"], "lrll", rows) + "\n\nAll runs:\n\n"
        + runs_table(stage, shape) + f"\n\nMayfly's update of {1e3 * last['seconds']:.1f} ms by operation, each "
        f"waited for ({1e3 * total:.1f} ms in all):\n\n"
        + table(["operation", "calls", "ms", "share", "TFLOP/s"], "lrrrr", operations))
    stage.document.setdefault("best", {})[shape.name] = {
        "tokens_per_second": mine.rate, "batch": mine.batch, "pytorch_tokens_per_second": theirs.rate,
        "pytorch_batch": theirs.batch, "pytorch_mode": theirs.mode.name, "ratios": ratios, "tflops": tflops,
        "memory_beyond_plan": more, "idle_share": idle,
    }
    stage.save()
    say(f"{stage.name}: {shape.name}: {mine.rate:,.0f} tokens/s, {ratio:.2f} of PyTorch's")


def share(rate: float, whole: float | None) -> str:
    return f"{rate / whole:.0%}" if whole else "unknown share"


# --- train ------------------------------------------------------------------------------------------------------------


def train(stage: Stage) -> None:
    """Mayfly for a good third of the time; then the first part of that by PyTorch, which also compiles, twice."""
    open_device(stage)
    with tempfile.TemporaryDirectory() as folder:
        work, shape = Path(folder), TINY if stage.tiny else SHAPES[0]
        shard = CARRIED / "tokens.bin"
        if stage.tiny:
            shard = work / "tokens.bin"
            write_random_shard(shard, shape.vocab_size, 20_000)
        if not shard.exists():
            stage.note(f"{shard} is missing: `make gpu-program` makes it, where Mayfly is built.")
            sys.exit(NO_INPUT)
        batch = best_batch(stage, shape)
        lines = train_mayfly(stage, shape, batch, shard, work / "run")
        if not lines:
            return
        rates = work / "rates.json"
        rates.write_text(json.dumps([line["learning_rate"] for line in lines]))
        curves = train_peers(stage, shape, batch, shard, rates, len(lines))
        compare_curves(stage, [line["loss"] for line in lines], curves)


def best_batch(stage: Stage, shape: Shape) -> int:
    """As the stage `bench` found."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return json.loads((stage.out / "bench.json").read_text())["best"][shape.name]["batch"]
    return shape.batches[1]


def train_mayfly(stage: Stage, shape: Shape, batch: int, shard: Path, out: Path) -> list[dict]:
    """The lines of its metrics."""
    whole = stage.left
    measured = mayfly_bench(stage, shape, batch, 2 if stage.tiny else 10)
    if "missing" in measured:
        stage.note(f"Mayfly, batch {batch}: {measured['missing']}.")
        return []
    steps = 64 if stage.tiny else max(8, int(0.36 * whole / measured["seconds"]))
    ended = run(
        stage, program("mayfly"), "train", "--data", shard, "--steps", steps, "--out", out, "--device", "cuda",
        "--precision", "bf16", *shape.settings(
            batch, data__order="sequential", train__schedule="cosine", train__min_lr_ratio=0.1,
            train__warmup_steps=min(100, steps // 4), train__learning_rate=6e-4),
        limit=0.5 * whole)
    metrics = out / "metrics.jsonl"
    lines = list(Ended(0, metrics.read_text(), "").lines) if metrics.exists() else []
    lines = [line for line in lines if line["kind"] == "train"]
    if ended.code == TIMED_OUT:
        stage.note(f"Mayfly was ended after {len(lines)} of {steps} updates: {ended.reason}.")
    elif ended.code != 0:
        stage.fail(f"mayfly train, after {len(lines)} updates: {ended.reason}")
    if lines:
        steady = lines[len(lines) // 10 :]
        seconds = sum(shape.context * batch / line["tokens_per_second"] for line in steady)
        waited = sum(line["data_wait_seconds"] for line in steady) / seconds
        rate = len(steady) * shape.context * batch / seconds
        stage.note(
            f"Mayfly, {shape.name}, batch {batch}: {len(lines)} updates in {lines[-1]['elapsed_seconds']:.0f} s, "
            f"{rate:,.0f} tokens/s (`mayfly bench`: {measured['tokens_per_second']:,.0f}), last loss "
            f"{mean(line['loss'] for line in lines[-20:]):.3f}. Waiting for data: {waited:.2%} of the time; goal < 1 %: "
            f"{goal(0.01, waited)}.",
            losses={"Mayfly": [line["loss"] for line in lines]}, data_wait_share=waited, tokens_per_second=rate)
    return lines


def train_peers(stage: Stage, shape: Shape, batch: int, shard: Path, rates: Path, steps: int) -> list[list[float]]:
    """PyTorch's losses with each seed, of as many updates as there is time for."""
    curves: list[list[float]] = []
    for seed in (1, 2):
        # What is left after starting and compiling: the second finds what the first has compiled.
        seconds = (stage.left - 110) / 2 if seed == 1 else stage.left - 45
        if not stage.has_time(60, f"PyTorch, seed {seed}"):
            break
        asked = shape.asked(batch) | {"rates": str(rates), "steps": steps, "shard": str(shard), "seed": seed}
        found = peer(stage, what="curve", seconds=max(10, seconds), **asdict(Mode("fp32", "flash")), **asked)
        if "missing" in found:
            stage.note(f"PyTorch, seed {seed}: {found['missing']}.")
            continue
        curves.append(found["losses"])
        steps = len(found["losses"])
        stage.document["losses"][f"PyTorch, seed {seed}"] = found["losses"]
        stage.note(f"PyTorch, seed {seed}: {steps} updates.")
    return curves


def compare_curves(stage: Stage, ours: list[float], curves: list[list[float]]) -> None:
    if not curves:
        return stage.note("No comparison: PyTorch's losses are missing.")
    common = min(map(len, [ours, *curves]))
    width = max(1, common // 8)
    rows, difference, spread = [], 0.0, 0.0
    for end in range(common - common // width * width + width, common + 1, width):
        window = slice(end - width, end)
        mine, others = mean(ours[window]), [mean(curve[window]) for curve in curves]
        difference, spread = mine - mean(others), max(others) - min(others)
        values = [f"{value:.4f}" for value in (mine, *others)]
        rows.append([f"{end - width + 1}–{end}", *values, f"{difference:+.4f}", f"{spread:.4f}"])
    names = [f"PyTorch, seed {number + 1}" for number in range(len(curves))]
    header = ["updates", "Mayfly", *names, "difference", "spread"]
    stage.write(
        f"Mean losses of the {common} updates that all have made, {common / len(ours):.0%} of Mayfly's; the same tokens "
        "in the same order, the same learning rates. The difference is from PyTorch's mean, the spread between its "
        "seeds.\n\n" + table(header, "l" + "r" * (3 + len(names)), rows), difference=difference, spread=spread)
    if len(curves) < 2:
        return stage.note("With one seed of PyTorch there is no spread to judge the difference by.")
    allowed = 3 * spread + 0.02
    verdict = f"In the last window Mayfly's loss is {difference:+.4f} from PyTorch's; allowed are ±{allowed:.4f}"
    stage.note(f"{verdict} (three spreads and 0.02).")
    if abs(difference) > allowed:
        stage.fail(verdict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = {"probe": probe, "kernels": kernels, "bench": bench, "train": train}
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--seconds", type=float, default=450)
    parser.add_argument("--out", type=Path, default=CARRIED / "results", help="a folder")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try this where there is no GPU")
    options = parser.parse_args()
    # PyTorch's libraries serve us, too, where the machine has no others; the kernels' tests must take the real ones.
    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
    os.environ.setdefault("MAYFLY_CUDA_PATH", "")
    stage = Stage(options.stage, options.out.absolute(), options.seconds, options.tiny)
    try:
        stages[options.stage](stage)
        stage.keep(finished=True)
    finally:
        say(f"written to {options.out}/{options.stage}.json and .md")
    print((options.out / f"{options.stage}.md").read_text())
    sys.exit(1 if stage.document["wrong"] else 0)


if __name__ == "__main__":
    main()
