"""skops: scikit-learn models as JSON and arrays, without a pickle. Source: skops/io, protocols 0 to 2.

Loading one makes objects of the classes that its schema names; skops refuses those that it does not know unless its
caller trusts them by name. So these classes are told here, and no other code.
"""

from __future__ import annotations

from typing import Final

from steelyard.formats import jsons
from steelyard.formats.numpys import read_archive as read_arrays
from steelyard.formats.report import FormatReport
from steelyard.formats.zips import Archive

_SCHEMA: Final = "schema.json"
_MAX_SCHEMA: Final = 16 << 20
_KNOWN: Final = ("sklearn", "numpy", "scipy", "builtins", "functools", "operator", "collections", "joblib")


def is_archive(archive: Archive) -> bool:
    """Whether an archive has the schema of skops."""
    return _SCHEMA in archive.entries


def read_archive(archive: Archive) -> FormatReport | None:
    """Read schema and arrays; None if the schema is not of skops.

    Raises:
        FormatError: the schema is damaged or too large, or an array in it holds Python objects or is damaged.
    """
    top = jsons.parse(archive.read(_SCHEMA, _MAX_SCHEMA), "the schema")
    if not isinstance(top, dict) or "__loader__" not in top or "__class__" not in top:
        return None
    classes = _classes(top)
    arrays = Archive(archive.window, {n: e for n, e in archive.entries.items() if n.endswith(".npy")})
    found = read_arrays(arrays)
    own = sorted(name for name in classes if not name.startswith(tuple(f"{known}." for known in _KNOWN)))
    return FormatReport(
        format="skops",
        code=found.code,
        tensors=found.tensors,
        count=found.count,
        parameters=found.parameters,
        versions=(
            ("class", f"{top.get('__module__')}.{top['__class__']}"[:100]),
            ("skops", str(top.get("_skops_version"))[:20]),
        ),
        notes=(f"classes that skops asks about: {', '.join(own)[:200]}",) if own else (),
    )


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
