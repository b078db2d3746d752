"""Which paths a version may hold: only those that mean one file, inside the folder, on every system.

Definitions: docs/encryption-format.md, "Public manifest".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from steelyard.errors import ManifestError

MAX_PATH: Final = 1024
"""Most bytes of UTF-8 in a path."""
MAX_COMPONENT: Final = 255
"""Most bytes of UTF-8 between two slashes."""

# Control characters, line and paragraph separators, bidirectional controls, zero-width characters,
# surrogates, and what Windows cannot have in a name (the colon also opens drives and alternate streams).
_FORBIDDEN: Final = re.compile(
    '[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff\\\\:<>"|?*]'
)
_DEVICE: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])[ ]*(\..*)?", re.IGNORECASE | re.DOTALL
)


def check_path(path: str) -> None:
    """Check one path.

    Raises:
        ManifestError: it could leave the folder, or would name something else or nothing on some system.
    """
    shown = ascii(path[:200])
    if found := _FORBIDDEN.search(path):
        raise ManifestError(f"path {shown} holds the character U+{ord(found.group()):04X}")
    if not unicodedata.is_normalized("NFC", path):
        raise ManifestError(f"path {shown} is not in Unicode NFC")
    if len(path.encode("utf-8")) > MAX_PATH:
        raise ManifestError(f"path {shown} is longer than {MAX_PATH} bytes")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise ManifestError(f"path {shown} is not a plain relative path")
        if len(part.encode("utf-8")) > MAX_COMPONENT:
            raise ManifestError(f"path {shown} has a component longer than {MAX_COMPONENT} bytes")
        if part[-1] in ". ":
            raise ManifestError(f"path {shown} has a component that ends with a dot or a space")
        if _DEVICE.fullmatch(part):
            raise ManifestError(f"path {shown} has a component that names a device on Windows")


def check_tree(paths: Sequence[str]) -> None:
    """Check all paths of a version together.

    Args:
        paths: in the order of the stream.

    Raises:
        ManifestError: a path is bad, they are not sorted or not unique, or two of them would meet on a system
            that does not tell upper from lower case, or that needs a name for a file and a folder at once.
    """
    spelling: dict[str, str] = {}
    folders: set[str] = set()
    files: set[str] = set()
    before = ""
    for path in paths:
        check_path(path)
        if path <= before:
            raise ManifestError(f"path {path!a} is out of order or listed twice")
        before = path
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            name = "/".join(parts[:end])
            key = _fold(name)
            if spelling.setdefault(key, name) != name:
                raise ManifestError(f"{name!a} and {spelling[key]!a} differ only in case")
            (files if end == len(parts) else folders).add(key)
    if both := files & folders:
        raise ManifestError(f"{spelling[min(both)]!a} is both a file and a folder")


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
