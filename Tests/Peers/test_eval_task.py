"""`mayfly eval --task`: what a plain loop with transformers gives on the same folder, for each kind of task."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
import tokenizers
import torch

from support import latest, load_model, mayfly, prose

PROMPTS = [
    {"prompt": "The miller", "reference": "follows the river."},
    {"prompt": "A grey cat forgets", "reference": ["the bridge.", "a letter."]},
    {"prompt": prose(600, seed=5), "reference": "The river"},
    {"prompt": "", "reference": ""},
]
QUESTIONS = [
    {"context": "The miller paints the bridge.", "question": "Who paints?", "answer": "the miller"},
    {"context": prose(500, seed=6), "question": "Who?", "answer": ["my uncle", "the uncle"]},
    {"question": "谁忘了？", "answer": ""},
]
SUMMARIES = [{"document": prose(size, seed=size), "summary": "the river"} for size in (40, 700)]
CHOICES = [
    {"prompt": "My uncle", "choices": [" forgets", " carries the winter", "s"], "answer": 0},
    {"prompt": prose(400, seed=9), "choices": ["The", " a letter", "The"], "answer": 2},
    {"prompt": "", "choices": ["x", ""], "answer": 1},
]
LABELS = [
    {"text": "The river outlives the winter.", "label": "good"},
    {"text": prose(500, seed=7), "label": "bad"},
    {"text": "Its shadow", "label": "rather bad"},
    {"text": "", "label": "good"},
]
CONTEXT, MAX_TOKENS = 64, 12


def write(path: Path, examples: list[Any]) -> Path:
    path.write_text("".join(json.dumps(example) + "\n" for example in examples), encoding="utf-8")
    return path


class Peer:
    """The model as transformers reads it."""

    def __init__(self, run: Path) -> None:
        self.model = load_model(latest(run))
        self.tokenizer = tokenizers.Tokenizer.from_file(str(latest(run) / "tokenizer.json"))
        self.end = self.tokenizer.token_to_id("<|endoftext|>")

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids or [self.end]

    @torch.no_grad()
    def generate(self, ids: list[int]) -> str:
        new: list[int] = []
        while len(new) < MAX_TOKENS:
            token = int(self.model(torch.tensor([ids + new])).logits[0, -1].argmax())
            if token == self.end:
                break
            new.append(token)
        return self.tokenizer.decode(new, skip_special_tokens=False).strip()

    @torch.no_grad()
    def scores(self, prompt: list[int], choices: list[str]) -> list[float]:
        scores = []
        for choice in map(self.encode, choices):
            rows = torch.log_softmax(self.model(torch.tensor([prompt + choice])).logits[0].double(), -1)
            scores.append(sum(rows[len(prompt) - 1 + i, id].item() for i, id in enumerate(choice)) / len(choice))
        return scores


@pytest.fixture(scope="module")
def peer(run: Path) -> Peer:
    return Peer(run)


def evaluate(run: Path, folder: Path, examples: list[Any], *arguments: object) -> tuple[dict[str, Any], list[Any]]:
    file, saved = write(folder / "task.jsonl", examples), folder / "saved.jsonl"
    found = mayfly("eval", run, "--task", file, "--max-tokens", MAX_TOKENS, "--save", saved, "--json", *arguments).json
    return found, [json.loads(line) for line in saved.read_text(encoding="utf-8").splitlines()]


def test_prompts_are_continued_greedily_and_keep_their_end(run: Path, peer: Peer, tmp_path: Path) -> None:
    found, saved = evaluate(run, tmp_path, PROMPTS)
    room = CONTEXT - MAX_TOKENS
    expected = [peer.generate(peer.encode(example["prompt"])[-room:]) for example in PROMPTS]
    assert [line["prediction"] for line in saved] == expected
    assert found["cut"] == 1 and found["examples"] == 4
    columns = [["follows the river.", "the bridge.", "The river", ""], [None, "a letter.", None, None]]
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(expected, columns).score, abs=1e-6)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(expected, columns).score, abs=1e-6)
    # What was saved is scored the same without the model.
    again = mayfly("eval", "--predictions", tmp_path / "saved.jsonl", "--metric", "bleu,chrf", "--json").json
    assert (again["bleu"], again["intervals"]) == (found["bleu"], found["intervals"])


@pytest.mark.parametrize("examples, ending, key", [
    (QUESTIONS, "Question: {question}\nAnswer:", "context"), (SUMMARIES, "\n\nSummary:", "document"),
])
def test_what_is_asked_stays_where_a_text_is_too_long(
    run: Path, peer: Peer, tmp_path: Path, examples: list[Any], ending: str, key: str
) -> None:
    found, saved = evaluate(run, tmp_path, examples)
    assert found["cut"] == 1
    for example, line in zip(examples, saved):
        end = ending.format(**example)
        assert line["prompt"].endswith(end)
        text = line["prompt"].removesuffix(end).removesuffix("\n\n")
        assert example.get(key, "").startswith(text)
        assert text or not example.get(key)
        ids = peer.encode(line["prompt"])
        assert len(ids) <= CONTEXT - MAX_TOKENS
        assert line["prediction"] == peer.generate(ids)
    default = {"context": {"exact_match", "f1"}, "document": {"rouge1", "rouge2", "rougeL"}}[key]
    assert set(found["intervals"]) == default


def test_choices_are_compared_by_log_probability_per_token(run: Path, peer: Peer, tmp_path: Path) -> None:
    found, saved = evaluate(run, tmp_path, CHOICES)
    right = 0
    for example, line in zip(CHOICES, saved):
        longest = max(len(peer.encode(choice)) for choice in example["choices"])
        expected = peer.scores(peer.encode(example["prompt"])[-(CONTEXT - longest):], example["choices"])
        assert line["scores"] == pytest.approx(expected, abs=1e-4)
        assert line["choice"] == line["scores"].index(max(line["scores"]))
        right += line["choice"] == example["answer"]
    assert found["accuracy"] == pytest.approx(right / 3)


def test_labels_are_choices_of_a_plain_model(run: Path, peer: Peer, tmp_path: Path) -> None:
    found, saved = evaluate(run, tmp_path, LABELS)
    labels = ["bad", "good", "rather bad"]
    for line in saved:
        assert line["prompt"].endswith("\n\nLabel:")
        expected = peer.scores(peer.encode(line["prompt"]), [" " + label for label in labels])
        assert line["scores"] == pytest.approx(expected, abs=1e-4)
        assert line["prediction"] == labels[expected.index(max(expected))]
    assert found["accuracy"] == sum(line["prediction"] == line["reference"] for line in saved) / 4
    assert "macro_f1" in found
    assert found["baseline"]["answer"] == "good" and found["baseline"]["accuracy"] == 0.5


def test_options_reach_the_model(run: Path, tmp_path: Path) -> None:
    whole, saved = evaluate(run, tmp_path, PROMPTS)
    first, short = evaluate(run, tmp_path, PROMPTS, "--limit", 2, "--stop", saved[0]["prediction"][3])
    assert first["examples"] == 2
    assert short[0]["prediction"] == saved[0]["prediction"][:3].strip()
    hot = [evaluate(run, tmp_path, PROMPTS, "--temperature", 1.5, "--seed", 3)[1] for _ in range(2)]
    assert hot[0] == hot[1] != saved


class Page(html.parser.HTMLParser):
    """Collects text, and makes sure that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            assert name not in ("src", "href") and not name.startswith("on"), f"{name}={value}"
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_shows_numbers_and_texts_as_text(run: Path, tmp_path: Path) -> None:
    attack = "<script>alert('x')</script>"
    report = tmp_path / "report.html"
    found, _ = evaluate(run, tmp_path, [*PROMPTS, {"prompt": attack, "reference": attack + "\x00"}], "--report", report)
    page = Page(report.read_text(encoding="utf-8"))
    assert f"{found['bleu']:.2f}" in page.text and f"{found['chrf']:.2f}" in page.text
    assert attack in page.text and "script" not in page.tags
    assert "95 % interval" in page.text and "nrefs:var" in page.text


