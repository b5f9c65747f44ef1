"""What comes from outside may be anything: the right status, no crash, memory flat, and the next request is served."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from serving import Server, events, serving
from support import make_model

CONTEXT = 4096
TIMEOUT = 3
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of ids that is fast, and that never ends by itself."""
    out = tmp_path_factory.mktemp("models") / "endless"
    make_model("gpt2", n_positions=CONTEXT, eos_token_id=None, bos_token_id=None).save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Server]:
    with serving(folder, folder.parent / "log.txt", "--timeout", TIMEOUT, "--queue", 4) as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """Whatever a test does to it, the server must serve the next request, and not have grown much."""
    shared.assert_well()
    before = shared.memory
    yield shared
    shared.assert_well()
    assert "error" not in shared.log.read_text(), shared.log.read_text()
    assert shared.memory < before + 100 * MEGABYTE, f"{before} bytes became {shared.memory}"


def head(length: int | None, path: str = "/v1/completions", method: str = "POST") -> bytes:
    more = "" if length is None else f"Content-Length: {length}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}\r\n".encode()


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """Reads until the server closes the connection, or until one answer with a length is there."""
    data = b""
    while part := connection.recv(1 << 16):
        data += part
        top, found, body = data.partition(b"\r\n\r\n")
        if found:
            for line in top.lower().split(b"\r\n"):
                if line.startswith(b"content-length:") and len(body) >= int(line.split(b":")[1]):
                    return int(data.split()[1]), body
    return int(data.split()[1]) if data else 0, data.partition(b"\r\n\r\n")[2]


