"""What `mayfly prepare` reads: every format gives the text that its own tools wrote."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import os
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support import documents, mayfly, prose


def prepared(*inputs: Path, out: Path, options: tuple[object, ...] = ()) -> list[str]:
    mayfly(
        "prepare", *inputs, "--out", out, "--vocab-size", 300, "--val-fraction", 0, "--test-fraction", 0, *options)
    return documents(out)


def texts(count: int, seed: int = 1) -> list[str]:
    """Different ones of all lengths, with everything that a format must quote or escape."""
    draw = random.Random(seed)
    hard = ['a "quoted" one', "commas, and\ttabs", "lines\nand\n\nmore", "漢字，和標點。", "emoji 😀 and e\u0301", "<b>&amp;</b>", "x"]
    return [
        f"{index}: {hard[index % len(hard)]} {prose(draw.randrange(4, 400), seed=index)}".strip() for index in range(count)
    ]


# --- Parquet ---------------------------------------------------------------------------------------------------------

CODECS = ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]
ENCODINGS = ["dictionary", "PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]


def write_parquet(path: Path, column: pa.Array, *, codec: str, encoding: str, version: str, **more: object) -> None:
    table = pa.table({"number": pa.array(range(len(column))), "text": column})
    dictionary = encoding == "dictionary"
    pq.write_table(
        table, path, compression=codec, use_dictionary=dictionary, data_page_version=version,
        column_encoding=None if dictionary else {"text": encoding, "number": "PLAIN"}, **more)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_parquet_reads_as_pyarrow_wrote_it(tmp_path: Path, encoding: str, version: str) -> None:
    wanted: list[str] = []
    folder = tmp_path / "in"
    folder.mkdir()
    for index, codec in enumerate(CODECS):
        values = texts(300, seed=index)
        values = [f"{codec} {value}" for value in values]
        column = pa.array([None if place % 7 == 3 else value for place, value in enumerate(values)])
        write_parquet(
            folder / f"{index}.parquet", column, codec=codec, encoding=encoding, version=version, row_group_size=110,
            data_page_size=1000, write_page_checksum=index % 2 == 0)
        wanted += [value for value in column.to_pylist() if value is not None]
    assert prepared(folder, out=tmp_path / "out") == wanted


@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "dictionary", "required", "repeating", "empty"])
def test_parquet_of_every_kind_of_string(tmp_path: Path, kind: str) -> None:
    values = texts(5000 if kind == "repeating" else 200)
    if kind == "repeating":
        # A dictionary that grows too large makes pyarrow go on without.
        values = [value * 20 for value in values]
    if kind == "empty":
        values = ["", "the only one", ""]
    column = pa.array(values, type={"large_string": pa.large_string(), "binary": pa.binary()}.get(kind, pa.string()))
    if kind == "dictionary":
        column = column.dictionary_encode()
    schema = pa.schema([pa.field("text", column.type, nullable=kind != "required")])
    pq.write_table(pa.table([column], schema=schema), tmp_path / "a.parquet")
    assert prepared(tmp_path / "a.parquet", out=tmp_path / "out") == [value for value in values if value]


def test_parquet_with_strings_in_groups(tmp_path: Path) -> None:
    rows = [{"inner": {"text": "one"}}, None, {"inner": None}, {"inner": {"text": None}}, {"inner": {"text": "two"}}]
    kind = pa.struct([("inner", pa.struct([("text", pa.string())]))])
    pq.write_table(pa.table({"outer": pa.array(rows, type=kind)}), tmp_path / "a.parquet")
    read = prepared(tmp_path / "a.parquet", out=tmp_path / "out", options=("--text-field", "outer.inner.text"))
    assert read == ["one", "two"]


def test_parquet_that_has_no_such_column_or_is_damaged(tmp_path: Path) -> None:
    whole = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": texts(100), "number": list(range(100))}), whole)
    failed = mayfly("prepare", whole, "--out", tmp_path / "out", code=65)
    assert '"body"' in failed.err and "number" not in failed.err
    bytes_ = whole.read_bytes()
    draw = random.Random(1)
    for index in range(60):
        damaged = bytearray(bytes_)
        for _ in range(1 + index % 3):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        if index % 10 == 0:
            damaged = damaged[: draw.randrange(len(damaged))]
        (tmp_path / "b.parquet").write_bytes(damaged)
        out = tmp_path / f"out{index}"
        mayfly("prepare", tmp_path / "b.parquet", "--out", out, "--text-field", "body", code=(0, 65))


# --- Tables, pages, compressed files, archives -----------------------------------------------------------------------


@pytest.mark.parametrize("name, separator", [("a.csv", ","), ("a.tsv", "\t")])
def test_tables_read_as_python_wrote_them(tmp_path: Path, name: str, separator: str) -> None:
    wanted = texts(200)
    with open(tmp_path / name, "w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["id", "text", "more"])
        for index, text in enumerate(wanted):
            writer.writerow([index, text, 'with "quotes"'])
    assert prepared(tmp_path / name, out=tmp_path / "out") == wanted
    failed = mayfly("prepare", tmp_path / name, "--out", tmp_path / "b", "--text-field", "body", code=65)
    assert '"text"' in failed.err


def test_html_gives_its_text_without_scripts_and_navigation(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        """<!doctype html><html><head><title>T</title><style>p { color: red }</style></head><body>
        <nav><ul><li><a href="/">Home</a></li></ul></nav><header>Menu</header>
        <main><article><header><h1>Title &amp; more</h1></header><p>First <b>bold</b>
        line.<br>Second &mdash; caf&eacute; &#x6f22;&#23383;.</p><script>if (a < b) { alert("no") }</script>
        <ul><li>one</li><li>two</li></ul><pre>  kept
    spaces</pre><!-- comment --><p hidden>gone</p></article></main>
        <aside>Also read</aside><footer>All rights reserved</footer></body></html>""", encoding="utf-8")
    assert prepared(tmp_path / "a.html", out=tmp_path / "out") == [
        "Title & more\n\nFirst bold line.\nSecond — café 漢字.\n\n- one\n- two\n\n  kept\n    spaces\n"]


def test_compressed_files_and_archives(tmp_path: Path) -> None:
    wanted = texts(400)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in wanted).encode()
    folder = tmp_path / "in"
    folder.mkdir()
    # Two members, one after the other.
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines[: len(lines) // 2]) + gzip.compress(lines[len(lines) // 2 :]))
    with pa.CompressedOutputStream(str(folder / "b.jsonl.zst"), "zstd") as file:
        file.write(lines.replace(b'"text": "', b'"text": "b'))
    (folder / "c.jsonl.xz").write_bytes(lzma.compress(lines.replace(b'"text": "', b'"text": "c')))
    with zipfile.ZipFile(folder / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sub/one.txt", "in a zip")
        archive.writestr("image.png", b"\0\1")
        archive.writestr("stored.md", "stored", compress_type=zipfile.ZIP_STORED)
    with tarfile.open(folder / "e.tar.gz", "w:gz") as archive:
        for name, text in [("x/" + "long" * 60 + ".txt", "in a tar"), ("y.jsonl", '{"text": "a line in a tar"}\n')]:
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    read = prepared(folder, out=tmp_path / "out")
    assert read == (
        wanted + ["b" + text for text in wanted] + ["c" + text for text in wanted]
        + ["in a zip", "stored", "in a tar", "a line in a tar"])
    assert prepared(folder, out=tmp_path / "three", options=("--workers", 3)) == read


@pytest.mark.parametrize("piece", [".", "a", " ", "字", "1 ", "👩‍👧"])
def test_one_character_without_end(tmp_path: Path, piece: str) -> None:
    """A word of megabytes is learned from and merged in little more than its length."""
    text = "A beginning " + piece * (3_000_000 // len(piece.encode())) + " and an end"
    (tmp_path / "a.txt").write_text(text)
    mayfly("prepare", tmp_path / "a.txt", "--out", tmp_path / "out", "--vocab-size", 300, "--val-fraction", 0,
           "--test-fraction", 0, "--scrub-pii")
    ids = [int(each) for each in np.fromfile(tmp_path / "out/train-00000.bin", dtype=np.uint16, offset=1024) if each]
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    assert mayfly("tokenize", tmp_path / "out", "--file", tmp_path / "ids.json", "--decode").out == text


def test_standard_input(tmp_path: Path) -> None:
    import subprocess

    from support import command

    done = subprocess.run(
        command("prepare", "-", "--out", tmp_path / "out", "--vocab-size", 300, "--val-fraction", 0, "--test-fraction", 0),
        input=b'{"text": "one"}\n{"text": "two"}\n', capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert documents(tmp_path / "out") == ["one", "two"]


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"0" * (400 << 20))


def traversing_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("../../etc/evil.txt")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"text"))


def impossible_tar(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo("a.txt")
        entry.size = 2**63 - 1
        archive.addfile(entry)


def half_gzip(path: Path) -> None:
    whole = gzip.compress(prose(200_000, seed=1).encode())
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    "name, make, saying",
    [("a.zip", zip_bomb, "250 times"), ("a.tar", traversing_tar, "leads out"),
     ("a.tar", impossible_tar, "9223372036854775807 bytes"), ("a.txt.gz", half_gzip, "ends in the middle")],
    ids=["zip bomb", "path-traversing tar", "tar of an impossible size", "half-downloaded gzip"])
def test_hostile_archives_are_refused(tmp_path: Path, name: str, make: Callable[[Path], None], saying: str) -> None:
    make(tmp_path / name)
    failed = mayfly("prepare", tmp_path / name, "--out", tmp_path / "out", code=65)
    assert saying in failed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


# --- Encodings -------------------------------------------------------------------------------------------------------

CHINESE = "这是一个用来测试编码的中文文本。我们在这里写了几句话，说明程序怎样知道它的编码。" * 8
TRADITIONAL = "這是一個用來測試編碼的中文文本。我們在這裡寫了幾句話，說明程式怎樣知道它的編碼。" * 8
FRENCH = "Voilà une phrase en français, où l'on a mis des accents : à, é, è, ê, ç, ù. Ça suffit déjà.\n" * 8


@pytest.mark.parametrize(
    "encoding, text, mark",
    [
        ("utf-16-le", CHINESE, b"\xff\xfe"), ("utf-16-be", CHINESE, b"\xfe\xff"), ("utf-16-le", FRENCH, b""),
        ("utf-16-be", FRENCH, b""), ("utf-16-le", CHINESE, b""), ("utf-32-le", CHINESE, b"\xff\xfe\0\0"), ("gb18030", CHINESE, b""),
        ("gb18030", CHINESE, b"\x84\x31\x95\x33"), ("gbk", CHINESE, b""), ("big5", TRADITIONAL, b""), ("latin-1", FRENCH, b""),
        ("cp1252", FRENCH.replace("'", "’"), b""), ("utf-8", CHINESE, b"\xef\xbb\xbf"),
    ])
def test_encodings_are_told_from_the_bytes(tmp_path: Path, encoding: str, text: str, mark: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(mark + text.encode(encoding))
    assert prepared(tmp_path / "a.txt", out=tmp_path / "out") == [text]
    summary = json.loads((tmp_path / "out/dataset.json").read_text())
    assert sum(summary["converted"].values()) == (0 if encoding == "utf-8" else 1)
    assert summary["repaired"]["byte_order_marks"] == (1 if mark else 0)


def test_an_encoding_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Пример текста на русском языке.".encode("koi8-r"))
    assert prepared(tmp_path / "a.txt", out=tmp_path / "out", options=("--encoding", "KOI8-R")) == ["Пример текста на русском языке."]
    assert "klingon" in mayfly("prepare", tmp_path / "a.txt", "--out", tmp_path / "b", "--encoding", "klingon", code=65).err


@pytest.mark.skipif(shutil.which("pdftotext") is not None, reason="pdftotext is installed")
def test_a_pdf_without_the_program_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    assert "poppler-utils" in mayfly("prepare", tmp_path / "a.pdf", "--out", tmp_path / "out", code=65).err


def test_a_program_that_complains_at_length_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a pipe holds: whoever doesn't read it makes the program wait forever."""
    fake = tmp_path / "bin/pdftotext"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nyes complaint | head -c 1000000 >&2\necho the text\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4")
    assert prepared(tmp_path / "a.pdf", out=tmp_path / "out") == ["the text\n"]
