"""Reads parameters and bodies into the frozen dataclasses of endpoints; strict, and nothing unknown is passed over.

What a field takes follows from its type (docs/api.md, "Form"); `schema.py` says the same in the description. Everything is
bounded before it is looked at: lengths, ranges, the number of parameters.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from steelyard.api.problem import Problem
from steelyard.chain.hexdata import parse_address
from steelyard.domain import ref as refs
from steelyard.domain.jsontext import DuplicateKeyError, decode_json, parse_json, unique
from steelyard.domain.metering import ChannelId
from steelyard.domain.plain import AMOUNTS
from steelyard.domain.types import (
    MAX_AMOUNT,
    Address,
    AssetId,
    NodeId,
    OfferId,
    PurchaseId,
    RequestId,
    VersionId,
)
from steelyard.errors import InputError, NotFoundError
from steelyard.query.lookup import version_named

if TYPE_CHECKING:
    from steelyard.api.service import Service
    from steelyard.indexer.database import Reader as Snapshot

MAX_PARAMETERS: Final = 64
MAX_TEXT: Final = 512
"""Most characters of a parameter."""
MAX_BODY_TEXT: Final = 65_536
"""Most characters of a text in a body."""
MAX_INTEGER: Final = (1 << 53) - 1
RANGES: Final[Mapping[str, tuple[int, int]]] = {"limit": (1, 500)}
"""Ranges of numbers by the field's name; else amounts have 0 to 2^128-1, and numbers 0 to 2^53-1."""
IDS: Final = (OfferId, PurchaseId, RequestId, NodeId, ChannelId)
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_WORD: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]{1,78}", re.ASCII)

Reader = Callable[["Service", str, Any], Any]
"""Reads one value of a parameter whose name it gets; raises `Problem`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of a dataclass.

    Attributes:
        name: of parameter or member.
        kind: its type, without None and without the tuple around it.
        many: a tuple of it.
        optional: None is a value of it.
        required: it has no default.
    """

    name: str
    kind: Any
    many: bool
    optional: bool
    required: bool


@cache
def fields_of(kind: type) -> tuple[Field, ...]:
    """Return the fields of a dataclass in its order."""
    hints = typing.get_type_hints(kind)
    found = []
    for item in dataclasses.fields(kind):
        hint, optional, many = hints[item.name], False, False
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
            optional = True
        if typing.get_origin(hint) is tuple:
            hint, _ = typing.get_args(hint)
            many = True
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        found.append(Field(item.name, hint, many, optional, required))
    return tuple(found)


# -- queries ---------------------------------------------------------------------------------------------------


def read_query(service: Service, kind: type | None, query: bytes) -> Any:
    """Return the parameters of a query string as a dataclass, or None if the endpoint has none.

    A parameter that may occur several times is repeated: ``?kinds=Purchased&kinds=Settled``.

    Raises:
        Problem: one is unknown, repeated, missing or malformed.
    """
    if not query:
        return None if kind is None else _made(kind, {})
    readers = {} if kind is None else _query_readers(kind)
    values: dict[str, Any] = {}
    parts = query.split(b"&")
    if len(parts) > MAX_PARAMETERS:
        raise Problem("bad-parameter", f"more than {MAX_PARAMETERS} parameters")
    for part in parts:
        if not part:
            continue
        raw, _, given = part.partition(b"=")
        name, text = decode(raw, "name", plus=True), decode(given, "value", plus=True)
        found = readers.get(name)
        if found is None:
            raise Problem("bad-parameter", f"unknown parameter {name[:40]!r}", parameter=name[:40])
        read, many = found
        if len(text) > MAX_TEXT:
            raise Problem("bad-parameter", f"longer than {MAX_TEXT} characters", parameter=name)
        value = read(service, name, text)
        if many:
            values[name] = (*values.get(name, ()), value)
        elif name in values:
            raise Problem("bad-parameter", f"{name} is given twice", parameter=name)
        else:
            values[name] = value
    return None if kind is None else _made(kind, values)


def decode(raw: bytes, name: str, *, plus: bool = False) -> str:
    """Return percent-decoded text.

    Args:
        raw: of a path or a query.
        name: of the parameter, for the problem.
        plus: a plus sign stands for a space, as in queries.

    Raises:
        Problem: it is not UTF-8, or holds a zero.
    """
    if plus and b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise Problem("bad-parameter", f"{name} is not UTF-8", parameter=name) from exc
    if "\0" in text:
        raise Problem("bad-parameter", f"{name} holds a zero character", parameter=name)
    return text


