"""What the peer tests share: running `mayfly`, writing token shards, and tiny transformers models to compare with."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
# For tests of pages; None where there is none.
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MAYFLY = Path(os.environ.get("MAYFLY", ROOT / ".build/release/mayfly")).absolute()


# --- The program as a black box ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document that `--json` promises; anything else on stdout fails here."""
        return json.loads(self.out)


def command(*arguments: object) -> list[str]:
    return [str(MAYFLY), *map(str, arguments)]


def mayfly(*arguments: object, code: int | tuple[int, ...] = 0, timeout: float = 600) -> Result:
    """Runs the program to its end and checks its exit code; what it prints must be UTF-8."""
    done = subprocess.run(command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    result = Result(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))
    shown = f"mayfly {' '.join(map(str, arguments))}\nexit {result.code}\n{result.err[-2000:]}"
    assert result.code >= 0, f"ended by {signal.Signals(-result.code).name}: {shown}"
    assert result.code in (code if isinstance(code, tuple) else (code,)), f"expected exit {code}: {shown}"
    return result


def documents(data: Path) -> list[str]:
    """The texts of the training shards, as the tokenizers library decodes them."""
    tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
    end = tokenizer.token_to_id("<|endoftext|>")
    texts, ids = [], []
    for shard in sorted(data.glob("train-*.bin")):
        for token in np.fromfile(shard, dtype=np.uint16, offset=1024).tolist():
            if token == end:
                texts.append(tokenizer.decode(ids, skip_special_tokens=False))
                ids = []
            else:
                ids.append(token)
    return texts


def settings(**values: object) -> list[str]:
    """`--set` arguments; a double underscore stands for the dot: settings(train__context=64)."""
    arguments: list[str] = []
    for key, value in values.items():
        text = json.dumps(value) if isinstance(value, (bool, list)) else str(value)
        arguments += ["--set", f"{key.replace('__', '.')}={text}"]
    return arguments


def metrics(run: Path, kind: str | None = None) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if kind is None or line["kind"] == kind]


def latest(run: Path) -> Path:
    return (run / "checkpoints/latest").resolve(strict=True)


# --- Data -------------------------------------------------------------------------------------------------------------


def write_shard(path: Path, ids: np.ndarray) -> None:
    """Version 1 of the shard format: 256 little-endian int32 (magic, version, count), then uint16 ids."""
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, len(ids)
    path.write_bytes(header.tobytes() + ids.astype("<u2").tobytes())


def learnable_ids(count: int, vocabulary: int, seed: int) -> np.ndarray:
    """Ids of which most follow from the one before, so that a few steps of training show in loss and accuracy."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, vocabulary, count)
    follow = random.random(count) < 0.8
    ids = np.zeros(count, dtype=np.int64)
    for i in range(1, count):
        ids[i] = (ids[i - 1] * 5 + 7) % vocabulary if follow[i] else noise[i]
    return ids


def prose(characters: int, seed: int = 0) -> str:
    """English-looking paragraphs made from a small grammar: text to train on without a download."""
    random = np.random.default_rng(seed)
    subjects = ["the miller", "a grey cat", "my uncle", "the river", "every child", "an old clock"]
    verbs = ["follows", "forgets", "carries", "paints", "answers", "outlives"]
    objects = ["the bridge", "two lanterns", "a letter", "the winter", "its shadow", "seven stones"]
    parts: list[str] = []
    length = 0
    while length < characters:
        sentence = " ".join(random.choice(words) for words in (subjects, verbs, objects))
        end = ".\n\n" if random.random() < 0.1 else ". "
        parts.append(sentence.capitalize() + end)
        length += len(parts[-1])
    return "".join(parts)


def prepared_prose(folder: Path, characters: int = 4_000) -> Path:
    """Forty documents of so many characters, prepared: train, val and test splits and a tokenizer of 320 tokens."""
    texts = folder / "texts"
    texts.mkdir()
    for i in range(40):
        (texts / f"{i:02}.txt").write_text(prose(characters, seed=i), encoding="utf-8")
    mayfly(
        "prepare", texts, "--out", folder / "data", "--vocab-size", 320, "--val-fraction", 0.1, "--test-fraction", 0.1
    )
    return folder / "data"


# --- transformers as the reference ------------------------------------------------------------------------------------

VOCABULARY = 307
CONTEXT = 32

# Tiny models with awkward sizes: odd head counts, heads that share keys, widths that are no multiple of a SIMD vector.
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {
        "vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_embd": 60, "n_layer": 2, "n_head": 5,
        "bos_token_id": 0, "eos_token_id": 0,
    },
    "llama": {
        "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, "hidden_size": 60, "intermediate_size": 101,
        "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1, "bos_token_id": 0,
        "eos_token_id": 0, "tie_word_embeddings": False,
    },
    "qwen3": {
        "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, "hidden_size": 56, "intermediate_size": 90,
        "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 12,
        "tie_word_embeddings": True,
    },
    "nanochat": {
        # Without a padding token: torch would never train that token's embedding.
        "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT, "hidden_size": 60, "intermediate_size": 130,
        "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 3, "bos_token_id": 0,
        "eos_token_id": 0, "pad_token_id": None,
    },
}


def make_model(architecture: str, seed: int = 0, **changes: Any) -> torch.nn.Module:
    """A tiny model with random weights, in float32 and evaluation mode (so dropout is off, as `mayfly` has it).

    Every tensor is random, also biases, which start as zero, and norms, which start as one: a tensor that is loaded
    into the wrong place would otherwise not show.
    """
    config = transformers.AutoConfig.for_model(architecture, **{**CONFIGS[architecture], **changes})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            is_norm = tensor.ndim == 1 and name.endswith("weight")
            tensor.copy_(1 + 0.1 * noise if is_norm else noise * (0.1 if tensor.ndim == 1 else 0.15))
    return model


def load_model(folder: Path) -> torch.nn.Module:
    """A folder as transformers reads it, in float32; a tensor missing or left over is an error."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=True
    )
    assert not any(info.values()), f"transformers complains about {folder}: {info}"
    # transformers would never train the embedding of the token that also pads, which ends a text.
    model.get_input_embeddings().padding_idx = None
    return model.eval()


