"""Token ids beside Hugging Face tokenizers, on the same tokenizer.json: `mayfly tokenize` against `Tokenizer.encode`."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

import pytest
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from support import mayfly

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = CL100K.replace("{1,3}", "")
NANOCHAT = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
SEPARATOR = "<|endoftext|>"


def ids_of(tokenizer_file: Path, text: str, folder: Path) -> list[int]:
    """What `mayfly tokenize --json` gives for a text."""
    source = folder / "text.txt"
    source.write_bytes(text.encode("utf-8"))
    return mayfly("tokenize", tokenizer_file, "--file", source, "--json").json["ids"]


def text_of(tokenizer_file: Path, ids: list[int], folder: Path) -> str:
    source = folder / "ids.json"
    source.write_text(json.dumps(ids))
    return mayfly("tokenize", tokenizer_file, "--file", source, "--decode").out


# --- Texts ---


def odd_strings(count: int, seed: int) -> list[str]:
    """Strings of a few kinds of characters each: kinds meet one another, and themselves in runs."""
    r = random.Random(seed)
    scalars = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    by_category = {}
    for c in scalars:
        by_category.setdefault(unicodedata.category(chr(c)), []).append(c)
    spaces = [chr(c) for c in [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F,
                               0x205F, 0x3000]]
    almost_spaces = ["\x1c", "\x1f", "\u180e", "\u200b", "\u200c", "\u2060", "\ufeff", "\u00ad"]
    contractions = ["'s", "'S", "'ſ", "'t", "'T", "'re", "'Re", "'rE", "'ve", "'VE", "'m", "'M", "'ll", "'LL", "'lL",
                    "'d", "'D", "'K", "'\u212a", "’s", "'", "''", "'r", "'l", "'ſſ", "don't", "WE'LL"]

    def category(*names):
        return lambda: chr(r.choice(by_category[r.choice([n for n in names if n in by_category])]))

    def block(first, last):
        return lambda: chr(r.randint(first, last))

    kinds = [
        lambda: chr(r.choice(scalars)),
        category("Lu", "Ll", "Lt", "Lm", "Lo"),
        category("Nd", "Nl", "No"),
        category("Mn", "Mc", "Me"),
        category("Cn"),
        category("Co"),
        category("Sm", "Sc", "Sk", "So"),
        category("Pd", "Ps", "Pe", "Po", "Pc"),
        category("Cf", "Cc"),
        lambda: r.choice(spaces),
        lambda: r.choice(" \n\r\t"),
        lambda: r.choice(almost_spaces),
        lambda: r.choice(contractions),
        block(0x300, 0x36F),
        block(0x590, 0x6FF),
        block(0x900, 0x97F),
        block(0xE00, 0xE7F),
        block(0x1100, 0x11FF),
        block(0xAC00, 0xD7A3),
        block(0x3040, 0x30FF),
        lambda: "".join(chr(r.randint(0x4E00, 0x9FFF)) for _ in range(r.randint(1, 12))),
        block(0x1F1E6, 0x1F1FF),
        lambda: r.choice(["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "❤️", "1️⃣", "🧑🏿‍🚀"]),
        lambda: r.choice(["ﬁ", "ß", "ẞ", "İ", "ı", "ŉ", "ǅ", "K", "Å", "Ω", "ﬅ", "e\u0301", "é", "q\u0307\u0323"]),
        lambda: r.choice(["the", "Hello", " and", "x" * r.randint(1, 300), "transformer"]),
        lambda: str(r.randint(0, 10 ** r.randint(1, 15))),
        lambda: r.choice("!?.,-_=+*/\\(){}[]<>|&^%$#@~`\""),
        lambda: r.choice("-= \n\t.a") * r.randint(1, 100),
        lambda: r.choice([SEPARATOR, "<|endoftext", "|>", "<|ENDOFTEXT|>"]),
    ]
    strings = []
    for kind in kinds:
        strings += ["".join(kind() for _ in range(n)) for n in (1, 2, 3, 9)]
    while len(strings) < count:
        some = r.sample(kinds, r.randint(1, 6))
        strings.append("".join(r.choice(some)() for _ in range(r.randint(0, 40))))
    return strings


def training_text() -> list[str]:
    """Text of several scripts, made here, so that merges reach into all of them."""
    r = random.Random(1)
    words = ["the", "and", "There", "weather", "it's", "don't", "we'll", "1234", "2024", "for", "return", "--------",
             "中文字", "文字。", "日本語", "のテスト", "한국어", "שלום", "мир", "привет", "नमस्ते", "👍🏽", "e\u0301tude", "é"]
    words += ["".join(r.choice("etaoinshrdlu") for _ in range(r.randint(2, 8))) for _ in range(300)]
    return ["".join(r.choice(words) + r.choice([" ", " ", " ", ", ", "\n", "\n\n", "  ", "\t"]) for _ in range(2000))
            for _ in range(10)]


# --- Tokenizers ---


def train(pattern: str | None, folder: Path, normalizer=None, size: int = 1000) -> Path:
    tokenizer = Tokenizer(models.BPE())
    if pattern is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ])
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(training_text(), trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[SEPARATOR],
        show_progress=False))
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


PATTERNS = {"gpt2": None, "cl100k": CL100K, "qwen2": QWEN2, "nanochat": NANOCHAT}


@pytest.fixture(scope="module", params=[*PATTERNS, "cl100k-nfc"])
def trained(request, tmp_path_factory):
    """A tokenizer.json that Hugging Face's trainer wrote."""
    name = request.param.removesuffix("-nfc")
    normalizer = normalizers.NFC() if request.param.endswith("-nfc") else None
    return train(PATTERNS[name], tmp_path_factory.mktemp(request.param), normalizer)


