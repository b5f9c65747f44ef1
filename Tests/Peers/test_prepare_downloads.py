"""What `mayfly prepare` fetches: addresses and datasets of a hub, from a server that the test starts."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support import command, documents, mayfly, prose

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Server:
    """Files by path, and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    # Answers to be given before the files: (path, status).
    failures: list[tuple[str, int]] = field(default_factory=list)
    # Where the next answers break off, in bytes of their bodies.
    breaks: list[int] = field(default_factory=list)
    tags: bool = True
    ranges: bool = True
    token: str | None = None
    redirects: dict[str, str] = field(default_factory=dict)
    # Seconds between blocks of 64 KiB.
    pace: float = 0
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    pages: dict[str, tuple[object, str | None]] = field(default_factory=dict)
    address: str = ""

    def asked(self, path: str) -> list[dict[str, str]]:
        return [headers for asked, headers in self.requests if asked == path]

    def add_hub(self, name: str, files: dict[str, bytes], lfs: set[str], revision: str = "main") -> None:
        """As the hub's API shows a dataset, two files on a page."""
        self.pages[f"/api/datasets/{name}/revision/{revision}"] = ({"id": name, "sha": COMMIT}, None)
        entries: list[dict] = [{"type": "directory", "path": "data", "oid": "0" * 40, "size": 0}]
        for path, content in files.items():
            entry = {"type": "file", "path": path, "size": len(content), "oid": git_blob(content)}
            if path in lfs:
                entry["oid"] = git_blob(b"a pointer")
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            entries.append(entry)
            self.files[f"/datasets/{name}/resolve/{COMMIT}/{path}"] = content
        tree = f"/api/datasets/{name}/tree/{COMMIT}?recursive=true"
        pages = [entries[start : start + 2] for start in range(0, len(entries), 2)]
        for index, page in enumerate(pages):
            following = f"{tree}&cursor={index + 1}" if index + 1 < len(pages) else None
            self.pages[tree if index == 0 else f"{tree}&cursor={index}"] = (page, following)


