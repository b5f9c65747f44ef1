"""Chinese text goes the whole way: prepared, trained on, generated, and never a broken character in what is printed."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from pathlib import Path

import pytest

from support import ROOT, command, mayfly, metrics, settings

PAGES = Path(os.environ.get("MANPAGES_ZH", ROOT / "data/manpages-zh"))
PROMPT = "这个命令"
REPLACEMENT = "\ufffd"


def plain(groff: str) -> str:
    """A manual page's text, roughly: requests and escapes go, words stay."""
    lines: list[str] = []
    for line in groff.splitlines():
        if line.startswith((".\\\"", "'\\\"", ".TH", ".so")):
            continue
        line = re.sub(r"^[.'][A-Za-z]+\s*", "", line)
        line = re.sub(r"\\f(\[\w*\]|\(..|.)|\\s[-+]?\d|\\&|\\[|^/c]", "", line)
        line = line.replace("\\-", "-").replace("\\e", "\\").replace('"', "")
        lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chinese")
    total = 0
    for page in sorted(PAGES.glob("man[18]/*.gz")):
        if page.is_symlink() or total > 1_500_000:
            continue
        text = plain(gzip.decompress(page.read_bytes()).decode("utf-8"))
        assert REPLACEMENT not in text
        (folder / f"{page.stem}.txt").write_text(text, encoding="utf-8")
        total += len(text.encode())
    assert total > 500_000, f"Chinese manual pages are missing in {PAGES}: run Scripts/fetch-manpages-zh"
    return folder


@pytest.fixture(scope="module")
def run(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained just long enough to write bytes of Chinese in a plausible order."""
    folder = tmp_path_factory.mktemp("chinese-run")
    mayfly("prepare", texts, "--out", folder / "data", "--vocab-size", 1024, "--pattern", "cl100k")
    mayfly(
        "train", "--data", folder / "data", "--steps", 200, "--out", folder / "run",
        *settings(
            model__architecture="llama", model__hidden_size=96, model__num_hidden_layers=2,
            model__num_attention_heads=4, model__num_key_value_heads=4, model__intermediate_size=256,
            model__max_position_embeddings=64, train__context=64, train__batch_size=16, train__optimizer="adamw",
            train__learning_rate=4e-3, train__warmup_steps=20, train__schedule="cosine", train__eval_every=40,
        ),
    )
    return folder / "run"


def test_it_learns(run: Path) -> None:
    losses = [line["loss"] for line in metrics(run, "train")]
    assert losses[-1] < losses[0] - 1.5


def test_nothing_is_lost_in_tokenizing(run: Path, texts: Path, tmp_path: Path) -> None:
    file = max(texts.glob("*.txt"), key=lambda path: path.stat().st_size)
    listed = tmp_path / "ids.txt"
    listed.write_text(mayfly("tokenize", run, "--file", file).out)
    assert mayfly("tokenize", run, "--file", listed, "--decode").out.rstrip("\n") == file.read_text().rstrip("\n")


@pytest.mark.parametrize("seed", range(6))
def test_generated_text_has_no_broken_character(run: Path, seed: int) -> None:
    # Hot and with all tokens allowed: an early model then often begins a character that it does not finish.
    arguments = ["generate", run, "--prompt", PROMPT, "--max-tokens", 150, "--temperature", 1.3, "--seed", seed]
    found = mayfly(*arguments, "--json").json
    assert REPLACEMENT not in found["text"]
    assert re.search(r"[\u4e00-\u9fff]", found["text"]), "there is Chinese in it"
    printed = mayfly(*arguments).out
    assert REPLACEMENT not in printed
    assert found["text"].strip() in printed, "the same seed prints the same text"


def test_every_piece_that_is_streamed_is_whole_characters(run: Path) -> None:
    process = subprocess.Popen(
        command("generate", run, "--prompt", PROMPT, "--max-tokens", 300, "--temperature", 1.3, "--seed", 11),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    # A pipe keeps each write apart only as long as we read faster than it writes; pieces that ran together are still
    # whole characters if each one was.
    while piece := os.read(process.stdout.fileno(), 65_536):
        assert REPLACEMENT not in piece.decode("utf-8"), "a write ended inside a character"
    assert process.wait() == 0


def test_samples_written_while_training_are_whole(run: Path) -> None:
    samples = [path for path in (run / "samples").rglob("*") if path.is_file()]
    assert samples
    for path in samples:
        assert REPLACEMENT not in path.read_text(encoding="utf-8")
