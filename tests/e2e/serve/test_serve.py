"""The seller's service on a chain of its own: what it answers, what it refuses, and what a crash must not change."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steelyard.chain.rpc import Rpc
from steelyard.chain.transport import Answer, HttpTransport, TransportFault
from steelyard.crypto.delivery import blind
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address, AssetId, KeyRequest, PurchaseId, RequestState, State, VersionId
from steelyard.errors import UnsafeError, WrongChainError
from steelyard.service.account import Account
from steelyard.service.context import Context, Settings
from steelyard.service.gate import Gate, Verdict, Why, safe_block
from steelyard.service.results import Offered
from steelyard.service.serve import run
from tests.e2e.kill.shop import ETHER, Service, Shop, opened
from tests.e2e.support import DAY, HOUR


def ask(shop: Shop, licence: PurchaseId, version: VersionId, *, fee: int = 0) -> bytes:
    """Ask for a key as a client of one's own would: again and again, if one likes."""
    context = shop.buyer.context
    asked = KeyRequest(
        licence, version, context.account.address, blind(Secret(os.urandom(31).rjust(32, b"\1")))
    )
    context.send(context.calls.request_key(licence, version, asked.key, within=DAY, fee=fee))
    return asked.id(chain_id=context.chain_id, market=context.deployment.market)


def flag(shop: Shop, asset: AssetId, version: VersionId) -> None:
    """Have the market say that a version was proved false, by writing the word that a dispute would write."""
    market = "0x" + shop.deployment.market.hex()
    for slot in range(64):
        place = "0x" + keccak256(version + slot.to_bytes(32, "big")).hex()
        shop.rpc.call("anvil_setStorageAt", (market, place, "0x" + "00" * 31 + "01"))
        if shop.seller.context.views.flagged(version):
            return
        shop.rpc.call("anvil_setStorageAt", (market, place, "0x" + "00" * 32))
    raise AssertionError("where is the mapping?")


# -- what it answers -----------------------------------------------------------------------------------------------


def test_a_purchase_is_answered_and_opens(shop: Shop, offered: Offered, tmp_path: Path) -> None:
    with Service(shop.seller) as service:
        purchase = shop.buyer.buy(offered.ref, wait=30)
        service.wait("delivered", purchase.id)
    assert purchase.state is State.SETTLED
    pulled = purchase.pull(tmp_path / "got")
    assert (pulled / "weights.bin").read_bytes() == (tmp_path / "model-digits" / "weights.bin").read_bytes()
    assert service.served is not None and service.served.delivered == 1


def test_the_key_of_a_new_version_is_answered(shop: Shop, offered: Offered) -> None:
    (licence,) = shop.buy(offered)
    with Service(shop.seller) as service:
        service.wait("delivered", licence)
        shop.new_version(offered.ref)
        asked = shop.buyer.request_key(licence)
        service.wait("answered", asked.id)
    assert shop.seller.context.views.request(asked.id).state is RequestState.ANSWERED


def test_the_first_key_after_a_transfer_is_answered(shop: Shop, offered: Offered) -> None:
    (licence,) = shop.buy(offered)
    second = shop.market()
    with Service(shop.seller) as service:
        service.wait("delivered", licence)
        shop.buyer.transfer_licence(licence, second.context.account.address)
        asked = second.request_key(licence, 1)
        service.wait("answered", asked.id)


def test_a_purchase_is_settled_after_its_window(shop: Shop) -> None:
    shop.seller.fund_bond(ETHER)
    (bought,) = shop.buy(shop.publish(window=HOUR))
    with Service(shop.seller) as service:
        service.wait("delivered", bought)
        assert shop.state(bought) is State.DELIVERED
        shop.travel(HOUR + 1)
        service.wait("settled", bought)
    assert shop.state(bought) is State.SETTLED


def test_settling_can_be_left_to_others(shop: Shop) -> None:
    shop.seller.fund_bond(ETHER)
    (bought,) = shop.buy(shop.publish(window=HOUR))
    with Service(shop.seller, settle=False) as service:
        service.wait("delivered", bought)
        shop.travel(HOUR + 1)
        (other,) = shop.buy(shop.publish("other"))
        service.wait("delivered", other)
    assert shop.state(bought) is State.DELIVERED


