"""Bad input is refused with a message that names it, the contract's exit code, and nothing on stdout; never a crash."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from support import Result, latest, make_model, mayfly, prose, settings, write_shard

BAD_USAGE, BAD_INPUT, NO_DEVICE, CANNOT_WRITE = 64, 65, 69, 73


def refused(*arguments: object, code: int, saying: str) -> Result:
    """Runs the program, which must refuse, and say so in words that match a pattern."""
    result = mayfly(*arguments, code=code, timeout=120)
    assert not result.out, "stdout is for results"
    assert re.search(saying, result.err, re.IGNORECASE), f"the message lacks /{saying}/:\n{result.err}"
    return result


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run that a test may damage."""
    shutil.copytree(run, tmp_path / "copied", symlinks=True)
    return tmp_path / "copied"


def shard_folder(folder: Path, ids: np.ndarray) -> Path:
    folder.mkdir()
    write_shard(folder / "train-00000.bin", ids)
    return folder


# --- Text -------------------------------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    refused("prepare", tmp_path / "gone.txt", "--out", tmp_path / "data", code=BAD_INPUT, saying=r"gone\.txt")
    assert not (tmp_path / "data").exists()


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    refused("prepare", tmp_path / "empty.txt", "--out", tmp_path / "data", code=BAD_INPUT, saying=r"empty")


