"""What `mayfly prepare` leaves out and repairs: cleaning rules, near duplicates, personal data."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from made_texts import FRAMES, changed, jaccard, personal_data
from support import documents, mayfly, prose


def prepare(tmp_path: Path, texts: list[str], *options: object, name: str = "out") -> tuple[list[str], dict]:
    """The documents that stay of some, and dataset.json."""
    source = tmp_path / f"{name}.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    out = tmp_path / name
    mayfly("prepare", source, "--out", out, "--vocab-size", 300, "--val-fraction", 0, "--test-fraction", 0, *options)
    return documents(out), json.loads((out / "dataset.json").read_text())


# --- Rules -----------------------------------------------------------------------------------------------------------

GOOD = (
    "The harbour was quiet in the morning, and the boats lay side by side with their ropes slack. A gull walked along the wall "
    "and looked into each of them in turn. Nobody had come down from the village yet; the baker was lighting his oven, and the "
    "smoke of it went straight up to the sky. Later there would be noise enough, when the market opened and the carts came in "
    "from the farms with apples, cheese and new bread.")


@pytest.mark.parametrize(
    "rule, text",
    [
        ("gopher_words", "Too short to be of any use to the model."),
        ("gopher_word_length", "a b c d e f " * 20 + "the and of to"),
        ("gopher_symbols", "the tag #one and #two of #three to #four with #five " * 8),
        ("gopher_bullets", "\n".join(f"- the particular point of number {number} and another matter" for number in range(12))),
        ("gopher_ellipses", "\n".join(f"the following line {number} continues without end and reason ..." for number in range(12))),
        ("gopher_letters", "the number of 12345 and 67890 11111 22222 33333 with 44444 to " * 8),
        ("gopher_stop_words", "lorem dolor amet consectetur adipiscing elit sed eiusmod tempor incididunt " * 8),
        ("repeated_lines", "\n".join(["the same line comes again and again of old"] * 10) + "\n" + GOOD[:200]),
        ("repeated_n_grams", " ".join([GOOD[:150], GOOD[:150], GOOD[200:300]])),
        ("c4_braces", GOOD + " function() { return 1; }"),
        ("c4_placeholder", GOOD + " Lorem ipsum dolor sit amet."),
        ("c4_sentences", "One sentence of quite a few words stands here.\n" + "no end of a sentence here at all\n" * 5),
    ])
def test_documents_are_dropped_by_the_rule(tmp_path: Path, rule: str, text: str) -> None:
    step = "c4" if rule.startswith("c4") else "repetition" if rule.startswith("repeated") else "gopher"
    kept, summary = prepare(tmp_path, [GOOD, text], "--clean", step)
    assert [text.strip() for text in kept] == [GOOD]
    assert {name: count for name, count in summary["dropped"].items() if count} == {rule: 1}
    assert rule.replace("_", " ") in (tmp_path / "out/report.html").read_text()


def test_good_text_passes_all_rules_in_english_and_chinese(tmp_path: Path) -> None:
    chinese = (
        "清晨的港口很安静，船一只挨着一只停在那里，绳子松松地垂着。一只海鸥沿着墙走，把每条船都看了一遍。村子里还没有人下来，面包师正在生火，炊烟笔直地升上天空。"
        "再过一会儿，集市开了，农场的车子运来苹果、奶酪和新鲜的面包，这里就会热闹起来。")
    kept, _ = prepare(tmp_path, [GOOD, chinese], "--clean", "web")
    assert [text.strip() for text in kept] == [GOOD, chinese]


def test_characters_are_repaired(tmp_path: Path) -> None:
    broken = "cafÃ© and donâ€™t, zero\u200bwidth, bell\x07, decomposed e\u0301"
    kept, summary = prepare(tmp_path, [broken, "plain café"], "--clean", "text")
    assert kept == ["café and don’t, zerowidth, bell, decomposed é", "plain café"]
    assert summary["repaired"]["mojibake"] == 1 and summary["repaired"]["nfc"] == 1
    assert summary["repaired"]["control_characters"] == 2
    untouched, _ = prepare(tmp_path, [broken], name="untouched")
    assert untouched == [broken]


def test_boilerplate_lengths_stop_words_and_evaluation_sets(tmp_path: Path) -> None:
    kept, _ = prepare(tmp_path, ["First line.\nAll rights reserved 2024\nLast line."], "--clean", "boilerplate", name="a")
    assert kept == ["First line.\nLast line."]
    kept, summary = prepare(tmp_path, ["short", "long enough to stay", "x" * 99], "--min-chars", 10, "--max-chars", 50, name="b")
    assert kept == ["long enough to stay"]
    assert summary["dropped"] == {"empty": 0, "too_short": 1, "too_long": 1, "exact_duplicate": 0}
    kept, _ = prepare(tmp_path, ["The cat isn't on the mat.\n我们的目的是学习了中文。"], "--stop-words", "en,zh", name="c")
    assert kept == ["cat mat.\n目的学习中文。"]
    words = GOOD.split()
    (tmp_path / "eval.jsonl").write_text(json.dumps({"question": "x", "context": " ".join(words[10:40])}))
    kept, summary = prepare(
        tmp_path, [GOOD, prose(600, seed=1), " ".join(words[30:42])], "--decontaminate", tmp_path / "eval.jsonl", name="d")
    assert len(kept) == 2 and summary["dropped"]["contaminated"] == 1


@pytest.mark.parametrize(
    "options", [("--clean", "soap"), ("--stop-words", "tlh"), ("--min-chars=-1", "--min-chars"), ("--memory", "1k"), ("--workers", 0),
                ("--decontaminate", "/nothing"), ("--language-model", "/nothing")])
def test_impossible_settings_are_named(tmp_path: Path, options: tuple[object, ...]) -> None:
    (tmp_path / "a.txt").write_text("text")
    failed = mayfly("prepare", tmp_path / "a.txt", "--out", tmp_path / "out", *[option for option in options if option != "--min-chars"], code=65)
    assert str(options[0]) in failed.err or str(options[1]) in failed.err


# --- Near duplicates -------------------------------------------------------------------------------------------------


def test_near_duplicates_are_found_and_others_stay(tmp_path: Path) -> None:
    draw = random.Random(5)
    originals, copies, cousins = [], [], []
    for index in range(150):
        words = [f"w{draw.randrange(5000)}" for _ in range(draw.randrange(300, 600))]
        originals.append(words)
        copies.append(changed(words, 0.82, draw))
        cousins.append(changed(words, 0.4, draw))
    assert all(jaccard(one, other) > 0.78 for one, other in zip(originals, copies))
    texts = [" ".join(words) for words in originals + copies + cousins]
    order = list(range(len(texts)))
    draw.shuffle(order)
    kept, summary = prepare(tmp_path, [texts[place] for place in order], "--dedupe", "near")
    left = set(kept)
    found = sum(" ".join(one) not in left or " ".join(other) not in left for one, other in zip(originals, copies))
    assert found / len(originals) >= 0.95
    assert sum(" ".join(words) not in left for words in cousins) <= 3
    assert summary["dropped"]["near_duplicate"] == len(texts) - len(kept)
    both, _ = prepare(tmp_path, [texts[place] for place in order], "--dedupe", "exact", name="exact")
    assert len(both) == len(texts)


# --- Personal data ---------------------------------------------------------------------------------------------------


def test_personal_data_is_scrubbed(tmp_path: Path) -> None:
    draw = random.Random(11)
    made = personal_data(1000, draw)
    texts = [f"{index} {draw.choice(FRAMES).format(value)}" for index, (_, value) in enumerate(made)]
    kept, summary = prepare(tmp_path, texts, "--scrub-pii", "--dedupe", "none")
    missed = [(kind, text) for (kind, value), text in zip(made, kept) if value in text]
    assert len(missed) <= 0.02 * len(made), missed[:20]
    assert sum(summary["personal_data"].values()) >= 0.98 * len(made)
    assert any("<EMAIL>" in text for text in kept)


def test_text_without_personal_data_stays_as_it_is(tmp_path: Path) -> None:
    texts = [
        "On 2024-01-15 at 10:30:45 the price rose from 1,234,567.89 to 2.345.678,90 (3.14159265358979).",
        "ISBN 978-3-16-148410-0 and ISBN 0-306-40615-2; pages 100-200, 1999-2000; chapter 1.2.3.4.5.",
        "std::vector<int> a::b = 0x1234abcd; version 10.0.0.1 of 12345678901234567890.",
        "The sum 123 456 789 is 0.123456789012; see RFC 2822, section 3.4.1, at 12:30.",
        "@decorator\ndef f(x): return x @ y  # mail to nobody", "127.0.0.1 is this machine, 255.255.255.0 a mask.",
        "000 001 010 011 100 101 110 111 or 00 79 00 00 00 74.",
        "第2024号文件，共1234567890项，价格为人民币12345.67元。", "4111 1111 1111 1112 is no card, DE00 1234 5678 9012 3456 78 no account.",
    ]
    kept, summary = prepare(tmp_path, texts, "--scrub-pii")
    assert kept == texts
    assert summary["personal_data"] == {}


# --- Lines of many documents -----------------------------------------------------------------------------------------

MENU = "Home | News | Weather | Sports | About this site and its makers"
CHINESE_MENU = "首页　新闻　天气　体育　关于本站"


def pages(count: int, with_menu: int) -> list[str]:
    """Pages of which the first so many have both menus, in different places."""
    texts = []
    for index in range(count):
        own = f"Page {index} tells of its own matters: {prose(80, seed=index)}".strip()
        lines = [own, "Read on", f"That was page {index}."]
        if index < with_menu:
            lines.insert(index % 3, "  " + MENU)
            lines.append(CHINESE_MENU)
        texts.append("\n".join(lines))
    return texts


def without_menus(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip() not in {MENU, CHINESE_MENU})


def test_lines_of_many_documents_are_taken_out(tmp_path: Path) -> None:
    texts = pages(14, with_menu=11) + [MENU + "\n" + CHINESE_MENU]
    kept, summary = prepare(tmp_path, texts, "--clean", "repeated-lines")
    # A line that was the last leaves the end of the one before it.
    assert [text.rstrip("\n") for text in kept] == [without_menus(text) for text in texts[:-1]]
    # "Read on" stands everywhere, but is too short to be told from chance.
    found = summary["repeated_lines"]
    assert found["different"] == 2 and [example["documents"] for example in found["examples"]] == [12, 12]
    assert {example["line"] for example in found["examples"]} == {MENU, CHINESE_MENU}
    assert summary["repaired"]["repeated_lines"] == 24 and summary["repaired"]["repeated_lines_documents"] == 12
    assert summary["dropped"]["only_repeated_lines"] == 1
    assert "repeated lines" in (tmp_path / "out/report.html").read_text()


def test_paragraphs_of_short_lines_are_taken_out(tmp_path: Path) -> None:
    notice = "Home\nNews\nAbout us\nHow to reach us"
    texts = [f"Page {index}: {prose(90, seed=index)}".strip() + f"\n\n{notice}\n\nHome\nNews\n{index}" for index in range(12)]
    kept, summary = prepare(tmp_path, texts, "--clean", "repeated-lines")
    assert kept == [text.replace(notice + "\n", "") for text in texts]
    assert summary["repeated_lines"] == {"different": 1, "examples": [{"documents": 12, "line": notice}]}
    assert summary["repaired"]["repeated_lines"] == 48


def test_lines_of_ten_documents_stay_and_copies_do_not_count(tmp_path: Path) -> None:
    texts = pages(12, with_menu=10)
    kept, summary = prepare(tmp_path, texts + 5 * texts[:1], "--clean", "repeated-lines")
    assert kept == texts
    assert summary["repeated_lines"] == {"different": 0, "examples": []} and summary["dropped"]["exact_duplicate"] == 5
    untouched, summary = prepare(tmp_path, pages(14, with_menu=14), name="off")
    assert untouched == pages(14, with_menu=14) and "repeated_lines" not in summary


def test_repeated_lines_are_the_same_for_any_order_and_any_number_of_workers_and_parts(tmp_path: Path) -> None:
    texts = pages(40, with_menu=25)
    one, summary = prepare(tmp_path, texts, "--clean", "repeated-lines", "--workers", 1, name="one")
    other, reversed_summary = prepare(
        tmp_path, texts[::-1], "--clean", "repeated-lines", "--workers", 3, name="other")
    assert one == other[::-1]
    assert summary["repeated_lines"] == reversed_summary["repeated_lines"]
    # A split follows from the document, whatever is taken out of it.
    folder = tmp_path / "texts"
    folder.mkdir()
    for index, text in enumerate(texts):
        (folder / f"{index:02}.txt").write_text(text, encoding="utf-8")
    mayfly("prepare", folder, "--out", tmp_path / "whole", "--clean", "repeated-lines", "--vocab-size", 300)
    for part in range(3):
        mayfly("prepare", folder, "--out", tmp_path / f"part{part}", "--part", f"{part}/3", "--clean", "repeated-lines",
               "--vocab-size", 300)
    mayfly("prepare", "--merge", *[tmp_path / f"part{part}" for part in (2, 0, 1)], "--out", tmp_path / "merged")
    for path in sorted((tmp_path / "whole").iterdir()):
        assert path.read_bytes() == (tmp_path / "merged" / path.name).read_bytes(), path.name
