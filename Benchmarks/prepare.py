"""`mayfly prepare` from end to end beside datatrove, with the same steps on the same text and cores: read JSON lines, Gopher's
rules for quality and repetition, near deduplication by MinHash, tokens by the same tokenizer, written to disk.

    python3 Benchmarks/prepare.py [--megabytes 50] [--rounds 3]
    python3 Benchmarks/prepare.py --scale 100 1000 10000     Mayfly alone: throughput and memory by the size of the text

Processes run one after the other. Times are those of the whole process; datatrove's of its stages alone, without its imports.
`make bench-prepare` installs it. The text is made of real texts: their paragraphs in another order and number each time, so
that little of it repeats as a whole.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from machine import machine, say
from sides import MAYFLY, ROOT, run
from tokens import PYTHON, documents, vocabulary

WORK = ROOT / ".build/bench/prepare"
WORKERS = 2
# Not C4's: of such text they leave nothing to deduplicate.
CLEANING = "gopher,repetition"


# --- Text -------------------------------------------------------------------------------------------------------------


def generated(megabytes: int) -> Path:
    """JSON lines of so many megabytes: documents of a few paragraphs of real texts, drawn anew."""
    path = WORK / f"text-{megabytes}.jsonl"
    if path.exists():
        return path
    WORK.mkdir(parents=True, exist_ok=True)
    paragraphs: list[str] = []
    for line in documents("english").open(encoding="utf-8"):
        for paragraph in json.loads(line)["text"].split("\n\n"):
            if len(paragraph) > 40:
                paragraphs.append(paragraph)
    draw = random.Random(megabytes)
    size = 0
    with path.open("w", encoding="utf-8") as out:
        while size < megabytes * 1e6:
            text = "\n\n".join(draw.choices(paragraphs, k=draw.randint(3, 12)))
            line = json.dumps({"text": text}, ensure_ascii=False) + "\n"
            # In characters, near enough for English; what is compared is the file's own size.
            size += len(line)
            out.write(line)
    return path


# --- Sides ------------------------------------------------------------------------------------------------------------


def mayfly(path: Path, tokenizer: Path | None, *more: object) -> dict:
    out = WORK / "out"
    shutil.rmtree(out, ignore_errors=True)
    options = ["--tokenizer", tokenizer] if tokenizer else []
    arguments = [MAYFLY, "prepare", path, "--out", out, "--dedupe", "near", "--workers", WORKERS, *options, *more]
    start = time.perf_counter()
    ended = run([str(each) for each in arguments])
    seconds = time.perf_counter() - start
    ended.require()
    summary = json.loads((out / "dataset.json").read_text())
    return {
        "seconds": seconds, "peak_mb": ended.peak_mb, "kept": summary["documents_kept"],
        "tokens": sum(summary["tokens"].values()),
    }


def peer(path: str, tokenizer: str) -> dict:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from datatrove.pipeline.writers import JsonlWriter

    work = WORK / "peer"
    shutil.rmtree(work, ignore_errors=True)
    # One file for each worker: that is how datatrove divides work.
    (work / "in").mkdir(parents=True)
    files = [(work / f"in/{index}.jsonl").open("w", encoding="utf-8") for index in range(WORKERS)]
    for index, line in enumerate(open(path, encoding="utf-8")):
        files[index % WORKERS].write(line)
    for file in files:
        file.close()
    config = MinhashConfig()

    def stage(name: str, steps: list, tasks: int = WORKERS) -> None:
        LocalPipelineExecutor(pipeline=steps, tasks=tasks, workers=WORKERS, logging_dir=str(work / "logs" / name)).run()

    start = time.perf_counter()
    stage("filter", [
        # To spaCy punctuation is a word: with Gopher's threshold for words without letters next to nothing of technical prose
        # would be left, and the stages behind would have no work.
        JsonlReader(str(work / "in")), GopherRepetitionFilter(), GopherQualityFilter(max_non_alpha_words_ratio=0),
        JsonlWriter(str(work / "clean"), compression=None)])
    stage("signatures", [
        JsonlReader(str(work / "clean")), MinhashDedupSignature(output_folder=str(work / "signatures"), config=config)])
    stage("buckets", [
        MinhashDedupBuckets(input_folder=str(work / "signatures"), output_folder=str(work / "buckets"), config=config)],
        tasks=config.num_buckets)
    stage("clusters", [
        MinhashDedupCluster(input_folder=str(work / "buckets"), output_folder=str(work / "remove"), config=config)], tasks=1)
    stage("tokens", [
        JsonlReader(str(work / "clean")), MinhashDedupFilter(input_folder=str(work / "remove")),
        DocumentTokenizer(
            output_folder=str(work / "tokens"), tokenizer_name_or_path=tokenizer, eos_token="<|endoftext|>",
            shuffle_documents=False)])
    seconds = time.perf_counter() - start
    tokens = sum(file.stat().st_size // 2 for file in (work / "tokens").glob("*.ds"))
    return {"seconds": seconds, "tokens": tokens}


def compare(megabytes: int, rounds: int) -> None:
    path, tokenizer = generated(megabytes), vocabulary()
    size = path.stat().st_size / 1e6
    ratios, ours, theirs = [], [], []
    for _ in range(rounds):
        ours.append(mayfly(path, tokenizer, "--clean", CLEANING))
        done = subprocess.run([PYTHON, __file__, "peer", path, tokenizer], check=True, capture_output=True, text=True)
        theirs.append(json.loads(done.stdout.splitlines()[-1]))
        ratios.append(theirs[-1]["seconds"] / ours[-1]["seconds"])
        print(
            f"{size:.0f} MB: Mayfly {ours[-1]['seconds']:.1f} s ({size / ours[-1]['seconds']:.1f} MB/s, "
            f"{ours[-1]['tokens']} tokens), datatrove {theirs[-1]['seconds']:.1f} s ({theirs[-1]['tokens']} tokens): "
            f"{ratios[-1]:.1f} times", flush=True)
    print(f"median of {rounds}: {median(ratios):.1f} times ({min(ratios):.1f}–{max(ratios):.1f})")


def scale(sizes: list[int]) -> None:
    for megabytes in sizes:
        path = generated(megabytes)
        size = path.stat().st_size / 1e6
        found = mayfly(path, None, "--clean", CLEANING, "--memory", "1900M")
        print(
            f"{size:.0f} MB: {found['seconds']:.1f} s, {size / found['seconds']:.1f} MB/s, memory at most "
            f"{found['peak_mb']:.0f} MiB, {found['kept']} documents kept", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["peer"]:
        print(json.dumps(peer(*sys.argv[2:])))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, nargs="+")
    options = parser.parse_args()
    say(str(machine()))
    scale(options.scale) if options.scale else compare(options.megabytes, options.rounds)
