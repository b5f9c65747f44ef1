"""`mayfly eval --predictions`: the same numbers as sacrebleu, rouge-score, scikit-learn and SQuAD's definitions."""

from __future__ import annotations

import collections
import json
import os
import re
import string
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import accuracy_score, f1_score

from support import mayfly

# More pairs for a longer look: MAYFLY_PAIRS=20000 pytest Tests/Peers/test_metrics.py
PAIRS = int(os.environ.get("MAYFLY_PAIRS", 1200))

WORDS = {
    "English": "the The a an cat cats U.S. don't state-of-the-art e-mail 3.14 1,000 $5 5% end. (see) [1] A An 2-3 x_y "
    "&quot;so&quot; &amp; &lt;b&gt; <skipped> ice- half-\n10.000,50 .5 5. theater another IX ß ŒUVRE İstanbul ﬁn",
    "Chinese": "猫 坐在 垫子上 。 ， 北京大学 2024年 “引号” ——— 《书》 ＡＢＣ１２３ 𠀀𠀁 中文abc混排 ！ 一 二",
    "Japanese": "猫が 座る カタカナ ﾊﾝｶｸ ひらがな 。 「はい」 東京タワー ー 々",
    "Korean": "고양이가 앉았다 한국어 ㄱㄴ",
    "Arabic": "القطة جلست على الحصيرة ، ؟ ١٢٣ كتاب",
    "Hindi": "बिल्ली चटाई पर बैठी है । क्षत्रिय १२३ हिन्दी a\u0301 an\u0901",
    "Greek": "ΟΔΟΣ ΣΑΣ Σ ΑΣ. ΑΣ'Β Άνθρωπος σίγμα ὈΔΥΣΣΕΎΣ",
    "symbols": "😀 👩‍👩‍👧 🇩🇪 e\u0301 é n\u0303 ½ ² Ⅷ ① € … – — ‘x’ \u200d \ufeff \u2060 a\u0300 _the_ the_ K Å ǅ",
    "punctuation": string.punctuation.replace("", " ") + " ... ,. .,1 1., --- -- 1- -1 a.b a,b !? '' `` /\\ A&B",
}
SPACES = [" "] * 20 + ["  ", "\n", "\t", "\u00a0", "\u3000", "\u0085", "\u2028", "\x1c", "\x1f", "\u200b", "\r\n", "", "-\n"]


def random_text(random: np.random.Generator) -> str:
    if random.random() < 0.04:
        return ""
    if random.random() < 0.03:
        return "".join(random.choice(SPACES, 3))
    languages = list(WORDS)
    language = languages[random.integers(len(languages))]
    words = WORDS[language].split(" ")
    text = ""
    for _ in range(random.integers(1, 14)):
        if random.random() < 0.1:
            words = WORDS[languages[random.integers(len(languages))]].split(" ")
        word = words[random.integers(len(words))]
        if random.random() < 0.05:
            # Any character that is older than the tables of both sides.
            scalar = chr(random.integers(1, 0x3000))
            word += scalar if unicodedata.category(scalar) not in ("Cn", "Cs", "Co") else ""
        text += word + SPACES[random.integers(len(SPACES))]
    return text


def changed(random: np.random.Generator, text: str) -> str:
    """The text with some of its words left out, doubled, swapped or written differently."""
    words = re.split(r"( )", text)
    for _ in range(random.integers(0, 4)):
        place = random.integers(len(words))
        match random.integers(5):
            case 0: words[place] = ""
            case 1: words.insert(place, words[random.integers(len(words))])
            case 2: words[place] = words[place].upper()
            case 3: words[place] += random.choice(list(".,;!? -'"))
            case 4: words[place] = random_text(random)
    return "".join(words)


def random_pairs(count: int, seed: int, references: tuple[int, int] = (1, 1)) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        text = random_text(random)
        number = random.integers(references[0], references[1] + 1)
        answers = [changed(random, text) if random.random() < 0.8 else random_text(random) for _ in range(number)]
        prediction = text if random.random() < 0.9 else random_text(random)
        pairs.append({"prediction": prediction, "reference": answers[0] if references[1] == 1 else answers})
    return pairs


