"""The seller's service after a crash at each of its commit points: nothing lost, nothing sent twice, no key given away."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.domain.types import State
from steelyard.errors import UnsafeError
from steelyard.service.results import Offered
from tests.e2e.kill.campaign import campaign, leaks
from tests.e2e.kill.shop import SEED, Service, Shop
from tests.e2e.support import DAY, HOUR


def test_what_was_signed_before_a_crash_is_not_sent_within_the_margin(shop: Shop) -> None:
    (bought,) = shop.buy(shop.publish(deliver_within=HOUR))
    before = shop.from_seller()
    Service.crash(shop.seller, "deliver.signed")
    shop.travel(HOUR - 500)
    with Service(shop.reopened(margin=600)) as service:
        service.wait("held-back", bought)
        (later,) = shop.buy(shop.publish("later"))
        service.wait("delivered", later)
    # Its nonce went to an empty transaction; publish, offer and the later delivery took three more.
    assert shop.from_seller() == before + 4
    assert set(shop.deliveries()) == {later} and len(shop.sent()) == 1
    shop.travel(HOUR)
    assert shop.buyer.refund(bought).state is State.REFUNDED


def test_what_was_planned_before_a_crash_is_not_sent_within_the_margin(shop: Shop) -> None:
    (bought,) = shop.buy(shop.publish(deliver_within=HOUR))
    before = shop.from_seller()
    Service.crash(shop.seller, "deliver.planned")
    shop.travel(HOUR - 500)
    with Service(shop.reopened(margin=600)) as service:
        service.wait("held-back", bought)
    assert shop.from_seller() == before


def test_what_was_signed_for_a_payment_that_is_gone_is_never_sent(shop: Shop, offered: Offered) -> None:
    shop.mine(3)
    (bought,) = shop.buy(offered)
    Service.crash(shop.seller, "deliver.signed")
    shop.reorg(1)
    with Service(shop.reopened()) as service:
        (other,) = shop.buy(offered)
        service.wait("delivered", other)
    assert shop.state(bought) is State.NONE
    assert len(shop.sent()) == 1 and shop.reverted() == 0


def test_what_was_held_back_is_delivered_once_it_is_safe_again(shop: Shop) -> None:
    (bought,) = shop.buy(shop.publish(deliver_within=HOUR))
    Service.crash(shop.seller, "deliver.signed")
    shop.travel(HOUR - 500)
    with Service(shop.reopened(margin=600)) as service:
        service.wait("held-back", bought)
    with Service(shop.reopened(margin=100)) as service:
        service.wait("delivered", bought)
    assert shop.deliveries()[bought] == 1


def test_what_was_sent_is_pushed_on_within_the_margin(shop: Shop, offered: Offered) -> None:
    (bought,) = shop.buy(offered)
    shop.rpc.call("evm_setAutomine", (False,))
    Service.crash(shop.seller, "deliver.marked")
    shop.rpc.call("anvil_dropAllTransactions")
    shop.rpc.call("evm_setAutomine", (True,))
    # The key is out, though the endpoint has forgotten it: to hold it back now would only lose the money.
    with Service(shop.reopened(margin=2 * DAY)) as service:
        service.wait("delivered", bought)
    assert shop.deliveries()[bought] == 1


def test_a_delivery_by_hand_goes_on_with_what_the_service_signed(shop: Shop, offered: Offered) -> None:
    first, second = shop.buy(offered, 2)
    before = shop.from_seller()
    Service.crash(shop.seller, "deliver.signed")
    assert {item.id for item in shop.reopened().deliver_pending()} == {first, second}
    assert shop.from_seller() == before + 2 and len(shop.sent()) == 2


def test_a_delivery_by_hand_holds_what_the_service_signed_and_may_not_be_sent(shop: Shop) -> None:
    (bought,) = shop.buy(shop.publish(deliver_within=HOUR))
    (other,) = shop.buy(shop.publish("other"))
    Service.crash(shop.seller, "deliver.signed")
    shop.travel(HOUR - 500)
    market = shop.reopened(margin=600)
    with pytest.raises(UnsafeError, match="margin"):
        market.deliver(bought)
    # Its nonce is used up, so the next one is not held up by it.
    assert [item.id for item in market.deliver_pending()] == [other]
    assert set(shop.deliveries()) == {other}


def test_a_delivery_that_was_reorganised_away_is_sent_again_with_the_same_point(
    shop: Shop, offered: Offered
) -> None:
    (bought,) = shop.buy(offered)
    with Service(shop.seller) as service:
        service.wait("delivered", bought)
        first = shop.sent()[-1]
        shop.reorg(1)
        service.wait("delivered", bought, count=2)
    again = shop.sent()[-1]
    assert (again["input"], again["nonce"], again["hash"]) == (first["input"], first["nonce"], first["hash"])
    assert shop.deliveries()[bought] == 1 and len(shop.sent()) == 1


def test_a_delivery_that_somebody_else_was_faster_with_costs_no_second_one(
    shop: Shop, offered: Offered
) -> None:
    (bought,) = shop.buy(offered)
    Service.crash(shop.seller, "deliver.signed")
    with Service(shop.helper(), refs=[offered.ref]) as service:
        service.wait("delivered", bought)
    with Service(shop.reopened()) as service:
        (other,) = shop.buy(offered)
        service.wait("delivered", other)
    assert shop.reverted() == 0 and len(shop.sent()) == 1


def test_a_short_campaign_loses_and_doubles_nothing(tmp_path: Path) -> None:
    result = campaign(tmp_path, kills=12, seed=1)
    assert (result.lost, result.doubled, result.reverted, result.leaks) == (0, 0, 0, 0), result.line()
    assert result.points == 22 and result.settled == 7 and result.requests > 7


def test_the_search_for_secrets_finds_one(shop: Shop, offered: Offered, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("nothing")
    assert leaks(shop, log) == []
    log.write_text(f"seed {int.from_bytes(SEED.reveal(), 'big')}")
    assert leaks(shop, log) == [str(log)]
