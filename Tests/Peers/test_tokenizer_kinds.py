"""WordPiece and SentencePiece's BPE beside Hugging Face tokenizers, on the same tokenizer.json: ids and decoded text."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import AddedToken, BertWordPieceTokenizer, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from support import latest, mayfly, prose, settings
from test_tokenization import ids_of, odd_strings, text_of, training_text

MARK = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def kinds_text() -> list[str]:
    """Text to learn from: English, Chinese, accents, emoji, several scripts."""
    words = "café naïve Übergröße İstanbul straße 深度学习 语言模型 👍🏽 🏳️‍🌈 don't do not it's n't".split()
    r = random.Random(3)
    return training_text()[:4] + [" ".join(r.choices(words, k=2000)) for _ in range(2)]


def odd_texts(count: int, seed: int, special: list[str]) -> list[str]:
    """Texts of all kinds, with special tokens in some, as they stand, cut off or in capitals."""
    r = random.Random(seed)
    extra = [
        *special, *(s[:-1] for s in special), *(s.upper() for s in special), *(f"  {s} \n " for s in special),
        MARK, MARK * 3, f"a{MARK}b", " ", "   ", "\n", "\t\t", "\x00", "\x7f", "\ufffd", "\u00ad", "İ", "ß", "ẞ", "Σς",
        "e\u0301\u0323", "e\u0323\u0301", "\u1100\u1161\u11a8", "각", "\U00010400", "x" * 99, "x" * 100, "é" * 101,
        "𠀀", "豈", "\u0378", "\U000e0001", "\U000f0000", "do not", " n't", "' s", "<0x41>", "<0x0A>", "中文,字。", "##ing",
        "\u1b44a\u0323", "\u302e\u0301", "\u08d4\u0323", "\U0001d165\U0001d16d",
    ]
    texts = [*extra, *(f"a{e}b" for e in extra), *(f" {e} {e}" for e in extra), ""]
    plain = odd_strings(count, seed)
    while len(texts) < count:
        pieces = [r.choice(plain)] + [r.choice(extra) for _ in range(r.choice([0, 0, 1, 3]))]
        r.shuffle(pieces)
        texts.append("".join(pieces))
    return texts


# --- Tokenizers ---


def special_token(content: str, **flags: bool) -> AddedToken:
    return AddedToken(content, special=True, **{"normalized": False, **flags})


def word_piece(**options: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=options.pop("longest", 100)))
    cleanup = options.pop("cleanup", True)
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=cleanup)
    tokenizer.train_from_iterator(kinds_text(), trainers.WordPieceTrainer(
        vocab_size=900, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    ids = {name: tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ids.items()))
    tokenizer.add_tokens([AddedToken("Straße", normalized=True), AddedToken("tool", lstrip=True, rstrip=True)])
    return tokenizer


def bert_word_piece() -> Tokenizer:
    """What `tokenizers` makes by itself: BertProcessing, nothing normalized."""
    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(kinds_text(), vocab_size=900, show_progress=False)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return Tokenizer.from_str(tokenizer.to_str())


def sentence_piece(
    *, new: bool, prefix: str = "first", split: bool = False, byte_fallback: bool = True, fuse_unk: bool = True,
    ignore_merges: bool = False, pairs: bool = False, gemma: bool = False, some_bytes: bool = False,
) -> dict[str, Any]:
    """A tokenizer.json as Llama 2's (old: a normalizer; new: Metaspace) or Gemma's, as its text."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    alphabet = sorted({c for text in kinds_text()[:3] for c in text if ord(c) < 0x1000 and c not in " \n\t"})
    trained.train_from_iterator(kinds_text(), trainers.BpeTrainer(
        vocab_size=900, special_tokens=["<unk>", "<s>", "</s>", *BYTES[byte_fallback and some_bytes and 200 or 0:]],
        limit_alphabet=len(alphabet) // 2, initial_alphabet=[MARK], show_progress=False))
    file = json.loads(trained.to_str())
    model = file["model"]
    model |= {"byte_fallback": byte_fallback, "fuse_unk": fuse_unk, "ignore_merges": ignore_merges}
    model["merges"] = [list(m) if pairs else " ".join(m) for m in model["merges"]]
    ids = model["vocab"]
    tokens = [
        special_token("<unk>"), special_token("<s>"), special_token("</s>"), special_token("<|end|>", rstrip=True),
        special_token("<|left|>", lstrip=True), AddedToken("tool", normalized=True), AddedToken("  ", normalized=False),
    ]
    file["added_tokens"] = [
        {"id": ids.get(t.content, len(ids) + i), "content": t.content, "single_word": False, "lstrip": t.lstrip,
         "rstrip": t.rstrip, "normalized": t.normalized, "special": t.special}
        for i, t in enumerate(tokens, start=-3)]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    back = {"type": "Replace", "pattern": {"String": MARK}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    if gemma:
        file["normalizer"] = replace
        file["pre_tokenizer"] = {
            "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    elif new:
        file["normalizer"] = None
        file["pre_tokenizer"] = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": prefix, "split": split}
    else:
        file["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": MARK}, replace]}
        file["pre_tokenizer"] = None
    file["decoder"] = {"type": "Sequence", "decoders": [
        back, {"type": "ByteFallback"}, {"type": "Fuse"}, *([] if gemma or prefix == "never" else [strip])]}
    file["post_processor"] = json.loads(processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B", special_tokens=[("<s>", 1), ("</s>", 2)]).__getstate__())
    return file


def saved(tokenizer: Tokenizer | dict[str, Any], path: Path) -> Path:
    text = tokenizer.to_str() if isinstance(tokenizer, Tokenizer) else json.dumps(tokenizer, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


WORD_PIECE: dict[str, dict[str, Any]] = {
    "uncased": {},
    "cased": {"lowercase": False},
    "uncased-accents": {"strip_accents": False},
    "cased-no-accents": {"lowercase": False, "strip_accents": True, "cleanup": False},
    "raw": {"clean_text": False, "handle_chinese_chars": False, "strip_accents": True, "longest": 7},
}
SENTENCE_PIECE: dict[str, dict[str, Any]] = {
    "old": {"new": False},
    "old-pairs": {"new": False, "pairs": True, "fuse_unk": False},
    "first": {"new": True},
    "always-split": {"new": True, "prefix": "always", "split": True},
    "never": {"new": True, "prefix": "never"},
    "unknown": {"new": True, "byte_fallback": False, "split": True},
    "unknown-each": {"new": False, "byte_fallback": False, "fuse_unk": False},
    "some-bytes": {"new": False, "some_bytes": True},
    "some-bytes-each": {"new": False, "some_bytes": True, "fuse_unk": False},
    "ignore-merges": {"new": True, "ignore_merges": True, "split": True, "prefix": "always"},
    "ignore-merges-whole": {"new": False, "ignore_merges": True},
    "gemma": {"new": False, "gemma": True, "pairs": True},
}
KINDS: dict[str, Callable[[], Tokenizer | dict[str, Any]]] = {
    **{f"wordpiece-{name}": lambda options=options: word_piece(**options) for name, options in WORD_PIECE.items()},
    "wordpiece-bert": bert_word_piece,
    **{f"bpe-{name}": lambda options=options: sentence_piece(**options) for name, options in SENTENCE_PIECE.items()},
}


@pytest.fixture(scope="module", params=KINDS)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(KINDS[request.param](), tmp_path_factory.mktemp(request.param) / "tokenizer.json")


def special_of(tokenizer: Tokenizer) -> list[str]:
    return [token.content for token in tokenizer.get_added_tokens_decoder().values()]


# --- What must be equal ---


def parts(ids: list[int], separator: int) -> list[list[int]]:
    result: list[list[int]] = [[]]
    for value in ids:
        if value == separator:
            result.append([])
        else:
            result[-1].append(value)
    return result


def assert_equal(path: Path, folder: Path, texts: list[str], alone: int) -> None:
    """Equal ids and decoded text, for all texts in one file between special tokens and for every `alone`-th by itself."""
    reference = Tokenizer.from_file(str(path))
    separator = "[PAD]" if reference.token_to_id("[PAD]") is not None else "</s>"
    separator_id = reference.token_to_id(separator)
    joined = separator.join(texts)
    expected = reference.encode(joined, add_special_tokens=False).ids
    found = ids_of(path, joined, folder)
    if found != expected:
        # A short message: the first text that differs, if none of them holds the separator.
        for text, ours, theirs in zip(texts, parts(found, separator_id), parts(expected, separator_id), strict=False):
            assert ours == theirs, ascii(text)
    assert found == expected
    assert text_of(path, found, folder) == reference.decode(expected, skip_special_tokens=False)
    for text in texts[::alone]:
        ids = reference.encode(text, add_special_tokens=False).ids
        assert ids_of(path, text, folder) == ids, ascii(text)
        assert text_of(path, ids, folder) == reference.decode(ids, skip_special_tokens=False), ascii(text)


def test_ids_and_text_equal(file: Path, tmp_path: Path) -> None:
    texts = odd_texts(2200, seed=5, special=special_of(Tokenizer.from_file(str(file))))
    assert_equal(file, tmp_path, texts, alone=25)


# --- Every character ---


def test_every_character_and_pairs_of_marks_as_berts_normalizer_has_them(tmp_path: Path) -> None:
    """What is between a and b: removed, a space, an accent, punctuation, Chinese, or a character in another form."""
    scalars = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    # Letters and marks that may come out of the normalizer are told apart; the many ideographs needn't be.
    letters = [c for c in scalars if unicodedata.category(c)[0] in "LMNS" and not 0x3400 <= ord(c) < 0xD7A4
               and ord(c) < 0x20000]
    vocabulary = {"[UNK]": 0, "[SEP]": 1, "a": 2, "##b": 3}
    for c in letters:
        vocabulary.setdefault(c, len(vocabulary))
        vocabulary.setdefault("##" + c, len(vocabulary))
    marks = [c for c in scalars if unicodedata.combining(c)]
    r = random.Random(8)
    text = " ".join([f"a{c}b" for c in scalars]
                    + ["a" + "".join(r.choices(marks, k=r.randint(2, 4))) + "b" for _ in range(60_000)]
                    + ["a" + r.choice(letters) + r.choice(marks) + "b" for _ in range(60_000)])
    for options in ({}, {"lowercase": False}, {"lowercase": False, "strip_accents": True}, {"clean_text": False}):
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(**options)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        path = saved(tokenizer, tmp_path / "tokenizer.json")
        assert ids_of(path, text, tmp_path) == tokenizer.encode(text, add_special_tokens=False).ids, options


# --- Special tokens around a text, and in the program ---


POST_PROCESSORS: list[tuple[str, str]] = [
    ("wordpiece-bert", ""),
    ("wordpiece-uncased", ""),
    ("bpe-first", ""),
    ("bpe-first", '{"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": true, '
                  '"add_prefix_space": false}'),
    ("bpe-first", "null"),
]


@pytest.mark.parametrize(("kind", "processor"), POST_PROCESSORS)
def test_special_tokens_around_a_text(kind: str, processor: str, tmp_path: Path) -> None:
    made = KINDS[kind]()
    tokenizer = json.loads(made.to_str()) if isinstance(made, Tokenizer) else made
    if processor:
        tokenizer["post_processor"] = json.loads(processor)
    path = saved(tokenizer, tmp_path / "tokenizer.json")
    reference = Tokenizer.from_file(str(path))
    for text in ["", "the weather", " tool 中文 ", "[SEP] x </s>"]:
        (tmp_path / "text").write_text(text, encoding="utf-8")
        found = mayfly("tokenize", path, "--file", tmp_path / "text", "--add-special-tokens", "--json").json["ids"]
        assert found == reference.encode(text).ids


@pytest.mark.parametrize("kind", ["wordpiece-uncased", "bpe-old", "bpe-first", "bpe-gemma"])
def test_prepare_train_and_transformers(kind: str, tmp_path: Path, small: list[str]) -> None:
    path = saved(KINDS[kind](), tmp_path / "tokenizer.json")
    book = tmp_path / "book.txt"
    book.write_text(prose(60_000), encoding="utf-8")
    mayfly("prepare", book, "--out", tmp_path / "data", "--tokenizer", path)
    mayfly("train", "--data", tmp_path / "data", "--steps", 3, "--out", tmp_path / "run", *small)
    fast = transformers.AutoTokenizer.from_pretrained(latest(tmp_path / "run"))
    for string in odd_texts(400, seed=6, special=["[SEP]", "</s>"])[::20]:
        assert fast.encode(string, add_special_tokens=False) == ids_of(path, string, tmp_path), ascii(string)
    shard = np.fromfile(tmp_path / "data" / "train-00000.bin", dtype="<u2")[512:].tolist()
    if not kind.startswith("wordpiece"):
        assert text_of(path, shard[:40], tmp_path).strip() in book.read_text(encoding="utf-8")
    result = mayfly("eval", tmp_path / "run", "--data", tmp_path / "data", "--json").json
    assert 0 < result["bits_per_byte"] < 20
    if not kind.startswith("wordpiece"):
        mayfly("generate", tmp_path / "run", "--prompt", "the miller", "--max-tokens", 8)
    refused = mayfly("train", "--data", tmp_path / "data", "--steps", 1, "--out", tmp_path / "no", *small,
                     *settings(data__bpe_dropout=0.1), code=65)
    assert "bpe_dropout" in refused.err and "byte-level" in refused.err


def test_bert_fills_in_masks_of_text_as_transformers_does(tmp_path: Path) -> None:
    tokenizer = word_piece()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=40)
    torch.manual_seed(1)
    model = transformers.BertForMaskedLM(config).eval()
    model.save_pretrained(tmp_path)
    text = "The weather [MASK] 中文, and don't [MASK] it"
    found = mayfly("score", tmp_path, "--text", text, "--top", 3, "--json").json
    ids = tokenizer.encode(text).ids
    assert found["ids"] == ids
    with torch.no_grad():
        expected = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    for position, top in zip(found["mask_positions"], found["top"], strict=True):
        assert ids[position] == tokenizer.token_to_id("[MASK]")
        values, best = expected[position].topk(3)
        assert [entry["id"] for entry in top] == best.tolist()
        assert [entry["logprob"] for entry in top] == pytest.approx(values.tolist(), abs=1e-4)


# --- Files that are no tokenizers ---


def changed(file: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one member changed; `...` removes it."""
    copy = json.loads(json.dumps(file))
    *parents, key = path.split("/")
    place = copy
    for parent in parents:
        place = place[int(parent) if isinstance(place, list) else parent]
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return copy


HOSTILE: list[tuple[str, Any, str]] = [
    ("model/vocab/the", -1, "id -1"),
    ("model/vocab/the", 0, "id 0"),
    ("model/vocab/the", 4_000_000_000, "4000000000"),
    ("model/vocab/the", 10**30, "the"),
    ("model/vocab/the", "7", "the"),
    ("model/vocab/the", 7.5, "the"),
    ("model/vocab/the", None, "the"),
    ("model/vocab", [], "model.vocab"),
    ("model/vocab", ..., "model.vocab"),
    ("model/unk_token", "<none>", "model.unk_token"),
    ("model/unk_token", 7, "model.unk_token"),
    ("model/type", "Unigram", "Unigram"),
    ("model/type", 7, "model.type"),
    ("model", [], "model"),
    ("normalizer", {"type": "NFKC"}, "NFKC"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AA=="}, "Precompiled"),
    ("normalizer", {"type": "Sequence"}, "normalizer.normalizers"),
    ("normalizer", "Lowercase", "normalizer"),
    ("pre_tokenizer", {"type": "Whitespace"}, "Whitespace"),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "x"}, "behavior": "Isolated"}, "pre_tokenizer"),
    ("pre_tokenizer", 3, "pre_tokenizer"),
    ("decoder", {"type": "CTC"}, "CTC"),
    ("decoder", {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]}, "decoder"),
    ("decoder", {"type": "Strip", "content": " ", "start": -1, "stop": 0}, "decoder.start"),
    ("decoder", {"type": "Strip", "content": " ", "start": 1, "stop": 1}, "decoder.stop"),
    ("decoder", {"type": "Strip", "content": "", "start": 1, "stop": 0}, "decoder.content"),
    ("decoder", {"type": "Replace", "pattern": {"Regex": "x"}, "content": " "}, "decoder.pattern"),
    ("added_tokens/0/id", -1, "id"),
    ("added_tokens/0/id", 2**40, "id"),
    ("added_tokens/0/id", 77, "id"),
    ("added_tokens/0/content", 7, "added_tokens[0].content"),
    ("added_tokens", {}, "added_tokens"),
]
HOSTILE_WORD_PIECE: list[tuple[str, Any, str]] = [
    ("model/max_input_chars_per_word", -1, "model.max_input_chars_per_word"),
    ("model/max_input_chars_per_word", "100", "model.max_input_chars_per_word"),
    ("model/max_input_chars_per_word", ..., "model.max_input_chars_per_word"),
    ("model/continuing_subword_prefix", None, "model.continuing_subword_prefix"),
    ("model/vocab/[UNK]", ..., "[UNK]"),
    ("normalizer/lowercase", "yes", "normalizer.lowercase"),
    ("normalizer/clean_text", ..., "normalizer.clean_text"),
    ("pre_tokenizer", None, "pre_tokenizer"),
]
HOSTILE_BPE: list[tuple[str, Any, str]] = [
    ("model/merges", [["the", "q\u0301q"]], "model.merges[0]"),
    ("model/merges", ["t h", "no nsense"], "model.merges[1]"),
    ("model/merges", ["t"], "model.merges[0]"),
    ("model/merges", ["t h e"], "model.merges[0]"),
    ("model/merges", [["t"]], "model.merges[0]"),
    ("model/merges", [7], "model.merges[0]"),
    ("model/merges", {"t": "h"}, "model.merges"),
    ("model/merges", ..., "model"),
    ("model/byte_fallback", "yes", "model.byte_fallback"),
    ("model/fuse_unk", 1, "model.fuse_unk"),
    ("model/dropout", 0.1, "model.dropout"),
    ("model/end_of_word_suffix", "</w>", "model.end_of_word_suffix"),
    ("pre_tokenizer", {"type": "Metaspace"}, "pre_tokenizer.replacement"),
    ("pre_tokenizer", {"type": "Metaspace", "replacement": ""}, "pre_tokenizer.replacement"),
    ("pre_tokenizer", {"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"}, "prepend_scheme"),
    ("pre_tokenizer", {"type": "Metaspace", "replacement": "_", "add_prefix_space": False}, "add_prefix_space"),
    ("normalizer", {"type": "Replace", "pattern": {"String": ""}, "content": "x"}, "normalizer.pattern"),
    ("normalizer", {"type": "Prepend"}, "normalizer.prepend"),
    ("normalizer", {"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "e"}, "content": "eeee"}] * 40}, "normalizer"),
]


@pytest.mark.parametrize("kind", ["wordpiece-uncased", "bpe-old"])
def test_what_can_not_be_followed_is_an_error_that_names_the_part(kind: str, tmp_path: Path) -> None:
    made = KINDS[kind]()
    tokenizer = json.loads(made.to_str()) if isinstance(made, Tokenizer) else made
    (tmp_path / "text").write_text("the weather", encoding="utf-8")
    for path, value, part in HOSTILE + (HOSTILE_WORD_PIECE if kind.startswith("word") else HOSTILE_BPE):
        file = saved(changed(tokenizer, path, value), tmp_path / "tokenizer.json")
        result = mayfly("tokenize", file, "--file", tmp_path / "text", code=65)
        assert part in result.err and "tokenizer.json" in result.err, (path, value, result.err)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"type": "Unknown"}, "Unknown"),
        ({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]"}}], "special_tokens": {}}, "[X]"),
        ({"type": "BertProcessing", "sep": ["[SEP]", 10**9], "cls": ["[CLS]", 2]}, "post_processor.sep[1]"),
        ({"type": "BertProcessing", "sep": ["[SEP]", -3], "cls": ["[CLS]", 2]}, "post_processor.sep[1]"),
        ({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}] * 2, "special_tokens": {}}, "single"),
        ({"type": "BertProcessing", "sep": 3, "cls": ["[CLS]", 2]}, "post_processor.sep"),
    ],
)
def test_a_post_processor_that_can_not_be_followed(value: Any, part: str, tmp_path: Path) -> None:
    file = saved(changed(json.loads(word_piece().to_str()), "post_processor", value), tmp_path / "tokenizer.json")
    (tmp_path / "text").write_text("the weather", encoding="utf-8")
    mayfly("tokenize", file, "--file", tmp_path / "text")
    assert part in mayfly("tokenize", file, "--file", tmp_path / "text", "--add-special-tokens", code=65).err
