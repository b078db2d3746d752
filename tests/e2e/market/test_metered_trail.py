"""Metered use on a real chain: in the trail, in a bundle that is verified, and in the index, with its money."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.chain.calls import Call, call_data
from steelyard.chain.rpc import Rpc
from steelyard.crypto.metering import Signer, compact
from steelyard.crypto.secret import Secret
from steelyard.domain import mmr
from steelyard.domain.abi import Value, decode, encode
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import (
    METERED_TERMS,
    ChannelId,
    ChannelState,
    MeteredTerms,
    Receipt,
    Voucher,
    channel_id,
    domain_separator,
    unit_word,
)
from steelyard.domain.types import NATIVE, VERSION
from steelyard.errors import SteelyardError
from steelyard.indexer.database import open_database
from steelyard.indexer.run import Indexer
from steelyard.indexer.schema import PAYMENTS, amount_of
from steelyard.indexer.verify import check
from steelyard.market import Market
from steelyard.service.results import Published

PRICE = 10**14
DEPOSIT = 10**16
SIGNER = Signer(Secret(keccak256(b"the buyer's hot key")))
PARTIES = "(address,address,uint64)"


class Metered:
    """A channel of the buyer, opened, used, claimed and closed by the contract's own calls."""

    def __init__(self, seller: Market, buyer: Market, published: Published, rpc: Rpc) -> None:
        self.seller, self.buyer, self.rpc = seller, buyer, rpc
        deployment = seller.context.deployment
        assert deployment.channels is not None
        self.at, self.asset = deployment.channels, published.asset
        (release,) = [
            found
            for found in seller.verify_bundle(
                seller.export(published.ref, seller.context.home / "b")
            ).versions.values()
        ]
        self.version = release.commitments
        self.terms = MeteredTerms(
            payee=seller.context.account.address,
            currency=NATIVE,
            price=PRICE,
            unit=unit_word("row"),
            version=self.version.id,
            node=self.version.node,
            window=86_400,
            in_flight=4,
            expiry=rpc.get_block("latest").timestamp + 30 * 86_400,
            text=keccak256(b"text"),
            salt=1,
        )
        self.offer = self.terms.id(self.asset)
        payer = buyer.context.account.address
        self.parties: tuple[Value, ...] = (payer, SIGNER.address, 7)
        self.channel: ChannelId = channel_id(
            chain_id=rpc.chain_id,
            channels=self.at,
            offer=self.offer,
            payer=payer,
            signer=SIGNER.address,
            nonce=7,
        )
        separator = domain_separator(chain_id=rpc.chain_id, channels=self.at)
        self.receipts = [
            Receipt(
                channel=self.channel,
                sequence=i,
                version=self.version.id,
                units=i,
                request=keccak256(b"ask %d" % i),
                response=keccak256(b"say %d" % i),
            )
            for i in range(1, 6)
        ]
        self.digests = [receipt.digest(separator) for receipt in self.receipts]
        self.root = mmr.root(self.digests)
        self.voucher = Voucher(channel=self.channel, amount=15 * PRICE, units=15, sequence=5, root=self.root)
        self.signature = SIGNER.sign(self.voucher.digest(separator))

    def send(self, who: Market, signature: str, *values: Value, value: int = 0) -> None:
        who.context.sender.send(
            Call(self.at, call_data(signature, *values), value, signature.partition("(")[0])
        )

    def play(self) -> None:
        terms = self.terms.abi()
        self.send(self.seller, f"makeOffer({VERSION},{METERED_TERMS})", self.version.abi(), terms)
        hashed = keccak256(encode((METERED_TERMS,), (terms,)))
        opening = (self.asset, hashed, SIGNER.address, 7, DEPOSIT)
        self.send(self.buyer, "open(bytes32,bytes32,address,uint64,uint128)", *opening, value=DEPOSIT)
        more = (self.asset, hashed, self.parties, DEPOSIT)
        self.send(self.buyer, f"topUp(bytes32,bytes32,{PARTIES},uint128)", *more, value=DEPOSIT)
        r, vs = compact(self.signature)
        row = self.buyer.context.account.address + SIGNER.address + (7).to_bytes(8, "big")
        row += (15).to_bytes(16, "big") + (5).to_bytes(8, "big") + self.root + r + vs
        self.send(self.seller, f"claim((bytes32,{METERED_TERMS},bytes)[])", ((self.asset, terms, row),))
        closing = (self.asset, terms, SIGNER.address, 7)
        self.send(self.buyer, f"startClosing(bytes32,{METERED_TERMS},address,uint64)", *closing)
        self.send(self.seller, f"close(bytes32,{METERED_TERMS},{PARTIES})", self.asset, terms, self.parties)
        self.send(self.seller, "closeOffer(bytes32,bytes32)", self.asset, hashed)


