"""A made-up market: entries as the contracts would record them, fed through the real fold, and kept as a list for oracles."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from steelyard.domain.abi import encode
from steelyard.domain.events import TrailEvent, decode_event
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import ChannelId, MeteredTerms, channel_id, unit_word
from steelyard.domain.point import Point
from steelyard.domain.records import Ledger
from steelyard.domain.state import fold as fold_state
from steelyard.domain.types import (
    NATIVE,
    Address,
    AssetId,
    NodeId,
    OfferKind,
    Position,
    PurchaseId,
    RequestId,
    Scope,
    Stage,
    Terms,
    Version,
    account_word,
    name_word,
    node_id,
)
from steelyard.indexer.database import Database
from steelyard.indexer.entries import KIND_OF, KINDS, Entry, digest_of
from steelyard.indexer.fold import fold
from steelyard.indexer.known import Known
from steelyard.indexer.schema import place
from steelyard.indexer.store import write_entities, write_entries

CONTRACTS = {
    "Assets": Address(b"\x0a" * 20),
    "Market": Address(b"\x0b" * 20),
    "Treasury": Address(b"\x0c" * 20),
    "Channels": Address(b"\x0d" * 20),
}
MARKET = CONTRACTS["Market"]
TOKEN = Address(b"\x77" * 20)
ALICE, BOB, CAROL, DAVE = (Address(bytes([i]) * 20) for i in (0xA1, 0xB0, 0xCA, 0xDA))
GATE, SIGNER = Address(b"\x6a" * 20), Address(b"\x51" * 20)
SOURCE = Address(b"\x55" * 20)
KEY = Point(5, 6)
START = 1_700_000_000


@dataclass
class World:
    """Grows block by block; ``events`` are all entries so far."""

    block: int = 100
    time: int = START
    index: int = 0
    count: int = 0
    entries: list[Entry] = field(default_factory=list)
    events: list[TrailEvent] = field(default_factory=list)
    versions: dict[bytes, Version] = field(default_factory=dict)
    terms: dict[bytes, Terms] = field(default_factory=dict)
    positions: dict[bytes, tuple[bytes, tuple[Position, ...]]] = field(default_factory=dict)
    fed: int = 0
    folded: int = 0
    state: Ledger = field(default_factory=Ledger)
    known: Known = field(default_factory=lambda: Known(CONTRACTS))

    def tick(self, seconds: int = 12, blocks: int = 1) -> int:
        """Begin another block, and return its time."""
        self.block += blocks
        self.time += seconds
        self.index = 0
        return self.time

    def unique(self) -> bytes:
        """Return 32 bytes that were not there before."""
        self.count += 1
        return keccak256(self.count.to_bytes(8, "big"))

    def log(self, name: str, subject: bytes, id_: bytes, actor: Address, *values: Any) -> Entry:
        """Record an entry in the present block."""
        kind = KIND_OF[name]
        data = encode(KINDS[kind].types, values)
        topics = (KINDS[kind].topic, subject, id_, account_word(actor))
        tx = keccak256(b"tx" + self.block.to_bytes(8, "big") + (self.index // 2).to_bytes(4, "big"))
        entry = Entry(
            place(self.block, self.index),
            self.time,
            kind,
            subject,
            id_,
            actor,
            tx,
            self.index // 2,
            data,
            digest_of(self.block, self.time, b"".join((*topics, data))),
        )
        event = decode_event(
            topics,
            data,
            contract=CONTRACTS[KINDS[kind].contract],
            block=self.block,
            time=self.time,
            log=self.index,
            tx=tx,
        )
        self.index += 1
        self.entries.append(entry)
        self.events.append(event)
        return entry

    # -- acts ------------------------------------------------------------------------------------------------

    def asset(self, name: str, owner: Address = ALICE, kind: int = 0) -> AssetId:
        digest = keccak256(name.encode() + owner)
        asset = AssetId(bytes([digest[0] & 0x7F]) + digest[1:])
        self.log("AssetRegistered", asset, name_word(name), owner, kind, 250)
        return asset

    def node(self, asset: bytes, *parts: tuple[Address, int]) -> NodeId:
        positions = tuple(Position(account_word(payee), weight) for payee, weight in parts)
        node = node_id(asset, positions)
        self.positions[node] = (asset, positions)
        return node

    def publish(
        self,
        asset: AssetId,
        owner: Address = ALICE,
        *,
        node: bytes | None = None,
        folder: bytes | None = None,
    ) -> Version:
        number = sum(version.asset == asset for version in self.versions.values()) + 1
        version = Version(
            asset,
            folder or self.unique(),
            self.unique(),
            1000 + number,
            1,
            Point(3, 4),
            NodeId(node or self.node(asset, (owner, 10_000))),
        )
        self.versions[version.id] = version
        self.log("VersionPublished", asset, version.id, owner, number, version.abi())
        return version

    def move(self, version: Version, to: Stage, reason: str = "why", actor: Address = ALICE) -> None:
        start = self.ledger().assets[version.asset].versions[version.id].stage
        self.log("StageMoved", version.asset, version.id, actor, int(start), int(to), reason)

    def offer(self, asset: AssetId, seller: Address = ALICE, **terms: Any) -> Terms:
        self.count += 1
        made = Terms(
            **{
                "seller": seller,
                "currency": NATIVE,
                "price": 100,
                "bond": 7,
                "kind": OfferKind.PERPETUAL,
                "scope": Scope.ONE,
                "transferable": True,
                "revocable": False,
                "period": 0,
                "renew_until": 0,
                "supply": 0,
                "deliver_within": 3600,
                "window": 0,
                "allow_list": bytes(32),
                "text": bytes(32),
                "salt": 2**64 - self.count,
                **terms,
            }
        )
        self.terms[made.id(asset)] = made
        self.log("Offered", asset, made.id(asset), seller, made.abi())
        return made

    def buy(self, version: Version, terms: Terms, buyer: Address = BOB) -> PurchaseId:
        purchase = PurchaseId(self.unique())
        self.log(
            "Purchased",
            version.asset,
            purchase,
            buyer,
            version.id,
            terms.id(version.asset),
            self.unique(),
            KEY.abi(),
            terms.price,
            self.time + terms.deliver_within,
        )
        return purchase

    def deliver(self, version: Version, terms: Terms, purchase: PurchaseId) -> None:
        until = self.time + terms.period if terms.period else 0
        self.log(
            "Delivered",
            version.asset,
            purchase,
            terms.seller,
            Point(7, 8).abi(),
            until,
            self.time + terms.window,
        )
        if not terms.window:
            self.income(version, terms)

    def settle(self, version: Version, terms: Terms, purchase: PurchaseId) -> None:
        self.log("Settled", version.asset, purchase, CAROL)
        self.income(version, terms)

    def income(self, version: Version, terms: Terms) -> None:
        if terms.price:
            self.log("Received", version.node, bytes(32), MARKET, terms.currency, terms.price)

    def refund(self, version: Version, terms: Terms, purchase: PurchaseId, payer: Address) -> None:
        self.log("Refunded", version.asset, purchase, CAROL, payer, terms.price, terms.bond)

    def renew(self, version: Version, terms: Terms, purchase: PurchaseId, actor: Address, until: int) -> None:
        self.log("Renewed", version.asset, purchase, actor, terms.price, until)
        self.income(version, terms)

    def give(self, asset: bytes, purchase: bytes, before: Address, after: Address) -> None:
        self.log("LicenceTransferred", asset, purchase, before, before, after)

    def request(self, asset: bytes, licence: bytes, version: Version, holder: Address, fee: int) -> RequestId:
        request = RequestId(self.unique())
        number = int.from_bytes(licence, "big")
        self.log(
            "KeyRequested",
            asset,
            request,
            holder,
            number,
            version.id,
            KEY.abi(),
            fee,
            self.time + 3600,
        )
        return request

    def claim(self, node: bytes, payee: Address, index: int, amount: int, currency: Address = NATIVE) -> None:
        self.log("Claimed", node, account_word(payee), payee, index, currency, amount)

    def meter(self, version: Version, maker: Address = ALICE, **terms: Any) -> MeteredTerms:
        self.count += 1
        made = MeteredTerms(
            **{
                "payee": GATE,
                "currency": NATIVE,
                "price": 3,
                "unit": unit_word("row"),
                "version": version.id,
                "node": version.node,
                "window": 86_400,
                "in_flight": 8,
                "expiry": self.time + 10**7,
                "text": bytes(32),
                "salt": 2**64 - self.count,
                **terms,
            }
        )
        self.log("MeteredOffered", version.asset, made.id(version.asset), maker, made.abi())
        return made

    def open_channel(
        self, asset: AssetId, terms: MeteredTerms, payer: Address = BOB, deposit: int = 1000
    ) -> ChannelId:
        offer, nonce = terms.id(asset), 2**64 - self.count - 1
        self.count += 1
        names = {"offer": offer, "payer": payer, "signer": SIGNER, "nonce": nonce}
        channel = channel_id(chain_id=31337, channels=CONTRACTS["Channels"], **names)  # type: ignore[arg-type]
        self.log("ChannelOpened", asset, channel, payer, offer, SIGNER, nonce, deposit)
        return channel

    def use(self, asset: AssetId, terms: MeteredTerms, *uses: tuple[ChannelId, int, int]) -> None:
        """Claim; of each channel what is paid now, and the units in all."""
        rows = [(channel, paid, units, units, self.unique()) for channel, paid, units in uses]
        self.log("UsageClaimed", asset, terms.id(asset), terms.payee, rows)
        total = sum(paid for _, paid, _ in uses)
        self.log("Received", terms.node, bytes(32), CONTRACTS["Channels"], terms.currency, total)

    # -- the index -------------------------------------------------------------------------------------------

    def feed(self, database: Database, *, proved: bool = True) -> None:
        """Write everything that is new to an index, up to the present block."""
        entries = self.entries[self.fed :]
        with database.write() as writer:
            self.known.load(writer, entries)
            batch = fold(self.known, entries)
            write_entries(writer, batch)
            write_entities(writer, self.known, batch)
            blocks = {entry.pos >> 20: entry.time for entry in entries} | {self.block: self.time}
            there = {row[0] for row in writer.rows("SELECT number FROM blocks")}
            for number in sorted(blocks.keys() - there):
                is_last = proved and number == self.block
                row = (number, block_hash(number), None, blocks[number], int(is_last))
                writer.insert("blocks", [row])
        self.known.written()
        self.fed = len(self.entries)

    def ledger(self, at: int | None = None) -> Ledger:
        """Return the state with all entries up to a time: the oracle."""
        events = [event for event in self.events if at is None or event.time <= at]
        return fold_state(events, block=1 << 40)

    def present(self) -> Ledger:
        """Return the state with all entries of the blocks before this one; kept, so that a long history is folded once."""
        events = [event for event in self.events[self.folded :] if event.block < self.block]
        self.state = fold_state(events, start=self.state, block=self.block - 1)
        self.folded += len(events)
        return self.state


def block_hash(number: int) -> bytes:
    """Return the made-up hash of a block."""
    return keccak256(b"block" + number.to_bytes(8, "big"))


def busy(seed: int, steps: int = 600) -> World:
    """Return a world in which everything happens, in an order that the seed decides; several entries share a block."""
    # Stages have dice of their own, so that all else is the same with and without them.
    dice, moves = random.Random(seed), random.Random(seed + 1)
    world = World()
    people = [ALICE, BOB, CAROL, DAVE]
    assets = [world.asset(f"model-{i}", dice.choice(people), i % 2) for i in range(4)]
    owners = {event.subject: event.actor for event in world.events}
    versions: list[Version] = []
    offers: list[tuple[AssetId, Terms]] = []
    sales: list[tuple[Version, Terms, PurchaseId, Address]] = []
    for step in range(steps):
        if dice.random() < 0.6:
            world.tick(dice.choice((1, 5, 40)), dice.choice((1, 1, 7)))
        if versions and moves.random() < 0.05:
            _move(world, moves, moves.choice(versions), owners)
        act = dice.randrange(20)
        asset = dice.choice(assets)
        if act == 0 or step < 4:
            asset = assets[step] if step < 4 else asset
            payees = dice.sample(people, 2)
            node = world.node(asset, (payees[0], 7001), (payees[1], 2999))
            versions.append(world.publish(asset, owners[asset], node=node))
        elif act == 1 or step < 8:
            rental = dice.random() < 0.5
            terms = world.offer(
                asset,
                owners[asset],
                price=dice.choice((0, 1, 99_999, 10**18 + 1)),
                currency=dice.choice((NATIVE, TOKEN)),
                kind=OfferKind.RENTAL if rental else OfferKind.PERPETUAL,
                scope=dice.choice(list(Scope)) if rental else dice.choice((Scope.ONE, Scope.ALL)),
                period=dice.choice((600, 3000)) if rental else 0,
                window=dice.choice((0, 300)),
                deliver_within=dice.choice((400, 36_000)),
                revocable=True,
            )
            offers.append((asset, terms))
        elif act in (2, 3, 4, 5):
            asset, terms = dice.choice(offers)
            version = dice.choice([item for item in versions if item.asset == asset])
            buyer = dice.choice(people)
            sales.append((version, terms, world.buy(version, terms, buyer), buyer))
        elif sales:
            # What the contracts would do is known of closed blocks.
            world.tick(1)
            _advance(world, dice, *dice.choice(sales), people)
    _use(world, versions)
    world.tick(50)
    return world


def _use(world: World, versions: list[Version]) -> None:
    """Sell some versions by the unit, and let channels be in every state."""
    for number, version in enumerate(versions[:3]):
        world.tick(5)
        terms = world.meter(version, currency=NATIVE if number else TOKEN, price=10 ** (6 * number))
        asset, price = version.asset, terms.price
        channels = [world.open_channel(asset, terms, payer, 7 * price) for payer in (BOB, CAROL, BOB, DAVE)]
        world.tick(5)
        world.use(asset, terms, (channels[0], 2 * price, 2), (channels[1], 7 * price, 9))
        world.log("ChannelToppedUp", asset, channels[0], CAROL, 1, 7 * price + 1)
        world.log("ChannelClosing", asset, channels[1], CAROL, world.time + 86_400)
        world.log("ChannelClosed", asset, channels[2], GATE, BOB, 7 * price)
        world.log("ChannelClosing", asset, channels[3], DAVE, world.time + 86_400)
        if number == 1:
            world.log("MeteredOfferClosed", asset, terms.id(asset), ALICE)


def _move(world: World, dice: random.Random, version: Version, owners: dict[bytes, Address]) -> None:
    now = world.ledger().assets[version.asset].versions[version.id].stage
    ways = [stage for stage in Stage if stage not in (Stage.NONE, now)]
    if now is not Stage.RETIRED:
        world.move(version, dice.choice(ways), actor=owners[version.asset])


def _advance(
    world: World,
    dice: random.Random,
    version: Version,
    terms: Terms,
    purchase: PurchaseId,
    buyer: Address,
    people: list[Address],
) -> None:
    """Take one licence a step further, as far as the contracts would."""
    now = world.present().assets[version.asset]
    record = now.purchases[purchase]
    flagged = now.versions[version.id].flagged
    if record.state.name == "PAID":
        if flagged or world.time > record.due:
            world.refund(version, terms, purchase, buyer)
        else:
            world.deliver(version, terms, purchase)
    elif record.state.name == "DELIVERED":
        if flagged:
            world.refund(version, terms, purchase, buyer)
        elif world.time > record.due:
            world.settle(version, terms, purchase)
        elif dice.random() < 0.06:
            world.log("VersionFlagged", version.asset, version.id, buyer, purchase, 3)
            world.refund(version, terms, purchase, buyer)
    elif record.state.name == "SETTLED":
        choice = dice.randrange(5)
        if choice == 0 and terms.kind is OfferKind.RENTAL and world.time <= record.until:
            world.renew(version, terms, purchase, record.holder, record.until + terms.period)
        elif choice == 1:
            world.give(version.asset, purchase, record.holder, dice.choice(people))
        elif choice == 2 and not terms.price:
            world.log("LicenceRevoked", version.asset, purchase, terms.seller, record.holder)
        elif choice == 3:
            request = world.request(version.asset, purchase, version, record.holder, dice.choice((0, 5)))
            if dice.random() < 0.5:
                world.log("KeyDelivered", version.asset, request, terms.seller, Point(9, 9).abi())
            elif dice.random() < 0.5:
                world.log("KeyReturned", version.asset, request, record.holder)
        else:
            _claim(world, dice, version)


def _claim(world: World, dice: random.Random, version: Version) -> None:
    node = world.present().nodes.get(version.node)
    if node is None:
        return
    index = dice.randrange(2)
    positions = world.positions[version.node][1]
    payee = node.holders.get(index, Address(positions[index].payee[12:]))
    if dice.random() < 0.2:
        world.log("PositionMoved", version.node, account_word(DAVE), payee, index)
        return
    for currency, received in node.received.items():
        owed = received * positions[index].weight // 10_000 - node.paid.get((index, currency), 0)
        if owed:
            world.claim(version.node, payee, index, owed, currency)
