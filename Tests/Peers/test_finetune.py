"""`mayfly finetune`: losses of packed prompts and answers as PyTorch has them, and what bad data does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
import torch

from support import DESCENT, assert_same_gradients, latest, load_model, mayfly, metrics, prose, settings

QUESTIONS = [
    {"context": "The miller paints the bridge.", "question": "Who paints?", "answer": "the miller"},
    {"context": "", "question": "What does a grey cat carry?", "answer": ["a letter", "letters"]},
    {"context": "My uncle forgets.", "question": "", "answer": "my uncle"},
    {"question": "谁忘了？", "answer": "叔叔"},
]


def write_lines(path: Path, examples: list[object]) -> Path:
    path.write_text("".join(json.dumps(e, ensure_ascii=False) + "\n" for e in examples), encoding="utf-8")
    return path


def prompt(example: dict) -> tuple[str, str]:
    context = example.get("context", "")
    answer = example["answer"] if isinstance(example["answer"], str) else example["answer"][0]
    return (context + "\n\n" if context else "") + f"Question: {example['question']}\nAnswer:", " " + answer


# The model's context is 64; these examples are longer in a vocabulary of 320.
@pytest.fixture(scope="module")
def model(data: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "long"
    mayfly(
        "train", "--data", data, "--steps", 20, "--out", out, *small,
        *settings(model__max_position_embeddings=256),
    )
    return out


def alone(model: torch.nn.Module, tokenizer: tokenizers.Tokenizer, example: dict) -> tuple[torch.Tensor, int]:
    """The sum of the answer's losses of an example in a row of its own, and how many tokens that is."""
    before, answer = (tokenizer.encode(text, add_special_tokens=False).ids for text in prompt(example))
    end = tokenizer.token_to_id("<|endoftext|>")
    ids = torch.tensor([before + answer + [end]])
    labels = ids.clone()
    labels[0, : len(before)] = -100
    logits = model(ids[:, :-1]).logits[0]
    loss = torch.nn.functional.cross_entropy(logits, labels[0, 1:], ignore_index=-100, reduction="sum")
    return loss, len(answer) + 1


def test_loss_and_gradient_are_those_of_each_example_alone(model: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "qa.jsonl", QUESTIONS)
    out = tmp_path / "run"
    # All four in one packed row or two; another four as validation: nothing is held out.
    mayfly(
        "finetune", model, "--task", "qa", "--data", data, "--val", data, "--out", out, "--steps", 1,
        *settings(train__batch_size=1, train__context=256, train__grad_clip=0, train__learning_rate=1e-9,
                  train__precision="fp32"),
    )
    torch_model = load_model(latest(model))
    tokenizer = tokenizers.Tokenizer.from_file(str(latest(model) / "tokenizer.json"))
    parts = [alone(torch_model, tokenizer, example) for example in QUESTIONS]
    expected = sum(loss for loss, _ in parts) / sum(count for _, count in parts)
    expected.backward()
    norm = torch.nn.utils.get_total_norm(p.grad for p in torch_model.parameters() if p.grad is not None)
    step, = metrics(out, "train")
    evaluation, = metrics(out, "eval")
    assert evaluation["tokens"] == sum(count for _, count in parts)
    assert step["loss"] == pytest.approx(expected.item(), abs=1e-5)
    assert evaluation["loss"] == pytest.approx(expected.item(), abs=1e-5)
    assert step["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen3", "nanochat", "mayfly"])
def test_gradients_are_those_of_pytorch_with_ignored_labels(
    architecture: str, data: Path, small: list[str], tmp_path: Path
) -> None:
    model, out = tmp_path / "model", tmp_path / "run"
    mayfly("train", "--data", data, "--steps", 20, "--out", model, *small, *settings(
        model__architecture=architecture, model__num_key_value_heads=4 if architecture == "gpt2" else 2,
        model__max_position_embeddings=256))
    examples = QUESTIONS + [
        {"context": prose(40 * i, seed=i), "question": "Who?", "answer": prose(20 * i % 60 + 1, seed=i)} for i in range(1, 9)
    ]
    file = write_lines(tmp_path / "qa.jsonl", examples)
    # All rows in one update, two at a time.
    result = mayfly(
        "finetune", model, "--task", "qa", "--data", file, "--val", file, "--out", out, "--steps", 1, *DESCENT,
        *settings(train__batch_size=6, train__micro_batch_size=2, train__context=256),
    )
    assert "in 6 rows of 256 tokens" in result.err, result.err

    tokenizer = tokenizers.Tokenizer.from_file(str(latest(model) / "tokenizer.json"))
    end = tokenizer.token_to_id("<|endoftext|>")
    rows, labels = [], []
    for example in examples:
        before, answer = (tokenizer.encode(text, add_special_tokens=False).ids for text in prompt(example))
        rows.append(torch.tensor(before + answer + [end]))
        labels.append(torch.tensor([-100] * len(before) + answer + [end]))
    torch_model = load_model(latest(model))
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    ignored = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)
    torch_model(padded, attention_mask=mask, labels=ignored).loss.backward()
    assert_same_gradients(torch_model, latest(model), latest(out))


