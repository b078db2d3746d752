from __future__ import annotations

import pytest

from steelyard.domain.cardcheck import check
from steelyard.domain.licences import is_known
from steelyard.domain.passive import check_passive
from steelyard.domain.types import AssetKind
from steelyard.errors import ManifestError

GOOD = """---
license: apache-2.0
pipeline_tag: text-generation
library_name: gguf
language: [en, zh-hans, code]
datasets: [owner/data]
base_model: owner/base
model-index:
- name: x
  results:
  - dataset: {name: D, type: d}
    metrics:
    - {type: acc, value: 97.5%}
---
# Title
"""


def findings(text: str | bytes, kind: AssetKind = AssetKind.MODEL) -> list[tuple[bool, str]]:
    data = text if isinstance(text, bytes) else text.encode()
    return [(item.wrong, item.field) for item in check(data, kind=kind)[1]]


def test_a_good_card_has_no_findings() -> None:
    card, found = check(GOOD.encode())
    assert card is not None and card.languages == ("en", "zh-hans", "code") and found == ()


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("apache-2.0", "apache-9", (True, "license")),
        ("apache-2.0", "mit AND", (True, "license")),
        ("license: apache-2.0\n", "", (False, "license")),
        ("apache-2.0", "other", (False, "license")),
        ("text-generation", "make-money", (False, "pipeline_tag")),
        ("pipeline_tag: text-generation\n", "", (False, "pipeline_tag")),
        ("library_name: gguf\n", "", (False, "library_name")),
        ("owner/data", "../data", (True, "datasets")),
        ("owner/base", "https://x/y", (True, "base_model")),
        ("zh-hans", "chinese!", (True, "language")),
        ("97.5%", "good", (False, "model-index")),
        ("dataset: {name: D, type: d}", "task: {type: x}", (False, "model-index")),
        ("# Title", "Title", None),
        ("# Title", "# T <script>x</script>", (True, "card")),
    ],
)
def test_findings(old: str, new: str, finding: tuple[bool, str] | None) -> None:
    assert findings(GOOD.replace(old, new)) == ([] if finding is None else [finding])


def test_cards_that_cannot_be_read() -> None:
    assert findings("---\na: &x [*x]\n---\n") == [(True, "card")]
    assert findings(b"\xff") == [(True, "card")]
    assert (False, "card") in findings("text alone")


def test_datasets_have_tasks_of_their_own() -> None:
    text = "---\nlicense: cc0-1.0\ntask_categories: [text-generation]\npretty_name: D\n---\n"
    assert findings(text, AssetKind.DATASET) == []
    assert (False, "task_categories") in findings("---\nlicense: cc0-1.0\n---\n# D\n", AssetKind.DATASET)


@pytest.mark.parametrize(
    "text",
    [
        "MIT",
        "mit OR apache-2.0",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "llama3",
        "OpenRAIL",
        "(mit)",
        "c-uda",
        "BSD",
        "odc-by",
        "openmdw-1.1",
        "LicenseRef-foo",
        "DocumentRef-x:LicenseRef-y",
        "MIT OR llama3",
        "apache-2.0 AND openrail++",
    ],
)
def test_known_licences(text: str) -> None:
    assert is_known(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mine",
        "mit and",
        "(",
        "mit mit",
        "a" * 400,
        "(" * 250,
        "mit\x00",
        "MIT OR nonsense",
        "()",
        "( OR mit",
        "mit OR ()",
        "LicenseRef-",
        "llama3 llama3",
    ],
)
def test_unknown_licences(text: str) -> None:
    assert not is_known(text)


HARMLESS = [
    "plain text, a < b, x > y, and 1 <2",
    "<details><summary>More</summary><img src='a.png' alt='x' width=10></details>",
    "<!-- a comment --> <br/> <table><tr><td>1</td></tr></table>",
    "[link](https://example.org/javascript:) <https://example.org>",
    "`List[int]` and `dict<str, int>` and <|im_start|> and <bos>",
    "online = True; one = 1; common = 2; on = 3; once = 4",
    "data: text, and data:image/png;base64,AAAA",
    "We use javascript: it is a language.",
    "Trained on Python, Java, JavaScript, and Go.",
    "languages: [java, javascript, python] | Java; JavaScript; Go | Java, JavaScript: 12%",
    "[MOCHA: A Dataset](https://example.org)",
    "USER: <image>\\nWhat is it? <video> <audio> <option> <set> <button>",
    "Observer<? super V>",
    "R&D &amp; more &lt;b&gt;",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_cards_pass(text: str) -> None:
    check_passive(text)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<SCRIPT\tsrc=//x>",
        "<svg/onload=alert(1)>",
        "<img src=x onerror=alert(1)>",
        "<img src=x\nOnError = alert(1)>",
        "<a href='javascript:alert(1)'>x</a>",
        "[x](javascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](&amp;#106;avascript&#58;alert(1))",
        "[x]: javascript:alert(1)",
        "<a href=data:text/html;base64,AAAA>",
        "<iframe src=//x>",
        "<scr\u200bipt>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "<!DOCTYPE html>",
        "<![CDATA[x]]>",
        "<?xml version='1.0'?>",
        "a \u202e b",
        "```\n<object data=x>\n```",
    ],
)
def test_active_cards_are_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="the card has"):
        check_passive(text)


@pytest.mark.parametrize("value", ["1", "-0.5", "20.0 ± 1.2", "0.9 (0.1)", "1.5e-3%", "3 +/- 1"])
def test_numbers(value: str) -> None:
    text = f"---\nmodel-index:\n- results:\n  - dataset: {{name: d}}\n    metrics:\n    - {{type: a, value: '{value}'}}\n---\n"
    assert (False, "model-index") not in findings(text)
    assert (False, "model-index") in findings(text.replace(value, f"{value} points"))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("_x", False), ("user_/ds_", False), ("a--b", True), ("a..b/c", True), ("-a", True), ("a/b/c", True)],
)
def test_names_of_datasets(name: str, wrong: bool) -> None:
    assert ((True, "datasets") in findings(f"---\ndatasets: {name}\n---\n")) == wrong


def test_fields_that_cannot_be_read_are_named() -> None:
    assert (True, "title") in findings("---\ntitle: [a]\nlicense: mit\n---\n")
    assert (True, "license") not in findings("---\ntitle: [a]\nlicense: mit\n---\n")
