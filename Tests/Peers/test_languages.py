"""Languages are told: a model is learned from a few Debian packages, and `mayfly prepare` keeps what is asked for."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from support import MAYFLY, ROOT, documents, mayfly

TEXTS = ROOT / "data/languages/texts"
FEW = ["gnome-user-docs", "evolution-common", "wesnoth-1.16-did"]

# Written for this test; none is in the packages.
MIXED = {
    "en": "The harbour was quiet in the morning, and a gull walked along the wall while the baker lit his oven.",
    "zh": "清晨的港口很安静，一只海鸥沿着墙走，面包师正在生火，村子里还没有人下来。",
    "ja": "朝の港は静かで、一羽のカモメが壁に沿って歩き、パン屋は窯に火を入れていた。",
    "pt": "O porto estava calmo de manhã, e uma gaivota andava pelo muro enquanto o padeiro acendia o forno.",
    "es": "El puerto estaba tranquilo por la mañana, y una gaviota caminaba por el muro mientras se encendía el horno.",
    "sv": "Hamnen var tyst på morgonen, och en mås gick längs muren medan bagaren tände sin ugn.",
    "da": "Havnen var stille om morgenen, og en måge gik langs muren, mens bageren tændte sin ovn.",
    "ru": "Утром в гавани было тихо, чайка ходила вдоль стены, а пекарь разжигал свою печь.",
    "ar": "كان الميناء هادئا في الصباح، وكان نورس يمشي على طول الجدار بينما كان الخباز يشعل فرنه.",
}
CODE = "<div class='main'> /usr/bin/env --verbose file.txt { return x_1 == y; } https://example.org/index.html </div> "


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A model, and what the script has printed."""
    assert all((TEXTS / f"{package}.jsonl").exists() for package in FEW), (
        f"texts are missing in {TEXTS}: run Scripts/fetch-language-texts --few")
    model = tmp_path_factory.mktemp("languages") / "few.safetensors"
    done = subprocess.run(
        [ROOT / "Scripts/learn-languages", "--few", model], env={**os.environ, "MAYFLY": str(MAYFLY)}, check=True,
        capture_output=True, text=True, timeout=600)
    print(done.stdout)
    return model, done.stdout


def told(model: Path, folder: Path, texts: list[str]) -> list[dict]:
    path = folder / "told.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return mayfly("languages", "tell", model, path, "--json").json["documents"]


def test_held_out_documents_are_told(learned: tuple[Path, str]) -> None:
    found = re.search(r"accuracy ([0-9.]+) on held-out documents of the ten largest \((.*)\)\n$", learned[1])
    assert found and len(found[2].split(", ")) == 10
    assert float(found[1]) >= 0.97


def test_sentences_are_told_also_among_code(learned: tuple[Path, str], tmp_path: Path) -> None:
    texts = [text + code for text in MIXED.values() for code in ("", " " + 5 * CODE)]
    assert [document["language"] for document in told(learned[0], tmp_path, texts)] == [
        language for language in MIXED for _ in range(2)]


def test_what_has_no_letters_has_no_language(learned: tuple[Path, str], tmp_path: Path) -> None:
    assert told(learned[0], tmp_path, ["", "12 + 34 = 46 …", "/usr/bin/x_1"]) == [
        {"language": None, "probability": None}] * 3


def test_prepare_keeps_the_languages_that_were_asked_for(learned: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "mixed").mkdir()
    for language, text in MIXED.items():
        (tmp_path / "mixed" / f"{language}.txt").write_text(text, encoding="utf-8")
    mayfly(
        "prepare", tmp_path / "mixed", "--out", tmp_path / "out", "--language-model", learned[0], "--languages",
        "en,zh", "--vocab-size", 300, "--val-fraction", 0, "--test-fraction", 0)
    assert sorted(documents(tmp_path / "out")) == sorted([MIXED["en"], MIXED["zh"]])
    summary = json.loads((tmp_path / "out/dataset.json").read_text())
    assert summary["dropped"]["language"] == len(MIXED) - 2
    assert summary["languages"] == {language: 1 for language in sorted(MIXED)}


def test_learning_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "texts/en").mkdir(parents=True)
    (tmp_path / "texts/en/a.txt").write_text(MIXED["en"])
    failed = mayfly("languages", "learn", tmp_path / "texts", "--out", tmp_path / "model", code=65)
    assert str(tmp_path / "texts") in failed.err and "found 1" in failed.err
    (tmp_path / "texts/zh").mkdir()
    (tmp_path / "texts/zh/a.txt").write_text("12 34")
    failed = mayfly("languages", "learn", tmp_path / "texts", "--out", tmp_path / "model", code=65)
    assert str(tmp_path / "texts/zh") in failed.err
    (tmp_path / "texts/zh/a.txt").write_text(MIXED["zh"])
    assert "2 languages: en, zh" in mayfly("languages", "learn", tmp_path / "texts", "--out", tmp_path / "model").out
    (tmp_path / "broken").write_text("no model")
    failed = mayfly("languages", "tell", tmp_path / "broken", tmp_path / "texts/en/a.txt", code=65)
    assert str(tmp_path / "broken") in failed.err
