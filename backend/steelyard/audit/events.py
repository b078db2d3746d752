"""Events as an ABI describes them: names and fields of trail entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from steelyard.audit.entry import Entry
from steelyard.domain import abi
from steelyard.errors import InputError, TrailError

Decoded: TypeAlias = "abi.Value | dict[str, Decoded]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of an event or a component of a struct.

    Attributes:
        name: as in the contract.
        type: ABI type, a tuple written out.
        internal: the compiler's name of the type, such as ``enum IAssets.Kind``.
        components: fields of a struct, or of each struct in an array; empty otherwise.
    """

    name: str
    type: str
    internal: str
    components: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A trail event: three indexed fields, then data.

    Attributes:
        name: as in the contract.
        topic: keccak256 of its signature, 32 bytes.
        indexed: subject, id, actor.
        fields: what the data holds.
    """

    name: str
    topic: bytes
    indexed: tuple[Field, Field, Field]
    fields: tuple[Field, ...]

    def decode(self, entry: Entry) -> dict[str, Decoded]:
        """Return the fields of an entry's data by name; a struct is a dict.

        Raises:
            TrailError: the data does not encode exactly these fields.
        """
        types = [field.type for field in self.fields]
        values = abi.decode(types, entry.data)
        if abi.encode(types, values) != entry.data:
            raise TrailError(f"the data of {self.name} is not the ABI encoding of its fields")
        return {field.name: _named(field, value) for field, value in zip(self.fields, values, strict=True)}


def trail_events(items: Sequence[object]) -> dict[bytes, Event]:
    """Return the events of an ABI that have exactly three indexed fields, by topic.

    Raises:
        InputError: the ABI is malformed.
    """
    found = {}
    for item in items:
        if not isinstance(item, dict) or item.get("type") != "event" or item.get("anonymous"):
            continue
        inputs = _list(item.get("inputs"))
        fields = [_field(value) for value in inputs]
        flags = [isinstance(value, dict) and value.get("indexed") is True for value in inputs]
        indexed = [field for field, flag in zip(fields, flags, strict=True) if flag]
        if len(indexed) != 3:
            continue
        name = _text(item.get("name"))
        topic = abi.topic(f"{name}({','.join(field.type for field in fields)})")
        rest = tuple(field for field, flag in zip(fields, flags, strict=True) if not flag)
        found[topic] = Event(
            name=name, topic=topic, indexed=(indexed[0], indexed[1], indexed[2]), fields=rest
        )
    return found


def _named(field: Field, value: abi.Value) -> Decoded:
    if not field.components or not isinstance(value, tuple):
        return value
    if field.type.endswith("]"):
        return value  # an array of structs: no event has one, and the values are all there
    return {part.name: _named(part, item) for part, item in zip(field.components, value, strict=True)}


def _field(value: object) -> Field:
    if not isinstance(value, Mapping):
        raise InputError("a field of an event in the ABI is no object")
    kind = _text(value.get("type"))
    components: tuple[Field, ...] = ()
    if kind.startswith("tuple"):
        components = tuple(_field(part) for part in _list(value.get("components")))
        kind = f"({','.join(part.type for part in components)}){kind[5:]}"
    internal = value.get("internalType")
    return Field(
        name=_text(value.get("name")),
        type=kind,
        internal=internal if isinstance(internal, str) else "",
        components=components,
    )


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise InputError("the ABI is malformed: a list is missing")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InputError("the ABI is malformed: a name or type is missing")
    return value
