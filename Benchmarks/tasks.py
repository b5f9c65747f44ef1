"""What a model learns that Mayfly trained itself, task by task, beside simple baselines.

    make tasks                       everything (about half an hour on two idle cores)
    make tasks TASKS="--quick"       seconds for each task: whether it runs, not how well it learns
    make tasks TASKS="--only quiz --out results.json"

The texts come from packages (Scripts/fetch-tasks). One language model learns the texts of all training parts; then
each task fine-tunes it and is measured on its test part, with a 95 % interval. "Untaught" is the language model
before that, asked in the same way. Baselines (task_baselines.py) are measured by the same command.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import task_baselines as baselines
from runs import mayfly
from sides import MAYFLY, ROOT

Examples = list[dict]


def read(path: Path) -> Examples:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write(path: Path, examples: Examples) -> Path:
    path.write_text("".join(json.dumps(example, ensure_ascii=False) + "\n" for example in examples), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Score:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bench:
    base: Path
    data: Path
    work: Path
    quick: bool

    def examples(self, name: str) -> tuple[Examples, Examples]:
        return tuple(read(self.data / f"{name}-{part}.jsonl") for part in ("train", "test"))

    def finetune(self, kind: str, examples: Path, name: str, epochs: int, **settings: object) -> Path:
        out = self.work / name
        length = ("--steps", 20) if self.quick else ("--epochs", epochs)
        chosen = [part for key, value in settings.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]
        mayfly("finetune", self.base, "--task", kind, "--data", examples, "--out", out, *length, *chosen)
        return out

    def score_task(self, model: Path, test: Path, metric: str) -> Score:
        limit = ("--limit", 20) if self.quick else ()
        return score_of(mayfly("eval", model, "--task", test, "--json", "--max-tokens", 24, *limit), metric)

    def score(self, predictions: list[str], references: list, metric: str) -> Score:
        path = write(
            self.work / "predictions.jsonl",
            [{"prediction": p, "reference": r} for p, r in zip(predictions, references, strict=True)])
        return score_of(mayfly("eval", "--predictions", path, "--metric", metric.rstrip("L"), "--json"), metric)


def score_of(result: str, metric: str) -> Score:
    found = json.loads(result)
    return Score(found[metric], *found["intervals"][metric])


# MARK: The tasks


@dataclass(frozen=True)
class Result:
    task: str
    metric: str
    mayfly: Score
    most_frequent: Score
    baseline: str
    baseline_score: Score
    untaught: Score | None = None


def labels(name: str, *, epochs: int, characters: bool = False, **settings: object) -> Callable[[Bench], Result]:
    """Classification: a head on the mean of a text's states."""

    def run(bench: Bench) -> Result:
        train, test = bench.examples(name)
        texts, answers = [e["text"] for e in train], [e["label"] for e in train]
        tests, references = [e["text"] for e in test], [e["label"] for e in test]
        model = bench.finetune("classify", bench.data / f"{name}-train.jsonl", name, epochs, **settings)
        regression = baselines.logistic_regression(texts, answers, tests, characters=characters)
        return Result(
            name, "accuracy", bench.score_task(model, bench.data / f"{name}-test.jsonl", "accuracy"),
            bench.score(baselines.most_frequent(answers, len(test)), references, "accuracy"),
            "TF-IDF, regression", bench.score(regression, references, "accuracy"))

    return run


def vectors(name: str, *, characters: bool = False) -> Callable[[Bench], Result]:
    """Meaning without teaching: the label of most of the five nearest training texts, by `mayfly embed`."""

    def run(bench: Bench) -> Result:
        train, test = bench.examples(name)
        if bench.quick:
            train, test = train[:200], test[:50]
        texts, answers = [e["text"] for e in train], [e["label"] for e in train]
        tests, references = [e["text"] for e in test], [e["label"] for e in test]

        def embed(texts: list[str]) -> list[list[float]]:
            file = bench.work / "lines.txt"
            file.write_text("".join(" ".join(text.split()) + "\n" for text in texts), encoding="utf-8")
            return json.loads(mayfly("embed", bench.base, "--file", file, "--json"))["vectors"]

        near = baselines.vote(embed(texts), answers, embed(tests))
        words = baselines.nearest_by_tf_idf(texts, answers, tests, characters=characters)
        return Result(
            f"{name}, nearest vectors", "accuracy", bench.score(near, references, "accuracy"),
            bench.score(baselines.most_frequent(answers, len(test)), references, "accuracy"),
            "TF-IDF, nearest", bench.score(words, references, "accuracy"))

    return run


def quiz(bench: Bench) -> Result:
    """Facts, asked for in words that were learned with other facts only."""
    train, test = bench.examples("quiz")
    examples, test_file = bench.data / "quiz-train.jsonl", bench.data / "quiz-test.jsonl"
    # Facts are learned by heart: what is held out says nothing of when to end.
    model = bench.finetune("qa", examples, "quiz", 60, train__learning_rate=1e-3, train__patience=0)
    return quiz_result(
        "quiz", bench, train, test, bench.score_task(model, test_file, "f1"),
        bench.score_task(bench.base, test_file, "f1"))


