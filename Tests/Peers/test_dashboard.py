"""The live page of a training in a real browser, and on the wire."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support import CHROMIUM, command, mayfly, metrics, settings

EVERY = settings(train__eval_every=50)
ADDRESS = re.compile(r"page is at http://127\.0\.0\.1:(\d+)$", re.MULTILINE)


class Training:
    """A training that goes on until it is stopped, and its page."""

    def __init__(self, log: Path, *arguments: object) -> None:
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command("train", *arguments), stderr=stream)
        deadline = time.monotonic() + 60
        while not (found := ADDRESS.search(log.read_text())):
            assert self.process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", host: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, response.read().decode()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def training(data: Path, small: list[str], tmp_path: Path) -> Iterator[Training]:
    arguments = ["--data", data, "--steps", 1_000_000, "--out", tmp_path / "run", *small, "--dashboard", *EVERY]
    training = Training(tmp_path / "log.txt", *arguments)
    yield training
    training.process.kill()
    training.process.wait()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_the_page_lives(training: Training, browser: Browser, scheme: str, width: int) -> None:
    with browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(training.url)
        expect(page.locator("h1")).to_have_text("Training of run")
        expect(page.locator("svg")).to_have_count(6, timeout=30_000)
        page.locator("summary").click()
        steps = page.locator(".cards div", has_text="steps").locator("b")
        before = steps.inner_text()
        expect(steps).not_to_have_text(before, timeout=30_000)
        expect(page.locator("details")).to_have_attribute("open", "")
        expect(page.locator("details pre")).to_contain_text("learning_rate: 0.003")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        brightness = sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.documentElement).color"))))
        assert (brightness > 400) == (scheme == "dark")
        assert complaints == []
        assert all(url.startswith((training.url, "data:")) for url in requests), requests
        assert training.stop() == 130
        expect(page.locator("#state")).to_contain_text("has ended", timeout=30_000)
        expect(page.locator("svg").first).to_be_visible()


def test_only_this_machine_is_answered(training: Training) -> None:
    status, page = training.ask("/")
    assert status == 200 and "Training of run" in page
    status, body = training.ask("/body?now")
    assert status == 200 and "<html" not in body
    assert training.ask("/", host="evil.example")[0] == 403
    assert training.ask("/body", host="evil.example:80")[0] == 403
    assert training.ask("/", host=f"localhost:{training.port}")[0] == 200
    assert training.ask("/etc/passwd")[0] == 404
    assert training.ask("/", method="POST")[0] == 405
    assert training.ask("/", method="HEAD") == (200, "")
    assert training.stop() == 130, "the page takes no signal away from the training"


def test_a_resumed_training_shows_all(training: Training, data: Path, small: list[str], tmp_path: Path) -> None:
    while "<svg" not in training.ask("/body")[1]:
        time.sleep(0.1)
    assert training.stop() == 130
    done = len(metrics(tmp_path / "run", "train"))
    again = Training(
        tmp_path / "again.txt", "--data", data, "--steps", 1_000_000, "--out", tmp_path / "run", *small, *EVERY,
        "--resume", "--dashboard",
    )
    body = again.ask("/body")[1]
    assert again.stop() == 130
    assert int(re.search(r"<b>([\d,]+)</b><span>steps", body)[1].replace(",", "")) >= done
    assert "resumed" in body


def test_a_taken_port_stops_no_training(data: Path, small: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        out = tmp_path / "run"
        result = mayfly("train", "--data", data, "--steps", 5, "--out", out, *small, "--dashboard", port)
    said = [line for line in result.err.splitlines() if "dashboard" in line]
    assert len(said) == 1 and str(port) in said[0] and "in use" in said[0]
    assert len(metrics(tmp_path / "run", "train")) == 5


def test_the_next_free_port_is_taken(training: Training, data: Path, small: list[str], tmp_path: Path) -> None:
    arguments = ["--data", data, "--steps", 1_000_000, "--out", tmp_path / "second", *small, "--dashboard"]
    second = Training(tmp_path / "second.txt", *arguments)
    assert second.port > training.port and "Training of second" in second.ask("/")[1]
    assert second.stop() == 130


@pytest.mark.parametrize("address", ["0.0.0.0:6006", "example.com", "70000", "127.0.0.1:x", "[::2]:80", "0"])
def test_addresses_that_others_reach_are_refused(data: Path, tmp_path: Path, address: str) -> None:
    result = mayfly(
        "train", "--data", data, "--steps", 5, "--out", tmp_path / "run", "--dashboard", address, code=64)
    assert f"--dashboard {address}" in result.err
    assert not (tmp_path / "run").exists()
