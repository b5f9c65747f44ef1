"""`mayfly deploy`: a folder that serves where nothing is installed, shut in by a unit that systemd agrees with."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from support import command, mayfly

NAME = "mayfly-under.test_1"
needs_chroot = pytest.mark.skipif(
    subprocess.run(["chroot", "/", "true"], capture_output=True).returncode != 0, reason="needs root, to use chroot"
)
has_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def folder(run: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("deployed") / "a folder with 100 % spaces"
    mayfly("deploy", run, "--target", "systemd", "--out", out, "--name", NAME, "--port", port)
    return out


def test_the_folder_has_program_model_and_scripts(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    scripts = {"install.sh", "uninstall.sh", "health.sh"}
    assert names == {"program", "model", "README.md", f"{NAME}.service", *scripts}
    assert {"config.json", "model.safetensors", "tokenizer.json", "manifest.json"} <= {
        path.name for path in (folder / "model").iterdir()
    }
    assert not list(folder.rglob("optimizer*")) and not list(folder.rglob("trainer.json"))
    assert all(os.access(folder / name, os.X_OK) for name in scripts)
    assert not [path.name for path in (folder / "program").iterdir() if path.name.startswith(("libc.so", "ld-linux"))]


@has_systemd
def test_systemd_agrees_with_the_unit_and_finds_it_shut_in(folder: Path) -> None:
    unit = folder / f"{NAME}.service"
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", unit], capture_output=True, text=True
    )
    exposure = float(re.search(r"exposure level for .*: ([0-9.]+)", judged.stdout)[1])
    print(f"exposure {exposure}")
    assert exposure < 2.5


@needs_chroot
def test_the_folder_serves_where_there_is_only_a_c_library(folder: Path, port: int, tmp_path: Path) -> None:
    root = tmp_path / "root"
    needed = subprocess.run(["ldd", folder / "program/mayfly"], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r"(/\S*/(?:ld-linux\S*|lib(?:c|m|dl|pthread|rt|resolv|util)\.so\S*))", needed):
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / "dev").mkdir()
    shutil.copytree(folder, root / "service", symlinks=True)
    # As the unit starts it.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": "/service/program"}
    process = subprocess.Popen(
        ["chroot", root, "/service/program/mayfly", "serve", "/service/model", "--port", str(port)],
        stderr=subprocess.PIPE, env=environment,
    )
    try:
        health = [folder / "health.sh"]
        deadline = time.monotonic() + 60
        while subprocess.run(health, capture_output=True).returncode != 0:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/completions", json.dumps({"prompt": "The miller", "max_tokens": 4}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            # What is drawn may be the end at once: an empty text.
            assert json.load(answer)["choices"][0]["finish_reason"] in ("stop", "length")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert subprocess.run(health, capture_output=True).returncode == 1
    finally:
        process.kill()
        process.wait()


def test_install_and_uninstall_can_be_repeated(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "another root"
    environment = {**os.environ, "DESTDIR": str(root)}
    unit = root / f"etc/systemd/system/{NAME}.service"
    for _ in range(2):
        subprocess.run([folder / "install.sh"], env=environment, check=True, stdout=subprocess.DEVNULL)
        text = unit.read_text()
        place = f"/opt/mayfly/{NAME}"
        assert f"\nExecStart={place}/program/mayfly serve {place}/model --model-name {NAME} " in text
        assert f"\nEnvironment=LD_LIBRARY_PATH={place}/program\n" in text
        assert str(folder.name) not in text
        assert (root / place.lstrip("/") / "program/mayfly").exists()
    for _ in range(2):
        subprocess.run([folder / "uninstall.sh"], env=environment, check=True, stdout=subprocess.DEVNULL)
        assert not [path for path in root.rglob("*") if not path.is_dir()]


def test_install_leaves_the_units_of_others_alone(folder: Path, tmp_path: Path) -> None:
    unit = tmp_path / f"etc/systemd/system/{NAME}.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    for script in ("install.sh", "uninstall.sh"):
        done = subprocess.run([folder / script], env={**os.environ, "DESTDIR": str(tmp_path)}, capture_output=True)
        assert done.returncode == 1 and b"--name" in done.stderr
    assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"


def test_nothing_gets_into_a_unit_through_a_name(run: Path, tmp_path: Path) -> None:
    odd = tmp_path / "x%n\n[Service]\nExecStartPre=touch \"$HOME\"; 雪"
    shutil.copytree(run / "checkpoints/latest", odd)
    out = tmp_path / "out"
    mayfly("deploy", odd, "--target", "systemd", "--out", out)
    (unit,) = out.glob("*.service")
    assert re.fullmatch(r"mayfly-[A-Za-z0-9-]+\.service", unit.name)
    assert "\nExecStartPre" not in unit.read_text()


def test_what_can_not_be_is_refused(run: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for bad in (
        ["--name", "a/b"], ["--name", "a\nb"], ["--name", ""], ["--host", "a b"], ["--port", 0], ["--target", "oci"],
        ["--target", "windows"],
    ):
        target = [] if "--target" in bad else ["--target", "systemd"]
        mayfly("deploy", run, "--out", out, *target, *bad, code=64)
    mayfly("deploy", run, "--target", "systemd", "--out", tmp_path / 'a"b', code=64)
    mayfly("deploy", tmp_path / "none", "--target", "systemd", "--out", out, code=65)
    mayfly("deploy", run, "--target", "systemd", "--out", folder, code=73)
    assert not list(tmp_path.iterdir())


def test_health_is_an_exit_code() -> None:
    assert "doesn't answer" in mayfly("health", "--port", free_port(), code=1).err


def test_training_ends_in_serving(data: Path, small: list[str], tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        command("train", "--data", data, "--steps", 3, "--out", tmp_path / "run", *small, "--then", "serve", "--port",
                port),
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 120
        while subprocess.run(command("health", "--port", port), capture_output=True).returncode != 0:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_an_address_that_is_taken_is_said_before_training(data: Path, small: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = mayfly(
            "train", "--data", data, "--steps", 3, "--out", tmp_path / "run", *small, "--then", "serve", "--port", port,
            code=1)
    assert f"127.0.0.1:{port}: can't listen: Address already in use" in result.err
    assert not (tmp_path / "run").exists()


def test_training_that_is_stopped_does_not_serve(data: Path, small: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("train", "--data", data, "--steps", 100_000, "--out", tmp_path / "run", *small, "--then", "serve",
                "--port", free_port()),
        stderr=subprocess.PIPE, text=True,
    )
    while not (tmp_path / "run/metrics.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "serving" not in err