def test_learns_answers_and_resumes(model: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "s.jsonl", [
        {"document": f"The {word} follows the river.", "summary": word} for word in ["cat", "child", "clock", "miller"]
    ] * 8)
    common = ["finetune", model, "--task", "summarize", "--data", data, "--val", data,
              *settings(train__learning_rate=3e-3, train__eval_every=5)]
    mayfly(*common, "--out", tmp_path / "whole", "--steps", 40)
    losses = [line["loss"] for line in metrics(tmp_path / "whole", "eval")]
    assert losses[-1] < losses[0] / 2
    out = tmp_path / "parts"
    mayfly(*common, "--out", out, "--steps", 20, *settings(train__schedule="constant"))
    again = tmp_path / "again"
    mayfly(*common, "--out", again, "--steps", 10, *settings(train__schedule="constant"))
    mayfly(*common, "--out", again, "--steps", 20, "--resume")
    assert [m["loss"] for m in metrics(again, "train")] == [m["loss"] for m in metrics(out, "train")]


def test_ends_when_nothing_gets_better_and_keeps_the_best(model: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", [{"question": f"{i}?", "answer": "yes yes yes"} for i in range(8)])
    val = write_lines(tmp_path / "b.jsonl", [{"question": "Which?", "answer": "The river, a winter and 7 stones"}])
    out = tmp_path / "run"
    mayfly(
        "finetune", model, "--task", "qa", "--data", data, "--val", val, "--out", out, "--steps", 500,
        *settings(train__learning_rate=1e-2, train__patience=2),
    )
    losses = [line["loss"] for line in metrics(out, "eval")]
    assert len(metrics(out, "train")) < 500
    assert min(losses[-2:]) >= min(losses[:-2])
    best = metrics(out, "eval")[losses.index(min(losses))]["step"]
    assert (out / "checkpoints/best").resolve().name == f"step-{best:08}"


@pytest.mark.parametrize("text, problem", [
    ('{"question": "q", "answer": "a"}\n{"question": ', "line 2: isn't JSON"),
    ('{"question": "q"}\n', 'line 1: has no field "answer"'),
    ("", "has no examples"),
    ("\n\n", "only 2 that are blank"),
    ('{"question": 1, "answer": "a"}\n', 'line 1: "question": expected a string, found an integer'),
    (json.dumps({"question": "long " * 2000, "answer": "a"}) + "\n", "longer than the context"),
])
def test_bad_data_is_an_error_that_names_it(model: Path, tmp_path: Path, text: str, problem: str) -> None:
    data = tmp_path / "bad.jsonl"
    data.write_text(text, encoding="utf-8")
    result = mayfly("finetune", model, "--task", "qa", "--data", data, "--out", tmp_path / "run", code=65)
    assert str(data) in result.err and problem in result.err
    assert not (tmp_path / "run").exists()


def test_skips_are_counted_and_one_example_is_enough(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "few.csv"
    data.write_text(
        "\ufeffquestion,answer\r\n\r\n谁？,叔叔\r\nWho?,\r\n" + "long " * 2000 + ",a\r\n", encoding="utf-8", newline="")
    result = mayfly("finetune", model, "--task", "qa", "--data", data, "--out", tmp_path / "run", "--epochs", 2)
    assert "skipped 1 blank lines and 1 examples without an answer" in result.err
    assert "skipped 1 examples longer than the context" in result.err
    assert len(metrics(tmp_path / "run", "train")) == 2


def test_long_documents_are_cut_as_in_evaluation_and_counted(model: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "summaries.jsonl", [
        {"document": "To be, or not to be: that is the question. " * 200, "summary": "A question."},
        {"document": "short", "summary": "S."},
        {"document": "short", "summary": "much too long " * 200},
    ])
    val = write_lines(tmp_path / "val.jsonl", [{"document": "x " * 2000, "summary": "X."}])
    result = mayfly(
        "finetune", model, "--task", "summarize", "--data", data, "--val", val, "--out", tmp_path / "run", "--epochs", 1)
    assert "cut what is read in 2 examples longer than the context of 256 tokens" in result.err
    assert "skipped 1 examples longer than the context of 256 tokens" in result.err
    # Answers are whole: their tokens and the end of the text.
    tokenizer = tokenizers.Tokenizer.from_file(str(model / "checkpoints/latest/tokenizer.json"))
    answers = sum(len(tokenizer.encode(text).ids) + 1 for text in (" A question.", " S."))
    assert f"{answers} answer tokens to learn" in result.err


def test_usage(model: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "qa.jsonl", QUESTIONS)
    result = mayfly("finetune", model, "--task", "similarity", "--data", data, "--out", tmp_path / "run", code=64)
    assert "not built yet" in result.err
    mayfly("finetune", model, "--task", "qa", "--data", data, "--out", tmp_path / "run", "--epochs", 0, code=64)
    mayfly("finetune", tmp_path / "none", "--task", "qa", "--data", data, "--out", tmp_path / "run", code=65)
