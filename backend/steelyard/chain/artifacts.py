"""The contracts as compiled: ABI, creation code, and deployed code with the places of its immutables.

They lie in the package as ``chain/abi/<Contract>.json``, written by ``tools/abi.py``, and are read when first
asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from steelyard.domain.abi import selector, topic
from steelyard.errors import InputError, NotFoundError, VerificationError

CONTRACTS = ("Treasury", "FraudChecker", "Assets", "Market", "Channels", "Directory")
"""The contracts of a market, in the order of their deployment."""
OPTIONAL = frozenset({"Channels"})
"""Contracts that a market may lack: there is no metered use in one that is older than they are."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A parameter of a function, event or error.

    Attributes:
        name: as in the source.
        kind: ABI type, tuples spelled out: ``(uint256,uint256)``.
        internal: Solidity's own name of the type: ``enum IAssets.Kind``.
        indexed: whether it stands in a topic of an event.
    """

    name: str
    kind: str
    internal: str
    indexed: bool


@dataclass(frozen=True, kw_only=True)
class Item:
    """A function, event or error of a contract.

    Attributes:
        contract: which contract declares or inherits it.
        kind: ``function``, ``event`` or ``error``.
        name: its name.
        inputs: parameters.
        outputs: results of a function.
        mutability: ``view``, ``pure``, ``payable`` or ``nonpayable``; empty for events and errors.
    """

    contract: str
    kind: str
    name: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    mutability: str

    @property
    def signature(self) -> str:
        """``name(type,type)``."""
        return f"{self.name}({','.join(field.kind for field in self.inputs)})"

    @property
    def selector(self) -> bytes:
        """4 bytes, of a function or error."""
        return selector(self.signature)

    @property
    def topic(self) -> bytes:
        """32 bytes, of an event."""
        return topic(self.signature)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A compiled contract.

    Attributes:
        name: of the contract.
        items: functions, events and errors.
        constructor: parameters of the constructor.
        creation: creation code, without arguments.
        code: deployed code, zeros where the immutables go.
        immutables: offsets in ``code`` of each immutable, by name; each place has 32 bytes.
    """

    name: str
    items: tuple[Item, ...]
    constructor: tuple[Field, ...]
    creation: bytes
    code: bytes
    immutables: Mapping[str, tuple[int, ...]]

    def filled(self, values: Mapping[str, bytes]) -> bytes:
        """Return the deployed code with the immutables filled in.

        Args:
            values: 32-byte word by name.

        Raises:
            InputError: a value is missing, unknown or no word.
        """
        if set(values) != set(self.immutables) or any(len(word) != 32 for word in values.values()):
            raise InputError(
                f"{self.name} has the immutables {sorted(self.immutables)}, not {sorted(values)}"
            )
        code = bytearray(self.code)
        for name, places in self.immutables.items():
            for place in places:
                code[place : place + 32] = values[name]
        return bytes(code)


@lru_cache(maxsize=32)
def artifact(name: str) -> Artifact:
    """Return a compiled contract of the package.

    Raises:
        NotFoundError: there is none of that name.
        VerificationError: its file is damaged.
    """
    try:
        text = (files("steelyard.chain") / "abi" / f"{name}.json").read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise NotFoundError(f"this installation has no compiled contract {name}") from exc
    try:
        return _parse(name, json.loads(text))
    except (ValueError, KeyError, TypeError) as exc:
        raise VerificationError(f"the compiled contract {name} of this installation is damaged") from exc


def _parse(name: str, raw: Mapping[str, Any]) -> Artifact:
    references = raw.get("immutableReferences", {})
    for places in references.values():
        if any(place["length"] != 32 for place in places):
            raise ValueError("an immutable that is no word")
    entries = raw["abi"]
    constructor: Sequence[Mapping[str, Any]] = next(
        (entry["inputs"] for entry in entries if entry["type"] == "constructor"), []
    )
    return Artifact(
        name=name,
        items=tuple(
            _item(name, entry) for entry in entries if entry["type"] in ("function", "event", "error")
        ),
        constructor=tuple(_field(field) for field in constructor),
        creation=bytes.fromhex(raw.get("bytecode", "0x")[2:]),
        code=bytes.fromhex(raw.get("deployedBytecode", "0x")[2:]),
        immutables={key: tuple(place["start"] for place in places) for key, places in references.items()},
    )


def _item(contract: str, entry: Mapping[str, Any]) -> Item:
    return Item(
        contract=contract,
        kind=entry["type"],
        name=entry["name"],
        inputs=tuple(_field(field) for field in entry["inputs"]),
        outputs=tuple(_field(field) for field in entry.get("outputs", ())),
        mutability=entry.get("stateMutability", ""),
    )


def _field(entry: Mapping[str, Any]) -> Field:
    return Field(
        name=entry["name"],
        kind=_kind(entry),
        internal=entry.get("internalType", ""),
        indexed=entry.get("indexed", False),
    )


def _kind(entry: Mapping[str, Any]) -> str:
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(_kind(part) for part in entry["components"]) + ")" + kind[len("tuple") :]
