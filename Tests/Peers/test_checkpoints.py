"""Our checkpoints are Hugging Face folders: transformers loads them as they stand and computes the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open

from support import assert_same_logprobs, latest, load_model, logprobs, mayfly, metrics, prose, settings

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": {"num_attention_heads": 3, "hidden_size": 60},
    "llama": {"num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 60, "intermediate_size": 101},
    "qwen3": {
        "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 56, "head_dim": 20,
        "intermediate_size": 90, "tie_word_embeddings": False,
    },
    "nanochat": {"num_attention_heads": 3, "hidden_size": 60, "intermediate_size": 240},
    "mayfly": {"num_attention_heads": 3, "hidden_size": 60, "intermediate_size": 240},
}
PROMPT = "The miller follows"


@pytest.fixture(scope="module", params=ARCHITECTURES.keys())
def trained(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 steps from nothing, of each architecture in turn."""
    out = tmp_path_factory.mktemp("runs") / request.param
    model = {f"model__{key}": value for key, value in ARCHITECTURES[request.param].items()}
    mayfly(
        "train", "--data", data, "--steps", 40, "--out", out, "--seed", 5,
        *settings(
            model__architecture=request.param, model__num_hidden_layers=2, model__max_position_embeddings=64, **model,
            train__context=64, train__batch_size=8, train__optimizer="adamw", train__learning_rate=3e-3,
            train__warmup_steps=4, train__schedule="cosine",
        ),
    )
    losses = [line["loss"] for line in metrics(out, "train")]
    assert losses[-1] < losses[0] - 1, "the model must have learned something, or greedy text means little"
    return out


def test_transformers_computes_the_same(trained: Path) -> None:
    folder = latest(trained)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.encode(prose(300, seed=99), add_special_tokens=False)[:64]
    found = mayfly("score", trained, "--ids", ",".join(map(str, ids)), "--json").json
    assert_same_logprobs(load_model(folder), ids, found["logprobs"])


def test_transformers_tokenizes_the_same(trained: Path, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(latest(trained))
    file = tmp_path / "text.txt"
    text = "A grey cat — 灰猫 — outlives\r\n\tits  shadow’s 12345 lanterns! <|endoftext|> 🏮\u200d\n"
    file.write_text(text, encoding="utf-8", newline="")
    ids = mayfly("tokenize", trained, "--file", file, "--json").json["ids"]
    assert ids == tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text


def test_greedy_text_is_greedy_to_transformers(trained: Path) -> None:
    folder = latest(trained)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = load_model(folder)
    found = mayfly(
        "generate", trained, "--prompt", PROMPT, "--temperature", 0, "--max-tokens", 30, "--json"
    ).json
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False)
    expected = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
        max_new_tokens=30, use_cache=True,
    )[0, len(prompt):].tolist()
    if found["ids"] != expected:
        # Only a tie may be decided otherwise: each id of ours must be as likely as the likeliest.
        rows = logprobs(model, prompt + found["ids"])[len(prompt):]
        chosen = rows[torch.arange(len(rows)), found["ids"]]
        torch.testing.assert_close(chosen, rows.max(dim=-1).values, rtol=0, atol=1e-4)
    assert found["finish_reason"] in ("length", "stop")
    if found["finish_reason"] == "length":
        assert len(found["ids"]) == 30
        assert found["text"] == tokenizer.decode(prompt + found["ids"])[len(PROMPT):]


def test_weights_are_fp32_and_every_file_is_in_the_manifest(trained: Path) -> None:
    folder = latest(trained)
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float32}
    expected = {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
        "optimizer.safetensors", "trainer.json",
    }
    present = {path.name for path in folder.iterdir()}
    assert expected | {"manifest.json"} <= present
    manifest = json.loads((folder / "manifest.json").read_text())
    text = json.dumps(manifest)
    for name in present - {"manifest.json"}:
        content = (folder / name).read_bytes()
        assert f'"{name}"' in text, f"{name} is not in the manifest"
        assert hashlib.sha256(content).hexdigest() in text, f"{name} has another hash in the manifest"
    # With a relative link, a run folder can be moved.
    assert not (trained / "checkpoints/latest").readlink().is_absolute()
