"""An export with proofs: whatever is edited in it is found, and the first false record is named."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any

import pytest

from steelyard.audit.compare import compare, format_of
from steelyard.audit.export import export
from steelyard.audit.verify import Verified, verify
from steelyard.errors import InputError, TrailError
from tests.unit.audit.cases import honest

FORMATS = ("csv", "jsonl", "prov")


@pytest.fixture(scope="module")
def verified() -> Verified:
    _, data, anchors = honest()
    return verify(data, anchors=anchors)


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_an_export_is_what_its_bundle_says(verified: Verified, form: str) -> None:
    data = export(verified, format=form).encode()
    assert format_of(data) == form
    assert compare(data, verified) > len(verified.entries)


def test_a_file_that_a_spreadsheet_wrote_again(verified: Verified) -> None:
    rows = list(csv.reader(io.StringIO(export(verified, format="csv"), newline="")))
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    assert compare(b"\xef\xbb\xbf" + text.getvalue().encode(), verified) == len(verified.entries) + 1


@pytest.mark.parametrize("seed", range(12))
def test_an_edited_cell_is_named(verified: Verified, seed: int) -> None:
    dice = random.Random(seed)
    rows = list(csv.reader(io.StringIO(export(verified, format="csv"), newline="")))
    row, column = dice.randrange(1, len(rows)), dice.randrange(len(rows[0]))
    rows[row][column] += "1"
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    with pytest.raises(TrailError, match=rf"record {row} of the export is false.*'{rows[0][column]}'"):
        compare(text.getvalue().encode(), verified)


def lines(verified: Verified) -> list[str]:
    return export(verified, format="jsonl").splitlines(keepends=True)


def test_an_edited_line_is_named(verified: Verified) -> None:
    text = lines(verified)
    item = json.loads(text[3])
    item["actor"] = "0x" + "00" * 20
    text[3] = json.dumps(item) + "\n"
    wanted = (
        rf"record 4 of the export is false \(entry 2, {item['event']} in block {item['block']}\): 'actor'"
    )
    with pytest.raises(TrailError, match=wanted):
        compare("".join(text).encode(), verified)


@pytest.mark.parametrize("key", ["block", "blockHash", "statement"])
def test_an_edited_statement_is_named(verified: Verified, key: str) -> None:
    text = lines(verified)
    item = json.loads(text[0])
    item["complete"][key] = 1
    text[0] = json.dumps(item, sort_keys=True, separators=(",", ":")) + "\n"
    with pytest.raises(TrailError, match="record 1 of the export is false .the statement of completeness"):
        compare("".join(text).encode(), verified)


def test_what_is_missing_added_or_moved(verified: Verified) -> None:
    text = lines(verified)
    count = len(text)
    with pytest.raises(TrailError, match=f"record {count} of the export is missing"):
        compare("".join(text[:-1]).encode(), verified)
    with pytest.raises(TrailError, match=f"record {count + 1} of the export is not in the bundle"):
        compare("".join([*text, text[-1]]).encode(), verified)
    with pytest.raises(TrailError, match="record 3 of the export is false"):
        compare("".join([*text[:2], text[3], text[2], *text[4:]]).encode(), verified)
    with pytest.raises(TrailError, match="record 2 of the export is false"):
        compare("".join([text[0], *text[2:]]).encode(), verified)


def test_every_change_of_a_prov_document_is_found(verified: Verified) -> None:
    dice = random.Random(5)
    document = json.loads(export(verified, format="prov"))
    for _ in range(25):
        changed: Any = json.loads(json.dumps(document))
        section = dice.choice([name for name in changed if changed[name]])
        key = dice.choice(list(changed[section]))
        if dice.random() < 0.5:
            del changed[section][key]
        else:
            changed[section][key] = {"prov:type": "else"}
        with pytest.raises(TrailError, match="of the export"):
            compare(json.dumps(changed, indent=1).encode(), verified)


def test_a_key_that_stands_twice_is_refused(verified: Verified) -> None:
    text = lines(verified)
    text[2] = text[2].replace("{", '{"actor":"0x00",', 1)
    with pytest.raises(TrailError, match="record 3"):
        compare("".join(text).encode(), verified)
    rows = export(verified, format="csv").splitlines(keepends=True)
    rows[0] = rows[0].replace("actor", "block")
    with pytest.raises(TrailError, match="two names"):
        compare("".join(rows).encode(), verified)


@pytest.mark.parametrize("data", [b"", b"{}", b"a,b\n", b'{"format":"steelyard/list/v1"}\n', b"\xff\xfe"])
def test_other_files_are_no_exports(verified: Verified, data: bytes) -> None:
    assert format_of(data) is None
    with pytest.raises(InputError):
        compare(data, verified)


def test_spoilt_files(verified: Verified) -> None:
    text = lines(verified)
    for spoilt in ("{", "[]\n", "\n", "[" * 100_000 + "\n"):
        with pytest.raises(TrailError, match="record 2"):
            compare("".join([text[0], spoilt, *text[2:]]).encode(), verified)
    with pytest.raises(TrailError, match="UTF-8"):
        compare(text[0].encode() + b"\xff\n", verified)
    with pytest.raises(TrailError, match="cells"):
        compare(export(verified, format="csv").replace("AssetRegistered", "a,b", 1).encode(), verified)
