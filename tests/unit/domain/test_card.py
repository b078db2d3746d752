from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.card import MAX_CARD, Metric, completed, parse, plain_card, read, split
from steelyard.errors import ManifestError

FULL = """---
license: Apache-2.0
pipeline_tag: image-classification
library_name: onnx
tags:
- Vision
- mnist
- vision
datasets: mnist
base_model: [alice/base]
language: no
model-index:
- name: digits
  results:
  - task: {type: image-classification}
    dataset: {name: MNIST, type: mnist}
    metrics:
    - {type: Accuracy, value: 0.9810}
    - {name: loss, value: 1e-3}
---
# A heading

Text.
"""


def front(text: str) -> bytes:
    return f"---\n{text}\n---\nbody\n".encode()


def test_a_whole_card() -> None:
    card = parse(FULL.encode())
    assert (card.title, card.task, card.framework, card.licence) == (
        "digits",
        "image-classification",
        "onnx",
        "apache-2.0",
    )
    assert (card.tags, card.datasets, card.bases) == (("vision", "mnist"), ("mnist",), ("alice/base",))
    assert card.metrics == (
        Metric(name="accuracy", value="0.9810", dataset="MNIST"),
        Metric(name="loss", value="1e-3", dataset="MNIST"),
    )
    assert card.text == "# A heading\n\nText.\n"


def test_scalars_are_text_as_written() -> None:
    card = parse(front("license: no\ntags: [1.10, yes, 0x10, 2026-01-01]"))
    assert card.licence == "no" and card.tags == ("1.10", "yes", "0x10", "2026-01-01")


def test_a_card_without_front_matter() -> None:
    card = parse(b"# The title\n\nText")
    assert card.title == "The title" and card.text.startswith("# The title") and card.tags == ()
    assert parse(b"").text == "" and parse(b"---x\n").text == "---x\n"


def test_empty_values_are_none() -> None:
    card = parse(front("license:\ntags: ~\npipeline_tag: null\ntitle: ''"))
    assert (card.licence, card.tags, card.task, card.title) == (None, (), None, None)


def test_other_line_ends_and_marks() -> None:
    assert parse(b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\nx").licence == "mit"
    assert parse(front("license: mit").replace(b"\n---\nbody", b"\n...\nbody")).licence == "mit"


def test_fallbacks() -> None:
    assert parse(front("pretty_name: Corpus\ntask_categories: [text-generation, x]")).title == "Corpus"
    assert parse(front("task_categories: [text-generation, x]")).task == "text-generation"


def test_control_characters_and_length() -> None:
    card = parse(front('title: "a\\e[31m\\u202eb\\0\\uD800c"'))
    assert card.title == "a[31mbc"
    assert len(parse(front("title: " + "x" * 5000)).title or "") == 200
    assert "\0" not in parse(b"a\0b").text and "\0" not in plain_card(b"a\0b").text


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]"


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &x 1",
        "a: *x",
        "<<: *x",
        "a: !!python/object/apply:os.system [x]",
        "a: !!binary aGk=",
        "a: !local x",
        "[" * 5000,
        "[" * 20 + "]" * 20,
        "{a: " * 20 + "1" + "}" * 20,
        "- a\n- b",
        "just text",
        "a: 1\na: 2",
        "x: {b: 1, b: 2}",
        "? [a]\n: 1",
        "? {a: 1}\n: 1",
        "a: [",
        'a: "\\x',
        "a: \x01",
        "a: \x00\n\tb",
        "a: [" + ",".join("x" for _ in range(60_001)) + "]",
    ],
)
def test_hostile_front_matter_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        parse(front(text))


@pytest.mark.parametrize(
    "text", ["a: 1\n--- {b: 2}", "%YAML 1.1\n--- {a: 1}", "%TAG ! tag:x,2000:\n--- {a: 1}"]
)
def test_a_front_matter_is_one_document_without_directives(text: str) -> None:
    with pytest.raises(ManifestError, match="one YAML document without directives"):
        parse(front(text))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("title: [a]", "title"), ("title: {a: b}", "title"), ("tags: {a: b}", "tags"), ("tags: [[a]]", "tags"), ("tags: [{a: b}, mit]", "tags"),
        ("license_name: {a: b}", "license_name"), ("model-index: x", "model-index"), ("model-index: [x]", "model-index"),
        ("model-index: [{results: [{metrics: [x]}]}]", "model-index"), ("model-index: {name: x}", "model-index"),
        ("model-index: [{results: [{metrics: [{type: a, value: [1]}]}]}]", "model-index"),
        ("tags: [" + ",".join(f"t{i}" for i in range(101)) + "]", "tags"), ("language: [" + ",".join(f"t{i}" for i in range(2001)) + "]", "language"),
    ],
)  # fmt: skip
def test_a_field_that_is_not_read_costs_no_other(text: str, field: str) -> None:
    card, wrong = read(front(f"{text}\nlicense: mit\npipeline_tag: [x]\nlibrary_name: onnx"))
    assert (card.licence, card.framework, card.task) == ("mit", "onnx", None)
    assert {name for name, _ in wrong} == {field, "pipeline_tag"}
    assert parse(front(text)) == read(front(text))[0]


