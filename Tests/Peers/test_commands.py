"""Each command's JSON has the keys of the contract, alone on stdout."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from support import latest, mayfly, metrics, prose, settings


def shard_ids(path: Path) -> np.ndarray:
    content = path.read_bytes()
    magic, version, count = struct.unpack_from("<3i", content)
    assert (magic, version) == (20240520, 1)
    ids = np.frombuffer(content, dtype="<u2", offset=1024)
    assert len(ids) == count
    return ids


# --- prepare ----------------------------------------------------------------------------------------------------------


def test_prepare_writes_what_the_contract_says(data: Path) -> None:
    report = json.loads((data / "dataset.json").read_text())
    assert report["documents_in"] == 40
    assert report["documents_kept"] == 40 - sum(report["dropped"].values())
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    end = tokenizer.token_to_id("<|endoftext|>")
    for split in ("train", "val", "test"):
        ids = np.concatenate([shard_ids(path) for path in sorted(data.glob(f"{split}-*.bin"))])
        assert report["tokens"][split] == len(ids) > 0
        assert ids[-1] == end
        assert ids.max() < tokenizer.get_vocab_size() == 320
        text = tokenizer.decode(ids[: list(ids).index(end)].tolist())
        assert text.strip() and "\ufffd" not in text


def test_prepare_gives_the_same_bytes_again(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(12):
        (texts / f"{i}.txt").write_text(prose(3_000, seed=i))
    folders = [tmp_path / "one", tmp_path / "two"]
    moved = tmp_path / "elsewhere"
    shutil.copytree(texts, moved)
    for source, folder in zip((texts, moved), folders):
        mayfly("prepare", source, "--out", folder, "--vocab-size", 300, "--val-fraction", 0.2)
    for path in folders[0].glob("*.*"):
        if path.suffix in (".json", ".bin"):
            assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name


def test_prepare_drops_what_is_empty_or_repeated(tmp_path: Path) -> None:
    lines = [json.dumps({"text": prose(500, seed=i)}) for i in range(30)]
    lines += [lines[3], lines[4], json.dumps({"text": " \n"})]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines) + "\n")
    mayfly("prepare", tmp_path / "texts.jsonl", "--out", tmp_path / "data", "--vocab-size", 300)
    report = json.loads((tmp_path / "data/dataset.json").read_text())
    assert (report["documents_in"], report["documents_kept"]) == (33, 30)
    assert sum(report["dropped"].values()) == 3


def test_a_split_does_not_change_when_files_are_added(tmp_path: Path) -> None:
    """Who is held out is a matter of the document alone: no text moves from validation into training."""
    texts = {i: prose(2_000, seed=i) for i in range(60)}
    held_out: list[set[str]] = []
    for count in (30, 60):
        folder, out = tmp_path / f"{count}", tmp_path / f"data-{count}"
        folder.mkdir()
        for i in range(count):
            (folder / f"{i:03}.txt").write_text(texts[i])
        mayfly("prepare", folder, "--out", out, "--vocab-size", 300, "--val-fraction", 0.3)
        tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
        ids = np.concatenate([shard_ids(path) for path in sorted(out.glob("val-*.bin"))]).tolist()
        ends = [i for i, id in enumerate(ids) if id == tokenizer.token_to_id("<|endoftext|>")]
        documents = [tokenizer.decode(ids[a:b]) for a, b in zip([0, *[e + 1 for e in ends]], ends)]
        held_out.append({document.strip() for document in documents})
    first = {texts[i].strip() for i in range(30)}
    assert held_out[0] and held_out[0] == held_out[1] & first


# --- train ------------------------------------------------------------------------------------------------------------


def test_train_leaves_a_run(run: Path) -> None:
    assert {"run.yaml", "metrics.jsonl", "checkpoints", "samples"} <= {path.name for path in run.iterdir()}
    keys = {
        "kind", "step", "tokens", "loss", "learning_rate", "grad_norm", "tokens_per_second", "data_wait_seconds",
        "elapsed_seconds",
    }
    lines = metrics(run, "train")
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert all(keys <= line.keys() for line in lines)
    evaluations = metrics(run, "eval")
    assert {"kind", "step", "split", "loss", "accuracy", "bits_per_byte", "elapsed_seconds"} <= evaluations[-1].keys()
    assert latest(run).name == "step-00000060"


def test_train_prints_nothing_but_results_on_stdout(data: Path, small: list[str], tmp_path: Path) -> None:
    result = mayfly("train", "--data", data, "--steps", 2, "--out", tmp_path / "run", *small)
    assert "\r" not in result.err and "\x1b" not in result.err, "progress bars are for terminals"


def test_a_run_is_repeated_from_its_run_yaml(run: Path, data: Path, tmp_path: Path) -> None:
    mayfly("train", "--data", data, "--steps", 60, "--out", tmp_path / "run", "--config", run / "run.yaml")
    losses = [[line["loss"] for line in metrics(folder, "train")] for folder in (run, tmp_path / "run")]
    assert losses[0] == losses[1]


def test_settings_win_over_the_config_file(run: Path, data: Path, tmp_path: Path) -> None:
    mayfly(
        "train", "--data", data, "--steps", 2, "--out", tmp_path / "run", "--config", run / "run.yaml",
        *settings(train__batch_size=3),
    )
    assert metrics(tmp_path / "run", "train")[0]["tokens"] == 3 * 64


def test_raw_text_is_prepared_into_the_run(small: list[str], tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(prose(60_000))
    mayfly("train", "--data", tmp_path / "book.txt", "--steps", 2, "--out", tmp_path / "run", *small)
    assert (tmp_path / "run/data/tokenizer.json").exists()
    assert len(metrics(tmp_path / "run", "train")) == 2


def test_a_lone_shard_has_no_validation(data: Path, small: list[str], tmp_path: Path) -> None:
    shutil.copy(data / "train-00000.bin", tmp_path / "only.bin")
    mayfly(
        "train", "--data", tmp_path / "only.bin", "--steps", 2, "--out", tmp_path / "run", *small,
        *settings(model__vocab_size=320),
    )
    assert not metrics(tmp_path / "run", "eval")


# --- The other commands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["val", "test"])
def test_eval(run: Path, data: Path, split: str) -> None:
    found = mayfly("eval", run, "--data", data, "--split", split, "--json").json
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    ids = shard_ids(data / f"{split}-00000.bin").tolist()
    assert found["tokens"] == len(ids) - 1
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]), rel=1e-6)
    assert 0 < found["accuracy"] < 1
    # All are ASCII, so a token's characters are its bytes; <|endoftext|> counts none.
    size = len(tokenizer.decode(ids[1:], skip_special_tokens=True))
    total = found["loss"] * found["tokens"]
    assert found["bits_per_byte"] == pytest.approx(total / (math.log(2) * size), rel=1e-6)


def test_score_text_and_file_and_ids_agree(run: Path, tmp_path: Path) -> None:
    text = "The miller follows two lanterns. A grey cat"
    by_text: dict[str, Any] = mayfly("score", run, "--text", text, "--json").json
    (tmp_path / "text.txt").write_text(text)
    by_file = mayfly("score", run, "--file", tmp_path / "text.txt", "--json").json
    by_ids = mayfly("score", run, "--ids", ",".join(map(str, by_text["ids"])), "--json").json
    assert by_text["logprobs"] == by_file["logprobs"] == by_ids["logprobs"]
    assert by_text["ids"] == by_file["ids"] == by_ids["ids"]
    assert by_text["logprobs"][0] is None and all(value <= 0 for value in by_text["logprobs"][1:])


def test_generate(run: Path) -> None:
    arguments = ["generate", run, "--prompt", "The miller", "--max-tokens", 12, "--json"]
    greedy = [mayfly(*arguments, "--temperature", 0).json for _ in range(2)]
    assert greedy[0] == greedy[1]
    assert greedy[0]["finish_reason"] in ("length", "stop")
    assert len(greedy[0]["ids"]) <= 12
    sampled = [mayfly(*arguments, "--temperature", 1, "--seed", seed).json["text"] for seed in (1, 1, 2, 3, 4)]
    assert sampled[0] == sampled[1], "a seed decides the text"
    assert len(set(sampled[1:])) > 1, "another seed gives another text"


def test_sampling_narrowed_to_one_token_is_greedy(run: Path) -> None:
    arguments = ["generate", run, "--prompt", "A grey cat", "--max-tokens", 12, "--json"]
    greedy = mayfly(*arguments, "--temperature", 0).json["ids"]
    for narrow in (["--top-k", 1], ["--top-p", 1e-6], ["--min-p", 1]):
        assert mayfly(*arguments, "--temperature", 1, *narrow).json["ids"] == greedy, narrow


def test_generate_goes_on_past_the_context(run: Path) -> None:
    found = mayfly("generate", run, "--prompt", "The", "--max-tokens", 150, "--temperature", 1, "--json").json
    assert found["finish_reason"] == "stop" or len(found["ids"]) == 150


def test_generate_stops_at_a_stop_text(run: Path) -> None:
    found = mayfly(
        "generate", run, "--prompt", "The miller", "--max-tokens", 200, "--temperature", 0.7, "--stop", ".", "--json"
    ).json
    assert found["finish_reason"] == "stop"
    assert "." not in found["text"]


@pytest.mark.parametrize("where", ["run", "data", "tokenizer.json"])
def test_tokenize(run: Path, data: Path, tmp_path: Path, where: str) -> None:
    source = {"run": run, "data": data, "tokenizer.json": data / "tokenizer.json"}[where]
    text = "Seven stones, naïve — 雪 🏮\n\n  end"
    (tmp_path / "text.txt").write_text(text)
    ids = mayfly("tokenize", source, "--file", tmp_path / "text.txt", "--json").json["ids"]
    assert ids == Tokenizer.from_file(str(data / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    (tmp_path / "ids.txt").write_text(mayfly("tokenize", source, "--file", tmp_path / "text.txt").out)
    decoded = mayfly("tokenize", source, "--file", tmp_path / "ids.txt", "--decode").out
    assert decoded.rstrip("\n") == text


def test_doctor() -> None:
    found = mayfly("doctor", "--json").json
    assert any("cpu" in json.dumps(device).lower() for device in found["devices"])
    assert "libraries" in found


def test_a_process_counts_the_processors_that_it_may_use() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        cpu = mayfly("doctor", "--json").json["devices"][0]
    finally:
        os.sched_setaffinity(0, before)
    assert cpu["cores"] == 1 and "1 thread" in cpu["uses"]


def test_bench() -> None:
    sizes = settings(
        model__architecture="gpt2", model__num_hidden_layers=2, model__num_attention_heads=2, model__hidden_size=32,
        model__vocab_size=65, train__context=16, train__batch_size=4,
    )
    found = mayfly("bench", *sizes, "--steps", 3, "--threads", 1, "--json").json
    assert (found["batch_size"], found["context"], found["steps"]) == (4, 16, 3)
    assert found["tokens_per_second"] == pytest.approx(4 * 16 / found["seconds"])
    operations = {operation["kind"]: operation for operation in found["operations"]}
    # Four products a layer; the head's are its own.
    assert operations["Linear"]["calls"] == operations["LinearWeightGradient"]["calls"] == 8
    assert sum(operation["flops"] for operation in operations.values()) == pytest.approx(found["flops"])
    whole = sum(operation["seconds"] for operation in operations.values()) + found["other_seconds"]
    assert whole == pytest.approx(found["profiled_seconds"]) and found["other_seconds"] >= 0
    text = mayfly("bench", *sizes, "--steps", 1, "--threads", 1).out
    assert "tokens a second" in text and all(kind in text for kind in operations)
    decoding = mayfly(
        "bench", *sizes, *settings(model__max_position_embeddings=64), "--generate", "--steps", 4, "--prompt-tokens", 9,
        "--threads", 1, "--json",
    ).json
    assert (decoding["prompt_tokens"], decoding["steps"]) == (9, 4)
    assert decoding["tokens_per_second"] == pytest.approx(1 / decoding["seconds"])
    operations = {operation["kind"]: operation["calls"] for operation in decoding["operations"]}
    assert operations["CachedAttention"] == 2 and operations["Logits"] == 1 and "AdamW" not in operations
    mayfly("bench", *sizes, "--generate", "--steps", 10, code=65)
    mayfly("bench", *sizes, "--set", "model.architecture=encoder", "--generate", "--steps", 1, code=65)
    mayfly("bench", *sizes, "--prompt-tokens", 9, code=64)


def test_only_what_is_built_is_listed() -> None:
    listed = mayfly("--help").out
    for built in (
        "demo", "prepare", "train", "finetune", "eval", "score", "generate", "chat", "embed", "serve", "deploy", "tokenize",
        "bench", "doctor",
    ):
        assert built in listed
    for later in ("quantize", "audit", "inspect"):
        assert later not in listed
