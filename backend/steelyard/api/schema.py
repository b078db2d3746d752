"""JSON Schema (2020-12) of what goes in and out, from the same types that are read and written (docs/api.md, "Form")."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import types
import typing
from typing import Any, Final

import msgspec

from steelyard.api.fields import IDS, MAX_BODY_TEXT, MAX_TEXT, fields_of, range_of
from steelyard.domain.plain import AMOUNTS
from steelyard.domain.types import Address, AssetId, VersionId

Schema = dict[str, Any]

ID: Final = "^0x[0-9a-f]{64}$"
ADDRESS: Final = "^0x[0-9a-fA-F]{40}$"
AMOUNT: Final = "^[0-9]{1,39}$"
REF: Final[Schema] = {"type": "string", "maxLength": 300}
WIDE: Final = frozenset(("salt", "nonce", "units", "sequence"))
"""Whole numbers that may be 2^53 and more, and are decimal text then."""


class Schemas:
    """Collects the schemas of named types, to be referred to."""

    def __init__(self) -> None:
        """Begin with none."""
        self.components: dict[str, Schema] = {}

    def out(self, kind: Any, *, name: str = "") -> Schema:
        """Return the schema of what is answered.

        Args:
            kind: a type.
            name: of the field, which decides what is an amount.
        """
        made = self._simple_out(kind, name)
        if made is not None:
            return made
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (typing.Union, types.UnionType):
            return self._union(
                [self.out(part, name=name) for part in arguments if part is not type(None)], kind
            )
        if origin in (tuple, list, collections.abc.Sequence):
            return {"type": "array", "items": self.out(arguments[0], name=name)}
        if origin in (dict, collections.abc.Mapping):
            return {"type": "object", "additionalProperties": self.out(arguments[1], name="")}
        base = origin or kind
        if dataclasses.is_dataclass(base):
            return self._named(kind, self._object_out)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(kind)
        raise TypeError(f"no schema for {kind!r}")

    def body(self, kind: Any) -> Schema:
        """Return the schema of a JSON body: a dataclass, or a msgspec Struct."""
        if issubclass(kind, msgspec.Struct):
            return self._struct(kind)
        return self._named(kind, self._object_in)

    def value(self, kind: Any, *, name: str, text: bool) -> Schema:
        """Return the schema of a parameter (``text``), or of a member of a body."""
        most = MAX_TEXT if text else MAX_BODY_TEXT
        if kind in (AssetId, VersionId):
            return {
                **REF,
                "description": "an id, 0x<creator>/<name>, or eip155:...; a version with @ and its number",
            }
        if kind is Address:
            return {"type": "string", "pattern": ADDRESS}
        if kind in IDS or (kind is bytes and text):
            return {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}
        if kind is bytes:
            return {"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$"}
        if kind is str:
            return {"type": "string", "maxLength": most}
        if kind is bool:
            return {"type": "boolean"}
        if kind is int:
            low, high = range_of(name)
            if name in AMOUNTS:
                return {"type": "string", "pattern": AMOUNT}
            return {"type": "integer", "minimum": low, "maximum": high}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"type": "string", "enum": [item.name.lower() for item in kind]}
        return self.body(kind)

    # -- private -----------------------------------------------------------------------------------------------

    def _simple_out(self, kind: Any, name: str) -> Schema | None:
        if kind is Address:
            return {"type": "string", "pattern": ADDRESS}
        if kind in (AssetId, VersionId, *IDS):
            return {"type": "string", "pattern": ID}
        if kind is bytes:
            return {"type": "string", "pattern": "^0x[0-9a-fA-F]*$"}
        if kind is str:
            return {"type": "string"}
        if kind is bool:
            return {"type": "boolean"}
        if kind is int:
            if name in AMOUNTS:
                return {"type": "string", "pattern": AMOUNT}
            return {"type": ["integer", "string"]} if name in WIDE else {"type": "integer"}
        if kind is float:
            return {"type": "number"}
        if kind in (object, Any) or isinstance(kind, typing.TypeVar):
            return {}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"type": "string", "enum": [item.name.lower() for item in kind]}
        return None

    def _union(self, parts: list[Schema], kind: Any) -> Schema:
        nothing = type(None) in typing.get_args(kind)
        if nothing and len(parts) == 1 and isinstance(parts[0].get("type"), str):
            (part,) = parts
            made = {**part, "type": [part["type"], "null"]}
            return {**made, "enum": [*part["enum"], None]} if "enum" in part else made
        return {"anyOf": [*parts, *([{"type": "null"}] if nothing else [])]}

    def _named(self, kind: Any, make: typing.Callable[[Any], Schema]) -> Schema:
        base, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
        name = base.__name__ + "".join(f"Of{item.__name__}" for item in arguments)
        if make == self._object_in:
            name += "Body"
        if name not in self.components:
            self.components[name] = {}  # a type may hold itself
            self.components[name] = make(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object_out(self, kind: Any) -> Schema:
        base, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
        hints = typing.get_type_hints(base)
        variables = dict(zip(_variables(base), arguments, strict=False)) or _bound(base)
        shown = [item for item in dataclasses.fields(base) if item.repr]
        return {
            "type": "object",
            **_described(base),
            "properties": {
                item.name: self.out(_filled(hints[item.name], variables), name=item.name) for item in shown
            },
            "required": [item.name for item in shown],
            "additionalProperties": False,
        }

    def _object_in(self, kind: Any) -> Schema:
        properties: dict[str, Schema] = {}
        for field in fields_of(kind):
            made = self.value(field.kind, name=field.name, text=False)
            if field.many:
                made = {"type": "array", "items": made}
            properties[field.name] = _optional(made, field.optional)
        return {
            "type": "object",
            **_described(kind),
            "properties": properties,
            "required": [field.name for field in fields_of(kind) if field.required],
            "additionalProperties": False,
        }

    def _struct(self, kind: type[msgspec.Struct]) -> Schema:
        (made,), components = msgspec.json.schema_components(
            [kind], ref_template="#/components/schemas/{name}"
        )
        # What it gives holds tuples, of defaults, which are no JSON.
        self.components.update(msgspec.json.decode(msgspec.json.encode(components)))
        return made


def _optional(made: Schema, optional: bool) -> Schema:
    return {"anyOf": [made, {"type": "null"}]} if optional else made


def _variables(base: Any) -> tuple[Any, ...]:
    return getattr(base, "__parameters__", ())


def _bound(base: Any) -> dict[Any, Any]:
    """Return what a subclass puts in the place of its generic parent's variables."""
    found: dict[Any, Any] = {}
    for parent in getattr(base, "__orig_bases__", ()):
        origin = typing.get_origin(parent)
        found |= dict(zip(_variables(origin), typing.get_args(parent), strict=False))
    return found


def _filled(hint: Any, variables: dict[Any, Any]) -> Any:
    """Return a type with its variables replaced."""
    if hint in variables:
        return variables[hint]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and arguments and arguments[0] in variables:
        return types.GenericAlias(tuple, (variables[arguments[0]], ...))
    return hint


def _described(kind: type) -> Schema:
    text = inspect.getdoc(kind) or ""
    first = text.partition("\n\n")[0].replace("\n", " ")
    return {"description": first} if first and not first.startswith(kind.__name__ + "(") else {}
