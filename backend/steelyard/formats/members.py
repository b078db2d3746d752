"""What the files of an archive would run: each is looked at as if it stood alone, and those first that may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import coats, hdf5, names, numpys, pickles, plain, tars, zips
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Window

_LOOKED_AT: Final = 2000
"""Most files that are looked into, but for pictures and the like."""
_WHOLE: Final = 4 << 20
"""Most bytes of a compressed file that are unpacked to look at it; of larger ones the beginning is looked at."""
_PART: Final = 64 << 10
_STEPS: Final = 20
_MAY: Final = "it may, and is compressed and larger than what is looked at here"

Begin = Callable[[str, int], Window]
"""Returns a file by its name: all that is there of it, or as many bytes at least as it is asked for, if it has to be unpacked."""
Look = Callable[[Window, str], FormatReport]
"""Tells what a whole file is."""


def code_of(
    window: Window, sizes: Mapping[str, int], begin: Begin, look: Look
) -> tuple[str | None, tuple[str, ...]]:
    """Return why one of the files runs code, and what was not looked at.

    Args:
        window: the archive.
        sizes: bytes of each file, by its name.
        begin: see :data:`Begin`.
        look: see :data:`Look`.

    Raises:
        FormatError: one of the files is what nobody should load, or there is more in it than anything that is looked at.
    """
    looked_at, notes = 0, dict[str, None]()
    for name in sorted(sizes, key=lambda name: (names.rank(name), sizes[name])):
        size = sizes[name]
        if not size or plain.is_media(name, _head(begin(name, 16), 16)):
            continue
        if looked_at >= _LOOKED_AT or window.low:
            if names.is_loaded(name):
                return (
                    f"{name[:80]!a} in it was not looked at, since there are so many or so large files",
                    tuple(notes),
                )
            notes[f"only the first {looked_at} files in it were looked at"] = None
            break
        looked_at += 1
        window.step(_STEPS)
        inner = begin(name, size if size <= _WHOLE else _PART)
        if inner.size < size and pickles.first_of(inner).cut:
            inner = begin(name, _WHOLE)
        if inner.size < size:
            notes["of large compressed files in it only the beginning was looked at"] = None
        why = _why(inner, name, look if inner.size == size else _look_at_part)
        if why:
            return f"{name[:80]!a} in it: {why}", tuple(notes)
    return None, tuple(notes)


def _why(inner: Window, name: str, look: Look) -> str | None:
    try:
        return look(inner, name).code
    except FormatError as exc:
        if isinstance(exc, plain.TextError) and plain.is_inert(inner):
            return None  # whatever is wrong with such a text, no loader acts upon it
        raise FormatError(f"{name[:80]!a} in it: {exc}") from exc


def _look_at_part(inner: Window, name: str) -> FormatReport:
    """Tell what the beginning of a file shows."""
    head = _head(inner, coats.HEAD)
    first = pickles.first_of(inner)
    if pickles.is_pickle(first, inner.size, part=True):
        return FormatReport(format="pickle", code=pickles.why(first))
    known = plain.by_magic(head)
    if known is not None and known.code:
        return known
    if numpys.claims(inner, head):
        return FormatReport(format="npy", code=numpys.why(inner))
    if plain.kind_of(name) == "yaml":
        return FormatReport(format="yaml", code=plain.tags(inner))
    coat = coats.coat_of(head)
    packed = coat is not None and (coat not in coats.WEAK or names.rank(name) < 2)
    if packed or names.is_loaded(name) or any(claims(inner, head) for claims in _MAY_RUN):
        return FormatReport(format="binary", code=_MAY)
    return FormatReport(format="binary")


def _head(inner: Window, most: int) -> bytes:
    return inner.at(0, min(inner.size, most))


_MAY_RUN: Final = (zips.claims, hdf5.claims, tars.claims)
