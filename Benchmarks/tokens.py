"""How fast text becomes tokens, side by side: Mayfly, Hugging Face tokenizers and tiktoken, on the same cores and text.

    python3 Benchmarks/tokens.py encode [--rounds 5]     English and Chinese, with one vocabulary of 32,768
    python3 Benchmarks/tokens.py learn [--rounds 3]      a vocabulary of 32,768 from 100 MB
    python3 Benchmarks/tokens.py load                    reading a tokenizer.json of 50,257 entries

Each side runs in a process of its own, one after the other, with the text in memory before its clock starts. What counts is
the ratio within a round and the median of the rounds. `make bench-prepare` installs the peers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from machine import machine, say
from runs import raw
from sides import MAYFLY, ROOT

# Made by `make bench-prepare`.
PYTHON = ROOT / ".build/bench/venv/bin/python"
WORK = ROOT / ".build/bench/tokens"
VOCABULARY = 32_768
# As `prepare` cuts words.
PATTERN = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"""
    r"""\s+(?!\S)|\s+""")


# --- Texts ------------------------------------------------------------------------------------------------------------


def documents(name: str) -> Path:
    """A .jsonl of whole texts: english and chinese of the texts that other benchmarks use, mixed of 100 MB of all."""
    path = WORK / f"{name}.jsonl"
    if path.exists():
        return path
    WORK.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []
    if name in ("english", "mixed"):
        for text in ("shakespeare", "python", "gcide"):
            for file in sorted(raw(text).rglob("*")):
                if file.is_file():
                    texts += pieces(file.read_text(encoding="utf-8", errors="replace"))
    if name in ("chinese", "mixed"):
        found = ROOT / "data/languages/texts"
        # What is there already isn't fetched again.
        subprocess.run([ROOT / "Scripts/fetch-language-texts", found], check=True, stdout=sys.stderr)
        files = [found / f"{each}.jsonl" for each in ("manpages-zh", "fortunes-zh")] if name == "chinese" else sorted(
            found.glob("*.jsonl"))
        for file in files:
            lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            texts += [line["text"] for line in lines if name == "mixed" or line.get("language", "zh").startswith("zh")]
    if name == "mixed":
        size, kept = 0, []
        for text in texts:
            size += len(text.encode())
            kept.append(text)
            if size > 100e6:
                break
        texts = kept
    with path.open("w", encoding="utf-8") as out:
        for text in texts:
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return path


def pieces(text: str, size: int = 20_000) -> list[str]:
    """Documents of about the length that web pages have, cut between lines."""
    found, current, length = [], [], 0
    for line in text.splitlines(keepends=True):
        current.append(line)
        length += len(line)
        if length >= size:
            found.append("".join(current))
            current, length = [], 0
    return found + ["".join(current)] if current else found


# --- Peers, each in a process of its own ------------------------------------------------------------------------------


def loaded(path: str) -> list[str]:
    return [json.loads(line)["text"] for line in open(path, encoding="utf-8")]


def peer_encode(library: str, path: str, tokenizer: str) -> dict:
    texts = loaded(path)
    if library == "tokenizers":
        from tokenizers import Tokenizer

        encoder = Tokenizer.from_file(tokenizer)
        start = time.perf_counter()
        tokens = sum(len(each.ids) for each in encoder.encode_batch_fast(texts, add_special_tokens=False))
    else:
        import tiktoken

        description = json.loads(Path(tokenizer).read_text())
        encoder = tiktoken.Encoding(
            "mayfly", pat_str=PATTERN, mergeable_ranks=ranks(description), special_tokens={})
        encoder.encode_ordinary("warm")
        start = time.perf_counter()
        tokens = sum(len(each) for each in encoder.encode_ordinary_batch(texts, num_threads=os.cpu_count()))
    return {"seconds": time.perf_counter() - start, "tokens": tokens}


