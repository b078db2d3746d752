"""An export beside its bundle: whether each record is what the verified history says, and which one is not.

An export is a function of a verified history (:mod:`steelyard.audit.export`), so it is made again from the bundle and
compared record by record. What is compared is what the records say, not their bytes: a spreadsheet may have written
the file anew.
"""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from steelyard.audit.export import FORMAT, export
from steelyard.audit.verify import Verified
from steelyard.domain.jsontext import parse_json, unique
from steelyard.errors import InputError, TrailError

BUNDLE_SUFFIX: Final = ".bundle.json"
"""The bundle of ``digits.csv`` is ``digits.csv.bundle.json``."""
_CSV_START: Final = "entry,block,time,"
_FIELD: Final = 1 << 20


def format_of(data: bytes) -> str | None:
    """Return which export a file is: ``csv``, ``jsonl`` or ``prov``; None for anything else, such as a bundle."""
    head = data[:4096].decode("utf-8-sig", "replace").lstrip()
    if head.replace('"', "").startswith(_CSV_START):
        return "csv"
    first = head.partition("\n")[0]
    if f'"format":"{FORMAT}"' in first and '"complete"' in first:
        return "jsonl"
    return "prov" if '"prefix"' in data.decode("utf-8", "replace") and '"activity"' in head else None


def compare(data: bytes, verified: Verified) -> int:
    """Return how many records an export has, all of them as the verified history has them.

    Args:
        data: the file.
        verified: the history that its bundle was verified to.

    Raises:
        InputError: it is no export.
        TrailError: a record is altered, missing, added or in another place; the message names the first.
    """
    form = format_of(data)
    if form is None:
        raise InputError("that is no export of a history: csv, jsonl or prov")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise TrailError(f"the export is not in UTF-8 from byte {exc.start} on") from exc
    read = {"csv": _csv_records, "jsonl": _jsonl_records, "prov": _prov_records}[form]
    given, true = read(text), read(export(verified, format=form))
    for number, (ours, theirs) in enumerate(zip(true, given, strict=False), start=1):
        _same(number, ours, theirs)
    if len(given) < len(true):
        raise TrailError(f"record {len(given) + 1} of the export is missing: {_name(true[len(given)])}")
    if len(given) > len(true):
        raise TrailError(
            f"record {len(true) + 1} of the export is not in the bundle: {_name(given[len(true)])}"
        )
    return len(true)


def _same(number: int, true: dict[str, Any], given: dict[str, Any]) -> None:
    if true == given:
        return
    for key in sorted(true.keys() | given.keys()):
        if key not in given or key not in true or true[key] != given[key]:
            says, is_ = given.get(key, "nothing"), true.get(key, "nothing")
            raise TrailError(
                f"record {number} of the export is false ({_name(true)}): {key!r} is {_cut(says)}, and the bundle says {_cut(is_)}"
            )


def _csv_records(text: str) -> list[dict[str, Any]]:
    csv.field_size_limit(_FIELD)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as exc:
        raise TrailError(f"the export is no CSV: {exc}") from exc
    head = rows[0]
    if len(set(head)) != len(head):
        raise TrailError("record 1 of the export is false: a column has two names")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(head):
            raise TrailError(
                f"record {number} of the export is false: it has {len(row)} cells, not {len(head)}"
            )
    return [dict(zip(head, row, strict=True)) for row in rows[1:]]


def _jsonl_records(text: str) -> list[dict[str, Any]]:
    return [_object(line, number) for number, line in enumerate(text.splitlines(), start=1)]


def _prov_records(text: str) -> list[dict[str, Any]]:
    """Return activities, then all else, each as a record of its own."""
    document = _object(text, 1)
    found: list[tuple[tuple[int, int, str, str], dict[str, Any]]] = []
    for section, items in document.items():
        if not isinstance(items, dict):
            raise TrailError(f"the section {section!r} of the export is no object")
        for key, item in items.items():
            digits = key.rpartition("-")[2] if section == "activity" else ""
            place = (
                0 if section == "activity" else 1,
                int(digits) if digits.isdecimal() and len(digits) < 16 else 0,
            )
            # Sorted by what it is: an altered key shows as a record that is missing or added.
            found.append(((*place, section, key), {"section": section, "key": key, "value": item}))
    return [record for _, record in sorted(found, key=lambda pair: pair[0])]


def _object(text: str, number: int) -> dict[str, Any]:
    try:
        value = parse_json(text.encode(), object_pairs_hook=unique)
    except ValueError as exc:
        raise TrailError(f"record {number} of the export is no JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise TrailError(f"record {number} of the export is no object")
    return value


def _name(record: dict[str, Any]) -> str:
    """Return what people would look for: entry, event and block, as far as the record has them."""
    if "key" in record:
        return f"{record['section']} {record['key']}"
    if "entry" not in record or record["entry"] == "":
        return "the statement of completeness"
    return f"entry {record['entry']}, {record.get('event', '?')} in block {record.get('block', '?')}"


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