def conversation(bench: Bench) -> Result:
    """The same facts as turns of a conversation, asked of the service."""
    train, test = bench.examples("quiz")

    def turn(role: str, content: str) -> dict:
        return {"role": role, "content": content}

    examples = write(
        bench.work / "chat.jsonl",
        [{"messages": [turn("user", e["question"]), turn("assistant", e["answer"])]} for e in train])
    model = bench.finetune("chat", examples, "chat", 60, train__learning_rate=1e-3, train__patience=0)
    command = [str(MAYFLY), "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = find_url(server)
            answers = [ask(url, model.name, [turn("user", e["question"])]) for e in test]
        finally:
            server.terminate()
            server.communicate()
    return quiz_result(
        "quiz as a chat", bench, train, test, bench.score(answers, [e["answer"] for e in test], "f1"), None)


def find_url(server: subprocess.Popen) -> str:
    for line in server.stderr:
        if found := re.search(r"http://\S+:\d+", line):
            return found[0]
    sys.exit("the service did not start")


def ask(url: str, model: str, messages: list[dict]) -> str:
    body = json.dumps({"model": model, "messages": messages, "max_tokens": 24, "temperature": 0}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["choices"][0]["message"]["content"].strip()


def quiz_result(
    name: str, bench: Bench, train: Examples, test: Examples, score: Score, untaught: Score | None
) -> Result:
    answers, references = [e["answer"] for e in train], [e["answer"] for e in test]
    regression = baselines.logistic_regression(
        [e["question"] for e in train], answers, [e["question"] for e in test], characters=False)
    return Result(
        name, "f1", score, bench.score(baselines.most_frequent(answers, len(test)), references, "f1"),
        "TF-IDF, regression", bench.score(regression, references, "f1"), untaught)


def titles(bench: Bench) -> Result:
    """News articles with their titles as summaries."""
    train, test = bench.examples("titles")
    examples, test_file = bench.data / "titles-train.jsonl", bench.data / "titles-test.jsonl"
    model = bench.finetune("summarize", examples, "titles", 5, train__learning_rate=1e-3, model__dropout=0.1)
    references = [e["summary"] for e in test]
    return Result(
        "titles", "rougeL", bench.score_task(model, test_file, "rougeL"),
        bench.score(baselines.most_frequent([e["summary"] for e in train], len(test)), references, "rougeL"),
        "first 12 words", bench.score(baselines.lead([e["document"] for e in test]), references, "rougeL"),
        bench.score_task(bench.base, test_file, "rougeL"))


TASKS: dict[str, Callable[[Bench], Result]] = {
    "sentiment": labels("sentiment", epochs=8, train__learning_rate=2e-3, model__dropout=0.2),
    "chinese-topics": labels(
        "chinese-topics", epochs=10, characters=True, train__learning_rate=2e-3, model__dropout=0.2),
    "topics": labels("topics", epochs=4, train__learning_rate=1e-3, model__dropout=0.1),
    "quiz": quiz,
    "chat": conversation,
    "titles": titles,
    "vectors": vectors("topics"),
    "chinese-vectors": vectors("chinese-topics", characters=True),
}


# MARK: The table


def shown(score: Score | None) -> str:
    return "" if score is None else f"{score.value:.3f} ({score.low:.3f}–{score.high:.3f})"


def row(result: Result) -> str:
    best = max(result.most_frequent.value, result.baseline_score.value)
    # Only where the interval leaves no doubt.
    ahead = "Mayfly" if result.mayfly.low > best else "the baseline" if result.mayfly.high < best else "neither"
    cells = [
        result.task, result.metric, shown(result.mayfly), shown(result.untaught), shown(result.most_frequent),
        f"{shown(result.baseline_score)} {result.baseline}", ahead,
    ]
    return f"| {' | '.join(cells)} |"


def base_model(data: Path, work: Path, budget: str) -> Path:
    mayfly("prepare", data / "text", "--out", work / "data", "--vocab-size", 8000)
    mayfly(
        "train", "--data", work / "data", "--preset", "mini", "--set", "train.context=256", "--budget", budget,
        "--out", work / "base")
    return work / "base"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=TASKS, action="append")
    parser.add_argument("--data", type=Path, default=ROOT / "data/tasks")
    parser.add_argument("--base", type=Path, help="a model to begin with, instead of training one")
    parser.add_argument("--budget", default="8m", help="of the language model that all begin with")
    parser.add_argument("--out", type=Path, help="a JSON file of the results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mayfly-tasks.") as folder:
        work = Path(folder)
        base = arguments.base or base_model(arguments.data, work, "15s" if arguments.quick else arguments.budget)
        bench = Bench(base, arguments.data, work, arguments.quick)
        print("| task | metric | Mayfly | untaught | most frequent answer | baseline | ahead |")
        print("|---|---|---:|---:|---:|---|---|", flush=True)
        results = []
        for name, run in TASKS.items():
            if arguments.only and name not in arguments.only:
                continue
            results.append(run(bench))
            print(row(results[-1]), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