def ranks(description: dict) -> dict[bytes, int]:
    """tiktoken knows no merges, only an order of tokens: that of the ids."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in printable}
    letters |= {chr(256 + index): byte for index, byte in enumerate(each for each in range(256) if each not in printable)}
    vocabulary = description["model"]["vocab"]
    special = {each["content"] for each in description["added_tokens"]}
    return {
        bytes(letters[letter] for letter in token): rank
        for rank, token in enumerate(sorted((each for each in vocabulary if each not in special), key=vocabulary.get))
    }


def peer_learn(path: str, out: str) -> dict:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    texts = loaded(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    start = time.perf_counter()
    tokenizer.train_from_iterator(texts, trainer)
    seconds = time.perf_counter() - start
    tokenizer.save(out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Both hold the text in memory, Python's in another form: what learning took beyond it is compared, too.
    return {"seconds": seconds, "peak_memory_bytes": peak * 1024, "beyond_text_bytes": (peak - before) * 1024}


def in_process(*arguments: object) -> dict:
    done = subprocess.run(
        [PYTHON, Path(__file__), "peer", *map(str, arguments)], check=True, capture_output=True, text=True,
        env=os.environ | {"TOKENIZERS_PARALLELISM": "true"})
    return json.loads(done.stdout)


def mayfly(*arguments: object) -> dict:
    done = subprocess.run(
        [MAYFLY, "bench", "--json", *map(str, arguments)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


# --- What is compared -------------------------------------------------------------------------------------------------


def vocabulary() -> Path:
    path = WORK / "tokenizer.json"
    if not path.exists():
        mayfly("--file", documents("mixed"), "--learn", VOCABULARY, "--out", path)
    return path


def encode(rounds: int) -> None:
    tokenizer = vocabulary()
    for name in ("english", "chinese"):
        path = documents(name)
        ratios: dict[str, list[float]] = {"tokenizers": [], "tiktoken": []}
        speeds = []
        for _ in range(rounds):
            # One cold pass, as the others': the first of ours fills its memory of words, too.
            ours = mayfly("--file", path, "--encode", tokenizer, "--steps", 1)
            speeds.append(ours["bytes"] / ours["seconds"] / 1e6)
            for library, found in ratios.items():
                theirs = in_process("encode", library, path, tokenizer)
                if theirs["tokens"] != ours["tokens"]:
                    say(f"{library}: {theirs['tokens']} tokens, Mayfly {ours['tokens']}")
                found.append(theirs["seconds"] / ours["seconds"])
        print(
            f"{name}, {ours['bytes'] / 1e6:.1f} MB, {ours['threads']} threads: Mayfly {median(speeds):.1f} MB/s; "
            + ", ".join(f"{median(found):.1f} times {library} ({min(found):.1f}–{max(found):.1f})"
                        for library, found in ratios.items()), flush=True)


def learn(rounds: int) -> None:
    path = documents("mixed")
    times, memories = [], []
    for _ in range(rounds):
        ours = mayfly("--file", path, "--learn", VOCABULARY, "--out", WORK / "ours.json")
        theirs = in_process("learn", path, WORK / "theirs.json")
        times.append(theirs["seconds"] / ours["seconds"])
        memories.append(ours["peak_memory_bytes"] / theirs["peak_memory_bytes"])
        merges = [
            [line if isinstance(line, str) else " ".join(line) for line in json.loads((WORK / each).read_text())["model"]["merges"]]
            for each in ("ours.json", "theirs.json")]
        print(
            f"learning {VOCABULARY} from {ours['bytes'] / 1e6:.0f} MB: Mayfly {ours['seconds']:.2f} s, tokenizers "
            f"{theirs['seconds']:.2f} s ({times[-1]:.1f} times); memory {ours['peak_memory_bytes'] / 2**20:.0f} MiB beside "
            f"{theirs['peak_memory_bytes'] / 2**20:.0f} ({memories[-1]:.2f}), theirs beyond the text "
            f"{theirs['beyond_text_bytes'] / 2**20:.0f}; merges {'the same' if merges[0] == merges[1] else 'DIFFER'}", flush=True)
    print(f"median: {median(times):.1f} times as fast, {median(memories):.2f} of the memory")


def load(rounds: int) -> None:
    path = WORK / "tokenizer-50257.json"
    if not path.exists():
        mayfly("--file", documents("mixed"), "--learn", 50_257, "--out", path)
    (WORK / "empty.txt").write_text("a")
    whole, without = [], []
    for _ in range(max(rounds, 10)):
        start = time.perf_counter()
        subprocess.run([MAYFLY, "tokenize", path, "--file", WORK / "empty.txt"], check=True, capture_output=True)
        middle = time.perf_counter()
        subprocess.run([MAYFLY, "--version"], check=True, capture_output=True)
        whole.append(middle - start)
        without.append(time.perf_counter() - middle)
    print(
        f"a tokenizer.json of 50,257: {1000 * median(whole):.1f} ms for the whole process that tokenizes one letter, "
        f"{1000 * (median(whole) - median(without)):.1f} ms of it beyond a process that does nothing")


if __name__ == "__main__":
    if sys.argv[1:2] == ["peer"]:
        what = {"encode": peer_encode, "learn": peer_learn}[sys.argv[2]]
        print(json.dumps(what(*sys.argv[3:])))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["encode", "learn", "load"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    say(str(machine()))
    {"encode": encode, "learn": learn, "load": load}[options.what](options.rounds)
