"""The other programs that write token by token, and the memory's bandwidth; run by decode.py.

    decode_peer.py '{"what": "llama.cpp", "folder": …}'  prints one JSON document.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

WARMUP = 2  # tokens before the clock starts


def tensors(asked: dict) -> Iterator[tuple[str, np.ndarray]]:
    """GPT-2's, random, by Hugging Face's names."""
    generator = np.random.default_rng(0)
    c = asked["hidden_size"]

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    def norm(name: str) -> Iterator[tuple[str, np.ndarray]]:
        yield f"{name}.weight", np.ones(c, dtype=np.float32)
        yield f"{name}.bias", np.zeros(c, dtype=np.float32)

    yield "wte.weight", normal(asked["vocab_size"], c)
    yield "wpe.weight", normal(asked["max_position_embeddings"], c)
    for layer in range(asked["num_hidden_layers"]):
        yield from norm(f"h.{layer}.ln_1")
        yield from norm(f"h.{layer}.ln_2")
        # Conv1D: (inputs, outputs).
        for name, inputs, outputs in (
            ("attn.c_attn", c, 3 * c), ("attn.c_proj", c, c), ("mlp.c_fc", c, 4 * c), ("mlp.c_proj", 4 * c, c),
        ):
            yield f"h.{layer}.{name}.weight", normal(inputs, outputs)
            yield f"h.{layer}.{name}.bias", np.zeros(outputs, dtype=np.float32)
    yield from norm("ln_f")


# --- llama.cpp --------------------------------------------------------------------------------------------------------

GGUF_NAMES = {
    "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem.startswith("h."):
        _, layer, stem = stem.split(".", 2)
        return f"blk.{layer}.{GGUF_NAMES[stem]}.{kind}"
    return f"{GGUF_NAMES[stem]}.{kind}"


def write_gguf(asked: dict, path: Path) -> None:
    import gguf

    types = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(asked["max_position_embeddings"])
    writer.add_embedding_length(asked["hidden_size"])
    writer.add_block_count(asked["num_hidden_layers"])
    writer.add_feed_forward_length(4 * asked["hidden_size"])
    writer.add_head_count(asked["num_attention_heads"])
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(asked["vocab_size"])
    matrix = {"fp32": types.F32, "bf16": types.BF16, "fp16": types.F16}[asked["precision"]]
    for name, tensor in tensors(asked):
        if name.startswith("h.") and tensor.ndim == 2:
            tensor = np.ascontiguousarray(tensor.T)  # (outputs, inputs)
        kind = matrix if tensor.ndim == 2 and name != "wpe.weight" else types.F32
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def measure_llama_cpp(asked: dict) -> dict:
    import llama_cpp as api

    model = api.llama_model_load_from_file(
        str(Path(asked["folder"]) / "model.gguf").encode(), api.llama_model_default_params()
    )
    parameters = api.llama_context_default_params()
    parameters.n_ctx = asked["max_position_embeddings"]
    parameters.n_threads = parameters.n_threads_batch = asked["threads"]
    context = api.llama_init_from_model(model, parameters)
    if not context:
        sys.exit("llama.cpp does not take the model")

    def append(tokens: list[int]) -> int:
        """Reads tokens and gives the most likely next one."""
        array = (api.llama_token * len(tokens))(*tokens)
        if api.llama_decode(context, api.llama_batch_get_one(array, len(tokens))) != 0:
            sys.exit("llama.cpp could not decode")
        logits = np.ctypeslib.as_array(api.llama_get_logits_ith(context, -1), shape=(asked["vocab_size"],))
        return int(logits.argmax())

    prompt = list(range(asked["prompt"]))
    append(prompt)
    api.llama_memory_clear(api.llama_get_memory(context), True)
    began = time.perf_counter()
    token = append(prompt)
    prompt_seconds = time.perf_counter() - began
    seconds = []
    for _ in range(WARMUP + asked["steps"]):
        began = time.perf_counter()
        token = append([token])
        seconds.append(time.perf_counter() - began)
    return result(asked, prompt_seconds, seconds)


# --- mlx-lm -----------------------------------------------------------------------------------------------------------


def write_folder(asked: dict, path: Path) -> None:
    from safetensors.numpy import save_file

    path.mkdir()
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors(asked)}, path / "model.safetensors")
    config = {
        "model_type": "gpt2", "n_ctx": asked["max_position_embeddings"], "n_positions": asked["max_position_embeddings"],
        "n_embd": asked["hidden_size"], "n_head": asked["num_attention_heads"], "n_layer": asked["num_hidden_layers"],
        "layer_norm_epsilon": 1e-5, "vocab_size": asked["vocab_size"],
    }
    (path / "config.json").write_text(json.dumps(config))


def measure_mlx(asked: dict) -> dict:
    import mlx.core as mx
    from mlx.utils import tree_map
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import load_model

    model, _ = load_model(Path(asked["folder"]) / "hf")
    kind = {"fp32": mx.float32, "bf16": mx.bfloat16, "fp16": mx.float16}[asked["precision"]]
    # Loaded, the weights are transposed views: here they become what a product reads in one go.
    model.update(tree_map(lambda weight: mx.contiguous(weight.astype(kind)), model.parameters()))
    mx.eval(model.parameters())

    def read() -> tuple[list, mx.array]:
        cache = make_prompt_cache(model)
        token = model(mx.arange(asked["prompt"])[None], cache=cache)[:, -1].argmax(axis=-1)
        mx.eval(token)
        return cache, token

    read()
    began = time.perf_counter()
    cache, token = read()
    prompt_seconds = time.perf_counter() - began
    seconds = []
    for _ in range(WARMUP + asked["steps"]):
        began = time.perf_counter()
        token = model(token[None], cache=cache)[:, -1].argmax(axis=-1)
        mx.eval(token)
        seconds.append(time.perf_counter() - began)
    return result(asked, prompt_seconds, seconds)


# --- All --------------------------------------------------------------------------------------------------------------


def result(asked: dict, prompt_seconds: float, seconds: list[float]) -> dict:
    return {
        "prompt_tokens_per_second": asked["prompt"] / prompt_seconds,
        "tokens_per_second": 1 / median(seconds[WARMUP:]),
    }


def write(asked: dict) -> dict:
    """The model as each of the programs that are there reads it."""
    folder = Path(asked["folder"])
    for function, path in ((write_gguf, "model.gguf"), (write_folder, "hf")):
        try:
            function(asked, folder / path)
        except ImportError:
            continue
    return {}


def bandwidth(asked: dict) -> dict:
    """The fastest sum over a large tensor."""
    import torch

    torch.set_num_threads(asked["threads"])
    x = torch.ones(1 << 27)
    best = float("inf")
    start = time.perf_counter()
    while time.perf_counter() - start < asked["seconds"]:
        began = time.perf_counter()
        x.sum()
        best = min(best, time.perf_counter() - began)
    return {"bytes_per_second": 4 * x.numel() / best}


def main() -> None:
    asked = json.loads(sys.argv[1])
    functions = {
        "write": write, "llama.cpp": measure_llama_cpp, "mlx-lm": measure_mlx, "bandwidth": bandwidth,
    }
    print(json.dumps(functions[asked["what"]](asked)))


if __name__ == "__main__":
    main()
