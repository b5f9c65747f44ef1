"""`mayfly finetune --task classify`: losses, gradients and labels as PyTorch and transformers have them, and bad data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from safetensors.torch import load_file

from support import latest, mayfly, metrics, settings

TEXTS = [
    ("The miller paints the bridge.", "work"), ("My uncle forgets the winter and seven stones.", "memory"),
    ("", "memory"), ("An old clock outlives its shadow. Every child follows a letter.", "time"), ("河水", "time"),
    ("the river carries two lanterns", "work"), ("A grey cat answers.", "work"),
]
LABELS = ["memory", "time", "work"]


def write_lines(path: Path, examples: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in examples]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=["llama", "gpt2", "encoder", "bert"])
def model(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / request.param
    mayfly(
        "train", "--data", data, "--steps", 20, "--out", out,
        *settings(
            model__architecture=request.param, model__hidden_size=64, model__num_hidden_layers=2,
            model__num_attention_heads=4, model__intermediate_size=128, model__max_position_embeddings=96,
            train__context=64, train__batch_size=8,
        ),
    )
    return out


def pooled(folder: Path, architecture: str, ids: list[int], pooling: str) -> torch.Tensor:
    """A text's vector (C), from the states of the model that transformers makes of the folder."""
    states = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()(
        torch.tensor([ids])
    ).last_hidden_state[0]
    return states.mean(0) if pooling == "mean" else states[-1]


def tokens(folder: Path, text: str) -> list[int]:
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return tokenizer.encode(text, add_special_tokens=False).ids or [tokenizer.token_to_id("<|endoftext|>")]


@pytest.mark.parametrize("pooling, weights", [("mean", "none"), ("last", "balanced")])
def test_loss_gradient_and_labels_are_those_of_each_text_alone(
    model: Path, tmp_path: Path, pooling: str, weights: str
) -> None:
    out = tmp_path / "run"
    mayfly(
        "finetune", model, "--task", "classify", "--data", write_lines(tmp_path / "train.jsonl", TEXTS), "--val",
        write_lines(tmp_path / "val.jsonl", TEXTS), "--out", out, "--steps", 1,
        # All in one update, too small to change anything: the checkpoint holds the weights that the loss is of.
        *settings(
            train__learning_rate=1e-30, train__batch_size=4, train__context=96, model__pooling=pooling,
            train__class_weights=weights, train__warmup_steps=0, train__precision="fp32",
        ),
    )
    folder = latest(out)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {str(i): label for i, label in enumerate(LABELS)}
    if config["model_type"] == "encoder":
        pytest.skip("transformers has no such architecture; its states are compared with PyTorch's elsewhere")
    score = load_file(folder / "model.safetensors")["score.weight"].requires_grad_()
    vectors = [pooled(folder, config["model_type"], tokens(folder, text), pooling).detach() for text, _ in TEXTS]
    logits = torch.stack(vectors) @ score.T
    labels = torch.tensor([LABELS.index(label) for _, label in TEXTS])
    counts = torch.bincount(labels).float()
    counted = len(TEXTS) / (len(LABELS) * counts) if weights == "balanced" else None
    loss = torch.nn.functional.cross_entropy(logits, labels, weight=counted)
    assert metrics(out, "train")[0]["loss"] == pytest.approx(loss.item(), abs=1e-5)
    alone = torch.nn.functional.cross_entropy(logits, labels)
    assert metrics(out, "eval")[0]["loss"] == pytest.approx(alone.item(), abs=1e-5)
    for text, row in zip((text for text, _ in TEXTS), logits.softmax(-1)):
        if not text:
            continue
        found = mayfly("score", out, "--text", text, "--json").json
        assert found["probabilities"] == {
            label: pytest.approx(p.item(), abs=1e-4) for label, p in sorted(zip(LABELS, row), key=lambda x: -x[1])
        }
        assert found["label"] == LABELS[int(row.argmax())]


