"""Known builds: the code that a contract's address must have, with its immutables filled in.

A build comes from the compiler's output as this package ships it (one JSON file a contract, written by
``tools/abi.py``). It is part of what the auditor brings; a bundle only names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.audit.events import Event, trail_events
from steelyard.domain.hash import keccak256
from steelyard.errors import InputError, ProofError

_WORD = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A contract as it is compiled.

    Attributes:
        name: of the contract.
        template: deployed code with zeros where immutables go.
        places: byte offsets of each immutable in the code, by name; each is one 32-byte word.
        addresses: names of the immutables that are addresses.
        keeps_trail: whether the head of every subject is in slot 0.
        events: trail events by topic.
    """

    name: str
    template: bytes = field(repr=False)
    places: Mapping[str, tuple[int, ...]]
    addresses: frozenset[str]
    keeps_trail: bool
    events: Mapping[bytes, Event] = field(repr=False)

    def code(self, immutables: Mapping[str, bytes]) -> bytes:
        """Return the deployed code with these immutables, 32 bytes each.

        Raises:
            ProofError: an immutable is missing, unknown, or no address where it must be one.
        """
        if set(immutables) != set(self.places):
            raise ProofError(
                f"build {self.name} has the immutables {sorted(self.places)}, not {sorted(immutables)}"
            )
        code = bytearray(self.template)
        for name, value in immutables.items():
            if len(value) != _WORD or (name in self.addresses and any(value[:12])):
                raise ProofError(f"immutable {name} of build {self.name} is no word, or no address")
            for place in self.places[name]:
                code[place : place + _WORD] = value
        return bytes(code)

    def code_hash(self, immutables: Mapping[str, bytes]) -> bytes:
        """Return keccak256 of the deployed code with these immutables; raises as ``code``."""
        return keccak256(self.code(immutables))

    def match(self, code: bytes) -> dict[str, bytes] | None:
        """Return the immutables with which this build has exactly this code, or None."""
        if len(code) != len(self.template):
            return None
        immutables = {name: code[places[0] : places[0] + _WORD] for name, places in self.places.items()}
        try:
            return immutables if self.code(immutables) == code else None
        except ProofError:
            return None


def load(record: Mapping[str, object]) -> Build:
    """Read a build from the JSON value of a shipped file.

    Args:
        record: ``contractName``, ``abi``, ``deployedBytecode``, ``immutableReferences`` (name to ``{start,
            length}``), ``storageLayout`` (list of ``{label, slot, offset}``).

    Raises:
        InputError: the record is malformed, has a head elsewhere than in slot 0, or an immutable without a
            public getter, by which it would be known whether it is an address.
    """
    name, abi, code = record.get("contractName"), record.get("abi"), record.get("deployedBytecode")
    if not isinstance(name, str) or not isinstance(abi, list) or not isinstance(code, str):
        raise InputError("a build needs contractName, abi and deployedBytecode")
    if not re.fullmatch(r"0x(?:[0-9a-f]{2})+", code):
        raise InputError(f"the deployed code of build {name} is not hexadecimal, or is not linked")
    template = bytes.fromhex(code[2:])
    places = _places(name, record.get("immutableReferences", {}), len(template))
    types = _getter_types(abi)
    unknown = sorted(set(places) - set(types))
    if unknown:
        raise InputError(f"build {name} has immutables without a public getter: {unknown}")
    return Build(
        name=name,
        template=template,
        places=places,
        addresses=frozenset(immutable for immutable in places if types[immutable] == "address"),
        keeps_trail=_keeps_trail(name, record.get("storageLayout", [])),
        events=trail_events(abi),
    )


def _places(name: str, references: object, size: int) -> dict[str, tuple[int, ...]]:
    if not isinstance(references, Mapping):
        raise InputError(f"build {name}: immutableReferences is no object")
    found = {}
    for immutable, items in references.items():
        if not isinstance(items, list) or not items:
            raise InputError(f"build {name}: immutable {immutable} has no places")
        starts = []
        for item in items:
            start = item.get("start") if isinstance(item, dict) else None
            if not isinstance(start, int) or item.get("length") != _WORD or not 0 <= start <= size - _WORD:
                raise InputError(f"build {name}: immutable {immutable} has a place outside the code")
            starts.append(start)
        found[str(immutable)] = tuple(starts)
    return found


def _getter_types(abi: Sequence[object]) -> dict[str, str]:
    """Return the type that each function without arguments and with one result returns, by its name."""
    types = {}
    for item in abi:
        if isinstance(item, dict) and item.get("type") == "function" and item.get("inputs") == []:
            outputs = item.get("outputs")
            if isinstance(outputs, list) and len(outputs) == 1:
                types[str(item.get("name"))] = str(outputs[0].get("type"))
    return types


def _keeps_trail(name: str, layout: object) -> bool:
    if not isinstance(layout, list):
        raise InputError(f"build {name}: storageLayout is no list")
    heads = [item for item in layout if isinstance(item, dict) and item.get("label") == "head"]
    if any(str(item.get("slot")) != "0" for item in heads):
        raise InputError(f"build {name} keeps its heads elsewhere than in slot 0")
    return bool(heads)
