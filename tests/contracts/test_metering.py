"""Metered offers and channels, in the native coin and in tokens of every kind. See trees/Metering.tree."""

from __future__ import annotations

import pytest

from steelyard.domain.hash import keccak256
from tests.contracts.support.decode import event, events, outcome, rejects
from tests.contracts.support.meter import PRICE, ROOT, SIGNER, Meter
from tests.contracts.support.read import read
from tests.contracts.support.rpc import coins, now, reorganise, rpc, warp
from tests.contracts.support.shop import CHAIN, DAY, address, word
from tests.contracts.support.tokens import FALSE, SOUND, make_token
from tests.contracts.support.trail import assert_heads

OPEN, CLOSING, CLOSED = 1, 2, 3


@pytest.fixture
def token(request, deployer):
    """A token of the kind that the test is run for; the usual one if it names none."""
    return make_token(getattr(request, "param", "usual"), deployer)


@pytest.fixture
def native(shop, sealed):
    """Metered use in the native coin; afterwards the head is the fold of the log (T1)."""
    made = Meter(shop, sealed)
    yield made
    assert_heads(made.channels)


@pytest.fixture
def metered(shop, sealed, token, buyer, deployer):
    """Metered use in the token, of which the payer has 10,000 and allowed them."""
    made = Meter(shop, sealed, token)
    token.send(deployer, "mint", buyer, 10_000)
    token.send(buyer, "approve", made.channels, 10_000)
    yield made
    assert_heads(made.channels)


def test_session_in_the_native_coin(shop, treasury, native, buyer, agent):
    channels, id_ = native.channels, native.id()
    about = {"asset": native.asset, "channel": id_}
    assert read(channels, "open", *native.opening(5_000), sender=buyer, value=5_000) == id_

    opened = native.open(5_000)
    told = {"offer": native.offer, "signer": SIGNER.address, "nonce": 1, "deposit": 5_000}
    assert events(opened) == [event("ChannelOpened", **about, actor=buyer, **told)]
    assert read(channels, "channels", id_) == (5_000, 0, 0, OPEN)
    assert coins(channels) == 5_000

    more = channels.topUp(*native.adding(1_000), native.sent(1_000))
    assert events(more) == [event("ChannelToppedUp", **about, actor=buyer, amount=1_000, deposit=6_000)]

    claims = native.claims(native.row(20))
    assert read(channels, "claim", claims, sender=agent) == (2_000,)
    claimed = native.claim(20)
    income = {
        "payee": shop.node,
        "source": bytes(32),
        "actor": channels,
        "currency": bytes(20),
        "amount": 2_000,
    }
    assert events(claimed) == [
        event(
            "UsageClaimed",
            asset=native.asset,
            offer=native.offer,
            actor=agent,
            uses=[(id_, 2_000, 20, 20, ROOT)],
        ),
        event("Received", **income),
    ]
    assert read(channels, "channels", id_) == (6_000, 2_000, 0, OPEN)

    closing = native.start_closing()
    assert events(closing) == [event("ChannelClosing", **about, actor=buyer, closesAt=now() + DAY)]
    assert read(channels, "channels", id_) == (6_000, 2_000, now() + DAY, CLOSING)

    closed = native.close()
    back = {
        "payee": word(buyer),
        "source": bytes(32),
        "actor": channels,
        "currency": bytes(20),
        "amount": 4_000,
    }
    assert events(closed) == [
        event("ChannelClosed", **about, actor=agent, payer=buyer, refunded=4_000),
        event("Received", **back),
    ]
    assert read(channels, "channels", id_)[3] == CLOSED
    assert (shop.balance(shop.node), shop.balance(buyer)) == (2_000, 4_000)
    assert (coins(channels), coins(treasury)) == (0, 6_000)


@pytest.mark.parametrize("token", SOUND, indirect=True)
def test_c6_session_in_a_sound_token(shop, treasury, metered, token, buyer, seller, stranger):
    channels = metered.channels
    metered.open(5_000)
    channels.topUp(*metered.adding(1_000), metered.sent(0))
    assert token.of(channels) == 6_000
    metered.claim(20)
    metered.start_closing()
    warp(now() + DAY + 1)
    metered.close(sender=stranger)
    assert (token.of(channels), token.of(treasury)) == (0, 6_000)
    treasury.claim(*shop.node_arguments(0, token), {"from": seller})
    treasury.withdraw(seller, token, 1_400, {"from": seller})
    treasury.withdraw(buyer, token, 4_000, {"from": buyer})
    assert (token.of(seller), token.of(buyer), token.of(treasury)) == (1_400, 8_000, 600)


@pytest.mark.parametrize("token", FALSE, indirect=True)
def test_c6_a_false_token_is_refused(metered, token, buyer, deployer):
    if hasattr(token.contract, "setLie"):
        token.contract.setLie(metered.channels, 5_000, {"from": deployer})
    if token.contract._name == "ShrinkingCoin":
        token.contract.mint(metered.channels, 5_000, {"from": deployer})
    rejects("Escrow_WrongTransfer", token, 1_000)(
        metered.channels.open, *metered.opening(1_000), sender=buyer
    )


def test_the_value_is_the_amount(native, buyer):
    refuse = rejects("Escrow_WrongValue", 999, 1_000)
    refuse(native.channels.open, *native.opening(1_000), sender=buyer, value=999)
    native.open(1_000)
    refuse(native.channels.topUp, *native.adding(1_000), sender=buyer, value=999)


def test_no_coin_comes_with_a_token(metered, buyer):
    refuse = rejects("Escrow_WrongValue", 1, 0)
    refuse(metered.channels.open, *metered.opening(1_000), sender=buyer, value=1)
    metered.open(1_000)
    refuse(metered.channels.topUp, *metered.adding(1_000), sender=buyer, value=1)