@cache
def _query_readers(kind: type) -> dict[str, tuple[Reader, bool]]:
    return {field.name: (_reader(field.kind, field.name, text=True), field.many) for field in fields_of(kind)}


def _made(kind: type, values: dict[str, Any]) -> Any:
    for field in fields_of(kind):
        if field.required and field.name not in values:
            raise Problem("bad-parameter", f"{field.name} is missing", parameter=field.name)
    return kind(**values)


# -- bodies ----------------------------------------------------------------------------------------------------


def read_body(service: Service, kind: type, body: bytes) -> Any:
    """Return a JSON body as the endpoint's type: a frozen dataclass, or a msgspec Struct.

    Raises:
        Problem: ``bad-body``, with the member in ``parameter``.
    """
    try:
        document = decode_json(body, kind if issubclass(kind, msgspec.Struct) else object)
        # msgspec takes the last of two members with one name; another reader of the same bytes takes the first.
        parse_json(body, object_pairs_hook=unique)
    except msgspec.ValidationError as exc:
        message, _, where = str(exc).partition(" - at ")
        name = where.strip("`").removeprefix("$.") or None
        raise Problem("bad-body", message, parameter=None if name == "$" else name) from exc
    except DuplicateKeyError as exc:
        raise Problem("bad-body", "a member stands there twice") from exc
    except ValueError as exc:  # msgspec's and Unicode's errors are ValueErrors
        raise Problem("bad-body", "the body is no JSON") from exc
    return document if issubclass(kind, msgspec.Struct) else _read_object(service, kind, "", document)


def _read_object(service: Service, kind: type, name: str, value: object) -> Any:
    if not isinstance(value, dict):
        raise Problem("bad-body", "must be an object", parameter=name or None)
    readers = _body_readers(kind)
    values: dict[str, Any] = {}
    for key, item in value.items():
        full = f"{name}.{key}" if name else key
        if key not in readers:
            raise Problem("bad-body", f"unknown member {full[:40]!r}", parameter=full[:40])
        read, many, optional = readers[key]
        if item is None and optional:
            values[key] = None
        elif many:
            if not isinstance(item, list):
                raise Problem("bad-body", "must be a list", parameter=full)
            values[key] = tuple(read(service, f"{full}[{i}]", one) for i, one in enumerate(item))
        else:
            values[key] = read(service, full, item)
    for field in fields_of(kind):
        if field.required and field.name not in values:
            full = f"{name}.{field.name}" if name else field.name
            raise Problem("bad-body", f"{full} is missing", parameter=full)
    return kind(**values)


@cache
def _body_readers(kind: type) -> dict[str, tuple[Reader, bool, bool]]:
    return {
        field.name: (_reader(field.kind, field.name, text=False), field.many, field.optional)
        for field in fields_of(kind)
    }


# -- values ----------------------------------------------------------------------------------------------------


def read_asset(service: Service, name: str, value: object) -> AssetId:
    """Return the asset that a reference names; whether it exists is not asked.

    Raises:
        Problem: ``bad-reference``: it is none, of another market, or names a version.
    """
    if type(value) is str and _WORD.fullmatch(value):
        return AssetId(bytes.fromhex(value[2:]))
    ref = _parse_ref(name, value)
    if ref.version is not None:
        raise Problem("bad-reference", "an asset is meant, and this names a version", parameter=name)
    return _asset_of(service, name, ref)


def read_version(service: Service, name: str, value: object, reader: Snapshot | None = None) -> VersionId:
    """Return the version that a reference with ``@`` names, or an id; numbers are looked up in the index.

    Args:
        service: with the index.
        name: of the parameter.
        value: the text.
        reader: a snapshot to look in; one of its own if None.

    Raises:
        Problem: ``bad-reference``.
        NotFoundError: the asset has no such version.
    """
    if type(value) is str and _WORD.fullmatch(value):
        return VersionId(bytes.fromhex(value[2:]))
    ref = _parse_ref(name, value)
    if ref.version is None:
        raise Problem(
            "bad-reference",
            "a version is meant: add @ and its number, or @latest, or give its id",
            parameter=name,
        )
    if isinstance(ref.version, bytes):
        return VersionId(ref.version)
    asset, number = _asset_of(service, name, ref), None if isinstance(ref.version, str) else ref.version
    if reader is not None:
        return version_named(reader, asset, number)
    with service.audit.database.read() as opened:
        return version_named(opened, asset, number)


