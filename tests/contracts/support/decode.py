"""Events and custom errors, decoded by the package's own ABI decoder into exact values.

brownie shows an error as ``Name: a, b`` and finds it by tracing the transaction, which a dispute of two million gas does not
survive. Here the revert data itself is compared.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import brownie
from steelyard.domain.abi import decode, encode, selector, topic

from .rpc import rpc

Fields = dict[str, Any]

_PANIC = selector("Panic(uint256)")
_ERROR = selector("Error(string)")


def kind(item: dict[str, Any]) -> str:
    """Return the ABI type of a parameter, tuples written out."""
    name = str(item["type"])
    if name.startswith("tuple"):
        return f"({','.join(kind(part) for part in item['components'])}){name[5:]}"
    return name


def plain(value: Any) -> Any:
    """Return a test's value as the decoder would give it: accounts and hex texts as bytes, lists as tuples."""
    if hasattr(value, "address"):
        value = value.address
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[bytes, Any], dict[bytes, Any]]:
    events: dict[bytes, Any] = {}
    errors: dict[bytes, Any] = {}
    for build in brownie.project.get_loaded_projects()[0]._build.items():
        for item in build[1]["abi"]:
            if item["type"] in ("event", "error"):
                signature = f"{item['name']}({','.join(kind(part) for part in item['inputs'])})"
                if item["type"] == "event":
                    # ERC-20 and ERC-721 share signatures and differ in what is indexed.
                    indexed = sum(part["indexed"] for part in item["inputs"])
                    events[topic(signature) + bytes([indexed])] = item
                else:
                    errors[selector(signature)] = item
    return events, errors


def event_of(log: dict[str, Any]) -> tuple[str, Fields]:
    """Return name and fields of a raw log; indexed fields are decoded like the others."""
    topics = [_bytes(part) for part in log["topics"]]
    item = _tables()[0][topics[0] + bytes([len(topics) - 1])]
    types = [kind(part) for part in item["inputs"] if not part["indexed"]]
    values = decode(types, _bytes(log["data"]))
    # An entry of a trail is what was hashed: not a byte may follow the fields.
    assert encode(types, values) == _bytes(log["data"])
    data = iter(values)
    words = iter(topics[1:])
    return str(item["name"]), {
        part["name"]: decode([kind(part)], next(words))[0] if part["indexed"] else next(data)
        for part in item["inputs"]
    }


def events(tx: Any) -> list[tuple[str, Fields]]:
    """Return all events of a transaction in order: (name, fields)."""
    return [event_of(log) for log in tx.logs]


def event(event_name: str, /, **fields: Any) -> tuple[str, Fields]:
    """Return an event as :func:`events` would, to compare with."""
    return event_name, {key.rstrip("_"): plain(value) for key, value in fields.items()}


def one(tx: Any, event_name: str) -> Fields:
    """Return the fields of the only event of this name in a transaction."""
    (found,) = [fields for name, fields in events(tx) if name == event_name]
    return found


def outcome(method: Any, *args: Any, sender: object, value: int = 0) -> tuple[str, tuple[Any, ...]] | None:
    """Call without sending: None if it would pass, else name and fields of the custom error.

    ``method`` is brownie's, or a pair of contract and function name.
    """
    call = {
        "from": str(sender),
        "to": method._address,
        "value": hex(value),
        "data": method.encode_input(*args),
    }
    return attempt(call)


def attempt(call: dict[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
    """Do a raw call at the newest block: None if it would pass, else name and fields of the error."""
    answer = brownie.web3.provider.make_request("eth_call", [{"gas": hex(30_000_000), **call}, "latest"])
    if "error" not in answer:
        return None
    data = answer["error"].get("data")
    assert isinstance(data, str), answer["error"]
    return error_of(_bytes(data))


def error_of(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return name and fields of revert data; empty data has the name ''."""
    if not data:
        return "", ()
    if data[:4] == _PANIC:
        return "Panic", decode(["uint256"], data[4:])
    if data[:4] == _ERROR:
        return "Error", decode(["string"], data[4:])
    item = _tables()[1][data[:4]]
    types = [kind(part) for part in item["inputs"]]
    values = decode(types, data[4:])
    assert encode(types, values) == data[4:]
    return str(item["name"]), values


def rejects(error: str, *fields: Any) -> Any:
    """Return a function that calls a method and asserts that it reverts with exactly this error.

    ``rejects("Offers_NotOpen", offer)(market.buy, order, [], sender=buyer)``
    """

    def run(method: Any, *args: Any, sender: object, value: int = 0) -> None:
        assert outcome(method, *args, sender=sender, value=value) == (error, plain(fields))

    return run


def raw_logs(*addresses: object) -> list[dict[str, Any]]:
    """Return all logs of some contracts from the first block on."""
    return list(rpc("eth_getLogs", {"fromBlock": "0x0", "address": [str(a) for a in addresses]}))


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)