@pytest.fixture(scope="module", params=["gpt2", "cl100k"])
def learned(request, tmp_path_factory):
    """A tokenizer.json that `mayfly prepare` wrote, and its pattern's name."""
    folder = tmp_path_factory.mktemp("learned-" + request.param)
    for index, text in enumerate(training_text()):
        (folder / f"{index}.txt").write_text(text, encoding="utf-8", newline="")
    data = folder / "data"
    mayfly("prepare", *sorted(folder.glob("*.txt")), "--out", data, "--vocab-size", 1000, "--pattern", request.param)
    return data / "tokenizer.json", request.param


# --- What must be equal ---


def assert_equal_ids(path, folder, strings):
    reference = Tokenizer.from_file(str(path))
    # A run of the program per string would take minutes. Texts between special tokens don't touch one another, so that
    # the strings go through in one file; then some of them alone, so that starts and ends of texts are met, too.
    joined = SEPARATOR.join(strings)
    expected = reference.encode(joined, add_special_tokens=False).ids
    found = ids_of(path, joined, folder)
    if found != expected:
        for string in strings:
            ids = reference.encode(string, add_special_tokens=False).ids
            assert ids_of(path, string, folder) == ids, ascii(string)
    assert found == expected
    for string in strings[::40]:
        ids = reference.encode(string, add_special_tokens=False).ids
        assert ids_of(path, string, folder) == ids, ascii(string)
        assert text_of(path, ids, folder).removesuffix("\n") == reference.decode(
            ids, skip_special_tokens=False).removesuffix("\n"), ascii(string)


def test_ids_equal_on_a_tokenizer_of_hugging_face(trained, tmp_path):
    assert_equal_ids(trained, tmp_path, odd_strings(1500, seed=2))


def test_ids_equal_on_a_learned_tokenizer(learned, tmp_path):
    assert_equal_ids(learned[0], tmp_path, odd_strings(1500, seed=3))


def test_learned_tokenizer_opens_in_transformers(learned, tmp_path):
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(learned[0]))
    for string in odd_strings(200, seed=4)[::20]:
        assert fast.encode(string, add_special_tokens=False) == ids_of(learned[0], string, tmp_path), ascii(string)


def test_learned_vocabulary_equals_that_of_hugging_faces_trainer(learned, tmp_path):
    _, name = learned
    # `prepare` may hold documents back for validation: equal vocabularies need equal texts, so this one compares the
    # learner where nothing is held back.
    folder = tmp_path / "all"
    sources = []
    for index, text in enumerate(training_text()):
        source = tmp_path / f"{index}.txt"
        source.write_text(text, encoding="utf-8", newline="")
        sources.append(source)
    mayfly("prepare", *sources, "--out", folder, "--vocab-size", 1000, "--pattern", name, "--val-fraction", 0,
           "--test-fraction", 0)
    reference = json.loads(train(PATTERNS[name], tmp_path).read_text(encoding="utf-8"))["model"]
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    assert model["vocab"] == reference["vocab"]
    pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    assert pairs == [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in reference["merges"]]
    assert len(model["vocab"]) == 1000


def test_decode_gives_the_text_again(trained, tmp_path):
    if "nfc" in str(trained):
        pytest.skip("NFC changes texts on purpose")
    text = SEPARATOR.join(odd_strings(600, seed=5))
    assert text_of(trained, ids_of(trained, text, tmp_path), tmp_path) in (text, text + "\n")
