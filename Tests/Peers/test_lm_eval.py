"""lm-evaluation-harness scores a served model as it scores the same folder in transformers.

The harness is large, so it is in a list of requirements of its own: `make test-lm-eval`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ["HF_DATASETS_OFFLINE"] = "1"

import numpy as np
import pytest

from serving import serving
from support import latest, prose

lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: make test-lm-eval")
pytest.importorskip("lm_eval.tasks")

CONTEXT = 64

CHOICE = """
task: choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/choice.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
target_delimiter: " "
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""

TEXT = """
task: text
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/text.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - {{metric: byte_perplexity}}
  - {{metric: bits_per_byte}}
"""

NEXT = """
task: next
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/next.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
target_delimiter: ""
generation_kwargs: {{until: ["."], max_gen_toks: 12, temperature: 0}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Three small tasks: which continuation, how surprising a text, and what comes next."""
    random = np.random.default_rng(5)
    sentences = [s for s in prose(8_000, seed=77).replace("\n", " ").split(". ") if s.strip()]
    halves = [s.strip().rsplit(" ", 2) for s in sentences]
    choice, follow = [], []
    for first, *last in halves[:60]:
        right = " ".join(last)
        wrong = ["".join(random.permutation(list(right))), "the lanterns answers", "seven river"]
        answer = int(random.integers(0, 4))
        choice.append({"question": first, "choices": wrong[:answer] + [right] + wrong[answer:], "answer": answer})
        follow.append({"question": first, "answer": " " + right})
    texts = [{"text": prose(700, seed=seed)} for seed in range(80, 86)]
    for name, rows, task in (("choice", choice, CHOICE), ("text", texts, TEXT), ("next", follow, NEXT)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / f"{name}.yaml").write_text(task.format(folder=tmp_path))
    return tmp_path


def evaluate(kind: str, arguments: dict[str, Any], tasks: Path) -> dict[str, Any]:
    manager = lm_eval.tasks.TaskManager(include_path=str(tasks), include_defaults=False)
    found = lm_eval.simple_evaluate(
        model=kind, model_args=arguments, tasks=["choice", "text", "next"], task_manager=manager, bootstrap_iters=0,
        log_samples=True,
    )
    return found


def test_scores_equal_those_of_transformers(run: Path, tasks: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = latest(run)
    with serving(run, tmp_path / "log", "--timeout", 60) as server:
        served = evaluate(
            "local-completions",
            {
                "model": server.name, "base_url": f"{server.url}/v1/completions", "tokenizer_backend": "huggingface",
                "tokenizer": str(folder), "num_concurrent": 4, "max_retries": 1, "max_length": CONTEXT + 1,
                "batch_size": 1,
            },
            tasks,
        )
        server.assert_well()
    # The windows of long texts are one token shorter over the network, and must be the same here.
    here = evaluate(
        "hf",
        {"pretrained": str(folder), "dtype": "float32", "device": "cpu", "batch_size": 1, "max_length": CONTEXT - 1},
        tasks,
    )
    for task, metrics in here["results"].items():
        for name, value in metrics.items():
            if isinstance(value, float) and "stderr" not in name:
                print(task, name, value, served["results"][task][name])
                assert served["results"][task][name] == pytest.approx(value, abs=1e-4), (task, name)
    assert here["results"]["choice"]["acc,none"] > 0.5, "the model knows something, or nothing is compared"
    for task in ("choice", "next"):
        for a, b in zip(here["samples"][task], served["samples"][task], strict=True):
            assert a["doc"] == b["doc"]
            if task == "choice":
                flat = [[float(x[0]) for x in s["filtered_resps"]] for s in (a, b)]
                assert flat[0] == pytest.approx(flat[1], abs=1e-3)
                assert [x[1] for x in a["filtered_resps"]] == [x[1] for x in b["filtered_resps"]]
            else:
                assert a["filtered_resps"] == b["filtered_resps"]
