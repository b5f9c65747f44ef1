"""Chat templates: texts, ids and masks as transformers' apply_chat_template gives them, from the same folder."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from support import mayfly, prose

SEED = 7
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>"]

# One construct of the language after another; written here.
TEMPLATES = {
    "chatml": """{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
""",
    "system first": """{% if messages[0].role == 'system' %}
  {% set rest = messages[1:] %}{% set told = messages[0].content | trim + '\\n\\n' %}
{% else %}
  {% set rest = messages %}{% set told = '' %}
{% endif %}
{{ bos_token }}{% for m in rest %}
{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %}
{{ '[I] ' ~ (told if loop.first) ~ m.content.strip() ~ ' [/I]' if m.role == 'user' else ' ' ~ m.content ~ eos_token }}
{% endfor %}
""",
    "namespace": """{%- set ns = namespace(n=0, last='') -%}
{%- for m in messages -%}{%- set ns.n = ns.n + 1 -%}{%- set ns.last = m.role -%}
{{ loop.index }}/{{ loop.length }} {{ loop.revindex0 }} {{ loop.last }} {{ loop.previtem.role if loop.previtem is defined }}
{{- loop.cycle('a', 'b') }}
{% endfor %}{{ ns.n }} {{ ns.last }}
""",
    "macro": """{% macro turn(m, end='.', *bad) %}{% endmacro %}""",
    "macros": """{% macro turn(m, end='.') -%}
<{{ m.role }}>{{ m.content | upper }}{{ end }}{{ varargs }}{{ kwargs }}{{ caller() if caller }}
{%- endmacro %}
{% for m in messages %}{{ turn(m) }}{{ turn(m, '!', 1, a=2) }}
{% call turn(m) %}in{{ loop.index }}{% endcall %}{% endfor %}
""",
    "loops": """{% for m in messages if m.role != 'system' %}{% if loop.index > 4 %}{% break %}{% endif %}
{% if m.role == 'tool' %}{% continue %}{% endif %}{{ loop.length }}{{ m.role }}{% else %}nobody{% endfor %}
{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}
{% for c in 'héy' %}[{{ c }}]{% endfor %}{% for x in nothing %}{% else %}none{% endfor %}
""",
    "filters": """{% for m in messages %}{% set c = m.content %}
{{ c | length }}|{{ c | title }}|{{ c | capitalize }}|{{ c | replace('a', 'bb') }}|{{ c | first }}|{{ c | last }}
{{ c | list | join('-') }}|{{ c | indent(2) }}|{{ c | indent(3, true, true) }}|{{ c | tojson }}|{{ c | reverse }}
{{ c | wordcount }}|{{ c | default('x') }}|{{ nothing | default('d') }}|{{ '' | d('e', true) }}|{{ c | string | trim }}
{% endfor %}{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ messages | map(attribute='role') | join(',') }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'in', ['user']) | list }}
{{ [3, 1, 2] | sort | join }}{{ ['b', 'A'] | sort }}{{ [1, 2, 3, 4] | select('even') | list }}{{ [1, none, 2] | reject('none') | list }}
{{ {'b': 1, 'a': 2} | dictsort }}{{ {'b': 1} | items | list }}{{ '42.7' | int }}{{ 'x' | int(7) }}{{ '3.5' | float }}
{{ [1, 2] | sum }}{{ [1, 5, 2] | max }}{{ [1, 1, 2] | unique | list }}{{ -3 | abs }}{{ 2.567 | round(1) }}{{ ['a', 'b'] | map('upper') | list }}
""",
    "methods": """{% for m in messages %}{% set c = m.content %}
{{ c.strip('a b') }}|{{ c.lstrip() }}|{{ c.rstrip('\\n') }}|{{ c.split() }}|{{ c.split('a') }}|{{ c.split('a', 1)[-1] }}|{{ c.rsplit('a', 1) }}
{{ c.startswith('a') }}|{{ c.endswith(('b', 'c')) }}|{{ c.upper() }}|{{ c.lower() }}|{{ c.title() }}|{{ c.capitalize() }}|{{ c.replace('a', 'zz', 1) }}
{{ c.find('a') }}|{{ c.rfind('a') }}|{{ c.count('a') }}|{{ c.splitlines() }}|{{ c.partition('a') }}|{{ '-'.join(['x', c]) }}
{{ m.get('role') }}|{{ m.get('no', 'd') }}|{{ m.get('no') }}|{{ m.keys() | list }}|{{ m.values() | list }}|{{ c.isdigit() }}{{ c.isspace() }}
{% endfor %}
""",
    "expressions": """{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 1 ~ 'a' ~ none ~ true }}
{{ 'a' + 'b' * 3 }} {{ [1] + [2, 'x'] }} {{ (1, 2) }} {{ (1,) }} {{ {'a': [1, {'b': none}]} }} {{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' in 'abc' }}
{{ 3 not in [1, 2] }} {{ not x }} {{ x is defined }} {{ x is not defined }} {{ 1 if x }} {{ 1 if x else 2 if y else 3 }} {{ 0 or 'o' }} {{ 1 and 'n' }}
{{ 'hello'[1:3] }} {{ 'hello'[::-1] }} {{ 'hello'[-2] }} {{ [1, 2, 3][:-1] }} {{ [1, 2, 3][5:] }} {{ 'it''s' }} {{ "q\\"q" }} {{ 'it\\'s' | list }}
{{ 1e3 }} {{ 1.5e-7 }} {{ 100000000000000000.0 }} {{ 1_000 }} {{ 0.1 + 0.2 }} {{ none is none }} {{ 5 is odd }} {{ 6 is divisibleby 3 }} {{ 'a' is string }} {{ [] is sequence }}
{{ {} is mapping }} {{ 1 is number }} {{ true is boolean }} {{ 1.0 is float }} {{ 1 is integer }} {{ range(3) | list }} {{ dict(a=1).a }} {{ '\\u00e9\\t\\x41' }}
{{ 'a' is in ['a'] }} {{ 2 is gt 1 }} {{ 'é' | tojson }} {{ 'é"\\n' | tojson(ensure_ascii=true) }} {{ -2 ** 2 }} {{ - 3 | abs }} {{ true + 1 }} {{ 'b' > 'a' }}
""",
    "whitespace": """  {# a comment #}
  {%- if true %}  x
     {% set a = 1 %}
  y {% if a -%}   z   {%- endif %}
  {{- a }}   {{ a -}}
   b {%+ if true %} c {% endif +%}
   {#- d -#}  e
{% raw %}{{ no }} {% if %}{% endraw %}
{% set block %} in {{ a }} {% endset %}[{{ block }}]{% set f | upper | trim %} up {% endset %}[{{ f }}]
{% filter upper %}shout{% endfilter %}{% with q = 2, r = a %}{{ q + r }}{% endwith %}{{ q }}
{% for i in [1, 2] %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }}{% endif %}

""",
}

CONVERSATIONS = [
    [{"role": "user", "content": "a bad cab"}],
    [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "Hey, it's  \"me\"\n\nand a bab"},
     {"role": "assistant", "content": "banana\tsplit"}, {"role": "user", "content": "中文 été 👍🏽"}],
    [{"role": "user", "content": ""}, {"role": "assistant", "content": "  "}, {"role": "tool", "content": "7"}],
    [{"role": "assistant", "content": "<|im_end|> is text"}, {"role": "user", "content": "so is <|endoftext|>"}],
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([prose(20_000)], trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=SPECIAL,
        show_progress=False))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def with_template(tokenizer: Path, folder: Path, template: str, in_config: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    if in_config:
        config["chat_template"] = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": template}]
    else:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8", newline="")
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def ask(folder: Path, file: Path, messages: list[dict], code: int | tuple[int, ...] = 0, **variables: object):
    file.write_text(json.dumps({"messages": messages, **variables}), encoding="utf-8")
    return mayfly("tokenize", folder, "--file", file, "--chat", "--json", code=code)


def compare(folder: Path, file: Path, peer, messages: list[dict], **variables: object) -> bool:
    """The same text, or an error on both sides; whether there was a text."""
    try:
        expected = peer.apply_chat_template(messages, tokenize=False, **variables)
    except Exception as error:
        result = ask(folder, file, messages, code=65, **variables)
        assert "chat template" in result.err, error
        return False
    assert ask(folder, file, messages, **variables).json["text"] == expected
    return True


@pytest.mark.parametrize("name", TEMPLATES)
def test_renders_as_transformers_does(tokenizer: Path, tmp_path: Path, name: str) -> None:
    folder = with_template(tokenizer, tmp_path / "model", TEMPLATES[name], in_config=name == "loops")
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    done = [
        compare(folder, tmp_path / "c.json", peer, messages, add_generation_prompt=prompt)
        for messages in CONVERSATIONS for prompt in (False, True)
    ]
    assert name == "macro" or any(done)


def random_expression(r: random.Random, depth: int = 0) -> str:
    leaves = ["m.role", "m['content']", "m.none", "loop.index0", "1", "2.5", "'a b'", "''", "none", "true", "x", "[1, 'a']",
              "{'k': 1}", "messages", "m", "-3", "'Zé\\n'"]
    if depth > 2 or r.random() < 0.3:
        return r.choice(leaves)
    def e() -> str:
        return random_expression(r, depth + 1)
    return r.choice([
        lambda: f"({e()} {r.choice(['+', '-', '*', '/', '//', '~', '==', '!=', '<', '>=', 'in', 'not in', 'and', 'or'])} {e()})",
        lambda: f"({e()} if {e()} else {e()})", lambda: f"(not {e()})",
        lambda: f"({e()} | {r.choice(['length', 'upper', 'trim', 'title', 'tojson', 'string', 'first', 'last', 'list', 'int', 'default(1)', 'capitalize', 'reverse | list', 'lower', 'join', 'wordcount', 'abs'])})",
        lambda: f"({e()} is {r.choice(['defined', 'string', 'none', 'number', 'mapping', 'iterable', 'odd', 'true', 'sequence', 'integer', 'boolean', 'lower'])})",
        lambda: f"{e()}[{r.choice(['0', '-1', '5'])}]",
        # Jinja computes slices of constants before it runs, by other rules.
        lambda: f"{r.choice(['messages', 'm.role', 'm'])}[{r.choice(['1:', '::-1', ':2', '-1:9'])}]",
        lambda: f"({e()}).{r.choice(['strip()', 'split()', 'upper()', 'items()', 'get(0)', 'role', 'title()', 'lower()'])}",
    ])()


def random_template(r: random.Random) -> str:
    def tag(text: str) -> str:
        return "{%" + r.choice(["", "", "-"]) + f" {text} " + r.choice(["", "", "-"]) + "%}"
    def part(depth: int) -> str:
        choice = r.randrange(6 if depth < 2 else 3)
        if choice == 0:
            return r.choice(["text", " \n ", "\n", "  ", "a\n  "])
        if choice in (1, 2):
            return "{{" + r.choice(["", "-"]) + " " + random_expression(r) + " " + r.choice(["", "-"]) + "}}"
        inner = "".join(part(depth + 1) for _ in range(r.randint(1, 3)))
        if choice == 3:
            return tag(f"if {random_expression(r)}") + inner + tag("else") + part(depth + 1) + tag("endif")
        if choice == 4:
            return tag(f"set x = {random_expression(r)}") + inner
        return tag("for y in [1, 'b', none]") + inner + "{{ y }}" + tag("endfor")
    return tag("for m in messages") + "".join(part(0) for _ in range(r.randint(1, 5))) + tag("endfor")


def test_random_templates_render_as_transformers_does(tokenizer: Path, tmp_path: Path) -> None:
    r = random.Random(SEED)
    folder = with_template(tokenizer, tmp_path / "model", "")
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    done = 0
    for _ in range(300):
        template = random_template(r)
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8", newline="")
        peer.chat_template = template
        messages = r.choice(CONVERSATIONS)
        try:
            done += compare(folder, tmp_path / "c.json", peer, messages)
        except AssertionError as error:
            raise AssertionError(f"{template!r} on {messages!r}: {error}") from error
    assert done > 60


def test_ids_and_masks_are_those_of_transformers(tokenizer: Path, tmp_path: Path) -> None:
    template = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}

{% endfor %}"""
    folder = with_template(tokenizer, tmp_path / "model", template)
    peer = transformers.AutoTokenizer.from_pretrained(folder)
    for messages in CONVERSATIONS:
        expected = peer.apply_chat_template(
            messages, return_dict=True, return_assistant_tokens_mask=True, sanitize_control_tokens=False)
        found = ask(folder, tmp_path / "c.json", messages).json
        if "<|" not in json.dumps(messages):
            assert found["ids"] == expected["input_ids"]
            assert found["learned"] == expected["assistant_masks"]
        sanitized = peer.apply_chat_template(messages, return_dict=True, sanitize_control_tokens=True)["input_ids"]
        control = [i for i in found["ids"] if i < len(SPECIAL)]
        assert control == [i for i in sanitized if i < len(SPECIAL)]


def test_what_is_learned_without_marks_is_what_an_answer_adds(tokenizer: Path, tmp_path: Path) -> None:
    folder = with_template(tokenizer, tmp_path / "model", TEMPLATES["chatml"])
    peer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = ask(folder, tmp_path / "c.json", CONVERSATIONS[1]).json
    learned = [i for i, is_learned in zip(found["ids"], found["learned"]) if is_learned]
    assert peer.decode(learned, skip_special_tokens=False) == "banana\tsplit<|im_end|>"


def test_a_template_that_does_not_tell_answers_says_so(tokenizer: Path, tmp_path: Path) -> None:
    folder = with_template(
        tokenizer, tmp_path / "model", "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}")
    assert ask(folder, tmp_path / "c.json", CONVERSATIONS[1]).json["learned"] is None


@pytest.mark.parametrize("template", [
    "{{ 'a' * 10**9 }}", "{% for i in range(10**9) %}{% endfor %}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "{{" + "(" * 10**6,
    "{{ " + "1 + " * 10**5 + "1 }}", "{{ " + "not " * 10**5 + "1 }}", "{% if x %}" * 10**5, "{{ 'a'.join(range(10)) }}",
    "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", "{{ x" + "|upper" * 10**5,
    "{{ ([0] * 99999) * 99999 }}", "{{ ' ' | indent(10**9) }}", "{{ '' | indent('x' * 10**9) }}", "{{ 9**99 }}", "{{ 1 // 0 }}",
    "{% for i in range(99999) %}{{ messages | tojson(indent=99999) }}{% endfor %}", "{{ 'x'[::0] }}", "{{ ''.__class__ }}{{ ''.x.y }}",
    "{{ 'a'.replace('', 'b' * 10**7) * 10**7 }}", "{{ [].append(1) }}", "{% include 'a' %}", "\x00{{", "{% endfor %}", "{{ 'abc",
])
def test_hostile_templates_end_with_an_error(tokenizer: Path, tmp_path: Path, template: str) -> None:
    folder = with_template(tokenizer, tmp_path / "model", template)
    (tmp_path / "c.json").write_text(json.dumps({"messages": CONVERSATIONS[0]}))
    result = mayfly("tokenize", folder, "--file", tmp_path / "c.json", "--chat", code=65, timeout=60)
    assert "chat template" in result.err and "line" in result.err
