"""What each part of the recipe is worth: trains with one part changed, at equal wall-clock time, with several seeds.

    .venv/bin/python Benchmarks/ablation.py [--minutes 3] [--seeds 1 2 3] [--text shakespeare] [--only NAME …]

Each run has one thread, and as many run at a time as there are cores: each has the same minutes, beside neighbours like
itself. Each result is written into docs/ablation.jsonl as it comes, and what is there is not run again. Machines of different
vector units have plans and results of their own, and so has a recipe that was changed. At the end a table: by how many bits
per byte of the validation split each change is worse than the recipe with the same seed on the same machine (above 0: the
recipe is better), and the spread of that.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy
from safetensors.numpy import load_file, save_file

from machine import vector_unit
from runs import RECIPE, Results, on_each_core, planned, prepared, train, train_into

RESULTS = Results("ablation.jsonl")
# What `train` learns for such budgets on these texts.
VOCABULARY = 4096


@dataclass(frozen=True)
class Change:
    settings: dict[str, object] = field(default_factory=dict)
    vocabulary: int = VOCABULARY
    grows: bool = False
    """Batches, from half the planner's to twice as large."""
    widens: bool = False
    """How far back tokens see, from a quarter of the planner's context."""
    matrix_rate: float | None = None
    """Muon's, beside that of updates of so many tokens."""
    loud: bool = False
    """Branches end in matrices as wide as all others, not in zeros."""


# The part: what takes it away or changes it.
CHANGES: dict[str, Change] = {
    "the recipe": Change(),
    "AdamW in place of Muon": Change({"train.optimizer": "adamw"}),
    "Muon at half its rate": Change(matrix_rate=0.5),
    "Muon at twice its rate": Change(matrix_rate=2),
    "no warmup of the momentum": Change({"train.momentum_warmup": 0}),
    "momentum of 0.95": Change({"train.momentum": 0.95}),
    "momentum of 0.8": Change({"train.momentum": 0.8}),
    "embeddings at the others' rate": Change({"train.embedding_learning_rate": "auto"}),
    "AdamW's second average at 0.95": Change({"train.betas": "0.9,0.95"}),
    "branches that don't begin at 0": Change(loud=True),
    "tied head": Change({"model.tie_word_embeddings": "true"}),
    "softcap 15": Change({"model.final_logit_softcapping": 15}),
    "softcap 30": Change({"model.final_logit_softcapping": 30}),
    "GELU in place of ReLU²": Change({"model.hidden_act": "gelu_new"}),
    "no token before in feed-forward layers (nanochat)": Change(
        {"model.architecture": "nanochat", "model.final_logit_softcapping": "none"}),
    "SwiGLU, learned norms (Qwen3)": Change({"model.architecture": "qwen3"}),
    "no query/key norm (Llama)": Change({"model.architecture": "llama"}),
    "no weight decay": Change({"train.weight_decay": 0}),
    "no clipping": Change({"train.grad_clip": 0}),
    "cosine decay": Change({"train.schedule": "cosine"}),
    "wsd, the last half decays": Change({"train.schedule": "wsd", "train.decay_share": 0.5}),
    "batches that double twice": Change(grows=True),
    "context of 64": Change({"train.context": 64}),
    "context that doubles twice": Change(widens=True),
    "documents apart": Change({"data.document_mask": "true"}),
    "rows that begin with documents": Change({"data.packing": "best-fit"}),
    "z-loss 1e-4": Change({"train.z_loss": 1e-4}),
    "label smoothing 0.05": Change({"train.label_smoothing": 0.05}),
    "vocabulary of 1,024": Change(vocabulary=1024),
    "vocabulary of 2,048": Change(vocabulary=2048),
    "vocabulary of 8,192": Change(vocabulary=8192),
}


