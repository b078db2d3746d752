"""skops: scikit-learn models as JSON and arrays, without a pickle. Source: skops/io, protocols 0 to 2.

Loading one makes objects of the classes that its schema names; skops refuses those that it does not know unless its
caller trusts them by name. So these classes are told here; functions that run what they are given are code.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from steelyard.formats import jsons
from steelyard.formats.numpys import read_archive as read_arrays
from steelyard.formats.report import FormatReport
from steelyard.formats.zips import Archive

_SCHEMA: Final = "schema.json"
_ARRAY: Final = ".npy"
_MAX_SCHEMA: Final = 16 << 20
_KNOWN: Final = ("sklearn.", "numpy.", "scipy.")
# Plain values, and what is made of them.
_PLAIN: Final = frozenset((
    "builtins.NoneType", "builtins.bool", "builtins.bytearray", "builtins.bytes", "builtins.complex", "builtins.dict",
    "builtins.float", "builtins.frozenset", "builtins.int", "builtins.list", "builtins.map", "builtins.set", "builtins.slice",
    "builtins.str", "builtins.tuple", "builtins.type", "collections.OrderedDict", "collections.defaultdict",
))  # fmt: skip
# Modules whose functions run what they are given, or touch files and other programs.
_RUNS: Final = frozenset(
    ("builtins", "code", "ctypes", "importlib", "marshal", "nt", "os", "pickle", "posix", "pty", "runpy", "shutil", "socket", "subprocess", "sys")
)  # fmt: skip
# The same in a schema that is not parsed, and letters that are spelt otherwise, which skops does not.
_NAMES_RUNS: Final = re.compile(
    rb'"__module__"\s*:\s*"(?:' + b"|".join(name.encode() for name in sorted(_RUNS - {"builtins"})) + rb')[".]'
    rb'|"__class__"\s*:\s*"(?:__import__|breakpoint|compile|delattr|eval|exec|getattr|input|open|setattr|vars)"|\\u00[4-7]'
)  # fmt: skip
_WHY_LARGE: Final = "its schema names what runs what it is given, if its classes are trusted"
_UNREAD: Final = (
    "its schema is larger than what is read here, and so the classes that skops asks about are not told"
)


def is_archive(archive: Archive) -> bool:
    """Whether an archive has the schema of skops."""
    return _SCHEMA in archive.entries


def is_read(name: str) -> bool:
    """Whether :func:`read_archive` reads a file of the archive."""
    return name == _SCHEMA or name.endswith(_ARRAY)


def read_archive(archive: Archive) -> FormatReport | None:
    """Read schema and arrays; None if the schema is not of skops.

    Raises:
        FormatError: the schema is damaged, or an array in it holds Python objects or is damaged.
    """
    large = archive.entries[_SCHEMA].size > _MAX_SCHEMA
    raw = archive.head(_SCHEMA, _MAX_SCHEMA) if large else archive.read(_SCHEMA, _MAX_SCHEMA)
    if large or jsons.values(raw) > jsons.MAX_VALUES:
        code = _WHY_LARGE if _NAMES_RUNS.search(raw) else None
        return _read_arrays(archive, code=code, notes=(_UNREAD,)) if b'"__loader__"' in raw else None
    top = jsons.parse(raw, "the schema")
    if not isinstance(top, dict) or "__loader__" not in top or "__class__" not in top:
        return None
    asked = sorted(name for name in _classes(top) - _PLAIN if not name.startswith(_KNOWN))
    runs = [name for name in asked if name.split(".", 1)[0] in _RUNS]
    return _read_arrays(
        archive,
        code=f"its schema calls {', '.join(runs)[:200]}, if its classes are trusted" if runs else None,
        versions=(
            ("class", f"{top.get('__module__')}.{top['__class__']}"[:100]),
            ("skops", str(top.get("_skops_version"))[:20]),
        ),
        notes=(f"classes that skops asks about: {', '.join(asked)[:200]}",) if asked else (),
    )


def _read_arrays(archive: Archive, *, code: str | None = None, **told: Any) -> FormatReport:
    arrays = Archive(archive.window, {n: e for n, e in archive.entries.items() if n.endswith(_ARRAY)})
    found = read_arrays(arrays)
    return replace(found, format="skops", code=code or found.code, **told)


def _classes(top: object) -> set[str]:
    found: set[str] = set()
    todo = [top]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if isinstance(value.get("__class__"), str):
                found.add(f"{value.get('__module__')}.{value['__class__']}"[:120])
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    return found