@torch.no_grad()
def logprobs(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """(T, V): row i is the distribution of token i given those before it; row 0, which has none before, is NaN."""
    rows = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    return torch.cat([torch.full_like(rows[:1], torch.nan), rows[:-1]])


def assert_same_logprobs(model: torch.nn.Module, ids: list[int], found: list[float | None]) -> None:
    assert found[0] is None
    expected = logprobs(model, ids)[torch.arange(len(ids)), ids][1:]
    torch.testing.assert_close(torch.tensor(found[1:], dtype=torch.float64), expected, rtol=0, atol=1e-4)


# One update of AdamW whose eps outweighs every gradient g: w − 1e9 · g / (|g| + 1e6), gradient descent by 1000 g.
DESCENT = settings(
    train__learning_rate=1e9, train__eps=1e6, train__weight_decay=0, train__grad_clip=0, train__warmup_steps=0,
    train__schedule="constant", train__precision="fp32",
)


@torch.no_grad()
def assert_same_gradients(model: torch.nn.Module, before: Path, after: Path) -> None:
    """The gradients that led from one folder to the other, by an update of `DESCENT`, are the model's, each tensor
    within 1e-4 of its largest element."""
    started, ended = (dict(load_model(folder).named_parameters()) for folder in (before, after))
    assert started
    for name, parameter in model.named_parameters():
        found = (started[name].double() - ended[name].double()) / 1000
        largest = parameter.grad.abs().max().item()
        assert largest > 0, name
        torch.testing.assert_close(
            found, parameter.grad.double(), rtol=0, atol=1e-4 * largest, msg=lambda text: f"{name}: {text}")


# --- PyTorch as the reference of the classic encoder ------------------------------------------------------------------


def load_torch_encoder(folder: Path) -> tuple[Callable[[list[int]], torch.Tensor], int]:
    """An `encoder` folder as a PyTorch user loads it: a function from ids to logits (T, V), and the mask's id."""
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    layer = torch.nn.TransformerEncoderLayer(
        config["hidden_size"], config["num_attention_heads"], config["intermediate_size"], dropout=0,
        activation=config["hidden_act"], layer_norm_eps=config["layer_norm_eps"], batch_first=True,
    )
    encoder = torch.nn.TransformerEncoder(layer, config["num_hidden_layers"], enable_nested_tensor=False).eval()
    own = "encoder."
    encoder.load_state_dict({name.removeprefix(own): t for name, t in tensors.items() if name.startswith(own)})

    @torch.no_grad()
    def logits(ids: list[int]) -> torch.Tensor:
        x = tensors["embedding.weight"][ids] * math.sqrt(config["hidden_size"])
        y = encoder((x + tensors["positions.weight"][: len(ids)])[None])[0]
        return y @ tensors["embedding.weight"].T + tensors["head.bias"]

    return logits, config["mask_token_id"]
