"""`mayfly prepare` gives the same bytes however the work is divided or interrupted."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support import command, mayfly, prose

OPTIONS = ("--vocab-size", 400, "--dedupe", "near", "--clean", "text", "--scrub-pii")


def corpus(folder: Path, documents: int = 300) -> Path:
    """Files of several kinds, with repeated and nearly repeated documents."""
    folder.mkdir()
    texts = [prose(400 + 13 * (index % 50), seed=index % 200) for index in range(documents)]
    for index in range(0, documents, 7):
        texts[index] += " A last sentence that the first one doesn't have."
    third = documents // 3
    for index, text in enumerate(texts[:third]):
        (folder / f"{index:04}.txt").write_text(text)
    lines = [json.dumps({"text": text}) for text in texts[third:]]
    (folder / "b.jsonl").write_text("\n".join(lines[:third]))
    (folder / "c.jsonl.gz").write_bytes(gzip.compress("\n".join(lines[third:]).encode(), mtime=0))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    source = corpus(tmp_path / "in")
    for workers in (1, 2, 5):
        mayfly("prepare", source, "--out", tmp_path / f"{workers}", "--workers", workers, *OPTIONS)
    assert content(tmp_path / "1") == content(tmp_path / "2") == content(tmp_path / "5")
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_order_of_the_file_systems_listing_changes_nothing(tmp_path: Path) -> None:
    source = corpus(tmp_path / "in")
    other = tmp_path / "other" / "in"
    other.mkdir(parents=True)
    for path in sorted(source.iterdir(), reverse=True):
        shutil.copy(path, other)
    mayfly("prepare", source, "--out", tmp_path / "a", *OPTIONS)
    mayfly("prepare", other, "--out", tmp_path / "b", *OPTIONS)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def large(path: Path) -> Path:
    """Enough for several snapshots of the cleaning."""
    text = prose(20_000, seed=3)
    with open(path, "w") as file:
        for index in range(9_000):
            file.write(json.dumps({"text": f"{index} {text[index % 97 :]}"}) + "\n")
    return path


def kill_while_cleaning(source: Path, out: Path, *options: object) -> None:
    """Kills a preparation as soon as it could be gone on with."""
    process = subprocess.Popen(command("prepare", source, "--out", out, *options), stderr=subprocess.DEVNULL)
    progress = out.parent / f".{out.name}.preparing" / "cleaned" / "progress.json"
    deadline = time.monotonic() + 120
    while not progress.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert progress.exists() and not out.exists()


def test_a_killed_preparation_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    source = large(tmp_path / "a.jsonl")
    options = ("--vocab-size", 300, "--dedupe", "exact", "--workers", 2)
    mayfly("prepare", source, "--out", tmp_path / "whole", *options)
    kill_while_cleaning(source, tmp_path / "out", *options)
    done = mayfly("prepare", source, "--out", tmp_path / "out", *options)
    assert "going on where an earlier run was stopped" in done.err
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert not (tmp_path / ".out.preparing").exists()


def test_a_changed_file_is_noticed_by_the_next_run(tmp_path: Path) -> None:
    source = large(tmp_path / "a.jsonl")
    kill_while_cleaning(source, tmp_path / "out", "--vocab-size", 300)
    source.write_text('{"text": "another text"}\n')
    done = mayfly("prepare", source, "--out", tmp_path / "out", "--vocab-size", 300)
    assert "have changed" in done.err
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["documents_in"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_is_a_clear_error_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        source = tmp_path / "a.jsonl"
        source.write_text("".join(json.dumps({"text": f"{index} {prose(9_000, seed=index % 20)}"}) + "\n" for index in range(700)))
        failed = mayfly("prepare", source, "--out", disk / "out", "--vocab-size", 300, code=73)
        assert "No space left" in failed.err
        assert not (disk / "out").exists()
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        mayfly("prepare", source, "--out", disk / "out", "--vocab-size", 300)
        mayfly("prepare", source, "--out", tmp_path / "out", "--vocab-size", 300)
        assert content(disk / "out") == content(tmp_path / "out")
    finally:
        subprocess.run(["umount", disk])


def test_two_preparations_of_one_place_keep_out_of_each_others_way(tmp_path: Path) -> None:
    source = large(tmp_path / "a.jsonl")
    process = subprocess.Popen(command("prepare", source, "--out", tmp_path / "out", "--vocab-size", 300), stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / ".out.preparing" / "cleaned").exists():
            time.sleep(0.01)
        assert "another process" in mayfly("prepare", source, "--out", tmp_path / "out", "--vocab-size", 300, code=73).err
    finally:
        process.wait(timeout=300)
    assert process.returncode == 0 and (tmp_path / "out" / "dataset.json").exists()


def test_a_million_documents_of_one_word_and_one_long_text(tmp_path: Path) -> None:
    words = tmp_path / "words.jsonl"
    words.write_text("".join(f'{{"text": "w{index}"}}\n' for index in range(1_000_000)))
    mayfly("prepare", words, "--out", tmp_path / "a", "--vocab-size", 300, "--memory", "256M")
    assert json.loads((tmp_path / "a" / "dataset.json").read_text())["documents_kept"] == 1_000_000
    long = tmp_path / "long.txt"
    with open(long, "w") as file:
        for index in range(60):
            file.write("".join(f"{index} {number} {prose(900, seed=number % 30)}\n" for number in range(1000)))
    mayfly("prepare", long, "--out", tmp_path / "b", "--vocab-size", 300, "--val-fraction", 0, "--test-fraction", 0)
    summary = json.loads((tmp_path / "b" / "dataset.json").read_text())
    assert summary["bytes"]["train"] == long.stat().st_size and 12 <= summary["documents_kept"] <= 16