def test_transformers_reads_a_decoder_with_last_pooling_as_a_classifier(
    data: Path, small: list[str], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    mayfly("train", "--data", data, "--steps", 5, "--out", base, *small)
    out = tmp_path / "run"
    mayfly(
        "finetune", base, "--task", "classify", "--data", write_lines(tmp_path / "a.jsonl", TEXTS), "--out", out,
        "--steps", 3, *settings(model__pooling="last"),
    )
    theirs, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        latest(out), dtype=torch.float32, output_loading_info=True
    )
    assert not any(info.values()), info
    ids = tokens(latest(out), TEXTS[1][0])
    probabilities = theirs.eval()(torch.tensor([ids])).logits[0].softmax(-1).tolist()
    found = mayfly("score", out, "--ids", ",".join(map(str, ids)), "--json").json["probabilities"]
    assert [found[theirs.config.id2label[i]] for i in range(3)] == pytest.approx(probabilities, abs=1e-4)


def test_learns_from_a_csv_and_is_measured(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    lines = [f'"the {word} follows the {i} bridge, {word}",{label}' for i in range(30) for word, label in
             [("miller", "person"), ("uncle", "person"), ("river", "thing"), ("clock", "thing")]]  # fmt: skip
    data.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "run"
    mayfly(
        "finetune", model, "--task", "classify", "--data", data, "--out", out, "--epochs", 8,
        *settings(train__learning_rate=3e-3),
    )
    saved = tmp_path / "answers.jsonl"
    found = mayfly("eval", out, "--task", data, "--json", "--save", saved).json
    assert found["accuracy"] > 0.95 and found["macro_f1"] > 0.95 and found["examples"] == 120
    assert json.loads(saved.read_text(encoding="utf-8").splitlines()[0])["reference"] == "person"
    # The model is the best one, wherever the training went from there.
    assert latest(out) == (out / "checkpoints/best").resolve()
    # On it goes with the same labels, and what isn't one of them is an error.
    more = write_lines(tmp_path / "more.jsonl", [("the clock", "thing"), ("the clock", "animal")])
    result = mayfly("finetune", out, "--task", "classify", "--data", more, "--out", tmp_path / "more", code=65)
    assert f"{more}: line 2" in result.err and "person, thing" in result.err
    assert "classifier" in mayfly("generate", out, "--prompt", "the", code=65).err


def test_a_resumed_run_is_the_same(model: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", TEXTS * 6)
    common = ("finetune", model, "--task", "classify", "--data", data, *settings(train__schedule="constant"))
    mayfly(*common, "--out", tmp_path / "whole", "--steps", 10)
    mayfly(*common, "--out", tmp_path / "parts", "--steps", 5)
    mayfly(*common, "--out", tmp_path / "parts", "--steps", 10, "--resume")
    whole, parts = (metrics(tmp_path / name, "train") for name in ("whole", "parts"))
    assert [line["loss"] for line in whole] == [line["loss"] for line in parts]


@pytest.mark.parametrize("lines, problem", [
    ('{"text": "a", "label": "x"}\n{"text": "b"', "line 2: isn't JSON"),
    ('{"text": "a"}\n', 'line 1: has no field "label"'),
    ("", "has no examples"),
    ('{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}\n', 'every example has the label "x"'),
    ('{"text": "a", "label": ""}\n', "only 1 that are blank or have no answer"),
])
def test_bad_data_is_an_error_that_names_it(data: Path, small: list[str], tmp_path: Path, lines: str, problem: str,
                                            run: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(lines, encoding="utf-8")
    result = mayfly("finetune", run, "--task", "classify", "--data", file, "--out", tmp_path / "run", code=65)
    assert str(file) in result.err and problem in result.err
    assert not (tmp_path / "run").exists()


def test_an_unknown_label_to_measure_by_is_an_error(run: Path, tmp_path: Path) -> None:
    val = write_lines(tmp_path / "val.jsonl", [("a", "work"), ("b", "sport")])
    result = mayfly(
        "finetune", run, "--task", "classify", "--data", write_lines(tmp_path / "a.jsonl", TEXTS), "--val", val, "--out",
        tmp_path / "run", code=65,
    )
    assert f'{val}: line 2: the label "sport"' in result.err


def test_long_texts_are_cut_and_counted(run: Path, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", TEXTS + [("long " * 500, "time")])
    result = mayfly("finetune", run, "--task", "classify", "--data", data, "--out", tmp_path / "run", "--steps", 1)
    assert "cut 1 texts that are longer than the context of 64 tokens" in result.err
