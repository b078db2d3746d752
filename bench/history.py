"""A synthetic market history: consistent, deterministic, of any length, in bounded memory (but for assets and their nodes).

Every entry is one that the contracts could have made in that state; ids are hashes of what they are of. Keys are random words and
lie on no curve: nothing that reads a trail checks that.

``python -m bench.history FOLDER --entries 1000000`` writes one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.chainfile import ChainWriter, Log
from bench.standing import Asset, Node, Offer, Purchase
from steelyard.domain.events import TOPICS, TYPES
from steelyard.domain.hash import keccak256, sha256
from steelyard.domain.types import BASIS, Address, AssetId, Position, asset_id, name_word, node_id

CHAIN_ID: Final = 424_242
START_BLOCK: Final = 8
NAMES: Final = ("Treasury", "FraudChecker", "Assets", "Market", "Directory")
CONTRACTS: Final = {name: sha256(f"bench contract {name}".encode())[:20] for name in NAMES}
COIN: Final = sha256(b"bench coin")[:20]
NATIVE: Final = bytes(20)

_START: Final = 1_700_000_000
_SECONDS: Final = 60
_PER_BLOCK: Final = 12
_WINDOW: Final = 4 * 3600
_WITHIN: Final = 24 * 3600
_MONTH: Final = 30 * 24 * 3600
_KEPT: Final = 4096
_WAITING: Final = 200
_WORDS: Final = (
    "resnet",
    "bert",
    "whisper",
    "llama",
    "unet",
    "yolo",
    "vit",
    "gpt",
    "t5",
    "clip",
    "speech",
    "ocr",
)

_MIX: Final = {
    "buy": 300,
    "deliver": 280,
    "settle": 60,
    "claim": 60,
    "renew": 40,
    "direct": 15,
    "ask": 18,
    "answer": 16,
    "give_back": 2,
    "hand_on": 12,
    "refund": 14,
    "publish": 8,
    "offer": 10,
    "lend": 5,
    "close": 3,
    "revoke": 2,
    "move": 2,
    "register": 3,
    "sell_asset": 1,
    "flag": 1,
}
"""Weights of the acts; what is not possible just then becomes a purchase."""


class Market:
    """The market under way: each act adds the entries of one transaction to the block under way."""

    def __init__(self, seed: int, accounts: int) -> None:
        """Start empty.

        Args:
            seed: of everything that is random.
            accounts: how many people there are.
        """
        self.random = random.Random(seed)
        self.time = _START
        self.counts: Counter[str] = Counter()
        self.logs: list[Log] = []
        self.assets: list[Asset] = []
        self.pending: deque[Purchase] = deque()
        self.windows: deque[Purchase] = deque()
        self.licences: list[Purchase] = []
        self.rentals: list[Purchase] = []
        self.asked: deque[tuple[bytes, Asset]] = deque()
        self.on_node: Callable[[Node], None] = lambda node: None
        self._accounts = accounts
        self._transactions = 0
        self._index = 0
        self._nodes: dict[bytes, Node] = {}

    # -- acts ----------------------------------------------------------------------------------------------------

    def register(self) -> bool:
        """Register an asset, publish its first version and offer it."""
        rng, number = self.random, len(self.assets)
        owner = self._account()
        word = name_word(f"{rng.choice(_WORDS)}-{rng.choice(_WORDS)}-{number}")
        id_ = asset_id(
            chain_id=CHAIN_ID, registry=Address(CONTRACTS["Assets"]), creator=Address(owner), name=word
        )
        payees = [bytes(12) + owner, *(bytes(12) + self._account() for _ in range(rng.randrange(3)))]
        if self.assets and rng.random() < 0.1:
            payees.append(self._asset().node.id)
        weights = [BASIS // len(payees)] * len(payees)
        weights[0] += BASIS - sum(weights)
        positions = tuple(map(Position, payees, weights))
        node = Node(node_id(id_, positions), id_, positions)
        self.on_node(node)
        self._nodes[node.id] = node
        asset = Asset(AssetId(id_), owner, node)
        self.assets.append(asset)
        self._log("AssetRegistered", id_, word, owner, _word(number & 1) + _word(250))
        self._publish(asset)
        self._offer(asset)
        return True

    def publish(self) -> bool:
        """Publish the next version of an asset."""
        self._publish(self._asset())
        return True

    def offer(self) -> bool:
        """Open another offer."""
        asset = self._asset()
        if len(asset.offers) > 5:
            return False
        self._offer(asset)
        return True

    def close(self) -> bool:
        """Close an offer."""
        asset = self._asset()
        if len(asset.offers) < 2:
            return False
        offer = asset.offers.pop(0)
        self._log("OfferClosed", asset.id, offer.id, offer.seller, b"")
        return True

    def buy(self) -> bool:
        """Buy under some offer."""
        asset = self._asset()
        if not asset.offers:
            self._offer(asset)
        rng, offer, buyer = self.random, self.random.choice(asset.offers), self._account()
        salt, key = rng.randbytes(32), self._key()
        rest = keccak256(_word(CHAIN_ID) + _left(CONTRACTS["Market"]) + _left(buyer) + salt + key)
        purchase = Purchase(
            keccak256(asset.version + offer.id + rest), asset, asset.version, offer, buyer, buyer
        )
        purchase.due = self.time + _WITHIN
        data = b"".join((asset.version, offer.id, salt, key, _word(offer.price), _word(purchase.due)))
        self._log("Purchased", asset.id, purchase.id, buyer, data)
        self.pending.append(purchase)
        return True

    def deliver(self) -> bool:
        """Deliver the oldest purchase; it settles at once if its offer has no window."""
        if not self.pending:
            return False
        purchase = self.pending.popleft()
        offer = purchase.offer
        purchase.until = self.time + _MONTH if offer.rental else 0
        purchase.due = self.time + offer.window
        data = self._key() + _word(purchase.until) + _word(purchase.due)
        self._log("Delivered", purchase.asset.id, purchase.id, offer.seller, data)
        if offer.window:
            self.windows.append(purchase)
        else:
            self._earn(purchase.asset.node, offer)
            self._keep(purchase)
        return True

    def settle(self) -> bool:
        """Settle the purchase whose window ended first."""
        if not self.windows or self.windows[0].due >= self.time:
            return False
        purchase = self.windows.popleft()
        self._log("Settled", purchase.asset.id, purchase.id, self._account(), b"")
        self._earn(purchase.asset.node, purchase.offer)
        self._keep(purchase)
        return True

    def refund(self) -> bool:
        """Pay the newest undelivered purchase back."""
        if not self.pending:
            return False
        self._refund(self.pending.pop())
        return True

    def flag(self) -> bool:
        """Prove fraud about the version of a purchase within its window, which is refunded."""
        if not self.windows:
            return False
        purchase = self.windows.pop()
        data = purchase.id + _word(self.random.randrange(1000))
        self._log("VersionFlagged", purchase.asset.id, purchase.version, purchase.buyer, data)
        self._refund(purchase)
        return True

    def renew(self) -> bool:
        """Renew a rental."""
        if not self.rentals:
            return False
        purchase = self.random.choice(self.rentals)
        purchase.until = max(purchase.until, self.time) + _MONTH
        data = _word(purchase.offer.price) + _word(purchase.until)
        self._log("Renewed", purchase.asset.id, purchase.id, purchase.holder, data)
        self._earn(purchase.asset.node, purchase.offer)
        return True

    def hand_on(self) -> bool:
        """Transfer a licence."""
        if not self.licences:
            return False
        purchase, after = self.random.choice(self.licences), self._account()
        data = _left(purchase.holder) + _left(after)
        self._log("LicenceTransferred", purchase.asset.id, purchase.id, purchase.holder, data)
        purchase.holder = after
        return True

    def revoke(self) -> bool:
        """Revoke a licence."""
        if not self.licences:
            return False
        purchase = self._take(self.licences)
        data = _left(purchase.holder)
        self._log("LicenceRevoked", purchase.asset.id, purchase.id, purchase.asset.owner, data)
        return True

    def ask(self) -> bool:
        """Ask for the key of the newest version under a licence."""
        if not self.licences:
            return False
        purchase = self.random.choice(self.licences)
        version, key = purchase.asset.version, self._key()
        digest = _word(CHAIN_ID) + _left(CONTRACTS["Market"]) + purchase.id + version + _left(purchase.holder)
        request = keccak256(digest + key)
        data = b"".join((purchase.id, version, key, _word(10**15), _word(self.time + _WITHIN)))
        self._log("KeyRequested", purchase.asset.id, request, purchase.holder, data)
        self.asked.append((request, purchase.asset))
        return True

    def answer(self) -> bool:
        """Deliver the key that was asked for first."""
        if not self.asked:
            return False
        request, asset = self.asked.popleft()
        self._log("KeyDelivered", asset.id, request, asset.owner, self._key())
        return True

    def give_back(self) -> bool:
        """Give the fee of a request back."""
        if not self.asked:
            return False
        request, asset = self.asked.popleft()
        self._log("KeyReturned", asset.id, request, self._account(), b"")
        return True

    def claim(self) -> bool:
        """Pay what is due to a position of a node."""
        node = self._asset().node
        index, currency = self.random.randrange(len(node.positions)), self._currency()
        position = node.positions[index]
        due = node.received[currency] * position.weight // BASIS - node.paid[index, currency]
        if due <= 0:
            return False
        node.paid[index, currency] += due
        payee = _left(node.moved[index]) if index in node.moved else position.payee
        actor = self._account()
        self._log("Claimed", node.id, payee, actor, _word(index) + _left(currency) + _word(due))
        if payee[0] & 0x80:
            upstream = self._nodes[payee]
            upstream.received[currency] += due
            self._log("Received", payee, node.id, actor, _left(currency) + _word(due))
        return True

    def direct(self) -> bool:
        """Pay into a node directly."""
        node, currency, payer = self._asset().node, self._currency(), self._account()
        amount = self.random.randrange(1, 10**18)
        node.received[currency] += amount
        self._log("Received", node.id, _left(payer), payer, _left(currency) + _word(amount))
        return True

    def move(self) -> bool:
        """Give a position in a node to another account."""
        node = self._asset().node
        index = self.random.randrange(len(node.positions))
        payee = _left(node.moved[index]) if index in node.moved else node.positions[index].payee
        if payee[0] & 0x80:
            return False
        node.moved[index] = after = self._account()
        self._log("PositionMoved", node.id, _left(after), payee[12:], _word(index))
        return True

    def lend(self) -> bool:
        """Grant a role, or take it back."""
        asset = self._asset()
        granted = self.random.random() < 0.7
        data = _word(self.random.randrange(2)) + _word(granted)
        self._log("RoleSet", asset.id, _left(self._account()), asset.owner, data)
        return True

    def sell_asset(self) -> bool:
        """Transfer an asset: its offers end."""
        asset, after = self._asset(), self._account()
        asset.epoch += 1
        self._log(
            "AssetTransferred", asset.id, _left(after), asset.owner, _left(asset.owner) + _word(asset.epoch)
        )
        asset.owner = after
        asset.offers.clear()
        return True

    # -- parts ---------------------------------------------------------------------------------------------------

    def _publish(self, asset: Asset) -> None:
        rng = self.random
        asset.versions += 1
        size = rng.randrange(10**6, 10**10)
        body = b"".join(
            (
                asset.id,
                rng.randbytes(32),
                rng.randbytes(32),
                _word(size),
                _word(1),
                self._key(),
                asset.node.id,
            )
        )
        asset.version = keccak256(body)
        self._log("VersionPublished", asset.id, asset.version, asset.owner, _word(asset.versions) + body)

    def _offer(self, asset: Asset) -> None:
        rng = self.random
        rental = rng.random() < 0.25
        window = _WINDOW if rng.random() < 0.2 else 0
        price = 0 if rng.random() < 0.03 else rng.randrange(1, 10_000) * 10**14
        currency, bond = self._currency(), rng.randrange(2) * 10**16
        terms = (
            *(_left(asset.owner), _left(currency), _word(price), _word(bond)),
            *(_word(rental), _word(1 if rental else 2), _word(1), _word(0)),
            *(_word(_MONTH if rental else 0), _word(0), _word(0), _word(_WITHIN), _word(window)),
            *(bytes(32), rng.randbytes(32), _word(rng.randrange(1 << 64)), bytes(32)),
        )
        data = b"".join(terms)
        offer = Offer(keccak256(asset.id + data), asset.owner, currency, price, bond, rental, window)
        asset.offers.append(offer)
        self._log("Offered", asset.id, offer.id, asset.owner, data)

    def _earn(self, node: Node, offer: Offer) -> None:
        if offer.price:
            node.received[offer.currency] += offer.price
            data = _left(offer.currency) + _word(offer.price)
            self._log("Received", node.id, bytes(32), CONTRACTS["Market"], data)

    def _refund(self, purchase: Purchase) -> None:
        data = _left(purchase.buyer) + _word(purchase.offer.price) + _word(purchase.offer.bond)
        self._log("Refunded", purchase.asset.id, purchase.id, purchase.buyer, data)

    def _keep(self, purchase: Purchase) -> None:
        # A rental is renewed and no more, a perpetual licence handed on: bounded samples of both.
        kept = self.rentals if purchase.offer.rental else self.licences
        if len(kept) < _KEPT:
            kept.append(purchase)
        else:
            kept[self.random.randrange(_KEPT)] = purchase

    def _take(self, kept: list[Purchase]) -> Purchase:
        at = self.random.randrange(len(kept))
        kept[at], kept[-1] = kept[-1], kept[at]
        return kept.pop()

    def _asset(self) -> Asset:
        # A few assets sell most.
        return self.assets[int(len(self.assets) * self.random.random() ** 2.5)]

    def _account(self) -> bytes:
        return sha256(b"bench account %d" % int(self._accounts * self.random.random() ** 1.5))[:20]

    def _currency(self) -> bytes:
        return COIN if self.random.random() < 0.3 else NATIVE

    def _key(self) -> bytes:
        return b"\0" + self.random.randbytes(31) + b"\0" + self.random.randbytes(31)

    def _log(self, name: str, subject: bytes, id_: bytes, actor: bytes, data: bytes) -> None:
        topic = TOPICS[name]
        self.counts[name] += 1
        tx = sha256(b"bench transaction %d" % self._transactions)
        topics = b"".join((topic, subject, id_, bytes(12), actor))
        log = Log(_ADDRESS_OF[topic], topics, data, tx, self._index, len(self.logs))
        self.logs.append(log)

    def step(self) -> None:
        """Let one transaction happen."""
        self._transactions += 1
        act = self.random.choices(_ACTS, _WEIGHTS)[0] if len(self.assets) > 8 else "register"
        if not getattr(self, act)() and (len(self.pending) < _WAITING or not self.deliver()):
            self.buy()
        self._index += 1

    def next_block(self) -> list[Log]:
        """End the block under way and return its logs; time goes on."""
        logs, self.logs, self._index = self.logs, [], 0
        self.time += _SECONDS
        return logs


_ACTS: Final = tuple(_MIX)
_WEIGHTS: Final = tuple(_MIX.values())
_ADDRESS_OF: Final = {
    topic: CONTRACTS[kind.contract] for topic, kind in TYPES.items() if kind.contract in CONTRACTS
}


def _word(number: int) -> bytes:
    return int(number).to_bytes(32, "big")


def _left(account: bytes) -> bytes:
    return bytes(12) + account


def generate(folder: Path, *, entries: int, seed: int = 1) -> Counter[str]:
    """Write a history of at least so many entries; returns how many there are of each kind.

    Besides the chain's files there is ``nodes.jsonl``: the positions of every node, as clients find them in public folders.
    """
    market = Market(seed, accounts=max(100, entries // 100))
    with ChainWriter(folder) as chain, (folder / "nodes.jsonl").open("w", encoding="ascii") as nodes:

        def note(node: Node) -> None:
            positions = [[item.payee.hex(), item.weight] for item in node.positions]
            nodes.write(
                json.dumps({"node": node.id.hex(), "salt": node.salt.hex(), "positions": positions}) + "\n"
            )

        market.on_node = note
        for _ in range(START_BLOCK):
            chain.add(market.time)
            market.next_block()
        while chain.entries < entries:
            # One block in eight has nothing of the market.
            wanted = 0 if market.random.random() < 0.125 else market.random.randrange(1, 2 * _PER_BLOCK)
            while len(market.logs) < min(wanted, entries - chain.entries):
                market.step()
            time = market.time
            chain.add(time, market.next_block())
        chain.add(market.time)
        chain.notes = {
            "chain_id": CHAIN_ID,
            "start_block": START_BLOCK,
            "contracts": {name: address.hex() for name, address in CONTRACTS.items()},
            "seed": seed,
            "kinds": dict(market.counts.most_common()),
        }
    return market.counts


def main(arguments: list[str]) -> int:
    """Write a history."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    for name, count in generate(options.folder, entries=options.entries, seed=options.seed).most_common():
        print(f"{name:<20}{count:>10,}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
