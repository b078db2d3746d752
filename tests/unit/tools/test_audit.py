"""What `make audit` says about slither's report and docs/slither.md, without running slither."""

from __future__ import annotations

from typing import Any

import pytest

from tools import audit
from tools.audit import AuditError, Finding, answered_in, compare, found_in

CONTRACT = {"type": "contract", "name": "Books", "type_specific_fields": {}}
FUNCTION = {"type": "function", "name": "pay", "type_specific_fields": {"parent": CONTRACT}}


def finding(text: str = "Books.pay() (contracts/Books.sol#3-9) is odd") -> dict[str, Any]:
    return {"check": "odd-thing", "description": text, "elements": [FUNCTION]}


def report(*findings: dict[str, Any]) -> dict[str, Any]:
    return {"success": True, "error": None, "results": {"detectors": list(findings)}}


def document(*found: Finding, count: int | None = None) -> str:
    rows = "".join(f"{item} because | a test |\n" for item in found)
    head = "| mark | detector | where | answer | test |\n|---|---|---|---|---|\n"
    return f"It reports {len(found) if count is None else count} findings.\n\n{head}{rows}\nMore text.\n"


def test_the_document_of_this_checkout_can_be_read() -> None:
    text = audit.DOCUMENT.read_text(encoding="utf-8")
    assert f"{len(answered_in(text))} findings" in text


def test_what_is_answered_is_no_news() -> None:
    found = found_in(report(finding()))
    assert [(item.detector, item.where) for item in found] == [("odd-thing", "Books.pay")]
    assert compare(found, answered_in(document(*found))) == []


def test_a_new_finding_is_named_with_its_row() -> None:
    found = found_in(report(finding(), finding("Books.pay() (contracts/Books.sol#3-9) is worse")))
    first, second = found
    (wrong,) = compare(found, answered_in(document(first)))
    assert wrong.startswith(f"new: {second}") and "is worse" in wrong


def test_an_answer_to_nothing_is_named() -> None:
    (gone,) = found_in(report(finding()))
    assert compare({}, answered_in(document(gone))) == [f"answered, but not found any more: {gone}"]


def test_a_mark_stays_when_lines_move_and_changes_with_the_finding() -> None:
    (before,) = found_in(report(finding()))
    (moved,) = found_in(report(finding("Books.pay() (contracts/Books.sol#103-109) is odd")))
    (other,) = found_in(report(finding("Books.pay() (contracts/Books.sol#3-9) is odder")))
    assert before == moved != other


def test_two_findings_of_one_text_are_two() -> None:
    found = found_in(report(finding(), finding()))
    assert len(found) == 2
    assert len(compare(found, [next(iter(found))])) == 1


def test_a_failed_run_is_not_a_clean_one() -> None:
    with pytest.raises(AuditError, match="failed"):
        found_in({"success": False, "error": "no compiler", "results": {}})


@pytest.mark.parametrize("count", [0, 2])
def test_the_number_in_the_text_is_that_of_the_table(count: int) -> None:
    with pytest.raises(AuditError, match="the table has 1"):
        answered_in(document(Finding("odd-thing", "Books.pay", "0" * 8), count=count))


@pytest.mark.parametrize(
    "row", ["| odd-thing | `Books.pay` | because | a test |", "| `0` | x | `y` | z | t |"]
)
def test_a_row_that_names_no_finding_is_an_error(row: str) -> None:
    text = document(Finding("odd-thing", "Books.pay", "0" * 8)).replace("\n\nMore", f"\n{row}\n\nMore")
    with pytest.raises(AuditError, match="not a row"):
        answered_in(text)


def test_an_answer_twice_is_an_error() -> None:
    item = Finding("odd-thing", "Books.pay", "0" * 8)
    with pytest.raises(AuditError, match="twice"):
        answered_in(document(item, item))


def test_a_document_without_a_table_is_an_error() -> None:
    with pytest.raises(AuditError, match="no table"):
        answered_in("It reports 0 findings.")
