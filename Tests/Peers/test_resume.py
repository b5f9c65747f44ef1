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

from support import command, latest, mayfly, metrics, prose, settings

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


# --- What a resumed run must be given again ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def begun(data: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("begun") / "run"
    mayfly("train", "--data", data, "--steps", 5, "--out", out, *small)
    return out


def resumed(begun: Path, tmp_path: Path, *arguments: object, code: int = 0) -> str:
    """What going on with a copy of a run prints."""
    out = tmp_path / "run"
    shutil.copytree(begun, out, symlinks=True)
    return mayfly("train", "--out", out, "--steps", 7, "--resume", *arguments, code=code).err


def other_data(data: Path, folder: Path) -> Path:
    """The same tokenizer, other text."""
    texts = folder / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text(prose(40_000, seed=77), encoding="utf-8")
    mayfly("prepare", texts, "--out", folder / "other", "--tokenizer", data, "--val-fraction", 0.2)
    return folder / "other"


def test_other_data_is_refused_unless_allowed(begun: Path, data: Path, tmp_path: Path) -> None:
    other = other_data(data, tmp_path)
    error = resumed(begun, tmp_path, "--data", other, code=65)
    assert "--data was" in error and "tokens, SHA-256" in error and "--allow-changes" in error
    shutil.rmtree(tmp_path / "run")
    assert "warning: --resume: --data was" in resumed(begun, tmp_path, "--data", other, "--allow-changes")
    # From here on it is what the run learns from.
    mayfly("train", "--out", tmp_path / "run", "--steps", 8, "--resume", "--data", other)


def test_a_copy_of_the_data_elsewhere_is_the_same(begun: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "moved")
    resumed(begun, tmp_path, "--data", tmp_path / "moved")


def test_another_text_is_refused(tmp_path: Path, small: list[str]) -> None:
    """Text that was prepared into the run's folder isn't prepared again: then what is given must be that."""
    (tmp_path / "one.txt").write_text(prose(30_000, seed=1), encoding="utf-8")
    (tmp_path / "two.txt").write_text(prose(35_000, seed=2), encoding="utf-8")
    out = tmp_path / "run"
    mayfly("train", "--data", tmp_path / "one.txt", "--steps", 3, "--out", out, *small)
    mayfly("train", "--data", tmp_path / "one.txt", "--steps", 4, "--out", out, "--resume")
    result = mayfly("train", "--data", tmp_path / "two.txt", "--steps", 5, "--out", out, "--resume", code=65)
    assert "the text of --data was" in result.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "mini"], "model.architecture (--preset mini) was llama and is now nanochat"),
        (["--set", "model.hidden_size=96"], "model.hidden_size was 64 and is now 96"),
        (["--set", "train.learning_rate=0.001"], "train.learning_rate was 0.003 and is now 0.001"),
    ],
)
def test_another_model_or_setting_is_refused(
    begun: Path, data: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    error = resumed(begun, tmp_path, "--data", data, *arguments, code=65)
    assert told in error
    is_model = "model." in told
    assert ("--allow-changes" in error) != is_model
    shutil.rmtree(tmp_path / "run")
    resumed(begun, tmp_path, "--data", data, *arguments, "--allow-changes", code=65 if is_model else 0)


def test_of_a_setting_that_is_given_twice_the_last_counts(begun: Path, data: Path, tmp_path: Path) -> None:
    twice = settings(train__learning_rate=1e-4) + settings(train__learning_rate=3e-3)
    resumed(begun, tmp_path, "--data", data, *twice)


def test_another_initial_model_is_refused(begun: Path, data: Path, tmp_path: Path, run: Path) -> None:
    assert "--init-from was not given and is now SHA-256" in resumed(
        begun, tmp_path, "--data", data, "--init-from", run, code=65)


def test_the_same_preset_and_initial_model_go_on(data: Path, tmp_path: Path, run: Path) -> None:
    out = tmp_path / "tuned"
    tuned = ["train", "--data", data, "--out", out, "--init-from", run, "--set", "train.batch_size=4"]
    mayfly(*tuned, "--steps", 2)
    mayfly(*tuned, "--steps", 3, "--resume")
    # What it began with is in its checkpoints.
    mayfly("train", "--data", data, "--out", out, "--steps", 4, "--resume")
    out = tmp_path / "preset"
    mini = ["train", "--data", data, "--out", out, "--preset", "mini", "--set", "train.batch_size=1"]
    mayfly(*mini, "--steps", 1)
    mayfly(*mini, "--steps", 2, "--resume")


def test_allow_changes_needs_a_resume(data: Path, tmp_path: Path) -> None:
    mayfly("train", "--data", data, "--steps", 1, "--out", tmp_path / "run", "--allow-changes", code=64)


def test_other_examples_of_a_task_are_refused(run: Path, tmp_path: Path) -> None:
    def examples(name: str, count: int) -> Path:
        path = tmp_path / name
        lines = [json.dumps({"question": f"who answers {i}", "answer": f"the miller {i % 7}"}) for i in range(count)]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    one, two = examples("one.jsonl", 30), examples("two.jsonl", 31)
    tune = ["finetune", run, "--task", "qa", "--out", tmp_path / "tuned", "--steps"]
    mayfly(*tune, 2, "--data", one)
    mayfly(*tune, 3, "--data", one, "--resume")
    assert "--data was SHA-256" in mayfly(*tune, 4, "--data", two, "--resume", code=65).err
    assert "--val was a tenth of the data" in mayfly(*tune, 4, "--data", one, "--val", two, "--resume", code=65).err
    mayfly(*tune, 4, "--data", two, "--resume", "--allow-changes")


def test_without_a_folder_it_goes_on_with_the_last_run_of_its_name(data: Path, small: list[str], tmp_path: Path) -> None:
    def train(*arguments: object) -> None:
        subprocess.run(
            command("train", "--data", data, *small, *arguments), cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)

    train("--steps", 3)
    train("--steps", 3)
    train("--steps", 5, "--resume")
    steps = {run.name: len(numbers(run)) for run in (tmp_path / "runs").iterdir()}
    assert steps == {"run-1": 3, "run-2": 5}
