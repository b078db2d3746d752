"""Canonical JSON: one value, one sequence of bytes.

RFC 8785 restricted to objects with ASCII keys, arrays, strings in Unicode NFC and integers from 0 to 2^53-1.
Reading refuses whatever is not its own canonical form, so two clients can never read one document
differently.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Final, NoReturn

from steelyard.domain.jsontext import DuplicateKeyError, unique
from steelyard.errors import ManifestError

MAX_BYTES: Final = 16 << 20
MAX_DEPTH: Final = 8
_MAX_INTEGER: Final = (1 << 53) - 1
_MAX_CONTAINERS: Final = 200_000
_MAX_COMMAS: Final = 4_000_000
_MAX_QUOTES: Final = 2_000_000
# Possessive, and the closing quote optional: one linear pass without backtracking over any input.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def encode(value: object) -> bytes:
    """Return the canonical bytes of ``value``.

    Raises:
        ManifestError: it holds something that the format has no form for, or would be larger than 16 MiB.
    """
    _check(value, 1)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    data = text.encode("utf-8")
    if len(data) > MAX_BYTES:
        raise ManifestError(f"the document has {len(data)} bytes; the most is {MAX_BYTES}")
    return data


def decode(data: bytes) -> object:
    """Read canonical bytes from an untrusted source.

    Raises:
        ManifestError: too large, too deep, not JSON, or not in canonical form (duplicate keys, floats, white
            space, unsorted keys, needless escapes, other than NFC).
    """
    if len(data) > MAX_BYTES:
        raise ManifestError(f"the document has {len(data)} bytes; the most is {MAX_BYTES}")
    _check_shape(data)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=unique,
            parse_float=_refuse,
            parse_constant=_refuse,
            parse_int=_integer,
        )
    except DuplicateKeyError as exc:
        raise ManifestError("an object has a duplicate key") from exc
    except ValueError as exc:  # bad UTF-8 or bad JSON
        raise ManifestError(f"the document is not JSON in UTF-8: {exc}") from exc
    if encode(value) != data:
        raise ManifestError("the document is not in canonical form")
    return value


def _check_shape(data: bytes) -> None:
    # Before the parser sees it. 16 MiB could hold five million empty arrays; and where some library has
    # raised the recursion limit, json.loads of 100,000 open brackets was seen to overrun the C stack and end
    # the process.
    if data.count(b'"') > _MAX_QUOTES or data.count(b",") > _MAX_COMMAS:
        raise ManifestError("the document has more strings or values than any manifest needs")
    brackets = _STRING.sub(b"", data).translate(None, _NO_BRACKETS)
    if len(brackets) > 2 * _MAX_CONTAINERS:
        raise ManifestError(f"the document has more than {_MAX_CONTAINERS} objects and arrays")
    depth = 0
    for byte in brackets:
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ManifestError(f"the document is nested deeper than {MAX_DEPTH} levels")


def _check(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ManifestError(f"the document is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ManifestError("keys must be ASCII strings")
            _check_scalar_or(item, depth)
    elif isinstance(value, list):
        for item in value:
            _check_scalar_or(item, depth)
    else:
        _check_scalar_or(value, depth)


def _check_scalar_or(value: object, depth: int) -> None:
    if isinstance(value, str):
        if not unicodedata.is_normalized("NFC", value):
            raise ManifestError(f"{value[:80]!r} is not in Unicode NFC")
        if not value.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            raise ManifestError(f"{value[:80]!a} holds half of a surrogate pair")
    elif isinstance(value, bool) or value is None or isinstance(value, float):
        raise ManifestError("the format has no floats, booleans or null")
    elif isinstance(value, int):
        if not 0 <= value <= _MAX_INTEGER:
            raise ManifestError("integers are 0 to 2^53-1")
    elif isinstance(value, (dict, list)):
        _check(value, depth + 1)
    else:
        raise ManifestError(f"the format has no form for {type(value).__name__}")


def _refuse(text: str) -> NoReturn:
    raise ManifestError(f"{text[:40]} is not an integer from 0 to 2^53-1")


def _integer(text: str) -> int:
    if len(text) > 16:  # before int() sees thousands of digits
        _refuse(text)
    return int(text)
