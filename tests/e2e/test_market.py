"""The client against a real chain and the embedded store: every use case, and what must be refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.chain.calls import Call, call_data
from steelyard.chain.erc20 import Token
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.domain.types import NATIVE, Address, State
from steelyard.errors import (
    InputError,
    LeafError,
    NotFoundError,
    RefusedError,
    RevertError,
    RpcError,
    TrailError,
    UnsafeError,
)
from steelyard.market import Market
from steelyard.service.results import Offered, Published, Purchase
from steelyard.storage.embedded import EmbeddedStore

ETHER = 10**18
PRICE = ETHER // 20
DAY = 86_400

MarketOf = Callable[..., Market]
Travel = Callable[[int], None]


@pytest.fixture
def published(seller: Market, folder: Path) -> Published:
    return seller.publish(folder, name="digits")


@pytest.fixture
def offered(seller: Market, published: Published) -> Offered:
    return seller.offer(published.ref, price=PRICE)


def same_files(a: Path, b: Path) -> bool:
    files = {path.relative_to(a): path.read_bytes() for path in a.rglob("*") if path.is_file()}
    return files == {path.relative_to(b): path.read_bytes() for path in b.rglob("*") if path.is_file()}


def test_a_bought_model_is_the_sellers_own_files(
    seller: Market, buyer: Market, published: Published, offered: Offered, folder: Path, tmp_path: Path
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    assert purchase.state is State.PAID
    (delivery,) = seller.deliver_pending()
    assert delivery.id == purchase.id
    path = purchase.refresh().pull(tmp_path / "got")
    assert same_files(folder, path)
    income = seller.income(published.ref)
    assert [item.owed for item in income] == [PRICE]


# -- before paying ---------------------------------------------------------------------------------------------------


def drop_ciphertext(store: EmbeddedStore, cid: str) -> Path:
    """Return the file of the first block of a version's ciphertext."""
    ciphertext = store.resolve(cid, "ciphertext")
    leaf = [item.cid for item in store.walk(ciphertext)][-1]
    (file,) = [
        path for path in (store.path / "blocks").rglob("*") if path.is_file() and path.name in _digest(leaf)
    ]
    return file


def _digest(cid: str) -> str:
    from steelyard.storage.cid import digest_of

    return digest_of(cid).hex()


def wallet(market: Market) -> int:
    return market.context.rpc.get_balance(market.context.account.address)


def test_nothing_is_paid_for_a_version_that_is_not_whole(
    buyer: Market, store: EmbeddedStore, published: Published, offered: Offered
) -> None:
    drop_ciphertext(store, published.cid).unlink()
    before = wallet(buyer)
    with pytest.raises(UnsafeError, match="nothing was paid"):
        buyer.buy(published.ref, wait=False)
    assert wallet(buyer) == before


def test_nothing_is_paid_for_a_version_that_went_away_since_it_was_checked(
    buyer: Market, store: EmbeddedStore, published: Published, offered: Offered
) -> None:
    buyer.quote(published.ref, verify=True)
    drop_ciphertext(store, published.cid).unlink()
    before = wallet(buyer)
    with pytest.raises(UnsafeError, match="nothing was paid"):
        buyer.buy(published.ref, wait=False)
    assert wallet(buyer) == before


def test_what_was_checked_before_paying_is_kept(
    buyer: Market, store: EmbeddedStore, published: Published, offered: Offered
) -> None:
    store.unpin(published.cid)
    buyer.dry_run().buy(published.ref)
    assert not store.is_pinned(published.cid)
    buyer.buy(published.ref, wait=False)
    assert store.is_pinned(published.cid)


def test_nothing_is_paid_for_a_version_with_a_flipped_bit(
    buyer: Market, store: EmbeddedStore, published: Published, offered: Offered
) -> None:
    file = drop_ciphertext(store, published.cid)
    data = bytearray(file.read_bytes())
    data[7] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    before = wallet(buyer)
    with pytest.raises(UnsafeError, match="nothing was paid"):
        buyer.buy(published.ref, wait=False)
    assert wallet(buyer) == before


