"""`--device cuda` on the driver for tests, which runs the kernels on the CPU (docs/cuda-test-driver.md)."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from support import ROOT, Result, command, latest, mayfly, metrics, prepared_prose, settings

DRIVER = ROOT / ".build/cuda-test-driver"
NO_DEVICE = 69
# Kernels run slowly here: as little of everything as shows what it is to show. Heads of 32 are what tensor cores take.
TINY = settings(
    model__architecture="qwen3", model__hidden_size=64, model__num_hidden_layers=1, model__num_attention_heads=2,
    model__num_key_value_heads=1, model__head_dim=32, model__intermediate_size=64, model__max_position_embeddings=32,
    train__context=32, train__batch_size=4, train__learning_rate=3e-3, train__warmup_steps=2,
    train__schedule="cosine", train__optimizer="adamw", train__eval_every=4, train__checkpoint_every=2,
    train__keep_checkpoints=9,
)
STEPS = 8


@pytest.fixture(autouse=True, scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert (DRIVER / "libcuda.so.1").exists(), "run `make cuda-test-driver` first"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAYFLY_CUDA_PATH", str(DRIVER))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Little to evaluate: with more of it, evaluations would take most of the time here."""
    return prepared_prose(tmp_path_factory.mktemp("prepared"), characters=500)


def train(data: Path, out: Path, *more: object, steps: int = STEPS, device: str = "cuda", code: int = 0) -> Result:
    return mayfly(
        "train", "--data", data, "--steps", steps, "--out", out, "--device", device, *TINY, *more, code=code
    )


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in metrics(run, "train")]


def numbers(run: Path) -> list[tuple[object, ...]]:
    """What must be the same, bit for bit, of runs that are the same."""
    return [(line["step"], line["loss"], line["grad_norm"], line["accuracy"]) for line in metrics(run, "train")]


def weights(run: Path) -> dict[str, np.ndarray]:
    return {
        f"{file}/{name}": tensor
        for file in ["model", "optimizer"]
        for name, tensor in load_file(latest(run) / f"{file}.safetensors").items()
    }