def references(pair: dict[str, Any]) -> list[str]:
    return pair["reference"] if isinstance(pair["reference"], list) else [pair["reference"]]


def evaluate(folder: Path, pairs: list[dict[str, Any]], *arguments: object) -> dict[str, Any]:
    file = folder / "predictions.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    return mayfly("eval", "--predictions", file, "--json", *arguments).json


def close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6, rel=0)


NUMBERS_OF_REFERENCES = {"one": (1, 1), "differing": (1, 4)}
several = pytest.mark.parametrize("number", NUMBERS_OF_REFERENCES.values(), ids=NUMBERS_OF_REFERENCES.keys())


# --- sacrebleu --------------------------------------------------------------------------------------------------------


def streams(pairs: list[dict[str, Any]]) -> tuple[list[str], list[list[str | None]]]:
    """Predictions and references as sacrebleu takes them: None where an example has no more references."""
    most = max(len(references(pair)) for pair in pairs)
    rows = [references(pair) + [None] * (most - len(references(pair))) for pair in pairs]
    return [pair["prediction"] for pair in pairs], [list(column) for column in zip(*rows)]


@pytest.mark.parametrize("tokenize", ["13a", "zh", "char", "none"])
@several
def test_bleu_is_sacrebleus(tmp_path: Path, tokenize: str, number: tuple[int, int]) -> None:
    pairs = random_pairs(PAIRS, seed=1, references=number)
    predictions, columns = streams(pairs)
    bleu = sacrebleu.BLEU(tokenize=tokenize)
    found = evaluate(tmp_path, pairs, "--metric", "bleu", "--tokenize", tokenize)
    assert found["bleu"] == close(bleu.corpus_score(predictions, columns).score)
    ours, theirs = found["signatures"]["bleu"], bleu.get_signature().format()
    assert ours.rsplit("|", 1)[0] == theirs.rsplit("|", 1)[0]
    assert ours.rsplit("|", 1)[1].startswith("version:mayfly")


@several
def test_chrf_is_sacrebleus(tmp_path: Path, number: tuple[int, int]) -> None:
    pairs = random_pairs(PAIRS, seed=2, references=number)
    predictions, columns = streams(pairs)
    chrf = sacrebleu.CHRF()
    found = evaluate(tmp_path, pairs, "--metric", "chrf")
    assert found["chrf"] == close(chrf.corpus_score(predictions, columns).score)
    assert found["signatures"]["chrf"].rsplit("|", 1)[0] == chrf.get_signature().format().rsplit("|", 1)[0]


