"""Write a verified history for other programs; each format states up to which block it is complete."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from steelyard.audit.history import HistoryEvent, history
from steelyard.audit.verify import Verified
from steelyard.errors import InputError

FORMAT: Final = "steelyard/history/v1"

# Events whose id comes into being with them; all others use it.
_CREATES: Final = frozenset({"VersionPublished", "Offered", "Purchased", "KeyRequested"})
# What an id is, where an event calls it by the part it plays: a purchase becomes a licence under the same id.
_KINDS: Final = {"purchase": "licence", "payee": "node", "source": "node"}
_COLUMNS: Final = (
    *("entry", "block", "time", "contract", "build", "event", "subject", "id_name", "id", "actor", "fields"),
    *("tx", "tx_proved"),
)


def to_csv(verified: Verified) -> str:
    """Return RFC 4180 text: column names, the statement as event ``Complete``, then a row for each entry.

    Times are ISO 8601 in UTC, ``fields`` is a JSON object. A cell that a spreadsheet would calculate starts
    with an apostrophe.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    head = {
        "block": verified.block.number,
        "time": _iso(verified.block.timestamp),
        "contract": _hex(verified.directory.address),
        "build": verified.directory.build.name,
        "event": "Complete",
        "subject": _hex(verified.asset),
        "id_name": "block",
        "id": _hex(verified.block.hash),
        "fields": _json({"chainId": verified.chain_id, "statement": verified.statement}),
    }
    rows: list[Mapping[str, object]] = [
        head,
        *(_row(event) | {"fields": _json(event.fields)} for event in history(verified)),
    ]
    for row in rows:
        writer.writerow([_cell(row.get(column, "")) for column in _COLUMNS])
    return text.getvalue()


def to_jsonl(verified: Verified) -> str:
    """Return JSON Lines: the statement, then one object an entry. Integers in ``fields`` are strings."""
    head = {"format": FORMAT, "complete": _statement(verified)}
    return "".join(_json(item) + "\n" for item in (head, *(_row(event) for event in history(verified))))


def to_prov(verified: Verified) -> str:
    """Return W3C PROV-JSON: entries are activities, accounts agents, the rest entities."""
    asset = _name("asset", verified.asset)
    entities: dict[str, object] = {
        asset: {"prov:type": "steelyard:asset"},
        "steelyard:history": {"prov:type": "steelyard:History"}
        | {f"steelyard:{key}": value for key, value in _statement(verified).items()},
    }
    document: dict[str, dict[str, object]] = {
        "prefix": {"steelyard": "urn:steelyard:", "xsd": "http://www.w3.org/2001/XMLSchema#"},
        "entity": entities,
        "agent": {},
        "activity": {},
        **{name: {} for name in ("wasAssociatedWith", "used", "wasGeneratedBy", "specializationOf")},
    }
    for node in verified.nodes:
        entities[_name("node", node)] = {"prov:type": "steelyard:node"}
    for event in history(verified):
        _add(document, event, verified)
    return json.dumps(document, sort_keys=True, indent=1) + "\n"


FORMATS: Final[Mapping[str, Callable[[Verified], str]]] = {"csv": to_csv, "jsonl": to_jsonl, "prov": to_prov}


def export(verified: Verified, *, format: str) -> str:
    """Return a verified history in a format: ``csv``, ``jsonl`` or ``prov``.

    Raises:
        InputError: there is no such format.
    """
    if format not in FORMATS:
        raise InputError(f"there is no export format {format!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[format](verified)


def _statement(verified: Verified) -> dict[str, object]:
    return {
        "chainId": verified.chain_id,
        "directory": _hex(verified.directory.address),
        "asset": _hex(verified.asset),
        "block": verified.block.number,
        "blockHash": _hex(verified.block.hash),
        "time": _iso(verified.block.timestamp),
        "statement": verified.statement,
    }


def _row(event: HistoryEvent) -> dict[str, object]:
    return {
        "entry": event.index,
        "block": event.block,
        "time": _iso(event.time),
        "contract": _hex(event.contract),
        "build": event.build,
        "event": event.name,
        "subject": _hex(event.subject),
        "id_name": event.id_name,
        "id": _hex(event.id),
        "actor": _hex(event.actor),
        "fields": event.fields,
        "tx": _hex(event.tx),
        "tx_proved": event.tx_proved,
    }


def _add(document: Mapping[str, dict[str, object]], event: HistoryEvent, verified: Verified) -> None:
    """Add one entry to a PROV document."""
    key = str(event.index)
    activity, agent = f"steelyard:entry-{key}", _name("account", event.actor)
    facts = {
        "event": event.name,
        "block": event.block,
        "contract": _hex(event.contract),
        "tx": _hex(event.tx),
    }
    if not any(event.id[:12]):
        facts[event.id_name] = _name("account", event.id[12:])
    document["agent"].setdefault(agent, {"prov:type": "steelyard:Account"})
    document["activity"][activity] = (
        {
            "prov:startTime": _iso(event.time),
            "prov:endTime": _iso(event.time),
            "prov:type": f"steelyard:{event.name}",
        }
        | {f"steelyard:{name}": value for name, value in facts.items()}
        | {"steelyard:fields": _json(event.fields)}
    )
    document["wasAssociatedWith"][f"_:a{key}"] = {"prov:activity": activity, "prov:agent": agent}
    asset = _name("asset", verified.asset)
    subject = asset if event.subject == verified.asset else _name("node", event.subject)
    if event.name == "AssetRegistered":
        document["wasGeneratedBy"][f"_:s{key}"] = {"prov:entity": asset, "prov:activity": activity}
        return
    document["used"][f"_:s{key}"] = {"prov:activity": activity, "prov:entity": subject}
    if not any(event.id[:12]):
        return  # an account is no entity; it stands among the activity's facts
    kind = _KINDS.get(event.id_name, event.id_name)
    thing = _name(kind, event.id)
    document["entity"].setdefault(thing, {"prov:type": f"steelyard:{kind}"})
    relation = "wasGeneratedBy" if event.name in _CREATES else "used"
    document[relation][f"_:i{key}"] = {"prov:activity": activity, "prov:entity": thing}
    if event.name == "VersionPublished":
        document["specializationOf"][f"_:v{key}"] = {
            "prov:specificEntity": thing,
            "prov:generalEntity": asset,
        }


def _cell(value: object) -> str:
    text = str(value)
    # OWASP, "CSV injection": these start a formula.
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def _name(kind: str, data: bytes) -> str:
    return f"steelyard:{kind}-{data.hex()}"


def _iso(time: int) -> str:
    """Return Unix seconds as ISO 8601 in UTC; a chain may claim times that no calendar has."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"unix:{time}"


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
