"""Chat templates: which are code, and where they are looked for."""

from __future__ import annotations

import json

import pytest

from steelyard.formats.inspect import look
from steelyard.formats.report import FormatReport
from steelyard.formats.templates import why
from steelyard.formats.window import Memory, Window

HONEST = """{%- set ns = namespace(system='', __first=true) -%}{%- for message in messages -%}
{%- if message['role'] == 'user' and (loop.index0 % 2) -%}{{ raise_exception('Roles!') }}{%- endif -%}
<|im_start|>{{ message.role | upper }} <__media__> {{ message['content'] | trim | tojson }}{{ '\\u200b' }}<|im_end|>
{%- endfor -%}{%- if tools is defined -%}{{ tools | map(attribute='name') | join(', ') }}{%- endif -%}
{{ strftime_now('%d %b %Y') }}{# attr #}"""
BAD = "{{ ().__class__ }}"


def found(name: str, data: str) -> FormatReport:
    raw = data.encode()
    return look(Window(Memory(raw), len(raw)), name)


def test_an_honest_template_is_no_code() -> None:
    assert why(HONEST) is None
    assert found("chat_template.jinja", HONEST).declared == "jinja"
    assert found("tokenizer_config.json", json.dumps({"chat_template": HONEST})).declared == "json"


@pytest.mark.parametrize(
    "way",
    [
        "{{ cycler.__init__.__globals__.os }}",
        "{{ x['__import__'] }}",
        "{{ x |attr(y) }}",
        "{{ x|  attr (y) }}",
        "{{ x['\\137'] }}",
        "{{ x['\\x5F'] }}",
        "{{ x['\\N{LOW LINE}'] }}",
        "{{ self._TemplateReference__context }}",
    ],
)
def test_a_way_out_is_code(way: str) -> None:
    assert "chat template" in (why(HONEST + way) or "")


def test_where_templates_are_looked_for() -> None:
    assert found("a.jinja", BAD).declared == "jinja+code"
    assert found("a.json", json.dumps({"chat_template": BAD})).declared == "json+code"
    assert (
        found("a.json", json.dumps({"chat_template": [{"name": "x", "template": BAD}]})).declared
        == "json+code"
    )
    assert found("a.json", json.dumps({"chat_template": {"x": BAD}, "other": [BAD]})).declared == "json"
    assert found("tokenizer.json", json.dumps({"model": {"vocab": {"__class__": 1}}})).declared == "json"
    assert found("a.txt", BAD).declared == "text"


def test_what_is_too_long_to_be_parsed_is_searched() -> None:
    filler = ["a"] * 300_000
    assert found("a.json", json.dumps({"x": filler, "chat_template": BAD})).declared == "json+code"
    assert found("a.json", json.dumps({"x": filler, "chat_template": HONEST})).declared == "json"
    assert found("a.json", json.dumps({"x": filler, "y": BAD})).declared == "json"
    assert found("a.jinja", HONEST + " " * (4 << 20)).declared == "jinja+code"


@pytest.mark.parametrize(
    "name", ["config.json", "a/Config.json", "tokenizer_config.json", "chat_template.json"]
)
def test_what_a_loader_reads_is_not_hidden_by_its_size(name: str) -> None:
    for text in (json.dumps(["a"] * 300_000), "{}" + " " * (4 << 20), "{}" + " " * (17 << 20)):
        assert found(name, text).declared == "json+code"
        assert found("x" + name.replace("/", ""), text).declared == "json"
    assert found(name, json.dumps(["a"] * 200_000)).declared == "json"