def test_the_old_owner_answers_what_was_bought_before_the_asset_was_sold(
    shop: Shop, offered: Offered
) -> None:
    (bought,) = shop.buy(offered)
    shop.seller.transfer_asset(offered.ref, shop.buyer.context.account.address)
    with Service(shop.seller) as service:
        service.wait("delivered", bought)


def test_the_new_owner_answers_with_the_seed_that_was_handed_over(shop: Shop, offered: Offered) -> None:
    (bought,) = shop.buy(offered)
    heir = shop.helper()
    shop.seller.transfer_asset(offered.ref, heir.context.account.address)
    with Service(heir) as service:
        service.wait("delivered", bought)
    assert shop.sent() == []


def test_a_key_service_answers_for_the_assets_it_is_told(shop: Shop, offered: Offered) -> None:
    helper = shop.helper()
    (bought,) = shop.buy(offered)
    with Service(helper, refs=[offered.ref]) as service:
        service.wait("delivered", bought)


def test_another_seed_answers_nothing(shop: Shop, offered: Offered) -> None:
    other = Account.from_key(shop.seller_account.key, seed=Secret(bytes(32)))
    shop.buy(offered)
    with Service(shop.market(other)) as service:
        service.wait("not-serving")
    assert shop.sent() == []


# -- what it refuses -----------------------------------------------------------------------------------------------


def test_nothing_is_revealed_within_the_margin(shop: Shop) -> None:
    (bought,) = shop.buy(shop.publish(deliver_within=HOUR))
    shop.travel(HOUR - 700)
    with Service(shop.reopened(margin=701)) as service:
        told = service.wait("held-back", bought)
    assert told.why == "too-close-to-the-deadline"
    assert shop.sent() == []
    with Service(shop.reopened(margin=600)) as service:
        service.wait("delivered", bought)


def test_a_version_proved_false_is_not_delivered(shop: Shop, offered: Offered) -> None:
    (bought,) = shop.buy(offered)
    version = shop.seller.purchase(bought).version
    flag(shop, offered.asset, version)
    with Service(shop.seller) as service:
        assert service.wait("held-back", bought).why == "version-proved-false"
    assert shop.sent() == []


def test_a_payment_waits_until_it_is_deep_enough(shop: Shop, offered: Offered) -> None:
    (bought,) = shop.buy(offered)
    with Service(shop.reopened(depth=4)) as service:
        assert service.wait("waiting", bought).why == "not-deep-enough"
        shop.mine(2)
        service.wait("serving")
        assert shop.sent() == []
        shop.mine(1)
        service.wait("delivered", bought)


def test_a_payment_waits_until_it_is_final(tmp_path: Path) -> None:
    with opened(tmp_path, "--slots-in-an-epoch", "2") as shop:
        (bought,) = shop.buy(shop.publish())
        paid_in = shop.rpc.block_number()
        with Service(shop.reopened(depth="finalized")) as service:
            assert service.wait("waiting", bought).why == "not-deep-enough"
            while shop.rpc.get_block("finalized").number < paid_in:
                assert shop.sent() == []
                shop.mine()
            service.wait("delivered", bought)


def test_a_payment_that_was_reorganised_away_is_not_answered(shop: Shop, offered: Offered) -> None:
    (bought,) = shop.buy(offered)
    with Service(shop.reopened(depth=4)) as service:
        service.wait("waiting", bought)
        shop.mine(2)
        shop.reorg(3)
        service.wait("moved-back")
        shop.mine(20)
        (other,) = shop.buy(offered)
        shop.mine(4)
        service.wait("delivered", other)
    assert shop.state(bought) is State.NONE
    assert set(shop.deliveries()) == {other}
    assert len(shop.sent()) == 1