def assert_same(a: Path, b: Path) -> None:
    assert numbers(a) == numbers(b)
    for (name, left), right in zip(weights(a).items(), weights(b).values()):
        assert left.tobytes() == right.tobytes(), name


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in bf16, with all that a step has: accumulation, dropout, clipping."""
    out = tmp_path_factory.mktemp("cuda") / "run"
    train(data, out, *BUSY)
    return out


BUSY = ["--precision", "bf16", *settings(train__micro_batch_size=2, model__dropout=0.1)]


def test_doctor_names_the_driver() -> None:
    found = mayfly("doctor", "--json").json
    assert "driver for tests" in found["uses"] and found["gpu_problem"] is None
    assert any(device["kind"] == "cuda" for device in found["devices"])


@pytest.mark.parametrize("optimizer, kinds", [("adamw", {"AdamW"}), ("muon", {"AdamW", "Muon"})])
def test_bench_says_how_the_device_was_used(optimizer: str, kinds: set[str]) -> None:
    found = mayfly(
        "bench", "--device", "cuda", "--precision", "bf16", "--steps", 2, "--json", *TINY,
        *settings(train__optimizer=optimizer)
    ).json
    memory = found["device_memory"]
    assert abs(memory["reported_bytes"] / memory["planned_bytes"] - 1) < 0.05
    assert 0 <= found["idle_share"] < 1
    assert {"Linear"} | kinds <= {operation["kind"] for operation in found["operations"]}


@pytest.mark.parametrize("precision, tolerance", [("fp32", 1e-4), ("bf16", 2e-2), ("fp16", 2e-2)])
def test_trains_as_the_cpu_does(data: Path, tmp_path: Path, precision: str, tolerance: float) -> None:
    runs = {device: tmp_path / device for device in ["cpu", "cuda"]}
    for device, out in runs.items():
        train(data, out, "--precision", precision, device=device)
    cpu, cuda = losses(runs["cpu"]), losses(runs["cuda"])
    assert len(cuda) == STEPS and cpu[-1] < cpu[0]
    np.testing.assert_allclose(cuda, cpu, rtol=0, atol=tolerance)
    evaluated = [mayfly("eval", runs["cuda"], "--data", data, "--device", device, "--json").json for device in runs]
    assert abs(evaluated[0]["loss"] - evaluated[1]["loss"]) < 1e-4
    written = [
        mayfly("generate", runs["cuda"], "--prompt", "The", "--max-tokens", 12, "--temperature", 0, "--device", device)
        for device in runs
    ]
    assert written[0].out == written[1].out


@pytest.mark.parametrize("precision, tolerance", [("fp32", 1e-4), ("bf16", 2e-2)])
def test_muon_trains_as_on_the_cpu_and_resumes_bit_for_bit(
    data: Path, tmp_path: Path, precision: str, tolerance: float
) -> None:
    muon = ["--precision", precision, *settings(train__optimizer="muon")]
    for device in ["cpu", "cuda"]:
        train(data, tmp_path / device, *muon, device=device)
    cpu, cuda = losses(tmp_path / "cpu"), losses(tmp_path / "cuda")
    assert len(cuda) == STEPS and cpu[-1] < cpu[0]
    np.testing.assert_allclose(cuda, cpu, rtol=0, atol=tolerance)
    shutil.copytree(tmp_path / "cuda", tmp_path / "resumed", symlinks=True)
    for step in range(6, STEPS + 1, 2):
        shutil.rmtree(tmp_path / f"resumed/checkpoints/step-{step:08}")
    train(data, tmp_path / "resumed", *muon, "--resume")
    assert_same(tmp_path / "cuda", tmp_path / "resumed")


def test_is_the_same_twice_in_whatever_order_blocks_run(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAYFLY_TEST_CUDA_ORDER", "reversed")
    monkeypatch.setenv("MAYFLY_TEST_CUDA_WORKERS", "1")
    train(data, tmp_path / "run", *BUSY)
    assert_same(undisturbed, tmp_path / "run")


def test_killed_and_resumed_bit_for_bit(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    arguments = ["train", "--data", data, "--steps", STEPS, "--out", out, "--device", "cuda", *TINY, *BUSY]
    process = subprocess.Popen(
        command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (out / "checkpoints/step-00000004/manifest.json").exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    # What was chosen by timing goes with the run, to a machine that knows nothing of it.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    mayfly(*arguments, "--resume")
    assert_same(undisturbed, out)


@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_moves_to_another_device(data: Path, tmp_path: Path, devices: tuple[str, str]) -> None:
    straight, moved = tmp_path / "straight", tmp_path / "moved"
    fp32 = ["--precision", "fp32"]
    train(data, straight, *fp32, device="cpu")
    train(data, moved, *fp32, steps=STEPS, device=devices[0])
    for step in range(6, STEPS + 1, 2):
        shutil.rmtree(moved / f"checkpoints/step-{step:08}")
    train(data, moved, *fp32, "--resume", device=devices[1])
    assert [line["step"] for line in metrics(moved, "train")] == list(range(1, STEPS + 1))
    np.testing.assert_allclose(losses(moved), losses(straight), rtol=0, atol=1e-4)


def test_passes_are_halved_until_they_fit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fp32 = ["--precision", "fp32", *settings(train__batch_size=64, train__context=32)]
    # What the model takes, the library's workspace, and a few rows.
    monkeypatch.setenv("MAYFLY_TEST_CUDA_MEMORY", str(12 << 20))
    done = train(data, tmp_path / "small", *fp32, steps=1)
    assert "MiB for" in done.err and "can't be had: passes of" in done.err
    assert "micro_batch_size: 64" not in (tmp_path / "small/run.yaml").read_text()
    monkeypatch.delenv("MAYFLY_TEST_CUDA_MEMORY")
    done = train(data, tmp_path / "large", *fp32, steps=1)
    assert "can't be had" not in done.err
    assert abs(losses(tmp_path / "small")[0] - losses(tmp_path / "large")[0]) < 1e-5
    monkeypatch.setenv("MAYFLY_TEST_CUDA_MEMORY", str(1 << 20))
    assert "can't be had" in train(data, tmp_path / "none", *fp32, steps=1, code=1).err
    assert not (tmp_path / "none/run.yaml").exists()


@pytest.mark.parametrize("fault, said", [("400", "719"), ("400:214", "214"), ("400:700", "700")])
def test_a_card_lost_in_the_middle(
    undisturbed: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    out = tmp_path / "run"
    monkeypatch.setenv("MAYFLY_TEST_CUDA_FAIL", fault)
    failed = train(data, out, *BUSY, code=1)
    assert said in failed.err and "--resume" in failed.err
    assert 0 < len(list((out / "checkpoints").glob("step-*"))) < STEPS // 2
    monkeypatch.delenv("MAYFLY_TEST_CUDA_FAIL")
    train(data, out, *BUSY, "--resume")
    assert_same(undisturbed, out)


def test_a_card_that_hangs(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAYFLY_TEST_CUDA_HANG", "400")
    monkeypatch.setenv("MAYFLY_CUDA_PATIENCE", "6")
    failed = train(data, tmp_path / "run", *BUSY, code=1)
    assert "has not answered" in failed.err and "--resume" in failed.err
    assert (tmp_path / "run/checkpoints/latest/manifest.json").exists()


@pytest.mark.parametrize(
    "variable, value, said",
    [
        ("MAYFLY_TEST_CUDA_DRIVER", "11080", "12.0 is needed"),
        ("MAYFLY_TEST_CUDA_CAPABILITY", "7.0", "7.5"),
        ("MAYFLY_TEST_CUDA_DEVICES", "0", "no GPU"),
    ],
)
def test_a_card_that_can_not_be_used(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert said in train(data, tmp_path / "run", steps=1, code=NO_DEVICE).err
    # Unasked, the CPU does it, and says why where there is a card.
    unasked = train(data, tmp_path / "auto", steps=1, device="auto")
    assert ("the GPU is not used" in unasked.err) == (variable != "MAYFLY_TEST_CUDA_DEVICES")


def test_an_older_card_trains_in_fp16(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAYFLY_TEST_CUDA_CAPABILITY", "7.5")
    train(data, tmp_path / "run")
    assert "precision: fp16" in (tmp_path / "run/run.yaml").read_text()
    assert losses(tmp_path / "run")[-1] < losses(tmp_path / "run")[0]