def test_plain_coin_is_refused(native, buyer):
    assert outcome(Plain(native.channels), sender=buyer, value=1) is not None


class Plain:
    """A transfer of coin without data."""

    def __init__(self, contract):
        self._address = str(contract)

    def encode_input(self):
        """Return nothing."""
        return "0x"


class TestPermits:
    """C21: an allowance by signature, used here or before."""

    @pytest.fixture
    def permit(self, metered, token, buyer):
        """A permit of the buyer for 2,000, who has no allowance else."""
        token.send(buyer, "approve", metered.channels, 0)
        return self._permit(token, buyer, metered.channels, 2_000, now() + DAY)

    def _permit(self, token, owner, spender, value, deadline):
        names = ("owner", "spender", "value", "nonce", "deadline")
        kinds = ("address", "address", "uint256", "uint256", "uint256")
        domain = {"name": "Coin", "version": "1", "chainId": CHAIN, "verifyingContract": str(token)}
        domain_kinds = ("string", "string", "uint256", "address")
        values = (str(owner), str(spender), str(value), "0", str(deadline))
        types = {
            "EIP712Domain": [{"name": n, "type": k} for n, k in zip(domain, domain_kinds, strict=True)],
            "Permit": [{"name": n, "type": k} for n, k in zip(names, kinds, strict=True)],
        }
        message = dict(zip(names, values, strict=True))
        typed = {"types": types, "domain": domain, "primaryType": "Permit", "message": message}
        signature = bytes.fromhex(rpc("eth_signTypedData_v4", str(owner), typed)[2:])
        return value, deadline, signature[64], signature[:32], signature[32:64]

    @pytest.mark.parametrize("used", [False, True])
    def test_c21_it_opens_and_tops_up(self, metered, token, permit, buyer, stranger, used):
        if used:
            token.send(stranger, "permit", buyer, metered.channels, *permit)
        channels = metered.channels
        channels.openWithPermit(*metered.opening(1_000), permit, {"from": buyer})
        channels.topUpWithPermit(*metered.adding(1_000), permit, {"from": buyer})
        assert read(channels, "channels", metered.id()) == (2_000, 0, 0, OPEN)
        assert token.of(channels) == 2_000

    def test_an_allowance_serves_where_the_permit_is_none(self, metered, buyer):
        none = (0, 0, 0, bytes(32), bytes(32))
        metered.channels.openWithPermit(*metered.opening(1_000), none, {"from": buyer})

    def test_without_allowance_it_reverts(self, metered, permit, buyer):
        none = (*permit[:4], keccak256(b"another"))
        arguments = (*metered.opening(1_000), none)
        error = ("ERC20InsufficientAllowance", (address(metered.channels), 0, 1_000))
        assert outcome(metered.channels.openWithPermit, *arguments, sender=buyer) == error

    def test_the_native_coin_has_no_permit(self, native, buyer):
        arguments = (*native.opening(1_000), (0, 0, 0, bytes(32), bytes(32)))
        assert outcome(native.channels.openWithPermit, *arguments, sender=buyer, value=1_000) is not None


@pytest.mark.parametrize("token", ["pausable"], indirect=True)
def test_c6_a_token_that_stops_delays_and_loses_nothing(shop, metered, token, buyer, agent, deployer):
    metered.open(5_000)
    token.contract.setPaused(True, {"from": deployer})
    claims = metered.claims(metered.row(20))
    rejects("PausableCoin_Paused")(metered.channels.claim, claims, sender=agent)
    # The payer's time begins to run all the same: it is the issuer who holds up the payee.
    metered.start_closing()
    token.contract.setPaused(False, {"from": deployer})
    metered.claim(20)
    token.contract.setPaused(True, {"from": deployer})
    rejects("PausableCoin_Paused")(metered.channels.close, *metered.closing(), sender=agent)
    token.contract.setPaused(False, {"from": deployer})
    metered.close()
    assert (shop.balance(shop.node, token), shop.balance(buyer, token)) == (2_000, 3_000)


@pytest.mark.parametrize("token", ["rebasing"], indirect=True)
def test_c6_a_shrunk_token_fails_alone(shop, sealed, metered, token, agent, deployer):
    metered.open(5_000)
    native = Meter(shop, sealed)
    native.open(5_000)
    token.contract.rebase(5 * 10**17, {"from": deployer})
    found = outcome(metered.channels.claim, metered.claims(metered.row(50)), sender=agent)
    assert found is not None and found[0] in ("ERC20InsufficientBalance", "Treasury_WrongTransfer")
    native.claim(50)
    assert (shop.balance(shop.node), shop.balance(shop.node, token)) == (5_000, 0)


def test_c26_ids_and_vouchers_survive_another_order(shop, native, buyer, agent):
    """Two channels are opened in one order, and after a re-organisation in the other: the same ids, and the same vouchers count."""
    rows = native.row(20, 1) + native.row(30, 2)
    native.open(5_000, 1)
    native.open(5_000, 2)
    calls = [
        {
            "from": str(buyer),
            "to": str(native.channels),
            "value": hex(5_000),
            "gas": hex(500_000),
            "data": native.channels.open.encode_input(*native.opening(5_000, nonce)),
        }
        for nonce in (2, 1)
    ]
    reorganise(2, [(call, place) for place, call in enumerate(calls)])
    states = [read(native.channels, "channels", native.id(nonce)) for nonce in (1, 2)]
    assert states == [(5_000, 0, 0, OPEN)] * 2
    native.channels.claim(native.claims(rows), {"from": agent})
    assert shop.balance(shop.node) == 50 * PRICE
