"""What a model learns that Mayfly trained itself, task by task, beside simple baselines.

    make tasks                       everything (about twenty minutes on two cores)
    make tasks TASKS="--quick"       seconds for each task: whether it runs, not how well it learns
    make tasks TASKS="--only quiz --out results.json"

The texts come from packages (Scripts/fetch-tasks). One language model learns the texts of all training parts; then
each task fine-tunes it and is measured on its test part, with a 95 % interval. Baselines: the most frequent answer, and
for labels TF-IDF with logistic regression (scikit-learn, its defaults).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAYFLY = Path(os.environ.get("MAYFLY", ROOT / ".build/release/mayfly"))


@dataclass(frozen=True)
class Task:
    name: str
    kind: str
    metric: str  # what is shown
    budget: str
    settings: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


TASKS = [
    Task("sentiment", "classify", "accuracy", "2m", ("train.learning_rate=0.001", "model.dropout=0.1")),
    Task("chinese-topics", "classify", "accuracy", "2m", ("train.learning_rate=0.001", "model.dropout=0.1")),
    Task("topics", "classify", "accuracy", "3m", ("train.learning_rate=0.001",)),
    # Facts are learned by heart: what is held out says nothing of when to end.
    Task("quiz", "qa", "f1", "2m", ("train.learning_rate=0.001", "train.patience=0"), ("--max-tokens", "24")),
    Task("titles", "summarize", "rougeL", "3m", ("train.learning_rate=0.001",), ("--max-tokens", "24")),
]


def mayfly(*arguments: object) -> str:
    command = [str(MAYFLY), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def logistic_regression(train: list[dict], test: list[dict], *, characters: bool) -> float:
    """Accuracy of scikit-learn's usual beginning; Chinese has no spaces, so there one- and two-character pieces."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    features = TfidfVectorizer(analyzer="char", ngram_range=(1, 2)) if characters else TfidfVectorizer()
    model = make_pipeline(features, LogisticRegression(max_iter=1000))
    model.fit([example["text"] for example in train], [example["label"] for example in train])
    return model.score([example["text"] for example in test], [example["label"] for example in test])


def base_model(data: Path, work: Path, budget: str) -> Path:
    mayfly("prepare", data / "text", "--out", work / "data", "--vocab-size", 8000)
    mayfly("train", "--data", work / "data", "--preset", "small", "--budget", budget, "--out", work / "base")
    return work / "base"


def measure(task: Task, base: Path, data: Path, work: Path, budget: str) -> dict:
    out = work / task.name
    settings = [part for setting in task.settings for part in ("--set", setting)]
    mayfly(
        "finetune", base, "--task", task.kind, "--data", data / f"{task.name}-train.jsonl", "--out", out, "--budget",
        budget, *settings,
    )
    test = data / f"{task.name}-test.jsonl"
    found = json.loads(mayfly("eval", out, "--task", test, "--json", *task.arguments))
    low, high = found["intervals"][task.metric]
    result = {
        "task": task.name, "metric": task.metric, "value": found[task.metric], "low": low, "high": high,
        "most_frequent": (found.get("baseline") or {}).get(task.metric), "regression": None,
    }
    if task.kind == "classify":
        result["regression"] = logistic_regression(
            read(data / f"{task.name}-train.jsonl"), read(test), characters=task.name.startswith("chinese")
        )
    return result


def row(result: dict) -> str:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    known = [value for value in (result["most_frequent"], result["regression"]) if value is not None]
    ahead = ""
    if known:
        # Only where the interval leaves no doubt.
        best = max(known)
        ahead = "Mayfly" if result["low"] > best else "the baseline" if result["high"] < best else "neither"
    return (
        f"| {result['task']} | {result['metric']} | {shown(result['value'])} | {shown(result['low'])}–"
        f"{shown(result['high'])} | {shown(result['most_frequent'])} | {shown(result['regression'])} | "
        f"{ahead} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=[task.name for task in TASKS], action="append")
    parser.add_argument("--data", type=Path, default=ROOT / "data/tasks")
    parser.add_argument("--budget", default="4m", help="of the language model that all begin with")
    parser.add_argument("--out", type=Path, help="a JSON file of the results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mayfly-tasks.") as folder:
        work = Path(folder)
        base = base_model(arguments.data, work, "15s" if arguments.quick else arguments.budget)
        print("| task | metric | Mayfly | 95 % interval | most frequent answer | TF-IDF, regression | ahead |")
        print("|---|---|---:|---|---:|---:|---|", flush=True)
        results = []
        for task in TASKS:
            if arguments.only and task.name not in arguments.only:
                continue
            results.append(measure(task, base, arguments.data, work, "15s" if arguments.quick else task.budget))
            print(row(results[-1]), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