def in_groups(pairs: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [pairs[i : i + size] for i in range(0, len(pairs), size)]


@pytest.mark.parametrize("size", [1, 3])
def test_small_corpora_are_smoothed_as_in_sacrebleu(tmp_path: Path, size: int) -> None:
    """A corpus hides what one pair shows: a few at a time, short ones included."""
    for group in in_groups(random_pairs(max(30 * size, PAIRS // 30), seed=3 + size, references=(1, 3)), size):
        predictions, columns = streams(group)
        for tokenize in ("13a", "zh"):
            found = evaluate(tmp_path, group, "--metric", "bleu,chrf", "--tokenize", tokenize)
            assert found["bleu"] == close(sacrebleu.BLEU(tokenize=tokenize).corpus_score(predictions, columns).score)
            assert found["chrf"] == close(sacrebleu.CHRF().corpus_score(predictions, columns).score)


# --- rouge-score ------------------------------------------------------------------------------------------------------


@several
def test_rouge_is_rouge_scores(tmp_path: Path, number: tuple[int, int]) -> None:
    pairs = random_pairs(PAIRS, seed=10, references=number)
    keys = ["rouge1", "rouge2", "rougeL"]
    scorer = RougeScorer(keys)
    scores = [scorer.score_multi(references(pair), pair["prediction"]) for pair in pairs]
    found = evaluate(tmp_path, pairs, "--metric", "rouge")
    for key in keys:
        assert found[key] == close(np.mean([score[key].fmeasure for score in scores]))


class Unicode:
    """What `--rouge-tokenize unicode` is documented to do, for words of the scripts below."""

    def tokenize(self, text: str) -> list[str]:
        alone = r"[\u3041-\u30ff\u3400-\u9fff]"
        return re.findall(rf"{alone}|(?:(?!{alone})[^\W_])+", text.lower())


def test_rouge_of_other_scripts(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    words = "猫 坐在 中文abc ひらがな カナ고양이 القطة Кошка ΣΑΣ x_y cat2 ， 。 ... !".split()
    pairs = [
        {"prediction": " ".join(random.choice(words, 8)), "reference": " ".join(random.choice(words, 8))}
        for _ in range(PAIRS)
    ]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Unicode())
    scores = [scorer.score(pair["reference"], pair["prediction"]) for pair in pairs]
    found = evaluate(tmp_path, pairs, "--metric", "rouge", "--rouge-tokenize", "unicode")
    for key in ("rouge1", "rouge2", "rougeL"):
        assert found[key] == close(np.mean([score[key].fmeasure for score in scores]))


# --- SQuAD 2.0: the definitions of its evaluation script, written anew ------------------------------------------------


def normalized(text: str) -> str:
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad(prediction: str, answers: list[str]) -> tuple[float, float]:
    answers = [answer for answer in answers if normalized(answer)] or [""]
    exact = max(float(normalized(answer) == normalized(prediction)) for answer in answers)
    return exact, max(token_f1(normalized(prediction).split(), normalized(answer).split()) for answer in answers)


def token_f1(predicted: list[str], answer: list[str]) -> float:
    if not predicted or not answer:
        return float(predicted == answer)
    same = sum((collections.Counter(predicted) & collections.Counter(answer)).values())
    if same == 0:
        return 0
    precision, recall = same / len(predicted), same / len(answer)
    return 2 * precision * recall / (precision + recall)


@several
def test_exact_match_and_f1_are_squads(tmp_path: Path, number: tuple[int, int]) -> None:
    pairs = random_pairs(PAIRS, seed=20, references=number)
    scores = np.array([squad(pair["prediction"], references(pair)) for pair in pairs])
    found = evaluate(tmp_path, pairs, "--metric", "exact_match", "--metric", "f1")
    assert 0 < scores[:, 0].mean() < scores[:, 1].mean() < 1
    assert (found["exact_match"], found["f1"]) == (close(scores[:, 0].mean()), close(scores[:, 1].mean()))


# --- scikit-learn -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [2, 7, 400])
def test_accuracy_and_macro_f1_are_scikit_learns(tmp_path: Path, labels: int) -> None:
    random = np.random.default_rng(labels)
    names = [f"{random_text(random)}{i}" for i in range(labels)] + ["é", "e\u0301", ""]
    right = random.choice(names, PAIRS)
    predicted = np.where(random.random(PAIRS) < 0.6, right, random.choice(names, PAIRS))
    pairs = [{"prediction": p, "reference": r} for p, r in zip(predicted.tolist(), right.tolist())]
    found = evaluate(tmp_path, pairs, "--metric", "accuracy")
    assert found["accuracy"] == close(accuracy_score(right, predicted))
    assert found["macro_f1"] == close(f1_score(right, predicted, average="macro", zero_division=0))


# --- Intervals, and the command ---------------------------------------------------------------------------------------


def test_intervals_are_those_of_a_bootstrap(tmp_path: Path) -> None:
    """The percentiles of another bootstrap, with numbers of its own, of the mean of 300 examples."""
    pairs = random_pairs(300, seed=30)
    found = evaluate(tmp_path, pairs, "--metric", "f1,bleu")
    assert evaluate(tmp_path, pairs, "--metric", "f1,bleu") == found
    values = np.array([squad(pair["prediction"], references(pair))[1] for pair in pairs])
    random = np.random.default_rng(0)
    means = [values[random.integers(0, 300, 300)].mean() for _ in range(4000)]
    assert found["intervals"]["f1"] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.01)
    low, high = found["intervals"]["bleu"]
    predictions, columns = streams(pairs)
    theirs = sacrebleu.BLEU().corpus_score(predictions, columns, n_bootstrap=1000)
    assert (high - low) / 2 == pytest.approx(theirs._ci, rel=0.2)
    assert low < found["bleu"] < high


def test_one_example_has_an_interval_without_width(tmp_path: Path) -> None:
    found = evaluate(tmp_path, [{"prediction": "a cat", "reference": "the cat"}], "--metric", "bleu,chrf,rouge,accuracy")
    assert found["examples"] == 1
    assert all(interval == [found[key], found[key]] for key, interval in found["intervals"].items())
    assert set(found["intervals"]) == {"bleu", "chrf", "rouge1", "rouge2", "rougeL", "accuracy", "macro_f1"}


def test_reads_csv_and_prints_for_people(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text('prediction,reference\n"the cat, sat",the cat sat\n,\n', encoding="utf-8")
    assert mayfly("eval", "--predictions", file, "--metric", "exact_match", "--json").json["exact_match"] == 1
    out = mayfly("eval", "--predictions", file, "--metric", "bleu,exact_match").out
    assert "bleu" in out and "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:mayfly" in out
    assert "exact_match 1.0000" in out


@pytest.mark.parametrize("line, problem", [
    ('{"prediction": "x"}', 'line 2: has no field "reference"'),
    ('{"prediction": 3, "reference": "x"}', 'line 2: "prediction": expected a string, found an integer'),
    ('{"prediction": "x", "reference": []}', 'line 2: "reference": expected a string or a list of strings'),
    ('{"prediction": "x", "reference": ["x", 1]}', 'line 2: "reference": expected a string or a list of strings'),
    ('{"prediction": "x", ', "line 2: isn't JSON"),
    ("[]", "line 2: expected an object"),
])
def test_bad_lines_are_named(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"prediction": "", "reference": ""}\n' + line + "\n", encoding="utf-8")
    result = mayfly("eval", "--predictions", file, "--metric", "bleu", code=65)
    assert f"{file}, {problem}" in result.err


def test_usage(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prediction": "x", "reference": "x"}\n', encoding="utf-8")
    result = mayfly("eval", "--predictions", file, "--metric", "bleurt", code=64)
    assert "bleurt" in result.err and "bleu, chrf, rouge, exact_match, f1, accuracy" in result.err
    for wrong in (["--metric", "bleu,"], [], ["--metric", "bleu", "--tokenize", "intl"], ["--data", "x"]):
        mayfly("eval", "--predictions", file, *wrong, code=64)
    mayfly("eval", "model", "--predictions", file, "--metric", "bleu", code=64)
    mayfly("eval", code=64)
    mayfly("eval", "--predictions", tmp_path / "none.jsonl", "--metric", "bleu", code=65)


def test_hostile_texts_are_measured_in_time(tmp_path: Path) -> None:
    """A megabyte of one word, and of all different ones: nothing here may take the square of that."""
    pairs = [
        {"prediction": "a " * 200_000, "reference": "a " * 190_000 + "b"},
        {"prediction": " ".join(map(str, range(100_000))), "reference": " ".join(map(str, range(100_000, 0, -1)))},
        {"prediction": "x" * 1_000_000, "reference": ["." * 1_000_000, "<skipped>" * 100_000]},
    ]
    found = evaluate(tmp_path, pairs, "--metric", "bleu,chrf,rouge,exact_match,f1,accuracy")
    assert found["examples"] == 3 and found["accuracy"] == 0
