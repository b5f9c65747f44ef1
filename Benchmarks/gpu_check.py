"""What a real card does with Mayfly: is it right, how fast is it beside PyTorch, does it learn as PyTorch does?

    make gpu-probe                      the card and its rates, PyTorch's baseline
    make gpu-check STAGE=kernels        every kernel, every operation, short trainings, beside references
    make gpu-check STAGE=bench          GPT-2 of 124M, 350M and 1.5B parameters beside PyTorch
    make gpu-check STAGE=train          three minutes of 124M beside PyTorch's losses on the same tokens

Needs PyTorch and pytest for the Python that runs it. A stage ends within its --seconds, the most important things first,
and writes STAGE.json and STAGE.md as it goes. It fails only where something is wrong; a goal that is missed is said.
`--tiny` tries it all without a GPU, on the CUDA driver for tests.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, median

from machine import say
from sides import ROOT, write_random_shard
from tables import table

CARRIED = ROOT / ".build/gpu"
PEER = Path(__file__).with_name("gpu_peer.py")
NO_DEVICE = 69
# Dense bf16 (Turing: fp16) TFLOP/s of data sheets.
PEAKS = {"H100": 989, "H200": 989, "A100": 312, "4090": 165.2, "3090": 71, "L40S": 362, "L4": 121, "T4": 65}


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
            "train.learning_rate": 1e-3, "train.weight_decay": 0.1, "train.betas": "[0.9, 0.95]", "train.grad_clip": 1.0,
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
    """One of PyTorch's."""

    weights: str  # fp32 with autocast, or bf16 with an fp32 copy
    attention: str

    @property
    def name(self) -> str:
        return f"compiled, {'autocast' if self.weights == 'fp32' else 'bf16 weights'}, {self.attention}"


MODES = [Mode("fp32", "cudnn"), Mode("fp32", "flash"), Mode("bf16", "cudnn"), Mode("bf16", "flash")]


class Stage:
    """Findings, written as they arrive."""

    def __init__(self, name: str, out: Path, seconds: float, tiny: bool) -> None:
        self.name, self.out, self.tiny = name, out, tiny
        self.deadline = time.monotonic() + seconds
        self.document: dict = {"stage": name, "tiny": tiny}
        self.parts: list[str] = []
        self.wrong: list[str] = []
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def has_time(self, seconds: float, what: str) -> bool:
        if self.left > seconds:
            return True
        self.note(f"Skipped for want of time: {what}.")
        return False

    def note(self, text: str) -> None:
        say(f"{self.name}: {text}")
        self.write(text)

    def write(self, part: str, **findings: object) -> None:
        self.document |= findings
        self.document["wrong"] = self.wrong
        if part:
            self.parts.append(part)
        self.save()

    def save(self) -> None:
        (self.out / f"{self.name}.json").write_text(json.dumps(self.document, indent=2) + "\n")
        title = f"# {self.name}" + (" (tiny, on the driver for tests: no measurement)" if self.tiny else "")
        (self.out / f"{self.name}.md").write_text("\n\n".join([title, *self.parts]) + "\n")

    def fail(self, what: str) -> None:
        self.wrong.append(what)
        self.note(f"**Wrong: {what}**")


# --- Programs ---------------------------------------------------------------------------------------------------------


def program(name: str) -> str:
    """From the environment, carried here, or built here."""
    given = os.environ.get(name.upper().replace("-", "_"))
    if given:
        return given
    carried, packed = CARRIED / name, CARRIED / f"{name}.xz"
    if packed.exists() and not (carried.exists() and carried.stat().st_mtime >= packed.stat().st_mtime):
        with lzma.open(packed) as source, carried.open("wb") as target:
            shutil.copyfileobj(source, target)
        carried.chmod(0o755)
    return str(carried if carried.exists() else ROOT / ".build/release" / name)


