"""A run that is killed and resumed ends with the numbers of one that was left alone, bit for bit."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support import command, latest, mayfly, metrics, settings

STEPS = 150
CHECKPOINT_EVERY = 9
VARIANTS = {
    "plain": [],
    "dropout and accumulation": settings(model__dropout=0.2, train__micro_batch_size=2),
    "bf16": ["--precision", "bf16"],
    "fp16": ["--precision", "fp16"],
}


def arguments(
    data: Path, out: Path, small: list[str], variant: list[str], *more: object, threads: int = 2
) -> list[object]:
    every = settings(train__checkpoint_every=CHECKPOINT_EVERY, train__eval_every=25, train__keep_checkpoints=3)
    return [
        "train", "--data", data, "--steps", STEPS, "--out", out, "--threads", threads, *small, *every, *variant, *more,
    ]


def numbers(run: Path) -> list[tuple[str, str, str, str]]:
    """Step, loss, norm and rate of each update, as the text that stands in the file."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line, parse_float=str, parse_int=str) for line in lines]
    return [
        (line["step"], line["loss"], line["grad_norm"], line["learning_rate"])
        for line in found
        if line["kind"] == "train"
    ]


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def wait_for_checkpoint(process: subprocess.Popen[bytes], run: Path, number: int) -> None:
    """Returns once that many checkpoints were begun. (The metrics reach the disk only once a second.)"""
    while len(list((run / "checkpoints").glob("step-*"))) < number:
        assert process.poll() is None, f"it ended (exit {process.returncode}) before its checkpoint {number}"
        time.sleep(0.002)


@pytest.fixture(scope="module", params=VARIANTS.keys())
def undisturbed(
    request: pytest.FixtureRequest, data: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path, float]:
    """A variant's settings, the run that nobody stopped, and how long it took."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    began = time.monotonic()
    mayfly(*arguments(data, out, small, VARIANTS[request.param]))
    assert [line[0] for line in numbers(out)] == [str(step) for step in range(1, STEPS + 1)]
    return VARIANTS[request.param], out, time.monotonic() - began


def test_killed_three_times_and_resumed(
    undisturbed: tuple[list[str], Path, float], data: Path, small: list[str], tmp_path: Path
) -> None:
    variant, reference, seconds = undisturbed
    out = tmp_path / "run"
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"moments are drawn with seed {seed}")
    moments = random.Random(seed)
    killed = 0
    resume: list[str] = []
    while killed < 3:
        process = start(*arguments(data, out, small, variant, *resume))
        try:
            process.wait(timeout=moments.uniform(0.05, 0.4) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
            if out.exists():
                resume = ["--resume"]
            continue
        # It came to its end before: the machine was busy when the undisturbed run was timed. Anew, and sooner.
        assert process.returncode == 0
        seconds *= 0.8
        shutil.rmtree(out)
        killed, resume = 0, []
    mayfly(*arguments(data, out, small, variant, *resume))
    assert numbers(out) == numbers(reference)
    assert (latest(out) / "model.safetensors").read_bytes() == (latest(reference) / "model.safetensors").read_bytes()


def test_killed_between_two_checkpoints(
    undisturbed: tuple[list[str], Path, float], data: Path, small: list[str], tmp_path: Path
) -> None:
    variant, reference, _ = undisturbed
    out = tmp_path / "run"
    process = start(*arguments(data, out, small, variant))
    wait_for_checkpoint(process, out, 2)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    mayfly(*arguments(data, out, small, variant, "--resume"))
    assert numbers(out) == numbers(reference)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_saves_a_checkpoint(
    undisturbed: tuple[list[str], Path, float], data: Path, small: list[str], tmp_path: Path, sent: int, code: int
) -> None:
    variant, reference, _ = undisturbed
    out = tmp_path / "run"
    process = start(*arguments(data, out, small, variant))
    wait_for_checkpoint(process, out, 1)
    process.send_signal(sent)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert not printed
    done = len(metrics(out, "train"))
    assert CHECKPOINT_EVERY <= done < STEPS, "it stopped early"
    # What was done is saved, not only what the last periodic checkpoint had.
    assert latest(out).name == f"step-{done:08}"
    mayfly(*arguments(data, out, small, variant, "--resume"))
    assert numbers(out) == numbers(reference)


def test_a_run_is_not_overwritten(
    undisturbed: tuple[list[str], Path, float], data: Path, small: list[str]
) -> None:
    variant, reference, _ = undisturbed
    before = numbers(reference)
    result = mayfly(*arguments(data, reference, small, variant), code=73)
    assert "--resume" in result.err, "the message says what would go on with it"
    assert numbers(reference) == before


def test_resume_where_nothing_is_begins(data: Path, small: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    mayfly("train", "--data", data, "--steps", 3, "--out", out, "--resume", *small)
    assert len(numbers(out)) == 3


def test_the_same_again_gives_the_same(
    undisturbed: tuple[list[str], Path, float], data: Path, small: list[str], tmp_path: Path
) -> None:
    variant, reference, _ = undisturbed
    mayfly(*arguments(data, tmp_path / "run", small, variant))
    assert numbers(tmp_path / "run") == numbers(reference)


def test_the_number_of_threads_does_not_change_the_numbers(
    undisturbed: tuple[list[str], Path, float], data: Path, small: list[str], tmp_path: Path
) -> None:
    variant, reference, _ = undisturbed
    mayfly(*arguments(data, tmp_path / "run", small, variant, threads=1))
    assert numbers(tmp_path / "run") == numbers(reference)


def test_a_damaged_newest_checkpoint_is_passed_over(
    undisturbed: tuple[list[str], Path, float], data: Path, small: list[str], tmp_path: Path
) -> None:
    variant, reference, _ = undisturbed
    out = tmp_path / "run"
    process = start(*arguments(data, out, small, variant))
    wait_for_checkpoint(process, out, 3)
    process.kill()
    process.wait()
    newest = max((out / "checkpoints").glob("step-*"))
    weights = newest / "optimizer.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    result = mayfly(*arguments(data, out, small, variant, "--resume"))
    assert newest.name in result.err, "the message names the checkpoint that is not whole"
    assert numbers(out) == numbers(reference)
