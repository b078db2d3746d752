"""Mutations of JSON within an input: values of other types and sizes, members twice, gone, moved or renamed; and within base64.

Bytes that are changed at random are seldom JSON or base64 any more, so that a parser would be tried little beyond its syntax.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 255, 1 << 31, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 256, -(1 << 63), 10**400, 0.5, -0.0, 1e308,
    "", "0", "-1", "1e9", ".", "..", "a.b", "a/b", "0x", "0x0", "0x" + "11" * 20, "0x" + "00" * 32, "ff" * 32, "\0", "\n", "\ud800", "\u202e",
    "é", "a" * 3000, [], {}, [[]], [{}], {"a": {}}, {"": None},
)  # fmt: skip
_DEPTH = 500
_MOST = 5000
"""Lists and objects; the reader of JSON calls itself for each that stands in another, and some libraries let it do so without end."""
_BASE64 = re.compile(rb"[A-Za-z0-9_-]{8,}={0,2}")


def mutate(data: bytes, rng: Random, change: Callable[[bytes], bytes]) -> bytes:
    """Change an input: as JSON or within base64 half of the time if it has any, else as bytes.

    Args:
        data: an input.
        rng: what is changed, and how.
        change: what changes bytes.

    Returns:
        Another input.
    """
    found = None
    if rng.random() < 0.5:
        found = mutate_json(data, rng) if rng.random() < 0.9 else None
        found = _within_base64(data, rng, change) if found is None else found
    return change(data) if found is None else found


def _within_base64(data: bytes, rng: Random, change: Callable[[bytes], bytes]) -> bytes | None:
    words = list(_BASE64.finditer(data))
    if not words:
        return None
    word = rng.choice(words)
    text = word[0].rstrip(b"=")
    inner = base64.urlsafe_b64decode(text[: len(text) - (len(text) % 4 == 1)] + b"==")
    written = base64.urlsafe_b64encode(mutate(inner, rng, change))
    if len(word[0]) % 4:
        written = written.rstrip(b"=")
    return data[: word.start()] + written + data[word.end() :]


def mutate_json(data: bytes, rng: Random) -> bytes | None:
    """Change one value or member of a JSON text that stands anywhere in the data.

    Args:
        data: an input.
        rng: what is changed, and how.

    Returns:
        The data with other JSON in the place; of the same length as before where spaces could make it so, half of the time,
        so that a length that stands before it holds. None if no JSON was found.
    """
    at = _place(data, rng)
    if at is None:
        return None
    if data.count(b"[") + data.count(b"{") > _MOST:
        return None
    text = data[at:].decode("latin-1")  # an offset is one of bytes then, and each byte comes back
    try:
        value, length = json.JSONDecoder().raw_decode(text)
        written = json.dumps(_changed(value, rng), separators=(",", ":"), sort_keys=rng.random() < 0.3)
    except (ValueError, RecursionError):  # the latter where it is too deep, and numbers too long
        return None
    if rng.random() < 0.05:
        written = _doubled(written, rng)
    if rng.random() < 0.5:
        written = written.ljust(length)
    return data[:at] + written.encode("latin-1") + data[at + length :]


def _place(data: bytes, rng: Random) -> int | None:
    """Return where an object or a list may begin."""
    first = min((at for sign in b"{[" if (at := data.find(sign)) >= 0), default=None)
    if first is None or rng.random() < 0.5:
        return first
    at = rng.randrange(first, len(data))
    later = [found for sign in b"{[" if (found := data.find(sign, at)) >= 0]
    return min(later, default=first)


def _changed(value: Any, rng: Random) -> Any:
    """Return a value with one thing in it changed."""
    places: list[tuple[Any, Any]] = [([value], 0)]
    _collect(value, places, _DEPTH)
    root = places[0][0]
    holder, key = rng.choice(places)
    other = rng.choice(places)
    kind = rng.randrange(8)
    if kind < 3:
        holder[key] = rng.choice(_VALUES)
    elif kind == 3:
        holder[key] = other[0][other[1]] if not isinstance(other[0][other[1]], dict | list) else {}
    elif kind == 4:
        holder[key] = rng.choice(
            ([holder[key]], {"a": holder[key]}, [holder[key]] * 2, str(holder[key])[:9999])
        )
    elif kind == 5 and len(holder) > 1:
        del holder[key]
    elif kind == 6 and isinstance(holder, dict):
        names = [name for place, name in places if isinstance(place, dict) and isinstance(name, str)]
        holder[rng.choice(names + ["", "x"])] = holder.pop(key)
    elif isinstance(holder[key], int):
        holder[key] += rng.choice((-1, 1, 1 << 32, 1 << 64))
    elif isinstance(holder[key], str) and holder[key]:
        cut = rng.randrange(len(holder[key]))
        holder[key] = holder[key][:cut] + rng.choice(("", "\0", "A", "0", "//", "é")) + holder[key][cut + 1 :]
    else:
        holder[key] = rng.choice(_VALUES)
    return root[0]


def _collect(value: Any, places: list[tuple[Any, Any]], depth: int) -> None:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        places.append((value, key))
        if depth:
            _collect(value[key], places, depth - 1)


def _doubled(text: str, rng: Random) -> str:
    """Let the first member of an object stand twice."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict) or not found:
        return text
    name = rng.choice(list(found))
    return "{" + json.dumps(name) + ":" + rng.choice(("null", json.dumps(found[name]))) + "," + text[1:]
