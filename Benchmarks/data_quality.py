"""How well `mayfly prepare` finds near duplicates and personal data, on real texts with some that are made.

    python3 Benchmarks/data_quality.py [--seed 1]

Near duplicates: documents of 300 to 600 words (Chinese: characters) of the Python documentation, the GNU dictionary and Chinese
manuals; a third of them gets a copy in which words are replaced until both share 0.80 to 0.86 of their sequences of five words.
Recall counts pairs of which one is left out; a false positive is a document that is left out though none that stays shares 0.7 of
its sequences with it.

Personal data: 1,000 made ones of six countries' formats, each in a sentence; and what is taken for some in texts that have none or
little (Shakespeare, Chinese manuals, the Python documentation), by kind.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from machine import machine, say
from runs import raw
from sides import MAYFLY, ROOT
from tokens import documents as texts_of

sys.path.insert(0, str(ROOT / "Tests/Peers"))
from made_texts import FRAMES, changed, jaccard, personal_data, shingles  # noqa: E402
from support import documents  # noqa: E402

WORK = ROOT / ".build/bench/quality"


def prepared(name: str, texts: list[str], *options: str) -> tuple[list[str], dict]:
    """The cleaned texts that stay, and dataset.json."""
    WORK.mkdir(parents=True, exist_ok=True)
    source, out = WORK / f"{name}.jsonl", WORK / name
    source.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run(
        [MAYFLY, "prepare", source, "--out", out, "--vocab-size", "4096", "--val-fraction", "0", "--test-fraction", "0",
         *options], check=True, capture_output=True)
    return documents(out), json.loads((out / "dataset.json").read_text())


# --- Near duplicates --------------------------------------------------------------------------------------------------


def pieces(words: list[str], draw: random.Random, most: int) -> list[list[str]]:
    found, place = [], 0
    while place + 600 < len(words) and len(found) < most:
        count = draw.randrange(300, 600)
        found.append(words[place : place + count])
        place += count
    return found


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def near(name: str, originals: list[list[str]], joint: str, draw: random.Random) -> None:
    # What real texts repeat by themselves is counted as found or not by the same measure.
    copied = originals[::3]
    copies = []
    for words in copied:
        copy = changed(words, 0.83, draw)
        # The last replacement may have gone too far.
        copies.append(copy if jaccard(words, copy) >= 0.8 else changed(words, 0.86, draw))
    pairs = [(one, other) for one, other in zip(copied, copies) if jaccard(one, other) >= 0.8]
    texts = [joint.join(words) for words in originals + copies]
    order = list(range(len(texts)))
    draw.shuffle(order)
    kept, summary = prepared(f"near-{name}", [texts[place] for place in order], "--dedupe", "near")
    left = set(kept)
    found = sum(joint.join(one) not in left or joint.join(other) not in left for one, other in pairs)
    # Which documents that stay share sequences with one that doesn't.
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    every = originals + copies
    stays = [joint.join(words) in left for words in every]
    for number, words in enumerate(every):
        if stays[number]:
            for each in shingles(words):
                index[each].append(number)
    false = 0
    for number, words in enumerate(every):
        if not stays[number]:
            own = shingles(words)
            shared = Counter(other for each in own for other in index[each])
            best = max((count / (len(own) + len(shingles(every[other])) - count) for other, count in shared.most_common(5)), default=0)
            false += best < 0.7
    similarity = sorted(jaccard(one, other) for one, other in pairs)
    print(
        f"near duplicates, {name}: recall {found / len(pairs):.4f} of {len(pairs)} pairs at {similarity[0]:.3f} to "
        f"{similarity[-1]:.3f}; {false} of {len(every)} documents left out wrongly ({100 * false / len(every):.2f} %); "
        f"{len(every) - len(kept)} left out in all")


# --- Personal data ----------------------------------------------------------------------------------------------------


def personal(draw: random.Random) -> None:
    made = personal_data(1000, draw)
    texts = [f"{index} {draw.choice(FRAMES).format(value)}" for index, (_, value) in enumerate(made)]
    kept, _ = prepared("personal", texts, "--scrub-pii", "--dedupe", "none")
    missed = Counter(kind for (kind, value), text in zip(made, kept) if value in text)
    print(
        f"personal data: recall {1 - missed.total() / len(made):.4f} of {len(made)}, missed {dict(missed)}")
    for name, files in {
        "Shakespeare": sorted(raw("shakespeare").glob("*")), "the Python documentation": sorted(raw("python").glob("*")),
        "Chinese manuals": [texts_of("chinese")],
    }.items():
        clean: list[str] = []
        for file in files:
            text = file.read_text(encoding="utf-8", errors="replace")
            clean += [json.loads(line)["text"] for line in text.splitlines()] if file.suffix == ".jsonl" else [text]
        _, summary = prepared("clean", clean, "--scrub-pii", "--dedupe", "none")
        size = sum(len(text.encode()) for text in clean) / 1e6
        print(f"taken for personal data in {name}, {size:.1f} MB: {summary['personal_data'] or 'nothing'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    say(machine())
    draw = random.Random(options.seed)
    for text in ("python", "gcide"):
        words = words_of("\n".join(
            file.read_text(encoding="utf-8", errors="replace") for file in sorted(raw(text).rglob("*")) if file.is_file()))
        near(text, pieces(words, draw, 1500), " ", draw)
    characters = [
        each for line in texts_of("chinese").open(encoding="utf-8") for each in json.loads(line)["text"]
        if "\u4e00" <= each <= "\u9fff"]
    near("chinese", pieces(characters, draw, 1500), "", draw)
    personal(draw)