def code_of(answer: Any) -> str | None:
    error = answer["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error["code"]


# --- Bodies -----------------------------------------------------------------------------------------------------------

BAD_BODIES = {
    "empty": b"", "no JSON": b"hello", "cut off": b'{"prompt": [1', "two documents": b"{} {}", "an array": b"[]",
    "null": b"null", "invalid UTF-8": b'{"prompt": "\xff\xfe"}', "an overlong form": b'{"prompt": "\xc0\xaf"}',
    "half of a surrogate": b'{"prompt": "\\ud800"}', "a NUL": b'{"prompt": "\x00"}',
    "NaN": b'{"prompt": [1], "top_p": NaN}',
    "beyond fp64": b'{"prompt": [1], "top_p": 1e999}', "twice": b'{"prompt": [1], "prompt": [2]}',
    "deep arrays": b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep objects": b'{"a":' * 100_000,
    "UTF-16": '{"prompt": [1]}'.encode("utf-16"), "a byte-order mark": b'\xef\xbb\xbf{"prompt": [1]}',
    "a long number": b'{"prompt": [' + b"9" * 500_000 + b"]}",
}


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/embeddings"])
@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_is_no_request(server: Server, path: str, body: bytes) -> None:
    status, answer = server.post(path, body)
    assert status == 400, answer
    code_of(answer)


VALUES: list[Any] = [
    True, -1, 0.5, 2**63, -(2**63) - 1, 1e300, -1e300, "x", "", [], [[]], {}, {"a": 1}, [None], [1e300],
]
# What each field may be, of the values above.
GOOD: dict[str, list[Any]] = {
    "model": [], "max_tokens": [], "temperature": [0.5], "top_p": [0.5], "n": [], "stop": ["", []],
    # The last one is -2⁶³ as a float.
    "seed": [-1, -(2**63) - 1], "logprobs": [], "echo": [True], "stream": [True], "stream_options": [], "suffix": [""],
    "presence_penalty": [], "frequency_penalty": [], "logit_bias": [{}], "best_of": [], "prompt": [],
    "user": VALUES, "metadata": VALUES, "unknown": VALUES,
}


@pytest.mark.parametrize("field", GOOD)
def test_values_of_a_wrong_type_or_size_are_named(server: Server, field: str) -> None:
    for value in VALUES:
        status, _, data = server.ask("POST", "/v1/completions", {"prompt": [1], "max_tokens": 1} | {field: value})
        if any(value is good or (value == good and type(value) is type(good)) for good in GOOD[field]):
            assert status == 200, (field, value, data)
            continue
        answer = json.loads(data)
        # An empty text, where there is no tokenizer, and a model of another name have statuses of their own.
        assert status == (404 if field == "model" and isinstance(value, str) else 400), (field, value, answer)
        if code_of(answer) != "no_tokenizer":
            assert answer["error"]["param"] == field and field in answer["error"]["message"], (field, value, answer)


def test_a_number_of_tokens_beyond_all_bounds_is_as_many_as_fit(server: Server) -> None:
    ids = [1] * (CONTEXT - 3)
    assert server.complete(prompt=ids, max_tokens=2**62)["usage"]["completion_tokens"] == 4
    status, answer = server.post("/v1/completions", {"prompt": ids, "max_tokens": 2**63})
    assert status == 400 and answer["error"]["param"] == "max_tokens"


def test_routes_methods_and_types(server: Server) -> None:
    for method, path, expected in (
        ("GET", "/nothing", 404), ("POST", "/v1", 404), ("GET", "/v1/completions", 405), ("PUT", "/v1/models", 405),
        ("DELETE", "/", 405), ("OPTIONS", "/v1/completions", 405), ("GET", "/../../etc/passwd", 404),
        ("GET", "/%00", 404), ("GET", "/v1/models/%ff", 404), ("POST", "/v1/models/", 405), ("PATCH", "/health", 405),
        ("GET", "/" + "a" * 5000, 404), ("GET", "/health?x=%zz&&&=", 200),
    ):
        status, headers, data = server.ask(method, path)
        assert status == expected, (method, path, status)
        if expected != 200:
            code_of(json.loads(data))
        if expected == 405:
            assert headers["allow"]
    for kind, expected in (("text/plain", 415), ("application/json; charset=utf-8", 200), ("multipart/form-data", 415)):
        status, _, _ = server.ask("POST", "/v1/completions", {"prompt": [1], "max_tokens": 1}, {"Content-Type": kind})
        assert status == expected


def test_bodies_without_a_length_or_of_a_wrong_one(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(None))
        status, body = answer_of(connection)
        assert status == 411 and code_of(json.loads(body)) == "length_required"
    for length in ("-1", "x", "1 2", "99999999999999999999999"):
        with server.connect() as connection:
            connection.sendall(head(0).replace(b"Content-Length: 0", f"Content-Length: {length}".encode()))
            assert answer_of(connection)[0] in (400, 413)


def test_a_hundred_megabytes(server: Server) -> None:
    piece = b"[" * MEGABYTE
    with server.connect() as connection:
        connection.sendall(head(100 * MEGABYTE))
        for _ in range(100):
            connection.sendall(piece)
        status, body = answer_of(connection)
        assert status == 413 and code_of(json.loads(body)) == "request_too_large"
    # Without saying so before.
    with server.connect() as connection:
        connection.sendall(head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        for _ in range(100):
            connection.sendall(b"100000\r\n" + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        status, body = answer_of(connection)
        assert status == 413 and code_of(json.loads(body)) == "request_too_large"


def test_lines_that_are_no_http(server: Server) -> None:
    for data in (
        b"\x00" * 1000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n", b"GET / HTTP/1.1\r\nA: " + b"b" * 1_000_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n", b"G" * 200_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"* / HTTP/1.1\r\n: x\r\n\r\n",
    ):
        with server.connect(timeout=3 * TIMEOUT) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass
            except (ConnectionError, BrokenPipeError):
                pass
        server.assert_well()


# --- Time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [b"POST /v1/comp", head(100), head(100) + b'{"prompt": '], ids=["line", "head", "body"]
)
def test_a_request_that_is_never_finished(server: Server, sent: bytes) -> None:
    with server.connect(timeout=5 * TIMEOUT) as connection:
        connection.sendall(sent)
        status, body = answer_of(connection)
        assert status == 408 and code_of(json.loads(body)) == "request_timeout"
        assert connection.recv(1) == b"", "and the connection is closed"


def test_a_request_that_drips(server: Server) -> None:
    with server.connect(timeout=5 * TIMEOUT) as connection:
        connection.sendall(head(10_000))
        try:
            for _ in range(50 * TIMEOUT):
                connection.sendall(b" ")
                time.sleep(0.1)
            pytest.fail("the server waited too long")
        except ConnectionError:
            pass


def test_an_idle_connection_is_closed(server: Server) -> None:
    with server.connect(timeout=5 * TIMEOUT) as connection:
        assert connection.recv(1) == b""


def test_pipelined_requests_are_all_answered_in_order(server: Server) -> None:
    body = json.dumps({"prompt": [1], "max_tokens": 2}).encode()
    with server.connect() as connection:
        for _ in range(20):
            connection.sendall(head(len(body)) + body + head(None, "/health", "GET"))
        data = b""
        while data.count(b"HTTP/1.1 200") < 40 or not data.endswith(b"}"):
            part = connection.recv(1 << 16)
            assert part, data[-300:]
            data += part
    kinds = [b"text_completion" in part for part in data.split(b"HTTP/1.1 200")[1:]]
    assert kinds == [True, False] * 20


# --- Many, slow and gone ----------------------------------------------------------------------------------------------


def stream(server: Server, tokens: int = CONTEXT - 8, prompts: int = 8) -> socket.socket:
    """A request that takes seconds, and that a test waits for only where it asks for less."""
    body = json.dumps({"prompt": [[1, 2]] * prompts, "max_tokens": tokens, "stream": True, "logprobs": 1}).encode()
    connection = server.connect()
    connection.sendall(head(len(body)) + body)
    return connection


def wait_until(holds: Any, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_five_hundred_connections(server: Server) -> None:
    connections = [server.connect() for _ in range(500)]
    server.assert_well()
    for connection in connections[:250]:
        connection.sendall(head(50) + b"{")
    server.assert_well()
    for connection in connections:
        connection.close()


def test_five_hundred_requests_at_once(server: Server) -> None:
    def ask(_: int) -> int:
        return server.ask("POST", "/v1/completions", {"prompt": [1], "max_tokens": 8})[0]

    with ThreadPoolExecutor(500) as pool:
        statuses = list(pool.map(ask, range(500)))
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 5


def test_a_full_queue_says_so(server: Server) -> None:
    running = [stream(server)]
    assert running[0].recv(1)
    running += [stream(server) for _ in range(4)]
    wait_until(lambda: server.metric("mayfly_queue_length") == 4, "four should wait")
    status, headers, data = server.ask("POST", "/v1/completions", {"prompt": [1]})
    assert status == 429 and int(headers["retry-after"]) >= 1 and code_of(json.loads(data)) == "queue_full"
    for connection in running:
        connection.close()
    wait_until(lambda: server.metric("mayfly_queue_length") == 0, "they should be gone")


def test_whoever_leaves_is_computed_no_further(server: Server) -> None:
    generated = server.metric("mayfly_generated_tokens_total")
    for _ in range(20):
        with stream(server) as connection:
            assert connection.recv(1)
    wait_until(lambda: server.metric("mayfly_running") == 0, "nothing should run")
    assert server.metric("mayfly_generated_tokens_total") - generated < 20 * CONTEXT / 2
    # One that waits for the whole answer, and one that waits in the queue.
    for _ in range(5):
        running = stream(server)
        assert running.recv(1)
        body = json.dumps({"prompt": [1], "max_tokens": CONTEXT - 8}).encode()
        waiting = server.connect()
        waiting.sendall(head(len(body)) + body)
        wait_until(lambda: server.metric("mayfly_queue_length") == 1, "one should wait")
        waiting.close()
        wait_until(lambda: server.metric("mayfly_queue_length") == 0, "it should be gone")
        running.close()
    wait_until(lambda: server.metric("mayfly_running") == 0, "nothing should run")


def test_a_slow_reader_holds_up_nobody(server: Server) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.settimeout(60)
    body = json.dumps(
        {"prompt": [[1, 2]] * 40, "max_tokens": 200, "stream": True, "logprobs": 20, "temperature": 0}
    ).encode()
    connection.sendall(head(len(body)) + body)
    assert connection.recv(1)
    server.assert_well()
    connection.close()


def test_memory_is_flat_over_many_requests(server: Server) -> None:
    def some(count: int) -> None:
        for i in range(count):
            ids = [(7 * i + j) % 300 for j in range(1 + (37 * i) % 500)]
            server.complete(prompt=ids, max_tokens=i % 5, n=1 + i % 3, logprobs=i % 4, echo=i % 2 == 0)
            server.post("/v1/embeddings", {"input": ids})
            server.post("/v1/completions", b"[" * (1 + i * 1000))

    some(150)
    before = server.memory
    some(300)
    assert server.memory < before + 20 * MEGABYTE


# --- The end ----------------------------------------------------------------------------------------------------------


def test_sigterm_lets_a_stream_come_to_its_end(folder: Path, tmp_path: Path) -> None:
    with serving(folder, tmp_path / "log") as server:
        connection = stream(server, 1500, 1)
        kept = server.connect()
        kept.sendall(head(None, "/health", "GET"))
        answer_of(kept)
        data = connection.recv(1 << 16)
        server.process.send_signal(signal.SIGTERM)
        while part := connection.recv(1 << 16):
            data += part
        assert data.endswith(b"0\r\n\r\n") and b"data: [DONE]" in data, "the stream ends as it should"
        assert data.count(b'"finish_reason":"length"') == 1
        assert server.process.wait(30) == 0
        assert kept.recv(1) == b"", "an idle connection is closed"
        with pytest.raises(OSError):
            server.connect()


def test_sigint_without_requests_and_sigterm_twice(folder: Path, tmp_path: Path) -> None:
    with serving(folder, tmp_path / "log") as server:
        server.assert_well()
        assert server.stop(signal.SIGINT, timeout=10) == 0
    with serving(folder, tmp_path / "log2") as server:
        body = json.dumps({"prompt": [[1, 2]] * 128, "max_tokens": CONTEXT - 8, "stream": True}).encode()
        connection = server.connect()
        connection.sendall(head(len(body)) + body)
        assert connection.recv(1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None, "it waits for the stream"
        assert server.stop(signal.SIGTERM, timeout=10) == 143


def test_what_takes_too_long_to_end_is_cut_off_and_told_so(folder: Path, tmp_path: Path) -> None:
    with serving(folder, tmp_path / "log", "--drain", 1) as server:
        body = json.dumps({"prompt": [[1, 2]] * 128, "max_tokens": CONTEXT - 8, "stream": True}).encode()
        with server.connect() as connection:
            connection.sendall(head(len(body)) + body)
            data = connection.recv(1 << 16)
            server.process.send_signal(signal.SIGTERM)
            while part := connection.recv(1 << 16):
                data += part
        assert data.endswith(b"0\r\n\r\n") and b"data: [DONE]" in data and b"server_stopping" in data
        assert server.process.wait(30) == 1
        assert "1 seconds" in server.log.read_text()


def test_what_waits_when_it_stops_is_served_too(folder: Path, tmp_path: Path) -> None:
    # With time for what runs before it, on a slow processor as well.
    with serving(folder, tmp_path / "log", "--drain", 600) as server:
        first = stream(server)
        assert first.recv(1)
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(server.complete(prompt=[1], max_tokens=3)))
        thread.start()
        wait_until(lambda: server.metric("mayfly_queue_length") == 1, "one should wait")
        server.process.send_signal(signal.SIGTERM)
        while first.recv(1 << 16):
            pass
        thread.join(60)
        assert results and results[0]["usage"]["completion_tokens"] == 3
        assert server.process.wait(30) == 0
