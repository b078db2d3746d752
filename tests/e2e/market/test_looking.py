"""Looking and auditing, and nodes that lie or change their mind."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.chain.rpc import Rpc
from steelyard.domain.types import State
from steelyard.errors import (
    NotFoundError,
    TrailError,
)
from steelyard.market import Market
from steelyard.service.results import Offered, Published
from tests.e2e.support import MarketOf


def test_info_shows_card_manifest_and_offers(buyer: Market, published: Published, offered: Offered) -> None:
    info = buyer.info(published.ref)
    (version,) = info.versions
    assert version.card == "# Digits\n\nReads digits.\n"
    assert version.manifest is not None and len(version.manifest.files) == 4
    assert not version.attested and not version.flagged
    assert [item.offer for item in info.offers] == [offered.offer]
    assert info.canonical == published.canonical.partition("@")[0]
    assert published.asset in [item.asset for item in buyer.list(query="digits")]
    assert buyer.info(published.canonical).asset == published.asset


def test_the_trail_is_exported_and_verified_and_a_removed_entry_found(
    seller: Market, buyer: Market, published: Published, offered: Offered, tmp_path: Path
) -> None:
    import json

    from steelyard.errors import SteelyardError

    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    seller.claim(published.ref)
    names = [event.name for event in buyer.trail(published.ref)]
    assert names == [
        *("AssetRegistered", "VersionPublished", "Offered", "Purchased", "Delivered", "Received", "Claimed"),
    ]
    bundle = seller.export(published.ref, tmp_path / "bundle.json")
    state = buyer.verify_bundle(bundle)
    assert state.purchases[purchase.id].state is State.SETTLED
    document = json.loads(bundle.read_bytes())
    del document["entries"][3]
    bundle.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    with pytest.raises(SteelyardError):
        buyer.verify_bundle(bundle)
    for form in ("csv", "jsonl", "prov"):
        assert seller.export(published.ref, tmp_path / form, format=form).stat().st_size > 500


def test_an_unknown_asset_is_not_found(buyer: Market) -> None:
    with pytest.raises(NotFoundError, match="check the name"):
        buyer.info("0x" + "11" * 20 + "/nothing")
    with pytest.raises(NotFoundError):
        buyer.purchase("0x" + "11" * 32)


@pytest.mark.parametrize("lost", [0, 2, 3])
def test_a_node_that_hides_a_log_is_caught(
    market_of: MarketOf,
    buyer: Market,
    published: Published,
    offered: Offered,
    monkeypatch: pytest.MonkeyPatch,
    lost: int,
) -> None:
    buyer.buy(published.ref, wait=False)
    fresh = market_of(buyer.context.account)
    get_logs = fresh.context.rpc.get_logs

    def hide(*args: object, **options: object) -> object:
        logs = get_logs(*args, **options)  # type: ignore[arg-type]
        return logs[:lost] + logs[lost + 1 :]

    monkeypatch.setattr(fresh.context.rpc, "get_logs", hide)
    with pytest.raises(TrailError):
        fresh.info(published.ref)


def test_a_purchase_that_was_reorganised_away_is_not_answered(
    seller: Market, buyer: Market, published: Published, offered: Offered, rpc: Rpc
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    assert [sale.id for sale in seller.sales(published.ref)] == [purchase.id]
    rpc.call("anvil_reorg", (1, []))
    assert buyer.context.views.licence(purchase.id).state is State.NONE
    with pytest.raises(NotFoundError):
        seller.deliver(purchase)
    assert seller.sales(published.ref) == ()
    assert seller.deliver_pending() == ()