@pytest.fixture
def metered(seller: Market, buyer: Market, published: Published, rpc: Rpc) -> Metered:
    made = Metered(seller, buyer, published, rpc)
    made.play()
    return made


def test_metered_use_is_in_the_trail_and_in_the_bundle(
    metered: Metered, seller: Market, published: Published, rpc: Rpc, tmp_path: Path
) -> None:
    names = [event.name for event in seller.trail(published.ref)][2:]
    assert names == [
        *("MeteredOffered", "ChannelOpened", "ChannelToppedUp", "UsageClaimed", "Received"),
        *("ChannelClosing", "ChannelClosed", "MeteredOfferClosed"),
    ]
    bundle = seller.export(published.ref, tmp_path / "bundle.json")
    state = seller.verify_bundle(bundle)
    channel = state.channels[metered.channel]
    assert (channel.deposit, channel.claimed, channel.refunded) == (
        2 * DEPOSIT,
        15 * PRICE,
        2 * DEPOSIT - 15 * PRICE,
    )
    assert (channel.units, channel.sequence, channel.receipts_root) == (15, 5, metered.root)
    assert channel.state is ChannelState.CLOSED and state.metered[metered.offer].closed
    # An auditor with the bundle and one receipt proves the call: off chain, and by the contract.
    path = mmr.prove(metered.digests, 4)
    mmr.verify(metered.digests[3], sequence=4, count=5, path=path, root=channel.receipts_root)
    receipt = metered.receipts[3]
    kind = "(bytes32,uint64,bytes32,uint64,bytes32,bytes32)"
    value = (receipt.channel, 4, receipt.version, receipt.units, receipt.request, receipt.response)
    asked = call_data(
        f"proves(bytes32,{kind},uint64,bytes32[])", channel.receipts_root, value, 5, tuple(path)
    )
    assert decode(("bool",), rpc.eth_call(metered.at, asked)) == (True,)
    # The contract's head is in the bundle: without one of its entries it does not verify.
    document = json.loads(bundle.read_bytes())
    assert [item["build"] for item in document["contracts"]] == ["Treasury", "Assets", "Market", "Channels"]
    del document["entries"][5]
    bundle.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    with pytest.raises(SteelyardError, match="Channels"):
        seller.verify_bundle(bundle)
    for form in ("csv", "jsonl", "prov"):
        assert seller.export(published.ref, tmp_path / form, format=form).stat().st_size > 500


def test_metered_use_is_in_the_index(metered: Metered, seller: Market, rpc: Rpc, tmp_path: Path) -> None:
    deployment = seller.context.deployment
    database = open_database(tmp_path / "index.sqlite")
    try:
        indexer = Indexer(database, [rpc], deployment)
        indexer.step()
        assert check(database, deployment).at is not None
        with database.read() as reader:
            paid = reader.rows(
                "SELECT kind, amount FROM payments WHERE licence = ? ORDER BY pos", (metered.channel,)
            )
            state = reader.row("SELECT state, claimed FROM channels WHERE id = ?", (metered.channel,))
        assert [(PAYMENTS[kind], amount_of(amount)) for kind, amount in paid] == [
            ("escrow", DEPOSIT),
            ("escrow", DEPOSIT),
            ("income", 15 * PRICE),
            ("refund", 2 * DEPOSIT - 15 * PRICE),
        ]
        assert state is not None and (state[0], amount_of(state[1])) == (3, 15 * PRICE)
    finally:
        database.close()