def test_a_folder_that_is_not_the_committed_one_is_refused_by_its_root(
    seller: Market, buyer: Market, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.crypto import merkle

    monkeypatch.setattr(merkle, "root", lambda roots: bytes(32))
    published = seller.publish(folder, name="other-root")
    monkeypatch.undo()
    seller.offer(published.ref, price=PRICE)
    before = wallet(buyer)
    with pytest.raises(UnsafeError, match="not what the chain commits to"):
        buyer.buy(published.ref, wait=False)
    assert wallet(buyer) == before


def test_a_price_above_the_limit_is_not_paid(buyer: Market, published: Published, offered: Offered) -> None:
    before = wallet(buyer)
    with pytest.raises(RefusedError, match="above"):
        buyer.buy(published.ref, max_price=PRICE - 1, wait=False)
    assert wallet(buyer) == before


def test_a_closed_offer_is_not_bought_under(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    seller.close_offer(published.ref, offered.offer)
    with pytest.raises(RefusedError, match="closed"):
        buyer.buy(published.ref, offer=offered.offer, wait=False)
    with pytest.raises(RefusedError, match="no open perpetual offer"):
        buyer.buy(published.ref, wait=False)


def test_a_purchase_needs_the_sellers_bond(seller: Market, buyer: Market, published: Published) -> None:
    offered = seller.offer(published.ref, price=PRICE, window=3600)
    assert offered.terms.bond == seller.context.deployment.min_bond
    with pytest.raises(RefusedError, match="bond"):
        buyer.buy(published.ref, wait=False)
    seller.fund_bond(offered.terms.bond)
    assert buyer.buy(published.ref, wait=False).state is State.PAID


def test_only_who_is_on_the_allow_list_may_buy(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published
) -> None:
    friend = market_of()
    allow = [buyer.context.account.address, friend.context.account.address]
    offered = seller.offer(published.ref, price=PRICE, allow=allow)
    with pytest.raises(RefusedError, match="not known here"):
        buyer.buy(published.ref, offer=offered.offer, wait=False)
    assert buyer.buy(published.ref, allow=allow, wait=False).state is State.PAID
    with pytest.raises(RefusedError, match="not on the offer's allow-list"):
        market_of().buy(published.ref, offer=offered.offer, allow=allow, wait=False)


def test_a_quote_tells_price_gas_text_and_what_to_beware_of(
    buyer: Market, published: Published, offered: Offered
) -> None:
    quote = buyer.quote(published.ref, verify=True)
    assert quote.price == PRICE and quote.terms == offered.terms
    assert 50_000 < quote.gas < 300_000 and quote.fee_wei > 0
    assert quote.text is not None and "may use the files" in quote.text
    assert any("not attested" in text for text in quote.warnings)
    assert any("no content window" in text for text in quote.warnings)


def test_a_dry_run_sends_nothing(
    seller: Market, buyer: Market, store: EmbeddedStore, folder: Path, published: Published, offered: Offered
) -> None:
    blocks = buyer.context.rpc.block_number()
    usage = store.usage()
    assert buyer.dry_run().buy(published.ref).tx is None
    (folder / "more.txt").write_text("more")
    dry = seller.dry_run().new_version(published.ref, folder)
    assert dry.tx is None and dry.gas_used > 50_000 and dry.number == 2
    assert seller.dry_run().offer(published.ref, price=1).gas_used > 30_000
    assert buyer.context.rpc.block_number() == blocks
    assert store.usage() == usage


# -- after paying ----------------------------------------------------------------------------------------------------


def test_a_silent_seller_is_paid_nothing(
    buyer: Market, published: Published, offered: Offered, travel: Travel
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    with pytest.raises(RefusedError, match="may deliver until"):
        buyer.refund(purchase)
    travel(offered.terms.deliver_within + 1)
    assert buyer.refund(purchase).state is State.REFUNDED
    assert buyer.balance().treasury == PRICE
    before = wallet(buyer)
    withdrawn = buyer.withdraw()
    assert withdrawn.amount == PRICE
    assert wallet(buyer) == before + PRICE - withdrawn.fee_wei


def test_what_a_buyer_needs_is_rebuilt_from_seed_and_chain(
    market_of: MarketOf,
    seller: Market,
    buyer: Market,
    published: Published,
    offered: Offered,
    folder: Path,
    tmp_path: Path,
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    shutil.rmtree(seller.context.home, ignore_errors=True)
    shutil.rmtree(buyer.context.home, ignore_errors=True)
    reborn_seller = market_of(seller.context.account, home=tmp_path / "new-seller")
    reborn_buyer = market_of(buyer.context.account, home=tmp_path / "new-buyer")
    reborn_seller.deliver(purchase.id)
    (found,) = reborn_buyer.purchases()
    assert found.id == purchase.id and found.state is State.SETTLED
    assert same_files(folder, reborn_buyer.pull(published.ref))


def test_another_seed_opens_nothing(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(RefusedError, match="buy it"):
        market_of().pull(published.ref)
    with pytest.raises(UnsafeError, match="seed"):
        market_of().deliver(buyer.buy(published.ref, wait=False))


def test_an_unpaid_or_undelivered_version_cannot_be_pulled(
    buyer: Market, published: Published, offered: Offered
) -> None:
    with pytest.raises(RefusedError, match="buy it"):
        buyer.pull(published.ref)
    purchase = buyer.buy(published.ref, wait=False)
    with pytest.raises(RefusedError, match="not delivered yet"):
        purchase.pull()


def test_a_pull_writes_all_or_nothing(
    seller: Market,
    buyer: Market,
    store: EmbeddedStore,
    published: Published,
    offered: Offered,
    tmp_path: Path,
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    dest = tmp_path / "out" / "model"
    drop_ciphertext(store, published.cid).unlink()
    with pytest.raises(NotFoundError):
        buyer.pull(purchase, dest)
    assert not dest.exists() and not list((tmp_path / "out").iterdir())


def test_a_pull_takes_only_what_is_asked_for_and_spares_what_is_there(
    seller: Market, buyer: Market, published: Published, offered: Offered, folder: Path, tmp_path: Path
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    path = buyer.pull(purchase, include=["extra/*"])
    assert sorted(item.name for item in path.rglob("*") if item.is_file()) == ["empty.txt", "labels.json"]
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        buyer.pull(purchase, taken)
    assert (taken / "mine.txt").read_text() == "mine"
    assert same_files(folder, buyer.pull(purchase))
    assert buyer.pull(purchase) == buyer.pull(published.ref)


def test_a_key_is_not_revealed_before_its_payment_is_deep(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published, offered: Offered, travel: Travel
) -> None:
    from steelyard.service.context import Settings

    careful = market_of(seller.context.account, settings=Settings(depth=4, margin=0))
    purchase = buyer.buy(published.ref, wait=False)
    with pytest.raises(UnsafeError, match="revealed up to block"):
        careful.deliver(purchase)
    assert careful.deliver_pending() == ()
    assert "revealed up to" in careful.sales(open_only=True)[0].waiting
    for _ in range(3):
        travel(1)
    assert careful.deliver(purchase).tx is not None


def test_a_key_is_not_revealed_close_to_the_deadline(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published, offered: Offered, travel: Travel
) -> None:
    from steelyard.service.context import Settings

    careful = market_of(seller.context.account, settings=Settings(margin=600))
    purchase = buyer.buy(published.ref, wait=False)
    travel(offered.terms.deliver_within - 590)
    with pytest.raises(UnsafeError, match="margin"):
        careful.deliver(purchase)
    assert seller.deliver(purchase).tx is not None


def test_what_was_delivered_is_not_delivered_again(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(RefusedError, match="nothing to deliver"):
        seller.deliver(purchase)
    assert seller.deliver_pending() == ()


def test_a_price_in_a_token_is_paid_shared_and_refunded(
    seller: Market,
    buyer: Market,
    published: Published,
    coin: tuple[Address, Sender],
    travel: Travel,
) -> None:
    token, minter = coin
    me = buyer.context.account.address
    minter.send(Call(token, call_data("mint(address,uint256)", me, 1000), name="mint"))
    offered = seller.offer(published.ref, price=400, currency=token)
    quote = buyer.quote(published.ref)
    assert (quote.balance, quote.price) == (1000, 400) and quote.gas > 80_000
    first, second = buyer.buy(published.ref, wait=False), buyer.buy(published.ref, wait=False)
    assert buyer.balance(token).wallet == 200
    assert Token(buyer.context.rpc, token).allowance(me, buyer.context.deployment.market) == 0
    seller.deliver(first)
    assert seller.withdraw(currency=token).amount == 400
    assert seller.balance(token).wallet == 400
    travel(offered.terms.deliver_within + 1)
    buyer.refund(second)
    assert buyer.withdraw(currency=token).amount == 400
    with pytest.raises(RefusedError, match="has 600 units"):
        buyer.buy(
            published.ref, offer=seller.offer(published.ref, price=601, currency=token).offer, wait=False
        )


# -- licences --------------------------------------------------------------------------------------------------------


def test_a_rental_is_renewed_while_it_lasts_and_ends(
    seller: Market, buyer: Market, published: Published, travel: Travel
) -> None:
    now = seller.context.now()
    seller.offer(published.ref, price=PRICE, rental_period=DAY, renew_until=now + 3 * DAY)
    purchase = buyer.rent(published.ref, wait=False)
    seller.deliver(purchase)
    first = purchase.refresh()
    assert first.until == first.settles_at + DAY
    renewed = buyer.renew(purchase, max_price=PRICE)
    assert renewed.until == first.until + DAY
    assert seller.income(published.ref)[0].received == 2 * PRICE
    travel(2 * DAY + 60)
    with pytest.raises(RefusedError, match="ended"):
        buyer.renew(purchase)
    assert not buyer.context.views.is_valid(purchase.id)


def test_a_new_version_comes_under_the_entitlement(
    seller: Market, buyer: Market, published: Published, folder: Path, tmp_path: Path
) -> None:
    seller.offer(published.ref, price=PRICE, scope="all")
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    (folder / "model.onnx").write_bytes(b"better" * 1000)
    second = seller.new_version(published.ref, folder)
    assert second.number == 2
    with pytest.raises(RefusedError, match="ask for it"):
        buyer.pull(second.ref)
    asked = buyer.request_key(purchase, fee=1000)
    assert asked.version == second.version
    (delivery,) = seller.deliver_pending()
    assert delivery.request and delivery.to == buyer.context.account.address
    assert same_files(folder, buyer.pull(second.ref, tmp_path / "v2"))
    assert seller.balance().treasury == 1000
    with pytest.raises(RefusedError, match="covers no version"):
        buyer.request_key(purchase)


def test_a_licence_for_one_version_covers_no_other(
    seller: Market, buyer: Market, published: Published, offered: Offered, folder: Path
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(published.ref, folder)
    with pytest.raises(RefusedError, match="does not cover"):
        buyer.request_key(purchase, second.ref)


def test_a_new_holder_asks_for_a_key_of_his_own(
    market_of: MarketOf, seller: Market, buyer: Market, published: Published, offered: Offered, folder: Path
) -> None:
    friend = market_of()
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    buyer.transfer_licence(purchase, friend.context.account.address)
    with pytest.raises(RefusedError, match="held by"):
        buyer.request_key(purchase)
    assert [item.id for item in friend.purchases()] == [purchase.id]
    request = friend.request_key(purchase)
    seller.deliver(request)
    fresh = market_of(friend.context.account)
    assert same_files(folder, fresh.pull(published.ref))
    assert fresh.requests()[0].id == request.id


def test_an_unanswered_request_gives_its_fee_back(
    seller: Market, buyer: Market, published: Published, folder: Path, travel: Travel
) -> None:
    seller.offer(published.ref, price=PRICE, scope="all")
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    (folder / "model.onnx").write_bytes(b"better")
    seller.new_version(published.ref, folder)
    first = buyer.request_key(purchase, fee=7, within=3600)
    with pytest.raises(RevertError):
        buyer.return_fee(first)
    travel(3601)
    buyer.return_fee(first)
    assert buyer.balance().treasury == 7
    assert buyer.request_key(purchase).id != first.id


# -- fraud -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def fraud(seller: Market, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A version whose ciphertext and root agree, and one leaf of which is not what the leaf list says."""
    from dataclasses import replace

    from steelyard.crypto.content import chunk_root
    from steelyard.crypto.stream import seal
    from steelyard.service import sealing

    def lie(*args: object, **options: object) -> object:
        for chunk in seal(*args, **options):  # type: ignore[arg-type]
            if chunk.index == 1:
                false = bytearray(chunk.ciphertext)
                false[5 * 4096 + 3] ^= 1
                root = chunk_root(1, ciphertext=bytes(false), salted=chunk.salted)
                chunk = replace(chunk, ciphertext=bytes(false), root=root)
            yield chunk

    monkeypatch.setattr(sealing, "seal", lie)
    published = seller.publish(folder, name="false")
    monkeypatch.undo()
    seller.fund_bond(10 * seller.context.deployment.min_bond)
    seller.offer(published.ref, price=PRICE, window=3600)
    return published


def test_a_false_version_is_disputed_and_everybody_refunded(
    market_of: MarketOf, seller: Market, buyer: Market, fraud: Published, tmp_path: Path
) -> None:
    other = market_of()
    purchase, waiting = buyer.buy(fraud.ref, wait=False), other.buy(fraud.ref, wait=False)
    bond = purchase.terms.bond
    seller.deliver(purchase)
    with pytest.raises(LeafError, match="Dispute purchase") as caught:
        buyer.pull(purchase, tmp_path / "out")
    assert caught.value.leaf == 256 + 5
    assert not (tmp_path / "out").exists()
    disputed = buyer.dispute(purchase)
    assert disputed.state is State.REFUNDED and disputed.flagged
    assert buyer.balance().treasury == PRICE + bond
    assert other.refund(waiting).state is State.REFUNDED
    assert other.balance().treasury == PRICE + bond
    assert seller.deliver_pending() == ()
    with pytest.raises(UnsafeError, match="proved false"):
        other.buy(fraud.ref, wait=False)


def test_honest_content_cannot_be_disputed(seller: Market, buyer: Market, published: Published) -> None:
    seller.fund_bond(seller.context.deployment.min_bond)
    seller.offer(published.ref, price=PRICE, window=3600)
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(RefusedError, match="every leaf"):
        buyer.dispute(purchase)


def test_a_window_settles_after_it_and_not_before(
    seller: Market, buyer: Market, published: Published, travel: Travel
) -> None:
    seller.fund_bond(seller.context.deployment.min_bond)
    seller.offer(published.ref, price=PRICE, window=3600)
    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    with pytest.raises(RevertError):
        seller.settle(purchase)
    with pytest.raises(RefusedError, match="once it is settled"):
        buyer.transfer_licence(purchase, seller.context.account.address)
    travel(3601)
    assert seller.settle(purchase).state is State.SETTLED
    assert seller.balance().bond == seller.context.deployment.min_bond


def test_a_dispute_in_a_token_flags_first_and_then_refunds(
    seller: Market, buyer: Market, fraud: Published, coin: tuple[Address, Sender]
) -> None:
    purchase = sold_for_coins(seller, buyer, fraud, coin)
    disputed = buyer.dispute(purchase)
    assert disputed.state is State.REFUNDED and disputed.flagged
    assert buyer.balance(coin[0]).treasury == 400
    with pytest.raises(RefusedError, match="refunded"):
        buyer.dispute(purchase)


def test_a_token_that_is_stuck_does_not_stop_the_flag(
    seller: Market, buyer: Market, fraud: Published, stuck_coin: tuple[Address, Sender]
) -> None:
    token, issuer = stuck_coin
    purchase = sold_for_coins(seller, buyer, fraud, stuck_coin)
    issuer.send(Call(token, call_data("setPaused(bool)", True), name="pause"))
    with pytest.warns(UserWarning, match="take the refund later"):
        disputed = buyer.dispute(purchase)
    assert disputed.state is State.DELIVERED and disputed.flagged
    with pytest.raises(RefusedError, match="take the refund"):
        buyer.dispute(purchase)
    issuer.send(Call(token, call_data("setPaused(bool)", False), name="unpause"))
    assert buyer.refund(purchase).state is State.REFUNDED


def sold_for_coins(
    seller: Market, buyer: Market, version: Published, coin: tuple[Address, Sender]
) -> Purchase:
    token, minter = coin
    minter.send(Call(token, call_data("mint(address,uint256)", buyer.context.account.address, 400)))
    offered = seller.offer(version.ref, price=400, currency=token, window=3600)
    purchase = buyer.buy(version.ref, offer=offered.offer, wait=False)
    seller.deliver(purchase)
    return purchase


# -- a seller who hides how he delivered ------------------------------------------------------------------------------


def hidden(call: Call, decoy: bytes) -> Call:
    """Return a creation whose code holds a decoy and a call with all words of its proof masked, and makes the call."""
    assert call.to is not None
    size, mask = len(call.data), b"\x5a" * 32
    masked = bytearray(call.data)
    code = bytearray()
    for place in range(size - 7 * 32, size, 32):
        masked[place : place + 32] = bytes(
            a ^ b for a, b in zip(masked[place : place + 32], mask, strict=True)
        )
        at = place.to_bytes(3, "big")
        # memory[place] ^= mask
        code += b"\x7f" + mask + b"\x62" + at + b"\x51\x18\x62" + at + b"\x52"
    # call(gas, market, 0, 0, size, 0, 0), and revert if it fails
    code += b"\x5f\x5f\x62" + size.to_bytes(3, "big") + b"\x5f\x5f\x73" + call.to + b"\x5a\xf1"
    code += b"\x61" + (13 + len(code) + 8).to_bytes(2, "big") + b"\x57\x5f\x5f\xfd\x00\x5b\x00"
    start = 13 + len(code)
    # codecopy(0, start, size)
    head = b"\x62" + size.to_bytes(3, "big") + b"\x62" + start.to_bytes(3, "big") + b"\x5f\x39"
    head = head.ljust(13, b"\x5b")
    return Call(None, head + bytes(code) + bytes(masked) + decoy)


def hide_delivery(seller: Market, purchase: Purchase) -> None:
    """Deliver in a way that no call data shows, with false proofs beside it."""
    from steelyard.service.dispatch import delivery_call
    from steelyard.service.keyring import Keyring
    from steelyard.service.naming import find_purchase

    context = seller.context
    asset, found = find_purchase(context, purchase.id)
    call = delivery_call(context, Keyring(context), asset, found)
    false = bytearray(call.data)
    false[-33] ^= 1
    context.send(hidden(call, bytes(false)))
    assert context.views.licence(purchase.id).state in (State.DELIVERED, State.SETTLED)


def refuse_traces(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    call = market.context.rpc.call

    def refuse(method: str, params: tuple[object, ...] = ()) -> object:
        if method == "debug_traceTransaction":
            raise RpcError("no such method", code=-32601, reason="no such method", data=None)
        return call(method, params)

    monkeypatch.setattr(market.context.rpc, "call", refuse)


@pytest.mark.parametrize("traces", [True, False])
def test_hidden_delivery_data_does_not_stop_a_dispute(
    seller: Market, buyer: Market, fraud: Published, monkeypatch: pytest.MonkeyPatch, traces: bool
) -> None:
    purchase = buyer.buy(fraud.ref, wait=False)
    hide_delivery(seller, purchase)
    if not traces:
        refuse_traces(buyer, monkeypatch)
    with pytest.raises(LeafError, match="Dispute purchase"):
        buyer.pull(purchase)
    assert buyer.dispute(purchase).state is State.REFUNDED


def test_hidden_delivery_data_does_not_stop_a_pull(
    seller: Market,
    buyer: Market,
    published: Published,
    offered: Offered,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    purchase = buyer.buy(published.ref, wait=False)
    hide_delivery(seller, purchase)
    refuse_traces(buyer, monkeypatch)
    assert same_files(folder, buyer.pull(purchase))


def test_a_hidden_proof_is_found_by_a_trace(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    from steelyard.service.keys import find_proof, from_purchase
    from steelyard.service.naming import find_purchase

    purchase = buyer.buy(published.ref, wait=False)
    hide_delivery(seller, purchase)
    asset, found = find_purchase(buyer.context, purchase.id)
    item = from_purchase(buyer.context, asset, found)
    assert item is not None
    assert find_proof(buyer.context, item, asset.versions[found.version].commitments) is not None


def test_a_node_that_lies_about_the_key_is_not_taken_for_a_false_seller(
    seller: Market,
    buyer: Market,
    published: Published,
    offered: Offered,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from dataclasses import replace

    from steelyard.crypto.curve import G
    from steelyard.service import pull

    purchase = buyer.buy(published.ref, wait=False)
    seller.deliver(purchase)
    real = pull.from_purchase  # type: ignore[attr-defined]

    def lie(*args: object) -> object:
        item = real(*args)  # type: ignore[arg-type]
        assert item is not None
        return replace(item, delivered=G)

    monkeypatch.setattr(pull, "from_purchase", lie)
    with pytest.raises(LeafError, match="may lie about it"):
        buyer.pull(purchase, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- offers of one version --------------------------------------------------------------------------------------------


def test_an_offer_with_a_bond_sells_the_newest_version_only(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    asset = published.ref.partition("@")[0]
    seller.fund_bond(seller.context.deployment.min_bond)
    bound = seller.offer(asset, price=PRICE, window=3600)
    assert bound.terms.version == published.version and bound.version == 1
    assert [item.version for item in seller.offers(asset)] == [1]
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(asset, folder)
    with pytest.raises(RefusedError, match="no open"):
        buyer.quote(second.ref)
    with pytest.raises(RefusedError, match="sells version 1 and no other"):
        buyer.buy(second.ref, offer=bound.offer, wait=False)
    assert buyer.quote(asset).version == published.version
    assert buyer.buy(asset, offer=bound.offer, wait=False).version == published.version


def test_an_offer_without_a_bond_sells_any_version_unless_one_is_named(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    asset = published.ref.partition("@")[0]
    cheap = seller.offer(f"{asset}@1", price=PRICE)
    assert cheap.terms.version == published.version
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(asset, folder)
    dear = seller.offer(asset, price=2 * PRICE)
    assert dear.terms.version == bytes(32)
    assert (buyer.quote(asset).version, buyer.quote(asset).offer) == (second.version, dear.offer)
    assert buyer.quote(f"{asset}@1").offer == cheap.offer
    assert buyer.quote(asset, offer=cheap.offer).version == published.version


def test_the_market_itself_refuses_another_version(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    from steelyard.service.purchase import make_order

    bound = seller.offer(f"{published.ref.partition('@')[0]}@1", price=PRICE)
    (folder / "model.onnx").write_bytes(b"better")
    second = seller.new_version(published.ref, folder)
    commitments = buyer.info(second.ref).versions[1].commitments
    order = make_order(buyer.context, commitments, bound.terms)
    with pytest.raises(RevertError, match="choose another offer"):
        buyer.context.send(buyer.context.calls.buy(order, ()))


def test_a_free_offer_with_a_bond_needs_an_allow_list(seller: Market, published: Published) -> None:
    with pytest.raises(InputError, match="allow-list"):
        seller.offer(published.ref, price=0, bond=seller.context.deployment.min_bond)


# -- publishing ------------------------------------------------------------------------------------------------------


def test_a_changed_folder_takes_another_key_after_an_interruption(
    seller: Market, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Call] = []

    def fail(call: Call) -> object:
        seen.append(call)
        raise ConnectionError

    monkeypatch.setattr(seller.context, "send", fail)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            seller.publish(folder, name="digits")
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(ConnectionError):
        seller.publish(folder, name="digits")
    monkeypatch.undo()
    same, again, changed = (call.data for call in seen)
    key = slice(4 + 32 * 8, 4 + 32 * 10)
    assert same[key] == again[key]
    assert same[key] != changed[key]


def test_a_publish_that_was_mined_is_not_sent_twice(
    seller: Market, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = seller.context.send

    def crash(call: object) -> object:
        send(call)  # type: ignore[arg-type]
        raise ConnectionError

    monkeypatch.setattr(seller.context, "send", crash)
    with pytest.raises(ConnectionError):
        seller.publish(folder, name="digits")
    monkeypatch.undo()
    found = seller.publish(folder, name="digits")
    assert found.tx is None and found.number == 1
    assert len(seller.info(found.ref).versions) == 1


def test_a_file_that_changes_while_it_is_sealed_is_not_published(seller: Market, folder: Path) -> None:
    def change(what: str, done: int, total: int) -> None:
        if what == "seal":
            (folder / "model.onnx").write_bytes(b"x" * ((2 << 20) + 12_345))

    with pytest.raises(InputError, match="changed while it was sealed"):
        seller.publish(folder, name="digits", progress=change)


def test_a_name_is_taken_once_by_each_account(
    seller: Market, buyer: Market, published: Published, folder: Path
) -> None:
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(RefusedError, match="new version"):
        seller.publish(folder, name="DIGITS")
    assert buyer.publish(folder, name="digits").asset != published.asset


def test_shares_are_claimed_and_withdrawn_to_the_wei(
    market_of: MarketOf, seller: Market, buyer: Market, folder: Path
) -> None:
    helper = market_of()
    accounts = [seller.context.account.address, helper.context.account.address]
    published = seller.publish(folder, name="shared", positions=[(accounts[0], 6667), (accounts[1], 3333)])
    price = 10**15 + 7
    seller.offer(published.ref, price=price)
    seller.deliver(buyer.buy(published.ref, wait=False))
    mine, yours = seller.withdraw(to=accounts[0]), helper.withdraw(to=accounts[1])
    assert (mine.amount, yours.amount) == (price * 6667 // 10_000, price * 3333 // 10_000)
    assert 0 <= price - mine.amount - yours.amount < 2
    with pytest.raises(RefusedError, match="nothing to withdraw"):
        seller.withdraw()


def test_a_lent_role_publishes_and_ends_with_a_transfer(
    market_of: MarketOf, seller: Market, published: Published, offered: Offered, folder: Path
) -> None:
    helper, owner = market_of(), market_of()
    (folder / "model.onnx").write_bytes(b"by the helper")
    with pytest.raises(RefusedError, match="lend the role"):
        helper.new_version(published.ref, folder)
    seller.set_role(published.ref, helper.context.account.address, "maintainer")
    assert helper.new_version(published.ref, folder).number == 2
    seller.transfer_asset(published.ref, owner.context.account.address)
    info = owner.info(published.ref)
    assert info.owner == owner.context.account.address
    assert not info.offers[0].open
    (folder / "model.onnx").write_bytes(b"once more")
    with pytest.raises(RefusedError, match="lend the role"):
        helper.new_version(published.ref, folder)


def test_what_would_be_lost_is_not_transferred(seller: Market, published: Published) -> None:
    for target in (bytes(20), seller.context.deployment.market):
        with pytest.raises(InputError, match="lost"):
            seller.transfer_asset(published.ref, target)  # type: ignore[arg-type]


# -- looking and auditing ----------------------------------------------------------------------------------------------


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


# -- a node that lies or changes its mind ------------------------------------------------------------------------------


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


# -- threads -----------------------------------------------------------------------------------------------------------


def buy_from_threads(seller: Market, buyer: Market, ref: str, *, threads: int, each: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    before = wallet(buyer)
    with ThreadPoolExecutor(threads) as pool:
        futures = [
            pool.submit(lambda: [buyer.buy(ref, wait=False) for _ in range(each)]) for _ in range(threads)
        ]
        made = [purchase for future in futures for purchase in future.result()]
    assert len({purchase.id for purchase in made}) == threads * each
    assert len({purchase.tx for purchase in made}) == threads * each
    assert wallet(buyer) == before - threads * each * PRICE - sum(purchase.fee_wei for purchase in made)
    assert {item.id for item in seller.sales(ref)} == {purchase.id for purchase in made}
    assert {item.state for item in seller.sales(ref)} == {State.PAID}


def test_no_purchase_is_lost_or_doubled_between_threads(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    buy_from_threads(seller, buyer, published.ref, threads=8, each=5)
    assert offered.terms.currency == NATIVE


@pytest.mark.slow
def test_no_purchase_is_lost_or_doubled_between_threads_at_length(
    seller: Market, buyer: Market, published: Published, offered: Offered
) -> None:
    buy_from_threads(seller, buyer, published.ref, threads=8, each=50)
