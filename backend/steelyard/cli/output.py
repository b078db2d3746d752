"""What is printed, and where: results on stdout, talk on stderr.

Names, cards and symbols come from strangers, so control characters never reach the terminal: they could move
the cursor over a price, or set its title.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from steelyard.domain.plain import plain

_STYLES: Final = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}


class Output:
    """Writes for one command."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        color: bool = True,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        """Remember how to write; streams are those of the process if None."""
        self.as_json = as_json
        self.quiet = quiet
        self._color = color
        self._out = sys.stdout if out is None else out
        self._err = sys.stderr if err is None else err

    @property
    def live(self) -> bool:
        """Whether progress may be drawn: stderr is a terminal and nobody asked for quiet."""
        return self._err.isatty() and not self.quiet

    @property
    def err(self) -> TextIO:
        """Where talk goes."""
        return self._err

    def result(self, value: object, lines: Iterable[str] = ()) -> None:
        """Write the result: ``value`` as the one JSON document, or the lines for people."""
        if self.as_json:
            print(json.dumps(plain(value), ensure_ascii=False), file=self._out, flush=True)
            return
        for line in lines:
            print(clean(line), file=self._out, flush=True)

    def document(self, value: object) -> None:
        """Write a value as the one JSON document, whether or not ``--json`` was given."""
        print(json.dumps(plain(value), ensure_ascii=False), file=self._out, flush=True)

    def write(self, text: str) -> None:
        """Write lines for another program, as they are. The caller sees to it that they are ASCII."""
        self._out.write(text)

    def say(self, text: str, *, style: str = "") -> None:
        """Talk on stderr, unless quiet."""
        if not self.quiet:
            print(self._styled(clean(text), style), file=self._err, flush=True)

    def warn(self, text: str) -> None:
        """Warn on stderr, also if quiet."""
        print(self._styled(f"warning: {clean(text)}", "yellow"), file=self._err, flush=True)

    def error(self, message: str, *, kind: str, code: int) -> None:
        """Report a failure: two lines at most on stderr, and with ``--json`` the document on stdout."""
        if self.as_json:
            document = {"error": {"kind": kind, "code": code, "message": message}}
            print(json.dumps(document, ensure_ascii=False), file=self._out, flush=True)
        first, _, rest = clean(message).partition("\n")
        print(self._styled("error:", "red"), first, file=self._err)
        if rest:
            print(" ".join(rest.split()), file=self._err)
        self._err.flush()

    def bold(self, text: str) -> str:
        """Return text to be printed on stderr, in bold where that is possible."""
        return self._styled(text, "bold")

    def _styled(self, text: str, style: str) -> str:
        if not style or not self._color or not self._err.isatty():
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def clean(text: str) -> str:
    """Return text without what could drive a terminal or turn its direction; line feeds and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else "\ufffd"
        for c in text
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return lines of a table with columns as wide as they need to be, separated by two spaces. No rows: no lines."""
    cells = [[clean(cell).replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        return []
    cells.insert(0, list(head))
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def pairs(items: Iterable[tuple[str, str]]) -> list[str]:
    """Return lines of names and values, values aligned; items without a value are left out."""
    kept = [(name, value) for name, value in items if value]
    width = max((len(name) for name, _ in kept), default=0)
    return [f"{name.ljust(width)}  {value}" for name, value in kept]


def short(value: bytes) -> str:
    """Return an id or address as 0x and its first and last four digits, for tables that must fit 80 columns."""
    text = str(plain(value))
    return f"{text[:6]}..{text[-4:]}"


__all__ = ["Output", "clean", "pairs", "plain", "short", "table"]
