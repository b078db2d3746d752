"""What the claimer knows of its channels is what the contract says, whatever happened meanwhile, and costs few requests."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steelyard.chain.calls import Call
from steelyard.chain.deploy import deploy
from steelyard.chain.metered import ChannelViews, VoucherRow
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.chain.transport import Answer, HttpTransport, TransportFault
from steelyard.crypto.metering import Signer, compact
from steelyard.crypto.secret import Secret
from steelyard.domain.metering import ChannelState, Voucher
from steelyard.errors import ChainError, NotFoundError, TrailError
from steelyard.gateway.books import Entry, open_books
from steelyard.gateway.claims import Claimer, Rules
from steelyard.gateway.records import WHOLE, Records
from steelyard.market import Market
from steelyard.metering.agreement import Agreement
from steelyard.service.account import Account
from steelyard.service.context import Settings
from steelyard.service.dispatch import open_outbox
from steelyard.service.metered import calls_of, metered_offers, place_of
from steelyard.storage.embedded import EmbeddedStore

PRICE = 10**12
SIGNER = Signer(Secret(b"\x05" * 32))


class Line(HttpTransport):
    """The connection to the node: counts requests, and can be a bad one."""

    requests = 0
    silent = False
    """No log is told of."""
    broken = False
    """Batches are not answered."""

    def exchange(self, body: bytes) -> Answer:
        self.requests += 1
        asked = json.loads(body)
        if self.broken and isinstance(asked, list):
            raise TransportFault("no answer")
        if self.silent and not isinstance(asked, list) and asked["method"] == "eth_getLogs":
            return Answer(200, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": []}).encode())
        return super().exchange(body)


class Party:
    """Payer and payee of many channels, on a chain of their own, which can be taken back."""

    def __init__(self, node: Node, folder: Path) -> None:
        account = Account.from_key(Secret(secrets.token_bytes(32)))
        self.rpc = Rpc(node.url, chain_id=node.chain_id)
        faucet = Sender(self.rpc, lambda: node.keys[0])
        self.market = Market(
            node.url,
            deployment=deploy(faucet, min_bond=10**16),
            store=EmbeddedStore(folder / "store"),
            account=account,
            home=folder / "home",
            settings=Settings(poll=0.02, margin=0),
        )
        faucet.send(Call(account.address, b"", 10**21))
        (folder / "model").mkdir()
        (folder / "model" / "README.md").write_text("# Any\n")
        published = self.market.publish(folder / "model", name="any")
        self.asset = published.asset
        self.terms = self.market.offer_metered(published.ref, price=PRICE).terms
        (self.offer,) = metered_offers(self.market.context, published.ref)
        self.place, self.calls = place_of(self.market.context), calls_of(self.market.context)
        self.agreements: list[Agreement] = []
        self.line = Line(node.url)
        counted = Rpc(self.line, chain_id=node.chain_id, attempts=1)
        self.passed = 0.0
        self.records = Records(
            counted, ChannelViews(counted, self.place.channels), clock=lambda: 1e6 + self.passed
        )

    def send(self, *calls: Call) -> None:
        self.market.context.sender.send_many(calls, gas=400_000)

    def open(self, count: int) -> None:
        """Open more channels."""
        payer = self.market.context.account.address
        for nonce in range(len(self.agreements), len(self.agreements) + count):
            names = {"payer": payer, "signer": SIGNER.address, "nonce": nonce}
            self.agreements.append(Agreement.of(self.place, asset=self.asset, terms=self.terms, **names))  # type: ignore[arg-type]
            # One by one: an automining node was seen to hang over 150 at once.
            self.send(
                self.calls.open(
                    self.asset, self.terms, signer=SIGNER.address, nonce=nonce, amount=1000 * PRICE
                )
            )

    def act(self, dice: random.Random) -> None:
        """Do something to one or more channels, as far as the contract lets it."""
        some = dice.sample(self.agreements, min(3, len(self.agreements)))
        one = some[0]
        act = dice.randrange(5)
        if act == 0:
            self.open(1)
        elif act == 1:
            self.top_up(one.nonce)
        elif act == 2:
            rows = [row_of(item, dice.randrange(1, 2000)) for item in some]
            self.send(self.calls.claim([(self.asset, self.terms, rows)]))
        elif act == 3:
            self.send(self.calls.start_closing(self.asset, self.terms, signer=one.signer, nonce=one.nonce))
        else:
            self.send(self.calls.close(self.asset, self.terms, (one.payer, one.signer, one.nonce)))

    def top_up(self, nonce: int) -> None:
        """Add to a channel."""
        one = self.agreements[nonce]
        parties = (one.payer, one.signer, one.nonce)
        self.send(self.calls.top_up(self.asset, self.terms, parties, amount=5))

    def check(self) -> None:
        """Compare what is known with what the contract says."""
        channels = [item.channel for item in self.agreements]
        head, found = self.records.look(channels)
        views = ChannelViews(self.rpc, self.place.channels, block=head.hash)
        assert head.hash == self.rpc.get_block("latest").hash
        assert found == [views.channel(channel) for channel in channels]

    def cost(self, act: Callable[[], object]) -> int:
        """Return how many requests something takes."""
        before = self.line.requests
        act()
        return self.line.requests - before


def row_of(agreement: Agreement, units: int) -> VoucherRow:
    voucher = Voucher(
        channel=agreement.channel, amount=units * PRICE, units=units, sequence=1, root=b"\x01" * 32
    )
    r, vs = compact(SIGNER.sign(voucher.digest(agreement.place.separator)))
    return VoucherRow(
        payer=agreement.payer,
        signer=agreement.signer,
        nonce=agreement.nonce,
        units=units,
        sequence=1,
        root=voucher.root,
        r=r,
        vs=vs,
    )


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Node.start(find_anvil()) as node:
        made = Party(node, tmp_path)
        yield made
        made.market.close()
        made.line.close()
        made.rpc.close()


def test_many_channels_cost_few_requests(party: Party, tmp_path: Path) -> None:
    party.open(150)
    context = party.market.context
    books = open_books(tmp_path / "books.sqlite", Signer(context.account.key), clock=time.time)
    for item in party.agreements:
        entry = Entry(agreement=item, deposit=1000 * PRICE, signed=None, call=1, units=1, request=bytes(32))
        books.enter([entry])
    own, context.rpc = context.rpc, Rpc(party.line, chain_id=context.chain_id)
    with open_outbox(context) as outbox:
        claimer = Claimer(context, books, outbox, {party.offer.id: party.offer}, Rules())
        assert party.cost(claimer.step) == 1 + 1 + 2  # chain id, block, two batches
        assert party.cost(claimer.step) == 1  # no new block
        party.top_up(7)
        assert party.cost(claimer.step) == 3  # block, log, one batch
        party.top_up(7)
        party.top_up(8)
        assert party.cost(claimer.step) == 4  # block, the last one again, log, one batch
    context.rpc = own
    books.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_it_is_what_the_contract_says(party: Party, seed: int) -> None:
    dice = random.Random(seed)
    party.open(6)
    kept = (party.rpc.call("evm_snapshot"), len(party.agreements))
    back = 0
    for _ in range(60):
        for _ in range(dice.randrange(3)):
            party.act(dice)
        if dice.random() < 0.8:
            party.check()
        if dice.random() < 0.25:
            if dice.random() < 0.5:
                party.rpc.call("evm_revert", (kept[0],))
                party.market.context.sender.forget_nonce()
                del party.agreements[kept[1] :]
                back += 1
            kept = (party.rpc.call("evm_snapshot"), len(party.agreements))
    party.check()
    assert back > 3


def test_a_log_that_is_behind_hides_nothing_for_long(party: Party) -> None:
    party.open(2)
    party.check()
    party.line.silent = True
    party.top_up(1)
    channels = [item.channel for item in party.agreements]
    stale = party.records.look(channels)
    party.passed = WHOLE - 1
    assert party.records.look(channels) == stale
    with pytest.raises(AssertionError):
        party.check()
    party.passed = WHOLE
    party.check()


def test_a_look_that_failed_hides_nothing(party: Party) -> None:
    party.open(2)
    party.check()
    party.top_up(0)
    party.line.broken = True
    with pytest.raises(ChainError):
        party.records.look([party.agreements[0].channel])
    party.line.broken = False
    party.check()


def test_the_client_knows_its_channels_and_what_was_taken_back(party: Party) -> None:
    market = party.market
    kept = party.rpc.call("evm_snapshot")
    party.open(2)
    channels = [item.channel for item in party.agreements]
    assert [item.channel for item in market.channels()] == channels
    party.top_up(0)
    party.send(party.calls.start_closing(party.asset, party.terms, signer=SIGNER.address, nonce=1))
    views = ChannelViews(party.rpc, party.place.channels)
    for info, agreement in zip(market.channels(), party.agreements, strict=True):
        stored = views.channel(info.channel)
        found = (info.deposit, info.claimed, info.closes_at, info.state)
        assert found == (stored.deposit, stored.claimed, stored.closes_at, stored.state)
        assert (market.channel(info.channel), info.agreement) == (info, agreement)
    party.rpc.call("evm_revert", (kept,))
    assert market.channels() == ()
    with pytest.raises(NotFoundError, match="no channel"):
        market.channel(channels[0])


def test_a_node_that_hides_the_opening_is_named(party: Party) -> None:
    party.open(1)
    (agreement,) = party.agreements
    context = party.market.context
    assert party.market.channel(agreement.channel).state is ChannelState.OPEN
    own = context.ledger.rpc
    context.ledger.rpc = Rpc(party.line, chain_id=context.chain_id)
    party.line.silent = True
    with pytest.raises(TrailError, match="hides the log of channel"):
        party.market.channel(agreement.channel)
    party.top_up(0)
    with pytest.raises(TrailError, match="do not lead to its head"):
        party.market.metered_offers(f"0x{context.account.address.hex()}/any")
    context.ledger.rpc = own