def test_a_run_has_a_report(run: Path) -> None:
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    last = [line for line in lines if line["kind"] == "eval"][-1]
    assert f"{last['loss']:.4f}" in page.text
    assert page.tags.count("svg") == 6 and "hidden_size" in page.text
    assert next((run / "samples").iterdir()).read_text(encoding="utf-8").strip()[:20] in page.text


@pytest.mark.parametrize("text, problem", [
    ("", "has no examples"),
    ('{"prompt": "x", "reference": "y"}\n{"prompt": "x"}\n', 'line 2: has no field "reference"'),
    ('\n{"prompt": "x", "choices": ["a"], "answer": 1}\n', 'line 2: "answer": expected an index from 0 to 0'),
    ('{"x": 1}\n', "line 1: expected the fields of a task"),
    ('{"prompt": \n', "line 1: isn't JSON"),
    ("[1]\n", "line 1: expected the fields of a task"),
    ('{"messages": [{"role": "user", "content": "x"}]}\n', "no model can be measured by yet"),
])
def test_bad_files_are_named(run: Path, tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(text, encoding="utf-8")
    result = mayfly("eval", run, "--task", file, code=65)
    assert str(file) in result.err and problem in result.err


def test_usage(run: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "task.jsonl", PROMPTS)
    choices = write(tmp_path / "choices.jsonl", CHOICES)
    assert "bleurt" in mayfly("eval", run, "--task", file, "--metric", "bleurt", code=64).err
    assert "expected accuracy" in mayfly("eval", run, "--task", choices, "--metric", "bleu", code=64).err
    mayfly("eval", "--task", file, code=64)
    mayfly("eval", run, "--task", file, "--max-tokens", 0, code=64)
    assert "leaves no room" in mayfly("eval", run, "--task", file, "--max-tokens", 64, code=65).err
    long = write(tmp_path / "long.jsonl", [{"prompt": "x", "choices": ["word " * 200, "a"], "answer": 0}])
    assert "too many for the model's context" in mayfly("eval", run, "--task", long, code=65).err
    mayfly("eval", tmp_path / "none", "--task", file, code=65)
    mayfly("eval", run, "--task", tmp_path / "none.jsonl", code=65)