def read_address(service: Service, name: str, value: object) -> Address:
    """Return an address from ``0x`` and 40 digits, with a right checksum or of one case.

    Raises:
        Problem: ``bad-parameter``.
    """
    try:
        return parse_address(_text(name, value))
    except InputError as exc:
        raise Problem("bad-parameter", str(exc), parameter=name) from exc


def read_word(service: Service, name: str, value: object) -> bytes:
    """Return 32 bytes from ``0x`` and 64 digits.

    Raises:
        Problem: ``bad-parameter``.
    """
    if type(value) is str and _WORD.fullmatch(value):
        return bytes.fromhex(value[2:])
    raise Problem("bad-parameter", f"{name} must be 0x and 64 hexadecimal digits", parameter=name)


def _parse_ref(name: str, value: object) -> refs.Ref:
    # Without the aliases of this machine: they are its owner's address book, and would mean something else elsewhere.
    try:
        return refs.parse(_text(name, value))
    except (InputError, NotFoundError) as exc:
        raise Problem(
            "bad-reference", "no reference: 0x<creator>/<name>, an id, or eip155:...", parameter=name
        ) from exc


def _asset_of(service: Service, name: str, ref: refs.Ref) -> AssetId:
    deployment = service.context.deployment
    try:
        return ref.asset_id(chain_id=deployment.chain_id, registry=deployment.assets)
    except InputError as exc:
        raise Problem("bad-reference", str(exc), parameter=name) from exc


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise Problem("bad-body", f"{name} must be a text", parameter=name)
    return value


def _read_text(service: Service, name: str, value: object) -> str:
    text = _text(name, value)
    if len(text) > MAX_BODY_TEXT or "\0" in text:
        raise Problem("bad-body", f"{name} is too long, or holds a zero character", parameter=name)
    return text


def _read_bytes(service: Service, name: str, value: object) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Problem("bad-body", f"{name} must be 0x and hexadecimal", parameter=name)
    return bytes.fromhex(value[2:])


def _enum_reader(kind: type[enum.Enum], code: str) -> Reader:
    words = {item.name.lower(): item for item in kind}

    def read(service: Service, name: str, value: object) -> enum.Enum:
        found = words.get(value) if isinstance(value, str) else None
        if found is None:
            raise Problem(code, f"{name} must be one of {', '.join(words)}", parameter=name)
        return found

    return read


def _number_reader(field: str, code: str, *, text: bool) -> Reader:
    low, high = range_of(field)

    def read(service: Service, name: str, value: object) -> int:
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        elif text or type(value) is not int:
            raise Problem(code, f"{name} must be a whole number", parameter=name)
        if not low <= value <= high:
            raise Problem(code, f"{name} must be from {low} to {high}", parameter=name)
        return value

    return read


def range_of(field: str) -> tuple[int, int]:
    """Return the least and the greatest value of a number, by the name of its field."""
    return RANGES.get(field, (0, MAX_AMOUNT if field in AMOUNTS else MAX_INTEGER))


def _flag_reader(code: str, *, text: bool) -> Reader:
    words: dict[object, bool] = {"true": True, "false": False}

    def read(service: Service, name: str, value: object) -> bool:
        if type(value) is bool and not text:
            return value
        if not text or value not in words:
            raise Problem(code, f"{name} must be true or false", parameter=name)
        return words[value]

    return read


_BY_TYPE: Final[dict[Any, Reader]] = {
    AssetId: read_asset,
    VersionId: read_version,
    Address: read_address,
    **{kind: read_word for kind in IDS},
}


def _reader(kind: Any, field: str, *, text: bool) -> Reader:
    """Return what reads a type; ``text`` in parameters, where everything is text."""
    code = "bad-parameter" if text else "bad-body"
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    if kind is str:
        return _read_text
    if kind is int:
        return _number_reader(field, code, text=text)
    if kind is bool:
        return _flag_reader(code, text=text)
    if kind is bytes:
        return read_word if text else _read_bytes
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _enum_reader(kind, code)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and not text:
        return lambda service, name, value: _read_object(service, kind, name, value)
    raise TypeError(f"no parameter can be a {kind!r}")
