"""Stages of versions: moved with a reason, shown with their history, and asked before a sale (docs/stages.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from steelyard.domain.records import StageMove, VersionState
from steelyard.domain.types import Address, Role, Stage, VersionId
from steelyard.errors import InputError, NotOnSaleError, RefusedError
from steelyard.service.context import Context, summary
from steelyard.service.naming import asset_name, find_asset, find_version, pick_version
from steelyard.service.results import Sent

MAX_REASON: Final = 256
"""Most bytes of a reason in UTF-8."""


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A stage that a version came to.

    Attributes:
        stage: the stage.
        since: when, Unix seconds.
        actor: who moved or published it.
        reason: why; None for the publication.
        tx: transaction; None for the publication.
    """

    stage: Stage
    since: int
    actor: Address
    reason: str | None = None
    tx: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class VersionStages:
    """Where a version is in its life, and how it came there.

    Attributes:
        ref: the version, as people name it.
        version: its id.
        stage: the present one.
        history: all of them, oldest first.
    """

    ref: str
    version: VersionId
    stage: Stage
    history: tuple[Staged, ...]


@dataclass(frozen=True, kw_only=True)
class StageMoved(Sent):
    """A version that was moved to another stage.

    Attributes:
        ref: the version, as people name it.
        version: its id.
        before: stage until now.
        stage: stage from now on.
        reason: why.
    """

    ref: str
    version: VersionId
    before: Stage
    stage: Stage
    reason: str


def move_stage(context: Context, text: str, to: Stage | str, reason: str) -> StageMoved:
    """Move a version to another stage; see :meth:`steelyard.Market.move_stage`."""
    wanted = context.parse(text).version
    if wanted is None:
        raise InputError(f"{text!r} names no version: add @ and its number")
    stage = as_stage(to)
    if not 1 <= len(reason.encode()) <= MAX_REASON:
        raise InputError(f"a reason has 1 to {MAX_REASON} bytes in UTF-8, not {len(reason.encode())}")
    asset = find_asset(context, text)
    version = pick_version(asset, wanted)
    name = asset_name(context, asset, version.number)
    if version.stage is Stage.RETIRED:
        raise RefusedError(f"{name} is retired, which is final")
    if version.stage is stage:
        raise RefusedError(f"{name} is {stage.name.lower()} already")
    if not asset.may(context.account.address, Role.MAINTAINER):
        raise RefusedError(
            f"this account neither owns nor maintains {asset.label}: its owner can lend the role"
        )
    mined = context.send(context.calls.move_stage(version.commitments, stage, reason))
    return StageMoved(
        ref=name, version=version.id, before=version.stage, stage=stage, reason=reason, **summary(mined)
    )


def stages(context: Context, text: str) -> VersionStages:
    """Return the stage of a version and how it came there; see :meth:`steelyard.Market.stages`."""
    asset, version = find_version(context, text)
    first = Staged(stage=Stage.RELEASED, since=version.published_at, actor=version.publisher)
    return VersionStages(
        ref=asset_name(context, asset, version.number),
        version=version.id,
        stage=version.stage,
        history=(first, *map(_staged, version.moves)),
    )


def as_stage(to: Stage | str) -> Stage:
    """Return a stage from its name.

    Raises:
        InputError: there is no such stage.
    """
    names = {stage.name.lower(): stage for stage in Stage if stage is not Stage.NONE}
    found = to if isinstance(to, Stage) else names.get(to.lower())
    if not found:
        raise InputError(f"{to!r} is no stage: {', '.join(names)}")
    return found


def require_on_sale(name: str, version: VersionState) -> None:
    """Check that a version is in a stage that is sold, as its trail says.

    Raises:
        NotOnSaleError: it is not.
    """
    if not version.stage.on_sale:
        raise not_on_sale(name, version.stage)


def require_sold_now(context: Context, name: str, version: VersionId) -> None:
    """Check that a version is in a stage that is sold, as the contract says now.

    Raises:
        NotOnSaleError: it is not.
        ChainError: the endpoint failed.
    """
    stage = context.views.stage(version)
    if not stage.on_sale:
        raise not_on_sale(name, stage)


def not_on_sale(name: str, stage: Stage) -> NotOnSaleError:
    """Return the error for a version in a stage that is not sold."""
    word = stage.name.lower()
    return NotOnSaleError(f"{name} is {word}, so it is not on sale; nothing was paid", stage=word)


def warning(version: VersionState) -> str | None:
    """Return what to tell who is about to pay for a version, if its stage is reason to."""
    if version.stage is not Stage.DEPRECATED:
        return None
    # A stranger's words, on one line.
    return f"deprecated by its seller: {' '.join(version.moves[-1].reason.split())}"


def _staged(move: StageMove) -> Staged:
    return Staged(stage=move.stage, since=move.at, actor=move.actor, reason=move.reason, tx=move.tx)
