"""``steelyard card``: show, check and begin a model or dataset card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session
from steelyard.cli.options import Command, Group, with_session
from steelyard.cli.output import pairs
from steelyard.cli.units import format_size
from steelyard.errors import ManifestError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steelyard.domain.card import Card
    from steelyard.domain.cardcheck import Finding
    from steelyard.domain.types import AssetKind
    from steelyard.service.describe import Described

_KIND = click.option(
    "--kind",
    type=click.Choice(["model", "dataset"]),
    default="model",
    show_default=True,
    help="What it is of.",
)


@click.group("card", cls=Group)
def card_command() -> None:
    """Show, check and begin a card.

    A card is the public README.md of a version: a front matter as the Hugging Face Hub has it, then Markdown.
    """


@card_command.command("show", cls=Command)
@click.argument("where")
@_KIND
@with_session
def show(session: Session, where: str, kind: str) -> None:
    """Show what a card says, and what the files beside it are.

    WHERE is a folder, a card, or a reference to something published; of the last only what is public is shown.
    """
    if Path(where).exists():
        found = _describe(where, kind)
        session.out.result(found, [*_card_lines(found.card), *_file_lines(found)])
        return
    version = session.reader.info(where).versions[-1]
    if version.card is None:
        raise NotFoundError(f"the store does not have the card of {where} now")
    from steelyard.domain.card import parse

    card = parse(version.card.encode())
    files = [
        f"{entry.path}  {format_size(entry.size)}  {entry.format}"
        for entry in (version.manifest.files if version.manifest else ())
    ]
    session.out.result({"card": card, "manifest": version.manifest}, [*_card_lines(card), "", *files])


@card_command.command("check", cls=Command)
@click.argument("where", type=click.Path(exists=True))
@_KIND
@with_session
def check(session: Session, where: str, kind: str) -> None:
    """Check a card and the files beside it, as publish does.

    WHERE is a folder or a card. Licences are checked against SPDX. The exit code is 2 if something must be
    mended; advice alone is no failure.
    """
    found = _describe(where, kind)
    wrong = [item for item in found.findings if item.wrong]
    if wrong and session.as_json:
        raise ManifestError("; ".join(f"{item.field}: {item.text}" for item in wrong)[:2000])
    code = [file.path for file in found.files if file.report is not None and file.report.code is not None]
    session.out.result(found, _finding_lines(found.findings))
    for path in code:
        session.out.warn(f"{path} runs code when it is loaded: publish refuses it without --allow-code")
    if wrong:
        raise ManifestError(f"{len(wrong)} of these must be mended")
    session.out.say("Nothing must be mended.")


@card_command.command("init", cls=Command)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", help="Its title; else the folder's name.")
@click.option("--license", "licence", metavar="ID", help="An SPDX id, such as apache-2.0.")
@_KIND
@with_session
def init(session: Session, folder: Path, name: str | None, licence: str | None, kind: str) -> None:
    """Write a starter of a card into a folder.

    What the files tell is filled in. An existing README.md is never overwritten. The last line on stdout is the
    path.
    """
    from steelyard.domain.licences import is_known
    from steelyard.service.describe import write_starter

    if licence is not None and not is_known(licence):
        raise ManifestError(f"{licence!a} is neither an SPDX expression nor an id of the Hub")
    path = write_starter(folder, name=name or folder.resolve().name, kind=_kind(kind), licence=licence)
    session.out.result({"path": path}, [str(path)])


def _describe(where: str, kind: str) -> Described:
    from steelyard.service.describe import describe

    return describe(Path(where), kind=_kind(kind))


def _kind(kind: str) -> AssetKind:
    from steelyard.domain.types import AssetKind

    return AssetKind[kind.upper()]


def _card_lines(card: Card | None) -> list[str]:
    if card is None:
        return []
    metrics = [
        f"{item.name} {item.value}{f' on {item.dataset}' if item.dataset else ''}" for item in card.metrics
    ]
    return pairs(
        [
            ("title", card.title or ""),
            ("task", ", ".join(card.tasks)),
            ("library", card.framework or ""),
            ("licence", card.licence or ""),
            ("tags", ", ".join(card.tags)),
            ("languages", ", ".join(card.languages)),
            ("datasets", ", ".join(card.datasets)),
            ("made from", ", ".join(card.bases)),
            ("metrics", ", ".join(metrics)),
        ]
    )


def _file_lines(found: Described) -> Iterator[str]:
    from steelyard.formats.summary import lines

    for file in found.files:
        form = file.report.declared if file.report else "refused"
        yield ""
        yield f"{file.path}  {format_size(file.size)}  {form}"
        yield from (f"  {line}" for line in (lines(file.report) if file.report else [file.refused or ""]))


def _finding_lines(findings: tuple[Finding, ...]) -> list[str]:
    return [f"{'error ' if item.wrong else 'advice'}  {item.field}: {item.text}" for item in findings]
