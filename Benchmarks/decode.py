"""Speed of writing one token after another with a 124M model, beside the memory's bandwidth and other programs.

    make bench-decode                                    five rounds
    make bench-decode DECODE="--quick"                   one short round
    make bench-decode DECODE="--precision bf16 --rounds 9 --out decode.json"

To write a token every weight is read once, so the speed is that of memory: tokens per second × bytes of the weights is
compared with the read bandwidth, measured in the same run. The others are llama.cpp and mlx-lm, at the same precision of
the weights, those of them that can be imported (Scripts/requirements-decode.txt). All write greedily, one sequence, with
the same threads and random weights. A round measures each side once, in a process of its own, in an order by chance.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from statistics import median

from machine import cores, machine, say
from sides import MAYFLY, ROOT, Ended, Missing, Side, mayfly, run
from tables import counted, percent, table

PEER = Path(__file__).with_name("decode_peer.py")
# GPT-2's smallest.
MODEL = {
    "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_size": 768, "vocab_size": 50_257,
    "max_position_embeddings": 1024,
}
TINY = {
    "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 64, "vocab_size": 257, "max_position_embeddings": 1024,
}
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
PROMPT = 64
MODULES = {"llama.cpp": "llama_cpp", "mlx-lm": "mlx_lm"}


def matrix_weights(model: dict[str, int]) -> int:
    """Those that a token reads: of all products, the head's too."""
    c = model["hidden_size"]
    return 12 * model["num_hidden_layers"] * c**2 + model["vocab_size"] * c


def settings(model: dict[str, int]) -> list[str]:
    sizes = (f"model.{key}={value}" for key, value in model.items())
    return [part for setting in ("model.architecture=gpt2", *sizes) for part in ("--set", setting)]


def peer(what: str, threads: int, **asked: object) -> Ended:
    count = str(threads)
    return run(
        [sys.executable, str(PEER), json.dumps({"what": what, "threads": threads} | asked)],
        OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count,
    )


def measure(name: str, model: dict[str, int], precision: str, threads: int, steps: int, folder: Path) -> dict:
    """Tokens per second, of the prompt and written. Raises Missing."""
    if name != "Mayfly":
        ended = peer(name, threads, **model, precision=precision, prompt=PROMPT, steps=steps, folder=str(folder))
        ended.require()
        return json.loads(ended.output)
    return json.loads(
        mayfly(
            Side("mayfly", precision), threads, "bench", "--generate", "--json", *settings(model), "--prompt-tokens",
            str(PROMPT), "--steps", str(steps),
        ).output
    )


def bandwidth(model: dict[str, int], threads: int, seconds: float) -> float:
    """Bytes read per second: the fastest of PyTorch's sum and of our sum of squares over the gradients."""
    ended = peer("bandwidth", threads, seconds=seconds)
    ended.require()
    training = mayfly(
        Side("mayfly", "fp32"), threads, "bench", "--json", "--steps", "4", *settings(model), "--set", "train.context=8",
        "--set", "train.batch_size=1",
    )
    found = json.loads(training.output)
    norm = next(each for each in found["operations"] if each["kind"] == "GradientNorm")
    return max(json.loads(ended.output)["bytes_per_second"], 4 * found["parameters"] / norm["seconds"])


