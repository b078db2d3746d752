"""Where the money of metered use goes: tokens, many channels at once, what a gateway may not serve any more, and other markets."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import urllib3

from steelyard.chain.calls import Call, call_data
from steelyard.chain.deploy import deploy
from steelyard.chain.erc20 import Token
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.domain.types import NATIVE, Address, account_word
from steelyard.errors import LeafError
from steelyard.gateway.hosted import Wanted, prepare
from steelyard.gateway.state import Gateway
from steelyard.market import Market
from steelyard.metering.agreement import Agreement, Signed, nothing
from steelyard.metering.wire import write_payment
from steelyard.service import sealing
from steelyard.service.budget import Budget
from steelyard.service.context import Settings
from steelyard.service.gate import safe_block
from steelyard.service.metered import calls_of, place_of, signer_of
from steelyard.service.usage_http import GatewayError
from steelyard.storage.embedded import EmbeddedStore
from tests.e2e.conftest import MIN_BOND, deploy_coin
from tests.e2e.gateway.conftest import PRICE, Shop, claiming, serving, write_model
from tests.e2e.support import DAY, MarketOf, Travel, seal_falsely

ROWS = np.ones((3, 3), np.float32)
ONE = json.dumps({"inputs": [{"name": "X", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}).encode()


def mint(faucet: Sender, token: Address, to: Market, amount: int) -> None:
    faucet.send(Call(token, call_data("mint(address,uint256)", to.context.account.address, amount)))


def holding(market: Market, currency: Address) -> int:
    """Return what the contract Channels has of a currency."""
    context, at = market.context, place_of(market.context).channels
    return context.rpc.get_balance(at) if currency == NATIVE else Token(context.rpc, currency).balance_of(at)


def rest_of(market: Market, currency: Address) -> int:
    """Return what came back to an account's balance in the treasury."""
    return market.context.views.balance(account_word(market.context.account.address), currency)


def test_deposits_in_a_token_without_permits(
    market_of: MarketOf, faucet: Sender, payer: Market, tmp_path: Path
) -> None:
    token = deploy_coin(faucet, "NoReturnCoin")
    shop = Shop(market_of, tmp_path / "twice", currency=token)
    mint(faucet, token, payer, 100 * PRICE)
    coins, me = Token(payer.context.rpc, token), payer.context.account.address
    with shop.gateway(tmp_path / "books.sqlite") as (url, gateway):
        budget = Budget(deposit=10 * PRICE, total=30 * PRICE)
        with payer.use(shop.ref, url=url, budget=budget) as model:
            for _ in range(5):
                model(ROWS)
            assert model.channel is not None
            deposit = payer.channel(model.channel).deposit
            assert 15 * PRICE <= deposit <= 30 * PRICE and model.spent == 15 * PRICE
            assert coins.balance_of(me) == 100 * PRICE - deposit and holding(payer, token) == deposit
            assert coins.allowance(me, place_of(payer.context).channels) == 0
            model.settle()
            with shop.claimer(gateway) as claimer:
                claimer.step()
            assert holding(payer, token) == deposit - 15 * PRICE
            model.close_channel()
            with shop.claimer(gateway) as claimer:
                claimer.step()
    assert holding(payer, token) == 0 and rest_of(payer, token) == deposit - 15 * PRICE
    assert payer.withdraw(currency=token).amount == deposit - 15 * PRICE
    assert shop.seller.withdraw(currency=token).amount == 15 * PRICE
    assert coins.balance_of(me) == 85 * PRICE
    assert coins.balance_of(shop.seller.context.account.address) == 15 * PRICE


