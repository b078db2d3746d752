"""The last scene: an index built from the chain, and three questions to it, each compared with what the contracts say."""

from __future__ import annotations

from pathlib import Path

from steelyard.demo.stage import Stage, eth, require, short
from steelyard.domain.types import account_word
from steelyard.indexer.database import open_database
from steelyard.indexer.run import Indexer
from steelyard.query.audit import Audit
from steelyard.query.model import EarningsQuery, HolderQuery, PaymentKind, PaymentQuery
from steelyard.service.cards import CardKeeper


def questions(stage: Stage, *, rented_at: int, income: int) -> None:
    """Build the index, ask, and compare.

    Args:
        stage: where it all happened.
        rented_at: a time at which Dora's rental ran, Unix seconds.
        income: all that alice/digits earned, wei.

    Raises:
        VerificationError: an answer is not what the contracts say.
    """
    stage.scene("An auditor asks three questions of an index built from the chain")
    first = _build(stage, stage.folder / "index.sqlite")
    require(first == _build(stage, stage.folder / "again.sqlite"), "two indexes of one chain differ")
    stage.fact("built twice", f"the same content hash, {short(first)}")
    with Audit(open_database(stage.folder / "index.sqlite", readonly=True)) as audit:
        _holders(stage, audit, rented_at)
        _earned(stage, audit, income)
        _released(stage, audit, rented_at)


def _build(stage: Stage, path: Path) -> bytes:
    """Build an index and return its content hash."""
    database = open_database(path)
    try:
        indexer = Indexer(database, [stage.rpc], stage.deployment)
        indexer.catch_up()
        CardKeeper(database, stage.store).step()
        cursor, digest = indexer.content_hash()
        indexer.release()
        require(cursor is not None and cursor.number == stage.rpc.block_number(), "the index is behind")
    finally:
        database.close()
    return digest


def _holders(stage: Stage, audit: Audit, rented_at: int) -> None:
    stage.say("1. Who held a valid licence of alice/digits while Dora rented it, and who does now?")
    asset = stage.person("alice").info("alice/digits").asset
    views = stage.person("alice").context.views
    names = {account.address: name.capitalize() for name, account in stage.accounts.items()}
    answers = {}
    for when, at in (("then", rented_at), ("now", None)):
        page = audit.holders(HolderQuery(asset=asset, at=at))
        answers[when] = [names[item.holder] for item in page.items]
        stage.fact(when, ", ".join(answers[when]))
        if at is None:
            require(all(views.is_valid(item.licence) for item in page.items), "an ended licence is listed")
    require(answers == {"then": ["Bob", "Dora"], "now": ["Bob"]}, "the holders are others")


def _earned(stage: Stage, audit: Audit, income: int) -> None:
    stage.say("2. What did alice/digits earn, and what did Carol get of it?")
    carol = stage.accounts["carol"].address
    asset = stage.person("alice").info("alice/digits").asset
    total = part = 0
    for page in audit.walk(PaymentQuery(asset=asset, kinds=(PaymentKind.INCOME,), newest_first=False)):
        for payment in page.items:
            share = sum(item.amount for item in payment.parts if item.payee == account_word(carol))
            total, part = total + payment.amount, part + share
            stage.fact(f"block {payment.block}", f"{eth(payment.amount)}, of it Carol's {eth(share)}")
    earned = sum(item.amount for item in audit.earnings(EarningsQuery(account=carol)).items)
    stage.fact("paid to Carol", eth(earned))
    require(total == income and part == earned == income * 3 // 10, "the income is another")


def _released(stage: Stage, audit: Audit, rented_at: int) -> None:
    stage.say("3. Which version of alice/digits was released when Bob paid, and which is now?")
    asset = stage.person("alice").info("alice/digits").asset
    bought = stage.person("bob").purchases("alice/digits")[0]
    then, now = audit.version_at(asset, bought.paid_at), audit.version_at(asset)
    for when, released in (("then", then), ("now", now)):
        version = released.version
        assert version is not None
        stage.fact(when, f"version {version.number}, {version.cid[:16]}..., in block {version.block}")
    require(then.version is not None and then.version.version == bought.version, "it was another version")
    require(now.version is not None and now.version.number == 2, "it is another version")