def test_a_folder_without_text(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    refused("prepare", folder, "--out", tmp_path / "data", code=BAD_INPUT, saying=r"pictures.*(\.txt|text)")


def test_a_binary_file(tmp_path: Path) -> None:
    file = tmp_path / "program.txt"
    file.write_bytes(b"\x7fELF" + bytes(range(256)) * 64)
    refused("prepare", file, "--out", tmp_path / "data", code=BAD_INPUT, saying=r"program\.txt.*binary|binary.*program")


def test_invalid_utf8_is_repaired_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "old.txt"
    file.write_bytes(b"\xff\xfe broken \xe4\n\n" + prose(20_000).encode())
    result = mayfly("prepare", file, "--out", tmp_path / "data", "--vocab-size", 300)
    assert re.search(r"UTF-8", result.err), "the repair is reported"
    assert (tmp_path / "data/train-00000.bin").exists()


def test_a_line_that_is_not_json(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "one"}\n{"text": \n', encoding="utf-8")
    refused("prepare", file, "--out", tmp_path / "data", code=BAD_INPUT, saying=r"texts\.jsonl.*2")


def test_lines_of_json_that_others_write(tmp_path: Path) -> None:
    """Half a surrogate pair, as Python and JavaScript write it, and a text that is null."""
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "broken \\ud83d here"}\n{"text": null}\n' + json.dumps({"text": prose(3000)}), encoding="utf-8")
    mayfly("prepare", file, "--out", tmp_path / "data", "--vocab-size", 300, "--val-fraction", 0, "--test-fraction", 0)
    summary = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert summary["documents_in"] == 3 and summary["documents_kept"] == 2
    assert summary["dropped"]["empty"] == 1 and summary["repaired"]["invalid_utf8_sequences"] == 1


def test_raw_text_to_train_that_is_missing(tmp_path: Path) -> None:
    refused(
        "train", "--data", tmp_path / "gone.txt", "--steps", 1, "--out", tmp_path / "run", code=BAD_INPUT,
        saying=r"gone\.txt",
    )


# --- Where the result goes --------------------------------------------------------------------------------------------


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A path below a file, where nobody can make a folder, root included."""
    (tmp_path / "file").write_text("not a folder")
    return tmp_path / "file/out"


def test_prepare_into_an_unwritable_folder(tmp_path: Path, unwritable: Path) -> None:
    (tmp_path / "text.txt").write_text(prose(20_000))
    refused("prepare", tmp_path / "text.txt", "--out", unwritable, code=CANNOT_WRITE, saying=re.escape(str(unwritable)))


def test_train_into_an_unwritable_folder_before_any_work(data: Path, small: list[str], unwritable: Path) -> None:
    result = refused(
        "train", "--data", data, "--steps", 5, "--out", unwritable, *small, code=CANNOT_WRITE,
        saying=re.escape(str(unwritable)),
    )
    assert not re.search(r"\bstep\b|\bloss\b", result.err, re.IGNORECASE), "it was found after work had begun"


def test_a_run_that_is_there_already(run: Path, data: Path, small: list[str]) -> None:
    refused("train", "--data", data, "--steps", 60, "--out", run, *small, code=CANNOT_WRITE, saying=r"--resume")


# --- Settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "saying"),
    [
        ("train.learning_rat=0.1", r"train\.learning_rat\b.*train\.learning_rate\b"),
        ("model.hidden_sizes=64", r"model\.hidden_sizes\b.*model\.hidden_size\b"),
        ("trian.steps=3", r"trian\.steps"),
        ("train.batch_size=many", r"train\.batch_size.*many"),
        ("train.batch_size=0", r"train\.batch_size.*0"),
        ("train.learning_rate=-1", r"train\.learning_rate.*-1"),
        ("train.learning_rate=nan", r"train\.learning_rate.*nan"),
        ("train.betas=[0.9,1.5]", r"train\.betas.*1\.5"),
        ("train.schedule=cosinus", r"train\.schedule.*cosinus.*cosine"),
        ("train.precision=fp8", r"train\.precision.*fp8.*fp32.*bf16"),
        ("model.num_attention_heads=5 model.num_key_value_heads=5", r"num_attention_heads.*5.*64"),
        ("model.architecture=gpt2 model.num_attention_heads=5", r"num_attention_heads.*5.*64"),
        ("model.num_key_value_heads=3", r"num_key_value_heads.*3"),
        ("model.dropout=1.5", r"model\.dropout.*1\.5"),
        ("model.architecture=lama", r"model\.architecture.*lama.*llama"),
        ("train.context=9999", r"context.*9999"),
        ("train.micro_batch_size=3", r"micro_batch_size.*3"),
        ("train.batch_size", r"train\.batch_size.*="),
        ("train.warmup_steps=9223372036854775807", r"train\.warmup_steps.*9223372036854775807"),
    ],
)
def test_a_setting_that_cannot_be(data: Path, small: list[str], tmp_path: Path, setting: str, saying: str) -> None:
    changes = [argument for assignment in setting.split() for argument in ("--set", assignment)]
    refused(
        "train", "--data", data, "--steps", 1, "--out", tmp_path / "run", *small, *changes, code=BAD_INPUT,
        saying=f"(?s){saying}",
    )
    assert not (tmp_path / "run").exists(), "it was found before any work"


def test_a_run_without_an_end(data: Path, small: list[str], tmp_path: Path) -> None:
    for end in ([], ["--set", "train.steps=none"], ["--set", "train.budget=none"]):
        refused("train", "--data", data, "--out", tmp_path / "run", *small, *end, code=BAD_USAGE, saying=r"--budget")
    assert not (tmp_path / "run").exists()


def test_a_config_file_that_is_no_yaml(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("train: [\n")
    refused(
        "train", "--data", data, "--steps", 1, "--out", tmp_path / "run", "--config", config, code=BAD_INPUT,
        saying=r"run\.yaml",
    )


def test_an_unknown_preset(data: Path, tmp_path: Path) -> None:
    refused(
        "train", "--data", data, "--steps", 1, "--out", tmp_path / "run", "--preset", "gigantic", code=BAD_INPUT,
        saying=r"gigantic",
    )


def test_a_device_that_is_not_there(
    data: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAYFLY_CUDA_PATH", str(tmp_path))
    refused(
        "train", "--data", data, "--steps", 1, "--out", tmp_path / "run", "--device", "cuda", *small, code=NO_DEVICE,
        saying=r"cuda",
    )


# --- Usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["trian"], ["train", "--stepz", "3"], ["eval"], ["serve"], ["train", "--steps", "three"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    refused(*arguments, code=BAD_USAGE, saying=r"usage|unknown|unexpected|missing|invalid")


# --- Checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "config.json", "tokenizer.json"])
def test_a_truncated_checkpoint(copied: Path, data: Path, name: str) -> None:
    file = latest(copied) / name
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    refused("eval", copied, "--data", data, code=BAD_INPUT, saying=re.escape(name))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "trainer.json", "manifest.json"])
def test_a_checkpoint_with_one_flipped_byte(copied: Path, name: str) -> None:
    file = latest(copied) / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x01
    file.write_bytes(content)
    refused("generate", copied, "--prompt", "The", "--max-tokens", 1, code=BAD_INPUT, saying=r"\.json|\.safetensors")


def test_a_checkpoint_without_its_weights(copied: Path) -> None:
    (latest(copied) / "model.safetensors").unlink()
    refused("score", copied, "--text", "The", code=BAD_INPUT, saying=r"model\.safetensors")


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    refused("generate", tmp_path, "--prompt", "The", code=BAD_INPUT, saying=re.escape(str(tmp_path)))
    refused("generate", tmp_path / "gone", "--prompt", "The", code=BAD_INPUT, saying=r"gone")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:4], id="cut in the length"),
        pytest.param(lambda content: b"\xff" * 8 + content[8:], id="enormous header"),
        pytest.param(lambda content: content[:8] + b"[" * (len(content) - 8), id="brackets for a header"),
        pytest.param(lambda content: content[:-100], id="data cut short"),
        pytest.param(lambda content: b"", id="empty"),
    ],
)
def test_safetensors_of_another_tool_that_are_broken(tmp_path: Path, damage) -> None:
    make_model("llama").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    refused("score", tmp_path, "--ids", "1,2,3", code=BAD_INPUT, saying=r"model\.safetensors")


def test_a_model_of_an_unknown_architecture(tmp_path: Path) -> None:
    make_model("llama").save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"zebra"'))
    refused("score", tmp_path, "--ids", "1,2,3", code=BAD_INPUT, saying=r"zebra")


def test_text_for_a_model_without_a_tokenizer(tmp_path: Path) -> None:
    make_model("llama").save_pretrained(tmp_path)
    refused("generate", tmp_path, "--prompt", "The", code=BAD_INPUT, saying=r"tokenizer")


# --- Token shards -----------------------------------------------------------------------------------------------------


def test_an_id_beyond_the_vocabulary(tmp_path: Path, small: list[str]) -> None:
    ids = np.arange(5_000) % 100
    ids[3_210] = 777
    folder = shard_folder(tmp_path / "data", ids)
    refused(
        "train", "--data", folder, "--steps", 1, "--out", tmp_path / "run", *small, *settings(model__vocab_size=100),
        code=BAD_INPUT, saying=r"(?s)777.*100|100.*777",
    )


def test_a_headerless_shard_is_named_as_nanogpts(tmp_path: Path, small: list[str]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.bin").write_bytes((np.arange(5_000) % 100).astype("<u2").tobytes())
    refused(
        "train", "--data", folder, "--steps", 1, "--out", tmp_path / "run", *small, *settings(model__vocab_size=100),
        code=BAD_INPUT, saying=r"(?s)train\.bin.*nanoGPT",
    )


def test_a_shard_cut_short(tmp_path: Path, small: list[str]) -> None:
    folder = shard_folder(tmp_path / "data", np.arange(5_000) % 100)
    file = folder / "train-00000.bin"
    file.write_bytes(file.read_bytes()[:-1_000])
    refused(
        "train", "--data", folder, "--steps", 1, "--out", tmp_path / "run", *small, *settings(model__vocab_size=100),
        code=BAD_INPUT, saying=r"train-00000\.bin",
    )


def test_a_shard_too_short_for_one_row(tmp_path: Path, small: list[str]) -> None:
    folder = shard_folder(tmp_path / "data", np.arange(20))
    refused(
        "train", "--data", folder, "--steps", 1, "--out", tmp_path / "run", *small, *settings(model__vocab_size=100),
        code=BAD_INPUT, saying=r"train|context",
    )


def test_ids_without_a_vocabulary(tmp_path: Path, small: list[str]) -> None:
    folder = shard_folder(tmp_path / "data", np.arange(5_000) % 100)
    refused(
        "train", "--data", folder, "--steps", 1, "--out", tmp_path / "run", *small, code=BAD_INPUT,
        saying=r"vocab_size",
    )


def test_a_split_that_is_not_there(tmp_path: Path, run: Path) -> None:
    folder = shard_folder(tmp_path / "data", np.arange(5_000) % 100)
    refused("eval", run, "--data", folder, "--split", "val", code=BAD_INPUT, saying=r"val")


# --- Tokenizers that don't belong together ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data whose tokenizer has fewer tokens than the run's, so that every id is one that the model has."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "other.txt").write_text("zyx wvu tsr qpo nml kji hgf edc ba " * 500)
    mayfly("prepare", folder / "other.txt", "--out", folder / "data", "--vocab-size", 280)
    return folder / "data"


def test_resuming_with_data_of_another_tokenizer(copied: Path, other_data: Path) -> None:
    refused(
        "train", "--data", other_data, "--out", copied, "--resume", "--steps", 70, code=BAD_INPUT, saying=r"tokenizer"
    )


def test_beginning_from_a_model_of_another_tokenizer(run: Path, other_data: Path, tmp_path: Path) -> None:
    refused(
        "train", "--data", other_data, "--init-from", run, "--out", tmp_path / "run", "--steps", 1, code=BAD_INPUT,
        saying=r"tokenizer",
    )


def test_text_for_a_model_is_prepared_with_its_tokenizer(run: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(prose(20_000, seed=5))
    out = tmp_path / "run"
    mayfly("train", "--data", tmp_path / "text.txt", "--init-from", run, "--out", out, "--steps", 1)
    for folder in (out / "data", latest(out)):
        assert json.loads((folder / "tokenizer.json").read_bytes()) == json.loads(
            (latest(run) / "tokenizer.json").read_bytes()
        )


# --- What else went wrong once ----------------------------------------------------------------------------------------


def test_ids_that_run_into_each_other(run: Path) -> None:
    refused("score", run, "--ids", "1 2", code=BAD_INPUT, saying=r"'1 2'")


def test_weights_that_are_no_numbers(copied: Path) -> None:
    folder = latest(copied)
    (folder / "manifest.json").unlink()
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-4:] = np.float32(np.nan).tobytes()
    (folder / "model.safetensors").write_bytes(content)
    refused("generate", copied, "--prompt", "The", code=BAD_INPUT, saying=r"(?s)tensor.*nan")


def test_what_does_not_fit_into_memory_leaves_no_run_behind(data: Path, small: list[str], tmp_path: Path) -> None:
    wide = settings(model__hidden_size=131_072, model__num_attention_heads=1024, model__num_hidden_layers=64)
    refused(
        "train", "--data", data, "--steps", 1, "--out", tmp_path / "run", *small, *wide, code=1, saying=r"MiB for"
    )
    mayfly("train", "--data", data, "--steps", 1, "--out", tmp_path / "run", *small)


def test_prepared_data_of_a_start_that_failed_is_kept(small: list[str], tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("too short a text")
    out = tmp_path / "run"
    train = ["train", "--data", tmp_path / "short.txt", "--steps", 1, "--out", out, *small]
    refused(*train, code=BAD_INPUT, saying=r"too few tokens")
    refused(*train, code=CANNOT_WRITE, saying=rf"--data {re.escape(str(out / 'data'))}")
    assert (out / "data/dataset.json").exists()


def test_a_folder_where_another_process_trains(copied: Path, data: Path) -> None:
    folder = os.open(copied, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        refused(
            "train", "--data", data, "--out", copied, "--resume", "--steps", 70, code=CANNOT_WRITE, saying=r"process"
        )
    finally:
        os.close(folder)