def settings_of(change: Change, chosen: dict) -> dict[str, object]:
    batch = chosen["batch_size"]
    settings: dict[str, object] = {"train.batch_size": batch} | chosen["additions"] | change.settings
    if change.grows:
        # As many sequences in the middle.
        first = max(1, batch // 2)
        settings |= {"train.batch_size": 2 * batch, "train.first_batch_size": first}
        settings["train.micro_batch_size"] = min(int(settings.get("train.micro_batch_size", first)), first)
    if change.widens:
        settings["train.first_context"] = chosen["context"] // 4
    if change.matrix_rate:
        # As Preset.Muon.rateFactor.
        factor = min(max(batch * chosen["context"] / 1024, 1), 4) ** 0.5
        settings["train.matrix_learning_rate"] = 0.02 * factor * change.matrix_rate
    if "train.context" in settings:
        # As many tokens an update.
        settings["train.batch_size"] = batch * chosen["context"] // settings["train.context"]
    return settings


def loud(data: Path, chosen: dict, seed: int, folder: Path) -> Path:
    """First weights as they are, but for the matrices that branches end in, which are drawn as the others."""
    run = folder / "run"
    still = {"train.learning_rate": 1e-9, "train.embedding_learning_rate": 1e-9, "train.matrix_learning_rate": 1e-9}
    train_into(
        run, data, "--preset", f"decoder-{chosen['hidden_size']}", "--steps", 1, "--seed", seed,
        settings=settings_of(Change(), chosen) | still)
    weights = load_file(run / "checkpoints/latest/model.safetensors")
    random = numpy.random.default_rng(seed)
    bound = (3 / chosen["hidden_size"]) ** 0.5
    for name, values in weights.items():
        if name.endswith(("o_proj.weight", "fc2.weight")):
            weights[name] = random.uniform(-bound, bound, values.shape).astype(values.dtype)
    # A folder of its own: the manifest of a checkpoint would tell the change.
    model = folder / "model"
    model.mkdir()
    shutil.copy(run / "checkpoints/latest/config.json", model)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return model


def run(text: str, minutes: float, seed: int, change: Change, chosen: dict) -> float:
    data = prepared(text, change.vocabulary)
    settings = settings_of(change, chosen)
    with tempfile.TemporaryDirectory() as folder:
        begins = ("--init-from", loud(data, chosen, seed, Path(folder))) if change.loud else ()
        return train(
            data, "--seed", seed, "--budget", f"{minutes * 60:g}s", "--preset", f"decoder-{chosen['hidden_size']}",
            "--threads", 1, *begins, settings=settings, evaluates=True).whole


def known(text: str, minutes: float) -> list[dict]:
    which = (RECIPE, text, minutes)
    return [each for each in RESULTS.all() if (each["recipe"], each["text"], each["minutes"]) == which]


def measure(text: str, minutes: float, seeds: list[int], names: list[str]) -> None:
    unit = vector_unit()
    here = [each for each in known(text, minutes) if each["vector_unit"] == unit]
    if here:
        chosen = here[0]["chosen"]
    else:
        # The planner's size, and what it adds, which all changes share.
        plan = planned(prepared(text, VOCABULARY), minutes * 60, "--threads", 1)
        chosen = plan["chosen"] | {"additions": plan["additions"]}
    done = {(each["name"], each["seed"]) for each in here}
    jobs = [(name, seed) for seed in seeds for name in names if (name, seed) not in done]
    for name, _ in jobs:
        prepared(text, CHANGES[name].vocabulary)

    def work(job: tuple[str, int]) -> None:
        name, seed = job
        bits = run(text, minutes, seed, CHANGES[name], chosen)
        result = {"text": text, "minutes": minutes, "name": name, "seed": seed, "bits_per_byte": bits}
        RESULTS.add(result | {"vector_unit": unit, "recipe": RECIPE, "chosen": chosen})
        print(f"seed {seed}, {name}: {bits:.4f}", flush=True)

    on_each_core(work, jobs)


def table(text: str, minutes: float) -> None:
    results = {
        (each["name"], each["vector_unit"], each["seed"]): each["bits_per_byte"] for each in known(text, minutes)}
    recipes = sorted(key[1:] for key in results if key[0] == "the recipe")
    print("the recipe: " + ", ".join(
        f"{results['the recipe', unit, seed]:.4f} (seed {seed}, {unit})" for unit, seed in recipes))
    print("\n| change | worse by | spread | of each |\n|---|---:|---:|---|")
    for name in CHANGES:
        gains = [
            results[name, *each] - results["the recipe", *each] for each in recipes if (name, *each) in results]
        if not gains or name == "the recipe":
            continue
        spread = f"{statistics.stdev(gains):.4f}" if len(gains) > 1 else ""
        each = ", ".join(f"{gain:+.4f}" for gain in gains)
        print(f"| {name} | {statistics.mean(gains):+.4f} | {spread} | {each} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--text", default="shakespeare")
    parser.add_argument("--only", nargs="+", choices=list(CHANGES), default=list(CHANGES), metavar="NAME")
    options = parser.parse_args()
    names = options.only if "the recipe" in options.only else ["the recipe", *options.only]
    measure(options.text, options.minutes, options.seeds, names)
    table(options.text, options.minutes)