def run(stage: Stage, *command: object) -> subprocess.CompletedProcess[str]:
    """A program; one that doesn't end in time is a failure like any other."""
    try:
        return subprocess.run(
            [str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=max(10, stage.left + 15), cwd=ROOT,
        )
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return subprocess.CompletedProcess(command, 124, output, "did not end in time")


def peer(stage: Stage, **asked: object) -> dict:
    """PyTorch's answer, or {"missing": reason}."""
    done = run(stage, sys.executable, PEER, json.dumps(asked))
    if done.returncode == 0:
        return json.loads(done.stdout)
    lines = [line for line in done.stderr.splitlines() if line.strip()] or ["?"]
    return {"missing": lines[-1][:300]}


def lines_of(done: subprocess.CompletedProcess[str]) -> Iterator[dict]:
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


# --- The stages -------------------------------------------------------------------------------------------------------


def open_device(stage: Stage) -> None:
    done = run(stage, program("mayfly"), "doctor", "--json")
    found = json.loads(done.stdout) if done.returncode == 0 else {"gpu_problem": done.stderr.strip()}
    if found.get("gpu_problem"):
        say(f"no GPU for Mayfly: {found['gpu_problem']}")
        sys.exit(NO_DEVICE)
    stage.write(f"Mayfly uses {found['uses']}.", doctor=found)
    say(found["uses"])


def measure_rates(stage: Stage) -> dict:
    size, count = (256, 1 << 20) if stage.tiny else (8192, 4 << 30)
    found = peer(stage, what="rates", size=size, bytes=count)
    if "missing" in found:
        stage.note(f"PyTorch can't be measured: {found['missing']}.")
    else:
        stage.note(
            f"{found['device']}, PyTorch {found['version']}: {found['product_tflops']:,.1f} TFLOP/s of bf16 products of "
            f"{size}³, {found['copy_gb_per_second']:,.0f} GB/s copied (read and written)."
        )
    stage.write("", rates=found)
    return found


def probe(stage: Stage) -> None:
    query = "name,driver_version,clocks.sm,clocks.mem,power.draw,power.limit,temperature.gpu"
    if shutil.which("nvidia-smi"):
        stage.note("nvidia-smi: " + run(stage, "nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader").stdout.strip())
    open_device(stage)
    measure_rates(stage)
    sizes = (64, 64, 300) if stage.tiny else (16384, 768, 50257)
    done = run(stage, program("gpu-check"), "products", *sizes)
    products = list(lines_of(done))
    if done.returncode != 0:
        stage.fail(f"gpu-check products: {done.stderr.strip()[-500:]}")
    stage.write(
        "Matrix products as training runs them:\n\n" + table(
            ["product", "rows", "from", "to", "ms", "TFLOP/s"], "lrrrrr",
            [[p["name"], f"{p['rows']:,}", f"{p['from']:,}", f"{p['to']:,}", f"{1e3 * p['seconds']:.3f}",
              f"{p['tflops']:.1f}"] for p in products]),
        products=products)
    shape = TINY if stage.tiny else SHAPES[0]
    for mode in MODES[:2]:
        if stage.has_time(60, f"PyTorch {mode.name}"):
            found = peer(stage, what="speed", steps=2 if stage.tiny else 10, **asdict(mode), **shape.asked(shape.batches[1]))
            stage.note(f"PyTorch {mode.name}, {shape.name}, batch {shape.batches[1]}: " + (
                found.get("missing") or f"{found['tokens_per_second']:,.0f} tokens/s"))
            stage.write("", **{f"pytorch {mode.name}": found})


def kernels(stage: Stage) -> None:
    open_device(stage)
    for check in ("operations", "training"):
        done = run(stage, program("gpu-check"), check)
        found = list(lines_of(done))
        wrong = [f"{f['name']}, {f['precision']}: {f['error']} > {f['tolerance']}" for f in found if not f["passes"]]
        precisions = sorted({f["precision"] for f in found})
        rows = []
        for precision in precisions:
            of = [f for f in found if f["precision"] == precision]
            worst = max(of, key=lambda f: float("inf") if f["error"] is None else f["error"] / f["tolerance"])
            rows.append([
                precision, str(len(of)), str(sum(f["passes"] for f in of)), f"{worst['error']} ({worst['name']})",
                str(worst["tolerance"])])
        stage.write(
            f"{check.capitalize()} beside the reference:\n\n"
            + table(["precision", "cases", "right", "largest error", "allowed"], "lrrll", rows), **{check: found})
        for what in wrong:
            stage.fail(f"{check}: {what}")
        if done.returncode != 0 and not wrong:
            stage.fail(f"gpu-check {check} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        say(f"{check}: {len(found) - len(wrong)} of {len(found)} right")
    selected = ["-k", "norm"] if stage.tiny else []
    done = run(
        stage, sys.executable, "-m", "pytest", "Tests/CUDAKernels", "-q", "-rf", "--tb=line", "-p", "no:cacheprovider",
        *selected)
    summary = (done.stdout.strip().splitlines() or ["no output"])[-1]
    stage.note(f"Each kernel by itself, beside fp64 (pytest Tests/CUDAKernels): {summary}.")
    stage.write("", kernels=summary)
    for name in re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE):
        stage.fail(name)
    if done.returncode != 0 and "FAILED" not in done.stdout:
        stage.fail(f"pytest ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")


def measure_mayfly(stage: Stage, shape: Shape, batch: int, steps: int) -> dict:
    done = run(
        stage, program("mayfly"), "bench", "--json", "--device", "cuda", "--precision", "bf16", "--steps", steps,
        *shape.settings(batch))
    if done.returncode == 0:
        return json.loads(done.stdout)
    return {"missing": done.stderr.strip().splitlines()[-1][:300] if done.stderr.strip() else f"exit {done.returncode}"}


def best(stage: Stage, shape: Shape, steps: int) -> tuple[tuple[int, dict] | None, tuple[int, Mode, dict] | None]:
    """Each side's fastest batch and mode, by one short run of each."""
    ours, theirs = None, None
    for batch in shape.batches:
        found = measure_mayfly(stage, shape, batch, steps)
        report(stage, shape, "Mayfly", batch, found)
        if "missing" not in found and (ours is None or found["tokens_per_second"] > ours[1]["tokens_per_second"]):
            ours = (batch, found)
        # The smaller ones are seldom faster.
        if ours and ours[0] != batch:
            break
    batch = None
    for mode in MODES:
        for size in [batch] if batch else shape.batches:
            if not stage.has_time(90, f"PyTorch {mode.name} of {shape.name}"):
                return ours, theirs
            found = peer(stage, what="speed", steps=steps, **asdict(mode), **shape.asked(size))
            report(stage, shape, f"PyTorch {mode.name}", size, found)
            if "missing" in found:
                continue
            batch = size
            if theirs is None or found["tokens_per_second"] > theirs[2]["tokens_per_second"]:
                theirs = (size, mode, found)
            break
    return ours, theirs


def report(stage: Stage, shape: Shape, who: str, batch: int, found: dict) -> None:
    speed = found.get("missing") or f"{found['tokens_per_second']:,.0f} tokens/s"
    say(f"{shape.name}, batch {batch}: {who}: {speed}")
    stage.document.setdefault("runs", []).append({"shape": shape.name, "side": who, "batch": batch} | found)
    stage.save()


def goal(value: float, floor: float, stretch: float | None = None) -> str:
    if value < floor:
        return "short"
    return "beyond the stretch" if stretch and value >= stretch else "met"


def bench(stage: Stage) -> None:
    open_device(stage)
    rates = measure_rates(stage)
    peak = next((peak for name, peak in PEAKS.items() if name in rates.get("device", "")), None)
    steps = 2 if stage.tiny else 10
    for index, shape in enumerate([TINY] if stage.tiny else SHAPES):
        if not stage.has_time(100, shape.name):
            continue
        ours, theirs = best(stage, shape, steps)
        if ours is None or theirs is None:
            stage.note(f"{shape.name}: no comparison: a side is missing.")
            continue
        mine, others = [ours[1]], [theirs[2]]
        for _ in range(2 if index == 0 else 1):
            if not stage.has_time(60, f"another round of {shape.name}"):
                break
            found = measure_mayfly(stage, shape, ours[0], steps)
            report(stage, shape, "Mayfly", ours[0], found)
            other = peer(stage, what="speed", steps=steps, **asdict(theirs[1]), **shape.asked(theirs[0]))
            report(stage, shape, f"PyTorch {theirs[1].name}", theirs[0], other)
            if "missing" not in found and "missing" not in other:
                mine.append(found)
                others.append(other)
        compare(stage, shape, ours[0], mine, theirs[0], theirs[1], others, peak, rates.get("product_tflops"))


def compare(
    stage: Stage, shape: Shape, batch: int, mine: list[dict], other_batch: int, mode: Mode, others: list[dict],
    peak: float | None, product: float | None,
) -> None:
    rate, other = median(m["tokens_per_second"] for m in mine), median(o["tokens_per_second"] for o in others)
    ratios = [m["tokens_per_second"] / o["tokens_per_second"] for m, o in zip(mine, others)]
    ratio, last = median(ratios), mine[-1]
    tflops = rate * shape.flops_per_token / 1e12
    memory, idle = last["device_memory"], last["idle_share"]
    plan = memory["reported_bytes"] / memory["planned_bytes"] - 1
    rows = [
        ["Mayfly", f"{rate:,.0f} tokens/s", f"batch {batch}, {len(mine)} runs"],
        ["PyTorch", f"{other:,.0f} tokens/s", f"{mode.name}, batch {other_batch}, {others[-1]['version']}"],
        ["ratio", f"{ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})", f"1.1, stretch 1.25: {goal(ratio, 1.1, 1.25)}"],
        ["FLOP/s", f"{tflops:,.1f} TFLOP/s", ", ".join(
            [f"{tflops / of:.0%} of {name}" for name, of in (("the peak", peak), ("the product of 8192³", product)) if of])],
        ["memory", f"{memory['planned_bytes'] / 2**30:.2f} GiB planned", f"{plan:+.1%}; 5 %: {goal(0.05 - abs(plan), 0)}"],
        ["idle", f"{idle:.2%}", f"1 %: {goal(0.01 - idle, 0)}"],
    ]
    if shape.name == "124M":
        rows.insert(1, ["", "", f"554,000, stretch 677,000: {goal(rate, 554_000, 677_000)}"])
    total = last["profiled_seconds"]
    operations = [
        [o["kind"], str(o["calls"]), f"{1e3 * o['seconds']:.3f}", f"{o['seconds'] / total:.1%}",
         f"{o['flops'] / o['seconds'] / 1e12:.0f}" if o["flops"] else ""]
        for o in last["operations"]
    ]
    stage.write(
        f"## {shape.name}\n\n" + table(["", "", ""], "lrl", rows) + "\n\nBy operation, each waited for:\n\n"
        + table(["operation", "calls", "ms", "share", "TFLOP/s"], "lrrrr", operations))
    say(f"{shape.name}: {rate:,.0f} tokens/s, {ratio:.2f} of PyTorch's")


def train(stage: Stage) -> None:
    """Mayfly for two fifths of the time, then the first part of it by PyTorch with two seeds, which compiles as long."""
    open_device(stage)
    shape, whole = (TINY, 20.0) if stage.tiny else (SHAPES[0], stage.left)
    shard, work = CARRIED / "tokens.bin", Path(tempfile.mkdtemp())
    if stage.tiny:
        shard = work / "tokens.bin"
        write_random_shard(shard, shape.vocab_size, 20_000)
    if not shard.exists():
        sys.exit(f"{shard} is missing: `make gpu-program` makes it where the programs are built")
    batch = shape.batches[1]
    measured = measure_mayfly(stage, shape, batch, 2 if stage.tiny else 20)
    if "missing" in measured:
        return stage.fail(f"mayfly bench: {measured['missing']}")
    steps = max(8, int(0.4 * whole / measured["seconds"])) if not stage.tiny else 8
    warmup = min(100, steps // 4)
    out = work / "run"
    done = run(
        stage, program("mayfly"), "train", "--data", shard, "--steps", steps, "--out", out, "--device", "cuda",
        "--precision", "bf16", *shape.settings(
            batch, data__order="sequential", train__schedule="constant", train__warmup_steps=warmup,
            train__learning_rate=6e-4))
    if done.returncode != 0:
        return stage.fail(f"mayfly train ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if line["kind"] == "train"]
    shutil.rmtree(work / "run")
    ours, rates = [line["loss"] for line in lines], [line["learning_rate"] for line in lines]
    seconds = shape.context * batch * mean(1 / line["tokens_per_second"] for line in lines[len(lines) // 10 :])
    waited = mean(line["data_wait_seconds"] for line in lines[len(lines) // 10 :]) / seconds
    stage.note(
        f"{shape.name}, batch {batch}: {steps} updates, {shape.context * batch / seconds:,.0f} tokens/s; waiting for data "
        f"{waited:.2%} of the time (1 %: {goal(0.01 - waited, 0)}).")
    stage.write("", losses={"Mayfly": ours}, data_wait_share=waited)
    curves: list[list[float]] = []
    for seed in (1, 2):
        asked = shape.asked(batch) | {"rates": rates, "steps": steps, "shard": str(shard), "seed": seed}
        found = peer(stage, what="curve", seconds=0.15 * whole, **asdict(MODES[0]), **asked)
        if "missing" in found:
            stage.note(f"PyTorch, seed {seed}: {found['missing']}.")
            continue
        curves.append(found["losses"])
        stage.document["losses"][f"PyTorch, seed {seed}"] = found["losses"]
        stage.save()
    shutil.rmtree(work)
    if curves:
        compare_curves(stage, ours, curves)


def compare_curves(stage: Stage, ours: list[float], curves: list[list[float]]) -> None:
    common = min(len(curve) for curve in [ours, *curves])
    width = max(1, common // 8)
    rows, difference, spread = [], 0.0, 0.0
    for end in range(width, common + 1, width):
        mine, others = mean(ours[end - width : end]), [mean(curve[end - width : end]) for curve in curves]
        difference, spread = mine - mean(others), max(others) - min(others)
        rows.append([f"{end - width + 1}–{end}", f"{mine:.4f}", *(f"{o:.4f}" for o in others), f"{difference:+.4f}", f"{spread:.4f}"])
    names = [f"PyTorch {number + 1}" for number in range(len(curves))]
    stage.write("Mean losses:\n\n" + table(["updates", "Mayfly", *names, "difference", "spread"], "l" + "r" * (3 + len(names)), rows))
    say(f"at the end of what both have done: {difference:+.4f} nats from PyTorch's mean, whose spread is {spread:.4f}")
    if abs(difference) > 3 * spread + 0.02:
        stage.fail(f"losses end {difference:+.4f} nats from PyTorch's, whose spread is {spread:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = {"probe": probe, "kernels": kernels, "bench": bench, "train": train}
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--seconds", type=float, default=450)
    parser.add_argument("--out", type=Path, default=CARRIED / "results", help="a folder")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try this where there is no GPU")
    options = parser.parse_args()
    # PyTorch's libraries serve us, too, where the machine has no others; and the kernels' tests must take the real ones.
    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
    os.environ.setdefault("MAYFLY_CUDA_PATH", "")
    stage = Stage(options.stage, options.out, options.seconds, options.tiny)
    stages[options.stage](stage)
    print((options.out / f"{options.stage}.md").read_text())
    say(f"written to {options.out}/{options.stage}.json and .md")
    sys.exit(1 if stage.wrong else 0)


if __name__ == "__main__":
    main()
