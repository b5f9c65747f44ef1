"""`mayfly serve` for OpenAI's own Python client, and its numbers beside transformers'."""

from __future__ import annotations

import base64
import json
import shutil
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from serving import Server, events, serving
from support import VOCABULARY, load_model, logprobs, make_model, mayfly

CONTEXT = 128
TEXTS = ["The miller follows", "A grey cat paints the winter. ", "Seven stones", "My uncle — 雪 🏮"]


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that transformers saved, beside a tokenizer that Mayfly learned."""
    out = tmp_path_factory.mktemp("models") / "tiny"
    vocabulary = Tokenizer.from_file(str(data / "tokenizer.json")).get_vocab_size()
    make_model(
        "qwen3", vocab_size=vocabulary, max_position_embeddings=CONTEXT, eos_token_id=None, bos_token_id=None
    ).save_pretrained(out)
    shutil.copy(data / "tokenizer.json", out)
    return out


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder, folder.parent / "log.txt") as server:
        yield server
        server.assert_well()


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def model(folder: Path) -> torch.nn.Module:
    return load_model(folder)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@torch.no_grad()
def greedy(model: torch.nn.Module, ids: list[int], count: int, end: int | None) -> list[int]:
    """What follows, by the definition: the most likely token, again and again."""
    ids, start = list(ids), len(ids)
    while len(ids) < start + count:
        best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if best == end:
            break
        ids.append(best)
    return ids[start:]


# --- The official client ----------------------------------------------------------------------------------------------


def test_the_model_is_listed(client: openai.OpenAI, server: Server, folder: Path) -> None:
    assert server.name == folder.name
    assert [model.id for model in client.models.list()] == [server.name]
    assert client.models.retrieve(server.name).id == server.name


def test_a_completion_equals_generate_and_transformers(
    client: openai.OpenAI, server: Server, folder: Path, model: torch.nn.Module, tokenizer: Tokenizer
) -> None:
    end = tokenizer.token_to_id("<|endoftext|>")
    for text in TEXTS:
        answer = client.completions.create(model=server.name, prompt=text, max_tokens=20, temperature=0)
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        expected = greedy(model, ids, 20, end)
        generated = mayfly(
            "generate", folder, "--prompt", text, "--max-tokens", 20, "--temperature", 0, "--json"
        ).json
        assert generated["ids"] == expected
        assert answer.choices[0].text == generated["text"]
        assert answer.choices[0].finish_reason == generated["finish_reason"]
        assert answer.usage.prompt_tokens == len(ids)
        by_ids = client.completions.create(model=server.name, prompt=ids, max_tokens=20, temperature=0)
        assert by_ids.choices[0].text == generated["text"]


def test_a_stream_gives_the_same_text_in_whole_characters(client: openai.OpenAI, server: Server) -> None:
    for seed in range(4):
        asked: dict[str, Any] = {
            "model": server.name, "prompt": TEXTS[seed], "max_tokens": 60, "seed": seed, "temperature": 1.5
        }
        whole = client.completions.create(**asked)
        chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        pieces = [chunk.choices[0].text for chunk in chunks if chunk.choices]
        assert "".join(pieces) == whole.choices[0].text
        assert not any("\ufffd" in piece for piece in pieces)
        assert sum(bool(piece) for piece in pieces) > 5, "it comes in pieces"
        assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
        assert chunks[-1].usage == whole.usage
        assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_seed_decides(client: openai.OpenAI, server: Server) -> None:
    def text(**more: Any) -> list[str]:
        answer = client.completions.create(model=server.name, prompt="The river", max_tokens=30, **more)
        return [choice.text for choice in answer.choices]

    assert text(seed=1) == text(seed=1)
    assert text(seed=1) != text(seed=2)
    assert text() != text(), "without a seed, each request has one of its own"
    several = text(seed=5, n=3)
    assert len(set(several)) == 3
    assert several[0] == text(seed=5)[0]


def test_several_prompts_and_answers(client: openai.OpenAI, server: Server, tokenizer: Tokenizer) -> None:
    alone = [
        client.completions.create(model=server.name, prompt=text, max_tokens=8, temperature=0).choices[0].text
        for text in TEXTS
    ]
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    for prompts in (TEXTS, ids):
        answer = client.completions.create(model=server.name, prompt=prompts, n=2, max_tokens=8, temperature=0)
        assert [choice.index for choice in answer.choices] == list(range(8))
        assert [choice.text for choice in answer.choices] == [text for text in alone for _ in range(2)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_text_ends_the_answer_and_is_not_shown(client: openai.OpenAI, server: Server, stream: bool) -> None:
    asked: dict[str, Any] = {"model": server.name, "prompt": "Every child", "max_tokens": 60, "seed": 3, "logprobs": 1}
    whole = client.completions.create(**asked).choices[0].text
    stop = whole[len(whole) // 2 :][:3]
    expected = whole[: whole.index(stop)]
    if stream:
        chunks = list(client.completions.create(**asked, stop=["never", stop], stream=True))
        text = "".join(chunk.choices[0].text for chunk in chunks)
        tokens = [t for chunk in chunks if chunk.choices[0].logprobs for t in chunk.choices[0].logprobs.tokens]
        reason = chunks[-1].choices[0].finish_reason
    else:
        choice = client.completions.create(**asked, stop=stop).choices[0]
        text, tokens, reason = choice.text, choice.logprobs.tokens, choice.finish_reason
    assert text == expected and reason == "stop"
    shown = "".join(token for token in tokens if not token.startswith("bytes:"))
    assert len(shown) < len(text) + 10, "no token behind the end"


def test_a_chat(client: openai.OpenAI, server: Server) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Who follows "}, {"type": "text", "text": "the river?"}]},
    ]
    asked: dict[str, Any] = {"model": server.name, "messages": messages, "max_completion_tokens": 20, "seed": 4}
    answer = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3)
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert len(choice.logprobs.content) == answer.usage.completion_tokens == 20
    assert all(len(entry.top_logprobs) == 3 for entry in choice.logprobs.content)
    raw = b"".join(bytes(entry.bytes) for entry in choice.logprobs.content)
    assert raw.decode("utf-8", "ignore") == choice.message.content

    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == choice.message.content
    assert chunks[-1].usage == answer.usage


def test_a_chat_reads_what_its_template_says(client: openai.OpenAI, server: Server) -> None:
    """The default form in plain words; what looks like a special token in a message is text there."""
    chat = client.chat.completions.create(
        model=server.name, messages=[{"role": "user", "content": "Hello"}], max_tokens=12, temperature=0
    )
    plain = client.completions.create(
        model=server.name, prompt="User: Hello\nAssistant:", max_tokens=12, temperature=0
    )
    assert chat.choices[0].message.content == plain.choices[0].text
    assert chat.usage == plain.usage

    def read(text: str) -> int:
        answer = client.chat.completions.create(
            model=server.name, messages=[{"role": "user", "content": text}], max_tokens=1
        )
        return answer.usage.prompt_tokens

    assert read("<|endoftext|>") > read("") + 5, "a user's <|endoftext|> must be read letter by letter"
    assert read("<|endoftext|>\u0301") > read("") + 5


def test_embeddings(client: openai.OpenAI, server: Server, model: torch.nn.Module, tokenizer: Tokenizer) -> None:
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    expected = []
    for row in ids:
        with torch.no_grad():
            states = model.model(torch.tensor([row])).last_hidden_state[0]
        expected.append(torch.nn.functional.normalize(states.mean(0), dim=0))
    for inputs in (TEXTS, ids):
        for more in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
            answer = client.embeddings.create(model=server.name, input=inputs, **more)
            found = [entry.embedding for entry in answer.data]
            if more.get("encoding_format") == "base64" and isinstance(found[0], str):
                found = [list(struct.unpack(f"<{len(base64.b64decode(x)) // 4}f", base64.b64decode(x))) for x in found]
            torch.testing.assert_close(torch.tensor(found), torch.stack(expected), rtol=0, atol=1e-4)
            assert answer.usage.prompt_tokens == sum(map(len, ids))
    one = client.embeddings.create(model=server.name, input=TEXTS[0])
    torch.testing.assert_close(torch.tensor(one.data[0].embedding), expected[0], rtol=0, atol=1e-4)


def test_errors_are_the_clients_own_classes(client: openai.OpenAI, server: Server) -> None:
    name = server.name
    with pytest.raises(openai.NotFoundError) as missing:
        client.completions.create(model="another", prompt="a")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")
    with pytest.raises(openai.BadRequestError) as wrong:
        client.completions.create(model=name, prompt="a", temperature=-1)
    assert wrong.value.param == "temperature" and "temperature" in wrong.value.message
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model=name, prompt=[1] * (CONTEXT + 1))
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model=name, messages=[{"role": "user", "content": "a " * 1000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as role:
        client.chat.completions.create(model=name, messages=[{"role": "wizard", "content": "a"}])  # type: ignore
    assert role.value.param == "messages"
    with pytest.raises(openai.BadRequestError) as outside:
        client.completions.create(model=name, prompt=[1, VOCABULARY * 100])
    assert outside.value.param == "prompt"
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=name, input="")


# --- Numbers ----------------------------------------------------------------------------------------------------------


def test_echo_gives_the_prompts_logprobs_as_transformers_has_them(
    server: Server, model: torch.nn.Module, tokenizer: Tokenizer
) -> None:
    for text in (*TEXTS, "The miller follows the bridge. " * 6):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        expected = logprobs(model, ids)
        answer = server.complete(prompt=text, max_tokens=0, echo=True, logprobs=3)["choices"][0]
        assert answer["text"] == text and answer["finish_reason"] == "length"
        found = answer["logprobs"]
        assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
        own = expected[torch.arange(len(ids)), ids][1:]
        torch.testing.assert_close(
            torch.tensor(found["token_logprobs"][1:], dtype=torch.float64), own, rtol=0, atol=1e-4
        )
        for i in range(1, len(ids)):
            best = expected[i].topk(3).values.tolist()
            assert sorted(found["top_logprobs"][i].values(), reverse=True)[:3] == pytest.approx(best, abs=1e-4)
            assert found["tokens"][i] in found["top_logprobs"][i]
        for token, offset in zip(found["tokens"], found["text_offset"], strict=True):
            if not token.startswith("bytes:"):
                assert text[offset:].startswith(token)


def test_echo_and_an_answer_are_one_text(server: Server, model: torch.nn.Module, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    asked = {"prompt": ids, "max_tokens": 9, "temperature": 0, "echo": True, "logprobs": 0}
    answer = server.complete(**asked)["choices"][0]
    assert answer["text"].startswith(TEXTS[0])
    more = greedy(model, ids, 9, None)
    own = logprobs(model, ids + more)[torch.arange(len(ids) + 9), ids + more]
    assert answer["logprobs"]["token_logprobs"][1:] == pytest.approx(own[1:].tolist(), abs=1e-4)
    assert all(len(top) == 1 for top in answer["logprobs"]["top_logprobs"][1:])
    for token, offset in zip(answer["logprobs"]["tokens"], answer["logprobs"]["text_offset"], strict=True):
        if not token.startswith("bytes:"):
            assert answer["text"][offset:].startswith(token)

    _, _, data = server.ask("POST", "/v1/completions", asked | {"stream": True})
    chunks = [event["choices"][0] for event in events(data)]
    assert "".join(chunk["text"] for chunk in chunks) == answer["text"]
    for key in ("tokens", "token_logprobs", "text_offset"):
        assert [x for c in chunks if c["logprobs"] for x in c["logprobs"][key]] == answer["logprobs"][key]


def test_a_prompt_may_fill_the_context(server: Server, model: torch.nn.Module) -> None:
    ids = [int(i) for i in torch.randint(0, 256, (CONTEXT,), generator=torch.Generator().manual_seed(1))]
    answer = server.complete(prompt=ids, max_tokens=50, temperature=0, logprobs=1, echo=True)
    assert answer["usage"] == {"prompt_tokens": CONTEXT, "completion_tokens": 1, "total_tokens": CONTEXT + 1}
    own = logprobs(model, ids)[torch.arange(CONTEXT), ids]
    assert answer["choices"][0]["logprobs"]["token_logprobs"][1:-1] == pytest.approx(own[1:].tolist(), abs=1e-4)


def test_four_at_once_get_what_each_gets_alone(server: Server) -> None:
    def ask(text: str) -> str:
        return server.complete(prompt=text, max_tokens=60, temperature=0)["choices"][0]["text"]

    alone = [ask(text) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert list(pool.map(ask, TEXTS)) == alone


# --- The server around them -------------------------------------------------------------------------------------------


def test_health_metrics_and_the_page(server: Server) -> None:
    status, _, body = server.ask("GET", "/health")
    assert status == 200 and json.loads(body)["status"] == "ok" and json.loads(body)["model"] == server.name
    before = server.metric("mayfly_generated_tokens_total")
    server.complete(prompt="a", max_tokens=7, temperature=0)
    assert server.metric("mayfly_generated_tokens_total") == before + 7
    assert server.metric("mayfly_queue_length") == 0
    assert server.metric("process_resident_memory_bytes") > 1e6
    status, headers, body = server.ask("GET", "/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert b"http://" not in body.replace(b"http://www.w3.org", b"") and b"https://" not in body
    status, headers, body = server.ask("HEAD", "/")
    assert status == 200 and body == b""


def test_a_key_and_an_origin(folder: Path, tmp_path: Path) -> None:
    options = ("--api-key", "secret", "--cors", "http://a.example", "--model-name", "m")
    with serving(folder, tmp_path / "log", *options) as s:
        assert s.name == "m"
        good = openai.OpenAI(base_url=f"{s.url}/v1", api_key="secret", max_retries=0)
        assert good.models.list().data[0].id == "m"
        for key in ("wrong", "secret1", "secre"):
            with pytest.raises(openai.AuthenticationError):
                openai.OpenAI(base_url=f"{s.url}/v1", api_key=key, max_retries=0).models.list()
        assert s.ask("GET", "/health")[0] == 200 and s.ask("GET", "/metrics")[0] == 401
        status, headers, _ = s.ask("OPTIONS", "/v1/completions", headers={"Origin": "http://a.example"})
        assert status == 204 and headers["access-control-allow-origin"] == "http://a.example"
        assert "warning" not in s.log.read_text()


def test_a_shorter_context(folder: Path, server: Server, tmp_path: Path) -> None:
    asked = {"prompt": [5] * 15, "max_tokens": 100, "temperature": 0, "logprobs": 0}
    whole = server.complete(**asked)["choices"][0]
    with serving(folder, tmp_path / "log", "--context", 20) as s:
        cut = s.complete(**asked)["choices"][0]
        # The last token is drawn behind a full context.
        assert cut["logprobs"]["tokens"] == whole["logprobs"]["tokens"][:6] and cut["finish_reason"] == "length"
        assert s.complete(prompt=[5] * 20, max_tokens=5)["usage"]["completion_tokens"] == 1
        status, answer = s.post("/v1/completions", {"prompt": [5] * 21})
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
        assert "21 tokens" in answer["error"]["message"] and "20" in answer["error"]["message"]
        assert s.post("/v1/embeddings", {"input": [5] * 21})[0] == 400
        assert json.loads(s.ask("GET", "/v1/models")[2])["data"][0]["max_model_len"] == 20
        assert "--context" not in s.log.read_text()
    assert f"takes {CONTEXT} tokens" in mayfly("serve", folder, "--context", CONTEXT + 1, code=65).err
    mayfly("serve", folder, "--context", 0, code=64)


def test_a_long_context_is_held_only_where_it_is_asked_for(tmp_path: Path) -> None:
    make_model("llama", max_position_embeddings=1 << 24).save_pretrained(tmp_path / "long")
    with serving(tmp_path / "long", tmp_path / "log") as s:
        assert json.loads(s.ask("GET", "/v1/models")[2])["data"][0]["max_model_len"] == 8192
        assert "8192 of the 16777216 tokens" in s.log.read_text()
        s.assert_well()
    with serving(tmp_path / "long", tmp_path / "log", "--context", 9000) as s:
        assert s.post("/v1/completions", {"prompt": [5] * 9001})[0] == 400
        s.assert_well()


def test_a_name_that_points_here_gets_nothing(server: Server) -> None:
    for host, expected in (
        ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ):
        assert server.ask("GET", "/health", headers={"Host": host})[0] == expected


def test_a_model_without_a_tokenizer_serves_ids(tmp_path: Path) -> None:
    make_model("gpt2", eos_token_id=None, bos_token_id=None).save_pretrained(tmp_path / "ids")
    model = load_model(tmp_path / "ids")
    with serving(tmp_path / "ids", tmp_path / "log") as s:
        answer = s.complete(prompt=[5, 6, 7], max_tokens=4, temperature=0, logprobs=1)["choices"][0]
        assert answer["text"] == ""
        assert answer["logprobs"]["tokens"] == [f"token_id:{i}" for i in greedy(model, [5, 6, 7], 4, None)]
        for path, body in (
            ("/v1/completions", {"prompt": "a"}), ("/v1/completions", {"prompt": [1], "stop": "a"}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
            ("/v1/embeddings", {"input": "a"}),
        ):
            status, error = s.post(path, body)
            assert status == 400 and error["error"]["code"] == "no_tokenizer"
        assert s.post("/v1/embeddings", {"input": [1, 2]})[0] == 200


def test_a_model_that_sees_both_sides_gives_embeddings_only(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=32,
    )
    torch.manual_seed(1)
    model = transformers.BertForMaskedLM(config).eval()
    model.save_pretrained(tmp_path / "bert")
    rows = [[3, 4, 5, 6], [7, 8]]
    with serving(tmp_path / "bert", tmp_path / "log") as s:
        status, answer = s.post("/v1/embeddings", {"input": rows})
        assert status == 200, answer
        for row, found in zip(rows, answer["data"], strict=True):
            with torch.no_grad():
                mean = model.bert(torch.tensor([row])).last_hidden_state[0].mean(0)
            expected = torch.nn.functional.normalize(mean, dim=0)
            torch.testing.assert_close(torch.tensor(found["embedding"]), expected, rtol=0, atol=1e-4)
        status, answer = s.post("/v1/completions", {"prompt": [1]})
        assert status == 400 and answer["error"]["code"] == "unsupported_model"


def test_a_run_is_served_as_it_stands(run: Path, tmp_path: Path) -> None:
    with serving(run, tmp_path / "log") as s:
        assert s.name == run.name
        text = s.complete(prompt="The miller", max_tokens=20, temperature=0)["choices"][0]["text"]
        generated = mayfly(
            "generate", run, "--prompt", "The miller", "--max-tokens", 20, "--temperature", 0, "--json"
        ).json
        assert text == generated["text"]
        for written in ("Seven stones", "a <|endoftext|> that is text"):
            _, found = s.post("/v1/embeddings", {"input": written})
            vector = mayfly("embed", run, "--text", written, "--json").json["vectors"][0]
            assert found["data"][0]["embedding"] == pytest.approx(vector, abs=1e-6)


def test_a_port_in_use_and_wrong_options(server: Server, folder: Path) -> None:
    taken = mayfly("serve", folder, "--port", server.port, code=1)
    assert f"127.0.0.1:{server.port}" in taken.err and "--port" in taken.err
    for option in (["--port", 70000], ["--queue", 0], ["--timeout", 0], ["--model-name", ""], ["--max-body", -1]):
        mayfly("serve", folder, *option, code=64)
    mayfly("serve", folder / "nothing", code=65)
