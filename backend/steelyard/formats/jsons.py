"""JSON within model files: bounded before anything is made of it."""

from __future__ import annotations

from typing import Any, Final

from steelyard.domain.jsontext import parse_json, unique
from steelyard.errors import FormatError

MAX_VALUES: Final = 250_000
"""Most values of a configuration or schema. The worst of them, objects of one key, take 190 bytes each."""


def parse(raw: bytes, what: str, *, most: int = MAX_VALUES, **hooks: Any) -> object:
    """Parse JSON; ``what`` names it in errors, ``hooks`` are those of :func:`json.loads`.

    Raises:
        FormatError: it may have more than ``most`` values, is nested too deeply, has a key twice, or is no JSON.
    """
    if values(raw) > most:
        raise FormatError(f"{what} has more than {most} values")
    try:
        return parse_json(raw, object_pairs_hook=unique, **hooks)
    except (ValueError, RecursionError) as exc:
        raise FormatError(f"{what} is no JSON: {exc}"[:200]) from exc


def values(raw: bytes) -> int:
    """Return how many values JSON has at most."""
    # Every one but the outermost stands behind a comma or is the first in something.
    return sum(raw.count(sign) for sign in (b",", b"[", b"{"))
