"""A server under test: started on a free port, stopped with SIGTERM, and always asked whether it is still well."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import command

READY = re.compile(r"^serving (?P<name>.+) at http://(?P<host>.+):(?P<port>\d+)$", re.MULTILINE)


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    log: Path
    name: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout: float = 60) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            given = {"Content-Type": "application/json"} if data is not None else {}
            connection.request(method, path, data, given | (headers or {}))
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        status, _, data = self.ask("POST", path, body, headers)
        return status, json.loads(data)

    def complete(self, **fields: Any) -> Any:
        status, answer = self.post("/v1/completions", fields)
        assert status == 200, answer
        return answer

    def metric(self, name: str) -> float:
        _, _, text = self.ask("GET", "/metrics")
        return next(float(line.split()[-1]) for line in text.decode().splitlines() if line.startswith(name + " "))

    @property
    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def assert_well(self) -> None:
        """It lives, and the next request is served."""
        assert self.process.poll() is None, f"the server ended: {self.log.read_text()}"
        answer = self.complete(prompt=[1, 2, 3], max_tokens=2, temperature=0)
        assert answer["usage"]["completion_tokens"] >= 1

    def stop(self, signal_: int = signal.SIGTERM, timeout: float = 60) -> int:
        self.process.send_signal(signal_)
        return self.process.wait(timeout)


def start(model: Path, log: Path, *options: object) -> Server:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command("serve", model, "--port", 0, *options), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
    deadline = time.monotonic() + 60
    while not (found := READY.search(log.read_text())):
        assert process.poll() is None, f"the server did not start: {log.read_text()}"
        assert time.monotonic() < deadline, f"the server is not ready: {log.read_text()}"
        time.sleep(0.02)
    return Server(process, log, found["name"], int(found["port"]))


@contextmanager
def serving(model: Path, log: Path, *options: object) -> Iterator[Server]:
    server = start(model, log, *options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()


def events(data: bytes) -> list[Any]:
    """The JSON of a stream's events, which must end with [DONE]."""
    parts = data.decode("utf-8").split("\n\n")
    assert parts[-1] == "" and parts[-2] == "data: [DONE]", parts[-3:]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]