def test_one_claim_over_many_channels_assets_and_currencies(
    market_of: MarketOf, faucet: Sender, tmp_path: Path
) -> None:
    token = deploy_coin(faucet, "Coin")
    shop = Shop(market_of, tmp_path / "twice")
    payee, seller = shop.payee, shop.seller
    offers = {shop.ref: shop.offer}
    for name, currency, price in (("coined", token, 7), ("other", NATIVE, 10**9 + 1)):
        write_model(tmp_path / name)
        ref = seller.publish(tmp_path / name, name=name).ref
        offers[ref] = seller.offer_metered(
            ref, price=price, payee=payee.context.account.address, currency=currency, in_flight=4
        )
    payers = [market_of() for _ in range(3)]
    for payer in payers:
        mint(faucet, token, payer, 10**6)
    dice = np.random.default_rng(5)
    before = {currency: holding(seller, currency) for currency in (NATIVE, token)}
    models: list[tuple[str, Market, Any]] = []
    wanted = [prepare(payee, ref) for ref in offers]
    with serving(payee, tmp_path / "books.sqlite", wanted) as (url, gateway):
        for ref, offer in offers.items():
            for payer in payers:
                budget = Budget(deposit=40 * offer.terms.price + 1)
                model = payer.use(ref, url=url, budget=budget)
                for _ in range(3):
                    model(dice.random((int(dice.integers(1, 6)), 3), dtype=np.float32))
                model.settle()
                models.append((ref, payer, model))
        with claiming(payee, gateway) as claimer:
            assert len(claimer.step()) == 9
        sent: dict[Address, set[bytes]] = {NATIVE: set(), token: set()}
        for ref, offer in offers.items():
            terms = offer.terms
            claims = [event for event in seller.trail(ref) if event.name == "UsageClaimed"]
            uses: list[Any] = [use for event in claims for use in cast("Any", event.fields["uses"])]
            assert {use[0]: use[1] for use in uses} == {
                model.channel: model.units * terms.price for at, _, model in models if at == ref
            }
            sent[terms.currency] |= {event.tx for event in claims}
            earned = seller.context.views.balance(terms.node, terms.currency)
            assert earned == sum(use[1] for use in uses)
        assert [len(transactions) for transactions in sent.values()] == [1, 1]
        left, paid = dict.fromkeys(before, 0), dict.fromkeys(before, 0)
        for ref, payer, model in models:
            terms = offers[ref].terms
            info = payer.channel(model.channel)
            assert (info.deposit, info.claimed) == (40 * terms.price + 1, model.units * terms.price)
            left[terms.currency] += info.deposit - info.claimed
            paid[terms.currency] += info.claimed
        assert {key: holding(seller, key) - before[key] for key in before} == left
        for _, _, model in models:
            model.close_channel()
            model.close()
        with claiming(payee, gateway) as claimer:
            claimer.step()
    assert {key: holding(seller, key) for key in before} == before
    for currency in before:
        assert sum(rest_of(payer, currency) for payer in payers) == left[currency]
        assert seller.withdraw(currency=currency).amount == paid[currency]


def refuses(gateway: Gateway, url: str, model: Any) -> None:
    """Wait until the gateway has looked at the chain, and check that it answers nobody."""
    (item,) = gateway.hosted()
    until = time.monotonic() + 30
    while not item.why and time.monotonic() < until:
        time.sleep(0.05)
    with pytest.raises(GatewayError) as caught:
        model(ROWS)
    assert (caught.value.code, caught.value.status) == ("not-served", 409)
    assert urllib3.request("POST", f"{url}/v2/models/twice/infer", body=ONE).status == 409
    assert urllib3.request("GET", f"{url}/v2/health/ready", retries=False).status == 503


def test_a_version_proved_false_is_claimed_for_and_not_served(
    market_of: MarketOf, payer: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(secrets.token_bytes((2 << 20) + 99))
    with monkeypatch.context() as patch:
        patch.setattr(sealing, "seal_chunk", seal_falsely)
        shop = Shop(market_of, folder)
    seller, terms = shop.seller, shop.offer.terms
    seller.fund_bond(10 * MIN_BOND)
    seller.offer(shop.ref, price=PRICE, window=3600)
    # Our own gateway would refuse the content: this seller's has it from elsewhere.
    wanted = Wanted(
        name="twice",
        number=1,
        ref=shop.ref,
        asset=shop.offer.asset,
        version=terms.version,
        path=folder / "model.onnx",
        offers=seller.metered_offers(shop.ref),
    )
    buyer = market_of()
    with (
        serving(shop.payee, tmp_path / "books.sqlite", [wanted]) as (url, gateway),
        payer.use(shop.ref, url=url, budget=Budget(deposit=20 * PRICE)) as model,
    ):
        model(ROWS)
        model.settle()
        model(ROWS)
        bought = buyer.buy(shop.ref, wait=False)
        seller.deliver(bought)
        with pytest.raises(LeafError):
            buyer.pull(bought, tmp_path / "out")
        assert buyer.dispute(bought).flagged
        refuses(gateway, url, model)
        # What was answered is co-signed and claimed all the same.
        assert model.settle().voucher.units == 6
        with shop.claimer(gateway) as claimer:
            (done,) = claimer.step()
            assert done.amount == 6 * PRICE and shop.earned() == 6 * PRICE
            model.close_channel()
            claimer.step()
    assert shop.refunded(payer) == 14 * PRICE


def test_a_gateways_own_licence_ends(
    market_of: MarketOf, payer: Market, tmp_path: Path, travel: Travel
) -> None:
    seller, host = market_of(), market_of()
    write_model(tmp_path / "twice")
    published = seller.publish(tmp_path / "twice", name="twice")
    seller.offer(published.ref, price=PRICE, rental_period=2 * DAY)
    seller.offer_metered(published.ref, price=PRICE, payee=host.context.account.address, in_flight=4)
    seller.deliver(host.rent(published.ref, wait=False))
    wanted = prepare(host, published.ref)
    assert not wanted.own
    with (
        serving(host, tmp_path / "books.sqlite", [wanted]) as (url, gateway),
        payer.use(published.ref, url=url, budget=Budget(deposit=20 * PRICE)) as model,
    ):
        model(ROWS)
        travel(2 * DAY + 60)
        refuses(gateway, url, model)
        model.settle()
        with claiming(host, gateway) as claimer:
            claimer.step()
        # The price of the rental went to the same node.
        assert host.context.views.balance(published.node) == (1 + 3) * PRICE
        seller.deliver(host.rent(published.ref, wait=False))
        (item,) = gateway.hosted()
        until = time.monotonic() + 30
        while item.why and time.monotonic() < until:
            time.sleep(0.05)
        assert np.array_equal(model(ROWS)["Y"], 2 * ROWS)


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, node: Node, faucet: Sender, tmp_path: Path
) -> Iterator[Callable[..., Market]]:
    """Markets of the same accounts in a second deployment: of the same chain, or of another."""
    opened: list[Any] = []
    own = Node.start(find_anvil(), chain_id=31_338) if request.param == "chain" else None
    place = own or node
    rpc = Rpc(place.url, chain_id=place.chain_id)
    giver = Sender(rpc, lambda: place.keys[1])
    deployment = deploy(giver, min_bond=MIN_BOND)

    def make(market: Market) -> Market:
        giver.send(Call(market.context.account.address, b"", 10**18))
        made = Market(
            place.url,
            deployment=deployment,
            store=EmbeddedStore(tmp_path / "store"),
            account=market.context.account,
            home=tmp_path / f"elsewhere-{len(opened)}",
            settings=Settings(poll=0.05, margin=0, depth=1),
        )
        opened.append(made)
        return made

    yield make
    for item in (*opened, rpc):
        item.close()
    if own is not None:
        own.stop()


