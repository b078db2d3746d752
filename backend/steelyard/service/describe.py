"""A folder before it is published: its card, what its files are, and a starter of a card made from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from steelyard.domain.card import MAX_CARD, Card
from steelyard.domain.cardcheck import Finding, check
from steelyard.domain.types import AssetKind
from steelyard.errors import FormatError, InputError
from steelyard.formats.report import FormatReport
from steelyard.formats.summary import library, parameters
from steelyard.service.declare import look_into
from steelyard.service.files import write_private
from steelyard.service.public import CARD
from steelyard.service.source import walk


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A file of a folder: its path, its bytes, and what it is, or why it cannot be published."""

    path: str
    size: int
    report: FormatReport | None = None
    refused: str | None = None


@dataclass(frozen=True, kw_only=True)
class Described:
    """A folder, or one card.

    Attributes:
        card: what the card says; None if there is none, or it cannot be read.
        findings: what is wrong with it or could be said besides, and what the files add to it.
        files: of the folder.
        library: that its files are loaded with, where they agree on one.
        parameters: of all files, where they say.
    """

    card: Card | None
    findings: tuple[Finding, ...]
    files: tuple[FileInfo, ...] = ()
    library: str | None = None
    parameters: int | None = None


def describe(place: Path, *, kind: AssetKind) -> Described:
    """Look at a folder, or at a card alone.

    Raises:
        InputError: there is no such folder or file.
    """
    if place.is_file():
        card, findings = check(_read(place), kind=kind)
        return Described(card=card, findings=findings)
    files = tuple(_file(path, at) for path, at in sorted(walk(place)))
    reports = [file.report for file in files if file.report is not None]
    found, count = library(reports), parameters(reports)
    card, findings = (
        None,
        (Finding(wrong=False, field="card", text=f"there is no {CARD}: try steelyard card init"),),
    )
    if (place / CARD).is_file():
        card, findings = check(_read(place / CARD), kind=kind)
    more = [Finding(wrong=True, field=file.path, text=file.refused) for file in files if file.refused]
    if card is not None and kind is AssetKind.MODEL and found is not None and card.framework is None:
        more.append(Finding(wrong=False, field="library_name", text=f"the files say {found}"))
    return Described(card=card, findings=(*more, *findings), files=files, library=found, parameters=count)


def write_starter(place: Path, *, name: str, kind: AssetKind, licence: str | None) -> Path:
    """Write a card into a folder that has none, with what its files tell.

    Raises:
        InputError: there is no such folder.
        RefusedError: there is a card already.
    """
    found = describe(place, kind=kind)
    target = place / CARD
    write_private(target, starter(found, name=name, kind=kind, licence=licence).encode(), replace=False)
    target.chmod(0o644)
    return target


def starter(found: Described, *, name: str, kind: AssetKind, licence: str | None) -> str:
    """Return a card to be filled in."""
    front = [f"license: {licence or 'other'}"]
    if licence is None:
        front += ["license_name:", "license_link:"]
    if kind is AssetKind.MODEL:
        front += [
            f"library_name: {found.library or ''}".rstrip(),
            "pipeline_tag:",
            "tags: []",
            "datasets: []",
            "base_model: []",
        ]
    else:
        front += [
            f"pretty_name: {json.dumps(name, ensure_ascii=False)}",
            "task_categories: []",
            "language: []",
            "tags: []",
        ]
    body = [f"# {name}", "", "What it does, in a sentence.", ""]
    if found.parameters:
        body += [f"{found.parameters:,} parameters.", ""]
    body += ["## Use", "", "## Training" if kind is AssetKind.MODEL else "## Source", "", "## Limits", ""]
    return "\n".join(["---", *front, "---", *body])


def _file(path: str, at: Path) -> FileInfo:
    size = at.lstat().st_size
    try:
        return FileInfo(path=path, size=size, report=look_into(at, name=path))
    except FormatError as exc:
        return FileInfo(path=path, size=size, refused=str(exc))


def _read(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            return file.read(MAX_CARD + 1)
    except OSError as exc:
        raise InputError(f"cannot read {place}: {exc.strerror}") from exc
