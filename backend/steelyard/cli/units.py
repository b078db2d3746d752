"""Times and sizes between people and the program. Amounts: :mod:`steelyard.domain.money`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from steelyard.errors import InputError

_DURATION: Final = re.compile(r"([0-9]{1,12})([smhdwy]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


def parse_duration(text: str) -> int:
    """Return seconds for ``90``, ``90s``, ``15m``, ``12h``, ``30d``, ``2w`` or ``1y`` (365 days).

    Raises:
        InputError: it is malformed.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise InputError(f"{text!r} is no duration: write 90s, 15m, 12h, 30d, 2w or 1y")
    return int(match[1]) * _SECONDS[match[2]]


def format_duration(seconds: int) -> str:
    """Return seconds in the two largest units that it has: ``30d``, ``1d 2h``, ``15m``."""
    parts = []
    for unit in "dhms":
        count, seconds = divmod(seconds, _SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def format_time(time: int) -> str:
    """Return a Unix time in UTC, to the second; ``-`` for zero, the plain number beyond the year 9999."""
    if not time:
        return "-"
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(time)


def format_size(size: int) -> str:
    """Return a number of bytes with a binary unit, for people."""
    if size < 1024:
        return f"{size} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size_tenths, size = size * 10 // 1024, size // 1024
        if size < 1024 or unit == "TiB":
            return f"{size_tenths // 10}.{size_tenths % 10} {unit}"
    raise AssertionError("unreachable")


def count(number: int, noun: str) -> str:
    """Return a number and its noun, with an s where it is not one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def parse_time(text: str) -> int:
    """Return Unix seconds for ``1767225600``, ``2026-01-01``, ``2026-01-01T12:00:00Z``; without an offset it is UTC.

    Raises:
        InputError: it is malformed, before 1970, or not a whole second.
    """
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.microsecond:
        raise InputError(f"{text!r} is no time: write Unix seconds, 2026-01-01, or 2026-01-01T12:00:00Z")
    time = int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    if time < 0:
        raise InputError(f"{text!r} is before 1970")
    return time