@pytest.mark.parametrize("elsewhere", ["contract", "chain"], indirect=True)
def test_nothing_of_one_market_counts_in_another(
    shop: Shop, payer: Market, elsewhere: Callable[..., Market], tmp_path: Path
) -> None:
    seller, payee, other = elsewhere(shop.seller), elsewhere(shop.payee), elsewhere(payer)
    published = seller.publish(tmp_path / "twice", name="twice")
    terms = seller.offer_metered(
        published.ref, price=PRICE, payee=payee.context.account.address, in_flight=4
    ).terms
    assert place_of(seller.context).separator != place_of(shop.seller.context).separator
    with (
        shop.gateway(tmp_path / "books.sqlite") as (here, _),
        payer.use(shop.ref, url=here, budget=Budget(deposit=20 * PRICE)) as model,
        serving(payee, tmp_path / "other.sqlite", [prepare(payee, published.ref)]) as (there, gateway),
    ):
        model(ROWS)
        signed = model.settle()
        agreement, signer = model.context_of_channel()
        key = signer.call_key(model.payee_key)

        def call(url: str, signed: Signed, number: int) -> tuple[int, str]:
            header = write_payment(
                signed, payer=agreement.payer, nonce=agreement.nonce, point=signer.point, call=number, key=key
            )
            headers = {"Steelyard-Payment": header}
            answer = urllib3.request("POST", f"{url}/v2/models/twice/infer", body=ONE, headers=headers)
            return answer.status, json.loads(answer.data).get("code", "")

        assert call(here, signed, 71) == (200, "")
        # A stranger sends what he saw to the other one.
        assert call(there, signed, 72) == (402, "channel-of-another")
        # The payer has a channel there too, of the same keys: his voucher from here is worth nothing.
        twin = Agreement.of(
            place_of(other.context),
            asset=published.asset,
            terms=terms,
            payer=agreement.payer,
            signer=agreement.signer,
            nonce=agreement.nonce,
        )
        other.context.send(
            calls_of(other.context).open(
                twin.asset, terms, signer=twin.signer, nonce=twin.nonce, amount=9 * PRICE
            )
        )
        assert signer_of(other.context, twin.nonce).address != signer.address
        assert call(there, nothing(twin.channel), 73) == (200, "")
        moved = Signed(voucher=replace(signed.voucher, channel=twin.channel), signature=signed.signature)
        assert call(there, moved, 74) == (402, "bad-voucher")
        assert gateway.books.load(twin).best.voucher.units == 0
    # It is younger than the newest finalized block: there is none that anything could be asked at.
    context = other.context
    context.settings = replace(context.settings, depth="finalized")
    assert safe_block(context, context.rpc.get_block("latest")) is None