def test_a_free_request_for_a_key_that_the_holder_has_is_held_back(shop: Shop, offered: Offered) -> None:
    (licence,) = shop.buy(offered)
    version = shop.seller.purchase(licence).version
    with Service(shop.seller) as service:
        service.wait("delivered", licence)
        free = ask(shop, licence, version)
        assert service.wait("held-back", free).why == "fee-below-gas"
        paid = ask(shop, licence, version, fee=ETHER)
        service.wait("answered", paid)
    assert shop.deliveries()[free] == 0


def test_a_request_of_who_gave_the_licence_away_is_not_answered(shop: Shop, offered: Offered) -> None:
    (licence,) = shop.buy(offered)
    with Service(shop.seller) as service:
        service.wait("delivered", licence)
    shop.new_version(offered.ref)
    asked = shop.buyer.request_key(licence)
    shop.buyer.transfer_licence(licence, shop.faucet.address)
    with Service(shop.reopened()) as service:
        assert service.wait("held-back", asked.id).why == "holder-has-no-valid-licence"
    assert shop.deliveries()[asked.id] == 0


def test_a_request_that_the_licence_does_not_cover_is_not_answered(shop: Shop) -> None:
    offered = shop.publish(scope="one")
    (licence,) = shop.buy(offered)
    with Service(shop.seller) as service:
        service.wait("delivered", licence)
        shop.new_version(offered.ref)
        versions = list(shop.seller.context.follow(offered.asset).state().versions)
        asked = ask(shop, licence, versions[-1])
        assert service.wait("held-back", asked).why == "licence-does-not-cover-the-version"
    assert shop.deliveries()[asked] == 0


def gate_of(shop: Shop, *, depth: int) -> Gate:
    context = shop.reopened(depth=depth).context
    head = shop.rpc.get_block("latest")
    return Gate(context, head=head, safe=safe_block(context, head), now=head.timestamp)


def test_the_depth_is_asked_of_the_contract_and_not_of_the_log(shop: Shop, offered: Offered) -> None:
    (bought,) = shop.buy(offered)
    asset = shop.seller.context.follow(offered.asset).state()
    early = replace(asset.purchases[bought], block=0)
    shop.mine(2)
    assert gate_of(shop, depth=4).purchase(asset, early).why is Why.NOT_DEEP
    assert gate_of(shop, depth=3).purchase(asset, early).verdict is Verdict.REVEAL


@pytest.mark.parametrize(
    "changed", [{"id": PurchaseId(b"\1" * 32)}, {"salt": b"\1" * 32}, {"buyer": Address(b"\1" * 20)}]
)
def test_an_id_that_does_not_follow_from_the_order_is_not_answered(
    shop: Shop, offered: Offered, changed: dict[str, Any]
) -> None:
    (bought,) = shop.buy(offered)
    asset = shop.seller.context.follow(offered.asset).state()
    false = replace(asset.purchases[bought], **changed)
    assert gate_of(shop, depth=1).purchase(asset, false).why is Why.OTHER_ID


def test_a_request_must_have_been_there_at_the_safe_block(shop: Shop, offered: Offered) -> None:
    (licence,) = shop.buy(offered)
    with Service(shop.seller) as service:
        service.wait("delivered", licence)
    shop.new_version(offered.ref)
    asked = shop.buyer.request_key(licence)
    asset = shop.seller.context.follow(offered.asset).state()
    early = replace(asset.requests[asked.id], block=0)
    assert gate_of(shop, depth=2).request(asset, early).why is Why.NOT_DEEP
    assert gate_of(shop, depth=1).request(asset, early).verdict is Verdict.REVEAL
    false = replace(early, request=replace(early.request, holder=Address(b"\1" * 20)))
    assert gate_of(shop, depth=1).request(asset, false).why is Why.OTHER_ID


def test_another_chain_is_refused(shop: Shop) -> None:
    deployment = replace(shop.deployment, chain_id=5)
    rpc = Rpc(shop.node.url, chain_id=5)
    wrong = Context(
        rpc=rpc,
        deployment=deployment,
        store=shop.store,
        account=shop.seller_account,
        home=shop.folder / "elsewhere",
        aliases={},
        settings=Settings(),
    )
    with rpc, pytest.raises(WrongChainError):
        run(wrong, stop=threading.Event(), log=lambda _: None)