def markdown(document: dict) -> str:
    here, names = document["machine"], list(document["sides"])
    rows = []
    for name in names:
        side = document["sides"][name]
        if side["missing"]:
            rows.append([f"{name}: {side['missing']}", *5 * ["–"]])
            continue
        ratio = "" if name == "Mayfly" or side["ratio"] is None else f"{side['ratio']:.2f}"
        rows.append(
            [
                name, f"{side['prompt_median']:,.0f}", f"{side['median']:,.1f}",
                f"{side['bytes_per_second'] / 1e9:.1f}", percent(side["bandwidth_share"]), ratio,
            ]
        )
    header = ["", "prompt, tokens/s", "written, tokens/s", "weights read, GB/s", "of the bandwidth", "Mayfly ÷ it"]
    introduction = (
        f"{here['cpu']}, {counted(document['threads'], 'thread')}, weights in {document['precision']}; "
        f"{counted(document['rounds'], 'round')}, seed {document['seed']}; load {here['load_before']} before. Read bandwidth {document['bandwidth'] / 1e9:.1f} GB/s."
    )
    end = (
        f"Medians. Behind a prompt of {PROMPT} tokens; a token reads {document['bytes_per_token'] / 1e6:,.0f} MB of weights "
        "(the cache of keys and values is not counted)."
    )
    return "\n\n".join([introduction, table(header, "lrrrrr", rows), end]) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=tuple(BYTES), default="fp32", help="of the weights, on every side")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128, help="to write in each round")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--tiny", action="store_true", help="a model of a few thousand weights: does everything work?")
    parser.add_argument("--seed", type=int, help="of the order of the sides (default: by chance)")
    parser.add_argument("--quick", action="store_true", help="one round with few tokens")
    parser.add_argument("--out", type=Path, default=ROOT / ".build/bench/decode.json", help="where the JSON goes")
    options = parser.parse_args()
    if min(options.rounds, options.tokens, options.threads) < 1:
        parser.error("--rounds, --tokens and --threads: at least 1")
    if PROMPT + 2 * options.tokens + 2 > MODEL["max_position_embeddings"]:
        parser.error(f"--tokens {options.tokens}: the context has {MODEL['max_position_embeddings']}")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10_000)
    if options.quick:
        options.rounds, options.tokens = 1, min(options.tokens, 16)
    return options


def main() -> None:
    options = parse()
    if not os.access(MAYFLY, os.X_OK):
        sys.exit(f"{MAYFLY} is missing: run `make build` first, or set MAYFLY")
    here = machine()
    if here["load_before"] > 0.5:
        say(f"warning: the machine is busy (load {here['load_before']}); expect noise")
    missing = {name: "not installed" for name, module in MODULES.items() if importlib.util.find_spec(module) is None}
    names = ["Mayfly", *MODULES]
    rates: dict[str, list[float]] = {name: [] for name in names}
    prompts: dict[str, list[float]] = {name: [] for name in names}
    chance = random.Random(options.seed)
    model = TINY if options.tiny else MODEL
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if len(missing) < len(MODULES):
            peer("write", options.threads, **model, precision=options.precision, folder=str(folder)).require()
        read = bandwidth(model, options.threads, 0.5 if options.quick else 3.0)
        for number in range(options.rounds):
            for name in chance.sample(names, len(names)):
                if name in missing:
                    continue
                try:
                    found = measure(name, model, options.precision, options.threads, options.tokens, folder)
                except Missing as reason:
                    missing[name] = str(reason)
                    continue
                rates[name].append(found["tokens_per_second"])
                prompts[name].append(found["prompt_tokens_per_second"])
                say(f"round {number + 1} of {options.rounds}: {name}: {rates[name][-1]:.1f} tokens/s")
        # Before and after, as the machine may be faster or slower by then.
        read = max(read, bandwidth(model, options.threads, 0.5 if options.quick else 3.0))

    size = matrix_weights(model) * BYTES[options.precision]
    document = {
        "machine": here, "threads": options.threads, "quick": options.quick, "rounds": options.rounds,
        "seed": options.seed, "model": model, "precision": options.precision, "bytes_per_token": size, "bandwidth": read, "sides": {},
    }
    for name in names:
        side: dict[str, object] = {"tokens_per_second": rates[name], "missing": missing.get(name)}
        if rates[name]:
            written = median(rates[name])
            side |= {
                "median": written, "prompt_median": median(prompts[name]), "bytes_per_second": written * size,
                "bandwidth_share": written * size / read,
                "ratio": median(a / b for a, b in zip(rates["Mayfly"], rates[name])) if rates["Mayfly"] else None,
            }
        document["sides"][name] = side
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(markdown(document))
    print(markdown(document))


if __name__ == "__main__":
    main()
