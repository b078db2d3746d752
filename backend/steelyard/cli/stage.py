"""``steelyard stage``: where a version is in its life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from steelyard.cli.context import Session, sent_lines
from steelyard.cli.options import Command, sends, with_session
from steelyard.cli.output import pairs, short, table
from steelyard.cli.units import format_time
from steelyard.domain.types import Stage
from steelyard.errors import InputError

if TYPE_CHECKING:
    from steelyard.service.stages import StageMoved

_STAGES = [stage.name.lower() for stage in Stage if stage is not Stage.NONE]


@click.command("stage", cls=Command)
@click.argument("ref")
@click.option("--to", type=click.Choice(_STAGES), help="Move it to this stage.")
@click.option("--reason", metavar="TEXT", help="Why it is moved, for everybody to read.")
@sends
@with_session
def stage_command(
    session: Session, ref: str, to: str | None, reason: str | None, dry_run: bool, yes: bool
) -> None:
    """Show or move a version's stage.

    REF names the version, such as alice/digits@2. Released and deprecated versions are sold; what was bought
    stays as it is in every stage. Nothing leaves retired.
    """
    if to is None:
        if reason is not None or dry_run:
            raise InputError("--reason and --dry-run need --to")
        _show(session, ref)
        return
    if reason is None:
        raise InputError("a move needs a --reason")
    sent: StageMoved = session.act(
        f"Retire {ref} for ever?" if to == "retired" else "",
        lambda market: market.move_stage(ref, to, reason=reason),
        dry_run=dry_run,
        yes=yes,
    )
    lines = [("version", sent.ref), ("was", sent.before.name.lower()), ("stage", to)]
    session.out.result(sent, pairs([*lines, *sent_lines(sent)]))


def _show(session: Session, ref: str) -> None:
    found = session.reader.stages(ref)
    rows = [
        (item.stage.name.lower(), format_time(item.since), short(item.actor), item.reason or "published")
        for item in found.history
    ]
    lines = pairs([("version", found.ref), ("stage", found.stage.name.lower())])
    session.out.result(found, [*lines, "", *table(("STAGE", "SINCE", "BY", "REASON"), rows)])
