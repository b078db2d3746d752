"""Stages of versions on a real chain: what they stop, what they leave alone, and where they can be read afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.domain.types import Stage, State
from steelyard.errors import InputError, NotOnSaleError, RefusedError
from steelyard.indexer.database import open_database
from steelyard.indexer.run import Indexer
from steelyard.indexer.verify import check
from steelyard.market import Market
from steelyard.query.audit import Audit
from steelyard.service.results import Offered, Published
from steelyard.service.select import choose, require_sellable
from tests.e2e.support import DAY, PRICE, MarketOf, Travel, same_files

NOT_ON_SALE = ("draft", "validated", "retired")


def test_a_move_is_made_once_and_told(seller: Market, buyer: Market, published: Published) -> None:
    moved = seller.move_stage(published.ref, "deprecated", reason="found better")
    assert (moved.ref, moved.before, moved.stage) == (published.ref, Stage.RELEASED, Stage.DEPRECATED)
    assert moved.tx and moved.gas_used < 60_000
    found = buyer.stages(published.ref)
    assert found.stage is Stage.DEPRECATED
    assert [(item.stage, item.actor, item.reason, item.tx) for item in found.history] == [
        (Stage.RELEASED, seller.context.account.address, None, None),
        (Stage.DEPRECATED, seller.context.account.address, "found better", moved.tx),
    ]
    assert buyer.info(published.ref, fetch=False).versions[0].stage is Stage.DEPRECATED
    with pytest.raises(RefusedError, match="deprecated already"):
        seller.move_stage(published.ref, Stage.DEPRECATED, reason="again")


def test_what_is_malformed_or_forbidden_sends_nothing(
    seller: Market, buyer: Market, published: Published
) -> None:
    asset = published.ref.partition("@")[0]
    for ref, to, reason in (
        (asset, "draft", "why"),
        (published.ref, "dead", "why"),
        (published.ref, "none", "why"),
        (published.ref, Stage.NONE, "why"),
        (published.ref, "draft", ""),
        (published.ref, "draft", "ö" * 129),
    ):
        with pytest.raises(InputError):
            seller.move_stage(ref, to, reason=reason)
    with pytest.raises(RefusedError, match="neither owns nor maintains"):
        buyer.move_stage(published.ref, "draft", reason="why")
    assert len(seller.stages(published.ref).history) == 1
    seller.set_role(asset, buyer.context.account.address, "maintainer")
    buyer.move_stage(published.ref, "retired", reason="ö" * 128)
    with pytest.raises(RefusedError, match="final"):
        seller.move_stage(published.ref, "released", reason="why")


@pytest.mark.parametrize("stage", NOT_ON_SALE)
def test_a_version_that_is_not_on_sale_is_not_bought(
    seller: Market, buyer: Market, published: Published, offered: Offered, stage: str
) -> None:
    # Chosen before the move, and paid after it: the contract's word decides.
    chosen = choose(buyer.context, published.ref, offer=None, rental=None, allow=())
    seller.move_stage(published.ref, stage, reason="why")
    for act in (
        lambda: require_sellable(buyer.context, chosen),
        lambda: buyer.buy(published.ref, wait=False),
        lambda: buyer.buy(published.ref.partition("@")[0], wait=False),
        lambda: buyer.quote(published.ref, offer=offered.offer),
        lambda: seller.offer_metered(published.ref, price=1, unit="row"),
    ):
        with pytest.raises(NotOnSaleError, match=stage) as raised:
            act()
        assert raised.value.stage == stage
    assert not buyer.purchases()
    if stage != "retired":
        seller.move_stage(published.ref, "released", reason="ready")
        assert buyer.buy(published.ref, wait=False).state is State.PAID


def test_the_newest_version_on_sale_is_meant(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    asset = published.ref.partition("@")[0]
    seller.offer(asset, price=PRICE)
    second = seller.new_version(asset, folder)
    seller.move_stage(second.ref, "draft", reason="not ready")
    assert buyer.quote(asset).ref == published.ref
    seller.move_stage(second.ref, "released", reason="ready")
    assert buyer.quote(asset).ref == second.ref


def test_a_deprecated_version_is_sold_with_a_warning(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    assert not any("deprecated" in warning for warning in buyer.quote(published.ref).warnings)
    seller.move_stage(published.ref, "deprecated", reason="use\nanother")
    assert "deprecated by its seller: use another" in buyer.quote(published.ref).warnings
    assert buyer.buy(published.ref, wait=False).state is State.PAID


@pytest.mark.parametrize("stage", NOT_ON_SALE)
def test_what_was_bought_stays(
    seller: Market,
    buyer: Market,
    market_of: MarketOf,
    published: Published,
    folder: Path,
    travel: Travel,
    tmp_path: Path,
    stage: str,
) -> None:
    until = seller.context.now() + 9 * DAY
    seller.offer(published.ref, price=PRICE, rental_period=DAY, renew_until=until, scope="all")
    rented, late = buyer.rent(published.ref, wait=False), buyer.rent(published.ref, wait=False)
    second = seller.new_version(published.ref, folder)
    for ref in (published.ref, second.ref):
        seller.move_stage(ref, stage, reason="why")
    seller.deliver(rented)
    assert same_files(folder, buyer.pull(rented, tmp_path / "pulled"))
    first = rented.refresh().until
    assert buyer.renew(rented, max_price=PRICE).until == first + DAY
    buyer.request_key(rented, version=2)
    (delivery,) = seller.deliver_pending(published.ref)[-1:]
    assert delivery.request
    assert same_files(folder, buyer.pull(second.ref, tmp_path / "second"))
    travel(DAY + 60)
    if late.refresh().state is State.PAID:
        assert buyer.refund(late).state is State.REFUNDED


def test_stages_are_in_trail_bundle_exports_and_index(
    seller: Market, published: Published, travel: Travel, tmp_path: Path
) -> None:
    travel(60)
    seller.move_stage(published.ref, "draft", reason="=not ready, größer")
    seller.move_stage(published.ref, "retired", reason="why")
    assert [event.name for event in seller.trail(published.ref)][2:] == ["StageMoved"] * 2
    bundle = seller.export(published.ref, tmp_path / "bundle.json")
    (version,) = seller.verify_bundle(bundle).versions.values()
    assert [(move.stage, move.reason) for move in version.moves] == [
        (Stage.DRAFT, "=not ready, größer"),
        (Stage.RETIRED, "why"),
    ]
    for form in ("csv", "jsonl", "prov"):
        text = seller.export(published.ref, tmp_path / form, format=form).read_text()
        assert "StageMoved" in text and "not ready" in text
    database = open_database(tmp_path / "index.sqlite")
    try:
        Indexer(database, [seller.context.rpc], seller.context.deployment).step()
        assert check(database, seller.context.deployment).at is not None
        audit = Audit(database)
        told = audit.stages(published.version).stages
        assert [(item.stage, item.reason, item.tx) for item in told[1:]] == [
            (move.stage, move.reason, move.tx) for move in version.moves
        ]
        assert audit.version_at(published.asset, told[0].since).version.stage is Stage.RELEASED  # type: ignore[union-attr]
        assert audit.version_at(published.asset).version is None
    finally:
        database.close()
