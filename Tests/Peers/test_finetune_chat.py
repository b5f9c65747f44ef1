"""`mayfly finetune --task chat`: losses of conversations as PyTorch has them, and the template in the checkpoint."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
import transformers

from support import DESCENT, assert_same_gradients, command, latest, load_model, mayfly, metrics, settings

CHATS = [
    [{"role": "user", "content": "Who paints?"}, {"role": "assistant", "content": " the miller\n"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello <|endoftext|>"},
     {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "谁忘了？"}, {"role": "assistant", "content": "叔叔"}],
    [{"role": "assistant", "content": "I begin."}, {"role": "user", "content": "So?"}],
]


def write_chats(path: Path, chats: list) -> Path:
    path.write_text("".join(json.dumps({"messages": c}, ensure_ascii=False) + "\n" for c in chats), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(data: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "long"
    mayfly("train", "--data", data, "--steps", 20, "--out", out, *small, *settings(model__max_position_embeddings=256))
    return out


@pytest.fixture(scope="module")
def tuned(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    chats = write_chats(folder / "chats.jsonl", CHATS)
    mayfly("finetune", model, "--task", "chat", "--data", chats, "--val", chats, "--out", folder / "run", "--steps", 1,
           *settings(train__batch_size=1, train__context=256, train__grad_clip=0, train__learning_rate=1e-9, train__precision="fp32"))
    return folder / "run"


def test_loss_and_gradients_are_those_of_each_conversation_alone(model: Path, tuned: Path, tmp_path: Path) -> None:
    torch_model = load_model(latest(model))
    tokenizer = transformers.AutoTokenizer.from_pretrained(latest(tuned))
    losses, count = [], 0
    for chat in CHATS:
        encoded = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = encoded["input_ids"], encoded["assistant_masks"]
        if any("<|" in m["content"] for m in chat):
            # In messages, special tokens are text; transformers has no mask for that, so that the parts are put together.
            ids, mask = [], []
            plain = transformers.AutoTokenizer.from_pretrained(latest(tuned))
            for m in chat:
                answer = m["role"] == "assistant"
                head = plain.encode({"system": "System: ", "user": "User: ", "assistant": "Assistant:"}[m["role"]]
                                    + ("" if answer else m["content"] + "\n"), add_special_tokens=False, split_special_tokens=True)
                body = plain.encode(" " + m["content"], add_special_tokens=False) + [tokenizer.eos_token_id] if answer else []
                tail = plain.encode("\n", add_special_tokens=False) if answer else []
                ids += head + body + tail
                mask += [0] * len(head) + [1] * len(body) + [0] * len(tail)
        labels = torch.tensor([i if learned else -100 for i, learned in zip(ids, mask)])
        logits = torch_model(torch.tensor([ids[:-1]])).logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits, labels[1:], ignore_index=-100, reduction="sum"))
        count += int((labels[1:] != -100).sum())
    expected = sum(losses) / count
    expected.backward()
    norm = torch.nn.utils.get_total_norm(p.grad for p in torch_model.parameters() if p.grad is not None)
    step, = metrics(tuned, "train")
    evaluation, = metrics(tuned, "eval")
    assert evaluation["tokens"] == count
    assert step["loss"] == pytest.approx(expected.item(), abs=1e-5)
    assert step["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
    chats = write_chats(tmp_path / "chats.jsonl", CHATS)
    mayfly("finetune", model, "--task", "chat", "--data", chats, "--val", chats, "--out", tmp_path / "run", "--steps", 1,
           *DESCENT, *settings(train__batch_size=1, train__context=256))
    assert_same_gradients(torch_model, latest(model), latest(tmp_path / "run"))


def test_the_checkpoint_has_the_template_and_transformers_writes_the_same(tuned: Path, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(latest(tuned))
    for chat in CHATS:
        for prompt in (False, True):
            (tmp_path / "c.json").write_text(json.dumps({"messages": chat, "add_generation_prompt": prompt}))
            found = mayfly("tokenize", tuned, "--file", tmp_path / "c.json", "--chat", "--json").json
            assert found["text"] == tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=prompt)
            if "<|" not in json.dumps(chat):
                assert found["ids"] == tokenizer.apply_chat_template(chat, add_generation_prompt=prompt)["input_ids"]


def test_a_model_that_never_chatted_has_no_template(model: Path) -> None:
    assert not (latest(model) / "chat_template.jinja").exists()


@pytest.mark.parametrize("line, problem", [
    ('{"messages": []}', "line 2"), ('{"messages": [{"role": "user"}]}', "line 2: message 1"),
    ('{"messages": [{"role": "robot", "content": "x"}, {"role": "assistant", "content": "y"}]}', "line 2: the chat template refuses"),
    ('{"text": 1}', 'line 2: has no field "messages"'), ("{", "line 2: isn't JSON"),
])
def test_bad_data_is_an_error_that_names_it(model: Path, tmp_path: Path, line: str, problem: str) -> None:
    data = write_chats(tmp_path / "bad.jsonl", CHATS[:1])
    data.write_text(data.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    result = mayfly("finetune", model, "--task", "chat", "--data", data, "--out", tmp_path / "run", code=65)
    assert str(data) in result.err and problem in result.err
    assert not (tmp_path / "run").exists()


def test_skips_are_counted(model: Path, tmp_path: Path) -> None:
    long = [{"role": "user", "content": "long " * 2000}, {"role": "assistant", "content": "a"}]
    data = write_chats(tmp_path / "few.jsonl", [CHATS[0], [{"role": "user", "content": "?"}], long])
    result = mayfly("finetune", model, "--task", "chat", "--data", data, "--val", data, "--out", tmp_path / "run", "--steps", 1)
    assert "1 examples without an answer" in result.err
    assert "skipped 2 examples longer than the context" in result.err


def test_chat_answers_each_line_of_a_pipe(tuned: Path) -> None:
    def talk(text: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command("chat", tuned, "--max-tokens", 8, "--temperature", 0, "--system", "Be brief."),
            input=text.encode(), capture_output=True, timeout=120, check=True)
    one, two = talk("Hello\n"), talk("Hello\n/new\nHello\n\n/quit\nnever\n")
    assert two.stdout == one.stdout * 2
    long = talk("Hello, who is there?\n" * 30)
    assert b"no longer fit" in long.stderr


def test_chat_goes_on_from_what_was_said(tuned: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(latest(tuned))
    torch_model = load_model(latest(tuned))
    lines = ["Who paints?", "And the river?", "谁？", "Why does a grey cat carry seven stones over the bridge?"]
    history, answers = [], []
    for line in lines:
        history.append({"role": "user", "content": line})
        ids = tokenizer.apply_chat_template(history, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        made = torch_model.generate(**ids, max_new_tokens=9, do_sample=False)[0, ids["input_ids"].shape[1]:]
        answers.append(tokenizer.decode(made, skip_special_tokens=True).strip(" "))
        history.append({"role": "assistant", "content": answers[-1]})
    found = subprocess.run(
        command("chat", tuned, "--max-tokens", 9, "--temperature", 0), input="\n".join(lines).encode(),
        capture_output=True, timeout=120, check=True)
    assert found.stdout.decode() == "".join(answer.lstrip() + "\n" for answer in answers)