class Handler(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        state, path = self.server.state, unquote(self.path)
        state.requests.append((path, {name.lower(): value for name, value in self.headers.items()}))
        for failure in state.failures:
            if failure[0] == path:
                state.failures.remove(failure)
                return self.answer(failure[1])
        if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
            return self.answer(401)
        if path in state.pages:
            body, following = state.pages[path]
            link = {"Link": f'<{state.address}{following}>; rel="next"'} if following else {}
            return self.answer(200, json.dumps(body).encode(), link)
        if path in state.redirects:
            return self.answer(302, b"", {"Location": state.redirects[path]})
        if path not in state.files:
            return self.answer(404)
        self.content(state, state.files[path])

    def content(self, state: Server, content: bytes) -> None:
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        headers = {"ETag": tag} if state.tags else {}
        if state.tags and self.headers.get("If-None-Match") == tag:
            return self.answer(304, b"", headers)
        status, start, end = 200, 0, len(content)
        wanted = self.headers.get("Range")
        if wanted and state.ranges and self.headers.get("If-Range") in (None, tag):
            first, last = wanted.removeprefix("bytes=").split("-")
            start, end = int(first), min(len(content), int(last) + 1 if last else len(content))
            if start >= len(content):
                return self.answer(416)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        self.answer(status, content[start:end], headers, state.breaks.pop(0) if state.breaks else None)

    def answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, breaks: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            for start in range(0, len(body[:breaks]), 1 << 16):
                self.wfile.write(body[:breaks][start : start + (1 << 16)])
                self.wfile.flush()
                time.sleep(self.server.state.pace)
        except OSError:
            self.close_connection = True
        if breaks is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    state: Server


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    listener = Listener(("127.0.0.1", 0), Handler)
    listener.state = Server(address=f"http://127.0.0.1:{listener.server_port}")
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", listener.state.address)
    for name in ("HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield listener.state
    listener.shutdown()
    listener.server_close()


def lines(count: int, seed: int = 0) -> tuple[list[str], bytes]:
    texts = [f"{seed} {index}: " + prose(300, seed=1000 * seed + index).strip() for index in range(count)]
    return texts, "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def prepare(*inputs: str, out: Path, code: int = 0, options: tuple[object, ...] = ()):
    return mayfly(
        "prepare", *inputs, "--out", out, "--vocab-size", 300, "--val-fraction", 0, "--test-fraction", 0, *options,
        code=code)


# --- Addresses ---------------------------------------------------------------------------------------------------------


def test_an_address_is_read_as_the_file_is(server: Server, tmp_path: Path) -> None:
    texts, content = lines(50)
    server.files["/some where/texts.jsonl"] = content
    server.redirects["/short"] = f"{server.address}/some%20where/texts.jsonl"
    prepare(f"{server.address}/some%20where/texts.jsonl", out=tmp_path / "a")
    assert documents(tmp_path / "a") == texts
    prepare(f"{server.address}/short", out=tmp_path / "short")
    assert documents(tmp_path / "short") == [content.decode()]
    # The same file from the disk gives the same bytes.
    local = tmp_path / "texts.jsonl"
    local.write_bytes(content)
    prepare(str(local), out=tmp_path / "b")
    for name in ("dataset.json", "train-00000.bin", "tokenizer.json", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_what_is_here_is_not_fetched_again_unless_it_has_changed(server: Server, tmp_path: Path) -> None:
    texts, server.files["/a.jsonl"] = lines(40)
    address = f"{server.address}/a.jsonl"
    for index in range(2):
        prepare(address, out=tmp_path / f"{index}")
        assert documents(tmp_path / f"{index}") == texts
    asked = server.asked("/a.jsonl")
    assert len(asked) == 2 and "if-none-match" in asked[1]
    texts, server.files["/a.jsonl"] = lines(41, seed=1)
    prepare(address, out=tmp_path / "new")
    assert documents(tmp_path / "new") == texts
    # And without a server, what came last is there.
    server.failures += [("/a.jsonl", 503)] * 5
    result = prepare(address, out=tmp_path / "offline")
    assert "can't tell whether it has changed" in result.err
    assert documents(tmp_path / "offline") == texts


def test_an_answer_that_breaks_off_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    texts, content = lines(2000)
    server.files["/a.jsonl"] = content
    server.breaks = [70_000, 0, 100_000]
    server.failures = [("/a.jsonl", 503), ("/a.jsonl", 429)]
    prepare(f"{server.address}/a.jsonl", out=tmp_path / "out")
    assert documents(tmp_path / "out") == texts
    ranges = [headers.get("range") for headers in server.asked("/a.jsonl")]
    assert "bytes=70000-" in ranges and "bytes=170000-" in ranges


@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("sizes", ["other", "equal"])
def test_content_that_changes_between_two_attempts_is_fetched_from_its_start(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: bool, sizes: str
) -> None:
    _, old = lines(2000, seed=3)
    texts, new = lines(2000, seed=4) if sizes == "other" else ([], b"")
    if sizes == "equal":
        new = old.replace(b"3 ", b"4 ")
        texts = [json.loads(line)["text"] for line in new.splitlines()]
    server.files["/a.jsonl"], server.tags, server.breaks = old, tags, [len(old) - 10]
    original = Handler.content

    def change(self: Handler, state: Server, content: bytes) -> None:
        original(self, state, content)
        state.files["/a.jsonl"] = new

    monkeypatch.setattr(Handler, "content", change)
    prepare(f"{server.address}/a.jsonl", out=tmp_path / "out")
    assert documents(tmp_path / "out") == texts


def test_content_that_changes_before_the_next_process_is_fetched_from_its_start(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, old = lines(1000, seed=3)
    texts, new = lines(1000, seed=4)
    server.files["/a.jsonl"], server.breaks = old, [70_000]
    original = Handler.content

    def fail(self: Handler, state: Server, content: bytes) -> None:
        original(self, state, content)
        state.failures = [("/a.jsonl", 503)] * 9

    # The first answer breaks off, all others are failures.
    with monkeypatch.context() as patch:
        patch.setattr(Handler, "content", fail)
        left = prepare(f"{server.address}/a.jsonl", out=tmp_path / "out", code=65)
    assert "70000 bytes are here" in left.err
    server.failures, server.files["/a.jsonl"] = [], new
    prepare(f"{server.address}/a.jsonl", out=tmp_path / "out")
    assert documents(tmp_path / "out") == texts


@pytest.mark.parametrize("lacking", ["ranges", "tags"])
def test_a_server_without_ranges_or_tags_serves_too(server: Server, tmp_path: Path, lacking: str) -> None:
    texts, server.files["/a.jsonl"] = lines(2000)
    setattr(server, lacking, False)
    server.breaks = [70_000]
    prepare(f"{server.address}/a.jsonl", out=tmp_path / "out")
    assert documents(tmp_path / "out") == texts


def test_a_killed_process_leaves_a_part_that_the_next_one_goes_on_with(server: Server, tmp_path: Path) -> None:
    texts, content = lines(6000)
    server.files["/a.jsonl"] = content
    server.pace = 0.05
    out = tmp_path / "out"
    arguments = ["prepare", f"{server.address}/a.jsonl", "--out", out, "--vocab-size", 300]
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size > 300_000 for path in (tmp_path / "cache").rglob(".part")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    server.pace = 0
    prepare(f"{server.address}/a.jsonl", out=out)
    assert documents(out) == texts
    last = server.asked("/a.jsonl")[-1]
    assert int(last["range"].removeprefix("bytes=").removesuffix("-")) >= 262_144


def test_a_checksum_is_checked(server: Server, tmp_path: Path) -> None:
    texts, content = lines(30)
    server.files["/a.jsonl"] = content
    right = hashlib.sha256(content).hexdigest()
    prepare(f"{server.address}/a.jsonl#sha256={right}", out=tmp_path / "right")
    assert documents(tmp_path / "right") == texts
    wrong = prepare(f"{server.address}/a.jsonl#sha256={'0' * 64}", out=tmp_path / "wrong", code=65)
    assert right in wrong.err and not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://", "expected https://HOST/PATH"), ("https:///a.txt", "expected https://HOST/PATH"),
        ("{}/a b.txt", "expected https://HOST/PATH"), ("{}/a.txt#sha256=12", "64 hexadecimal digits"),
        ("{}/missing.txt", "not found (404)"), ("{}/a.docx", ".docx files can't be read"),
        ("hf://datasets/only", "hf://datasets/OWNER/NAME"), ("hf://models/a/b", "hf://datasets/OWNER/NAME"),
        ("hf://datasets/a/..", "hf://datasets/OWNER/NAME"), ("hf://datasets/a/missing", "no such dataset"),
        ("http://127.0.0.1:9/a.txt", "can't be downloaded"),
    ])
def test_what_cannot_be_fetched_is_an_error_that_says_why(
    server: Server, tmp_path: Path, address: str, expected: str
) -> None:
    result = prepare(address.format(server.address), out=tmp_path / "out", code=65)
    assert expected in result.err
    assert not (tmp_path / "out").exists()


def test_without_curl_it_is_said_what_to_install(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install curl" in prepare(f"{server.address}/a.jsonl", out=tmp_path / "out", code=65).err


# --- Datasets of the hub -----------------------------------------------------------------------------------------------


@pytest.fixture
def hub(server: Server, tmp_path: Path) -> tuple[Server, dict[str, list[str]]]:
    texts = {name: lines(30, seed=index)[0] for index, name in enumerate(["a", "b", "c"])}
    pq.write_table(pa.table({"text": texts["a"]}), tmp_path / "a.parquet")
    files = {
        "README.md": b"# About", "data/train-00000-of-00001.parquet": (tmp_path / "a.parquet").read_bytes(),
        "data/test-00000.jsonl": lines(30, seed=1)[1], ".gitattributes": b"*.parquet lfs", "extra/c.jsonl": lines(30, seed=2)[1],
        "extra/notes.docx": b"PK", "dataset_infos.json": b"{}",
    }
    server.add_hub("somebody/some.set", files, lfs={"data/train-00000-of-00001.parquet"})
    return server, texts


def test_a_dataset_of_the_hub_is_all_its_files_that_can_be_read(
    hub: tuple[Server, dict[str, list[str]]], tmp_path: Path
) -> None:
    _, texts = hub
    prepare("hf://datasets/somebody/some.set", out=tmp_path / "out")
    assert documents(tmp_path / "out") == texts["b"] + texts["a"] + texts["c"]
    assert "<td>somebody/some.set</td>" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("data", "ba"), ("data/", "ba"), ("data/train-*", "a"), ("*/*.jsonl", "bc"), ("**.parquet", "a"),
        ("data/test-0000?.jsonl", "b"), ("extra/c.jsonl", "c"), ("**/*", "bac"), ("*a/**a*0*.*", "a"),
    ])
def test_a_pattern_chooses_files(
    hub: tuple[Server, dict[str, list[str]]], tmp_path: Path, pattern: str, names: str
) -> None:
    _, texts = hub
    prepare(f"hf://datasets/somebody/some.set/{pattern}", out=tmp_path / "out")
    assert documents(tmp_path / "out") == [text for name in names for text in texts[name]]


def test_a_pattern_without_files_is_an_error(hub: tuple[Server, dict[str, list[str]]], tmp_path: Path) -> None:
    assert "no text" in prepare("hf://datasets/somebody/some.set/*.parquet", out=tmp_path / "out", code=65).err


def test_files_of_a_commit_are_fetched_once(hub: tuple[Server, dict[str, list[str]]], tmp_path: Path) -> None:
    server, texts = hub
    for index in range(2):
        prepare("hf://datasets/somebody/some.set@main/extra", out=tmp_path / f"{index}")
        assert documents(tmp_path / f"{index}") == texts["c"]
    assert len(server.asked(f"/datasets/somebody/some.set/resolve/{COMMIT}/extra/c.jsonl")) == 1


def test_a_revision_with_a_slash_and_a_token(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, content = lines(20)
    server.add_hub("me/mine", {"a.jsonl": content}, lfs=set(), revision="refs/convert/parquet")
    server.token = "hf_secret"
    address = "hf://datasets/me/mine@refs%2Fconvert%2Fparquet"
    assert "HF_TOKEN" in prepare(address, out=tmp_path / "no", code=65).err
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    result = prepare(address, out=tmp_path / "out")
    assert documents(tmp_path / "out") == texts
    assert "hf_secret" not in result.err + (tmp_path / "out/dataset.json").read_text()


@pytest.mark.parametrize("path", ["data/train-00000-of-00001.parquet", "extra/c.jsonl"])
def test_a_file_that_is_not_what_the_hub_announced_is_refused(
    hub: tuple[Server, dict[str, list[str]]], tmp_path: Path, path: str
) -> None:
    server, _ = hub
    place = f"/datasets/somebody/some.set/resolve/{COMMIT}/{path}"
    right = server.files[place]
    server.files[place] = right[:-5] + b"12345"
    kind = "SHA-256" if path.endswith("parquet") else "git blob"
    assert f"found {kind}" in prepare(f"hf://datasets/somebody/some.set/{path}", out=tmp_path / "out", code=65).err
    server.files[place] = right + b"1"
    assert "announced" in prepare(f"hf://datasets/somebody/some.set/{path}", out=tmp_path / "out", code=65).err
    # What came was thrown away: the next attempt gets what is right.
    server.files[place] = right
    prepare(f"hf://datasets/somebody/some.set/{path}", out=tmp_path / "out")


def test_parts_fetch_only_their_files_and_give_what_one_process_gives(
    hub: tuple[Server, dict[str, list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = hub
    address = "hf://datasets/somebody/some.set"
    prepare(address, out=tmp_path / "whole")
    parts = []
    for index in range(3):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache-{index}"))
        server.requests.clear()
        parts.append(tmp_path / f"part-{index}")
        mayfly(
            "prepare", address, "--part", f"{index}/3", "--out", parts[-1], "--tokenizer",
            tmp_path / "whole/tokenizer.json")
        assert sum("/resolve/" in path for path, _ in server.requests) == 1
    mayfly("prepare", "--merge", *parts, "--out", tmp_path / "merged", "--val-fraction", 0, "--test-fraction", 0)
    for name in ("train-00000.bin", "tokenizer.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "merged" / name).read_bytes(), name


def test_train_begins_with_a_dataset_of_the_hub(hub: tuple[Server, dict[str, list[str]]], tmp_path: Path) -> None:
    mayfly(
        "train", "--data", "hf://datasets/somebody/some.set/data", "--out", tmp_path / "run", "--steps", 3, "--preset",
        "decoder-64", "--set", "train.context=32", "--device", "cpu")
    assert (tmp_path / "run/data/dataset.json").exists()