def test_lists_as_the_hub_has_them() -> None:
    metrics = ", ".join(f"{{type: m{number}, value: {number}}}" for number in range(3000))
    languages = ", ".join(f"a{number}" for number in range(300))
    card, wrong = read(front(
        f"datasets:\n- null\n- mnist\n-\ntask_categories: [a, B, a]\nlanguage: [{languages}]\nmodel-index: [{{results: [{{metrics: [{metrics}]}}]}}]"
    ))  # fmt: skip
    assert not wrong and card.datasets == ("mnist",) and card.tasks == ("a", "b") and card.task == "a"
    assert len(card.languages) == 300 and len(card.metrics) == 100 and card.metrics[99].name == "m99"


@pytest.mark.parametrize("before", ["\n", "\r\n\n", "  \n", "\ufeff\n"])
def test_what_stands_before_a_front_matter(before: str) -> None:
    text = f"{before}---\nlicense: mit\n---\n# T\n"
    card = parse(text.encode())
    assert card.licence == "mit" and card.title == "T"
    if before != "\ufeff\n":
        assert completed(text, library="onnx") == f"{before}---\nlicense: mit\nlibrary_name: onnx\n---\n# T\n"
    for odd in ("---\n---\nlicense: mit\n---\n", "\n---\n---\n", "---x\n"):
        assert completed(odd, library="onnx") == odd


def test_titles() -> None:
    fenced = "```\n# pip install\n```\n~~~sh\n# no\n```\n# no\n~~~\n# Yes\n"
    assert parse(fenced.encode()).title == "Yes"
    assert parse("# نمی\u200cخواهم \u200d👨\u200d👩\u200c\n".encode()).title == "نمی\u200cخواهم 👨\u200d👩"
    assert parse(f"# {'a' * 199}\u200db\n".encode()).title == "a" * 199
    link = "https://example.org/" + "x" * 1500
    assert parse(front(f"license_link: {link}")).licence_link == link


def test_a_front_matter_that_does_not_end() -> None:
    with pytest.raises(ManifestError):
        parse(b"---\nlicense: mit\n")
    with pytest.raises(ManifestError):
        split("---\n" + "a\n" * 10)


def test_a_card_that_is_too_large() -> None:
    assert len(parse(b"x" * MAX_CARD).text) == MAX_CARD
    with pytest.raises(ManifestError):
        parse(b"x" * (MAX_CARD + 1))


@given(st.binary(max_size=400))
def test_nothing_but_a_card_or_a_refusal(data: bytes) -> None:
    for card in (data, b"---\n" + data + b"\n---\nx"):
        try:
            parse(card)
        except ManifestError:
            pass


@given(st.text(alphabet="-:[]{}&*!|>'\"%@`#?,\n a1\t\\x", max_size=200))
def test_nothing_but_a_card_or_a_refusal_of_marks(text: str) -> None:
    try:
        parse(front(text))
    except ManifestError:
        pass


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("---\nlicense: mit\n---\n# A\n", "---\nlicense: mit\nlibrary_name: onnx\n---\n# A\n"),
        ("---\r\ntags:\r\n- a\r\n---\r\n# A", "---\r\ntags:\r\n- a\r\nlibrary_name: onnx\r\n---\r\n# A"),
        ("# A\n\nText.\n", "---\nlibrary_name: onnx\n---\n# A\n\nText.\n"),
        ("", "---\nlibrary_name: onnx\n---\n"),
    ],
)
def test_a_missing_library_is_added(given: str, made: str) -> None:
    assert completed(given, library="onnx") == made


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        "---\nlibrary_name: keras\n---\n# A\n",
        "---\nlibrary_name:\n---\n# A\n",
        "---\n{license: mit}\n---\n# A\n",
        "---\n  license: mit\n---\n# A\n",
        "---\nlicense: [mit\n---\n# A\n",
        "---\nnever ends\n",
        "# A\n" + "x" * MAX_CARD,
    ],
)
def test_what_a_card_says_of_a_library_stays_and_a_card_of_another_form_too(text: str) -> None:
    assert completed(text, library="onnx") == text


@given(st.text() | st.builds("---\n{}\n---\n{}".format, st.text("abc: -#|>\n\u2028\x0b"), st.text()))
def test_adding_a_library_changes_nothing_else(text: str) -> None:
    made = completed(text, library="onnx")
    assert made == text or parse(made.encode()) == replace(parse(text.encode()), framework="onnx")