def test_a_second_service_on_the_same_home_is_refused(shop: Shop, offered: Offered) -> None:
    with Service(shop.seller) as service:
        service.wait("serving")
        with pytest.raises(UnsafeError, match="another process"):
            run(shop.reopened(), stop=threading.Event(), log=lambda _: None)


def test_a_delivery_by_hand_is_refused_while_the_service_runs(shop: Shop, offered: Offered) -> None:
    with Service(shop.reopened(depth=4)) as service:
        (bought,) = shop.buy(offered)
        service.wait("waiting", bought)
        for deliver in (lambda: shop.seller.deliver(bought), shop.seller.deliver_pending):
            with pytest.raises(UnsafeError, match="steelyard serve"):
                deliver()
    assert shop.sent() == []
    assert shop.seller.deliver(bought).tx is not None


# -- trouble outside -----------------------------------------------------------------------------------------------


class Flaky(HttpTransport):
    """An endpoint that can be away."""

    away = False

    def exchange(self, body: bytes) -> Answer:
        if self.away:
            raise TransportFault("the endpoint is away")
        return super().exchange(body)


def test_it_goes_on_after_the_endpoint_was_away(shop: Shop, offered: Offered) -> None:
    transport = Flaky(shop.node.url)
    context = Context(
        rpc=Rpc(transport, chain_id=shop.rpc.chain_id, attempts=1),
        deployment=shop.deployment,
        store=shop.store,
        account=shop.seller_account,
        home=shop.folder / "home",
        aliases={},
        settings=Settings(poll=0.02, margin=0),
    )
    with Service(context) as service:
        service.wait("serving")
        transport.away = True
        service.wait("fault", count=2)
        (bought,) = shop.buy(offered)
        transport.away = False
        service.wait("delivered", bought)
    context.close()


def test_it_waits_while_gas_is_above_the_limit(shop: Shop, offered: Offered) -> None:
    (bought,) = shop.buy(offered)
    shop.rpc.call("anvil_setNextBlockBaseFeePerGas", (hex(50 * 10**9),))
    shop.mine()
    with Service(shop.reopened(max_fee=40 * 10**9)) as service:
        assert "above the limit" in service.wait("waiting", bought).why
        assert shop.sent() == []
        shop.rpc.call("anvil_setNextBlockBaseFeePerGas", (hex(10**9),))
        shop.mine()
        service.wait("delivered", bought)


def test_a_stuck_delivery_is_replaced_under_its_own_nonce(shop: Shop, offered: Offered) -> None:
    (bought,) = shop.buy(offered)
    shop.rpc.call("evm_setAutomine", (False,))
    before = shop.from_seller()
    points: list[str] = []
    with Service(shop.seller, stuck_after=0.1, on_commit_point=points.append) as service:
        service.wait("sent", bought)
        while points.count("deliver.sent") < 3:
            service.stopped_for(0.02)
        shop.rpc.call("evm_setAutomine", (True,))
        shop.mine()
        service.wait("delivered", bought)
    assert shop.from_seller() == before + 1 and shop.deliveries()[bought] == 1


def test_the_account_may_be_used_elsewhere_too(shop: Shop, offered: Offered) -> None:
    elsewhere = shop.market(shop.seller_account, home=shop.folder / "elsewhere")
    with Service(shop.seller) as service:
        for _ in range(3):
            (bought,) = shop.buy(offered)
            service.wait("delivered", bought)
            elsewhere.fund_bond(1)
            elsewhere.context.sender.forget_nonce()
    assert sum(shop.deliveries().values()) == 3 and shop.reverted() == 0


def test_a_signal_ends_it_in_order(shop: Shop, offered: Offered) -> None:
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if '"delivered"' in line:
            os.kill(os.getpid(), signal.SIGTERM)

    shop.buy(offered)
    served = run(shop.seller, interval=0.02, log=log)
    assert served.delivered == 1 and '"stopped"' in lines[-1]
