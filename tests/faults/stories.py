"""Histories for the index to read: everything that can happen in the market, in any order, as calls that need no chain to be made.

Ids are hashes known before inclusion, so a whole life of an asset can be written down beforehand and then be mined, dropped, mixed
with others and mined again. What does not fit together then reverts, and leaves no trace.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from steelyard.chain.calls import Call, Calls, KeyProof
from steelyard.chain.hexdata import to_hex
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.chain.transaction import GWEI, Fees
from steelyard.crypto.delivery import (
    blind,
    deliver,
    delivery_context,
    key_commitment,
    key_context,
    sign_key_ownership,
)
from steelyard.crypto.secret import Secret
from steelyard.domain.node import Node
from steelyard.domain.types import (
    BASIS,
    NATIVE,
    AssetKind,
    KeyRequest,
    OfferKind,
    Order,
    Position,
    Role,
    Scope,
    Terms,
    Version,
    account_word,
    asset_id,
    name_word,
)
from steelyard.service.account import Account
from tests.e2e.kill.shop import ETHER, Shop

GAS = 900_000
FEES = Fees(max_fee=100 * GWEI, priority=1)
PEOPLE = 6
DAY = 86_400
Said = tuple[int, Call]
"""Who calls (an index of the people), and what."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A version with its scalar."""

    kappa: Secret
    version: Version


class Storyteller:
    """Makes stories, each the life of one asset; the same ones for the same seed."""

    def __init__(self, shop: Shop, *, seed: int) -> None:
        self.shop = shop
        self.chance = random.Random(seed)
        self.people = [Account.from_key(Secret(self.chance.randbytes(32))) for _ in range(PEOPLE)]
        for account in self.people:
            shop.rpc.call("anvil_setBalance", (to_hex(account.address), hex(10**9 * ETHER)))
        self.calls = Calls(shop.deployment)
        self._made = 0

    def secret(self) -> Secret:
        """Return a scalar."""
        return Secret(b"\1" + self.chance.randbytes(31))

    def story(self) -> list[Said]:
        """Return the next story, in an order in which all of it succeeds (but what needs time to pass)."""
        chance, calls = self.chance, self.calls
        owner, other, *_ = chance.sample(range(PEOPLE), 3)
        self._made += 1
        word = name_word(f"story-{self._made}-{chance.randrange(1 << 32)}")
        account = self.people[owner].address
        asset = asset_id(
            chain_id=self.shop.rpc.chain_id, registry=self.shop.deployment.assets, creator=account, name=word
        )
        first = self._version(asset, owner, other)
        said: list[Said] = [
            (
                owner,
                calls.register(
                    word, AssetKind.MODEL, chance.randrange(1000), first.version, self._proof(first, owner)
                ),
            ),
            (owner, calls.fund_bond(account, ETHER)),
            (owner, calls.set_role(asset, self.people[other].address, Role.SELLER, True)),
        ]
        offers = [self._terms(owner, kind) for kind in range(4)]
        said += [(owner, calls.make_offer(asset, terms)) for terms in offers]
        second = self._version(asset, owner, other)
        said.append((owner, calls.publish(second.version, self._proof(second, owner))))
        ends: list[Said] = []
        for terms in offers:
            for buyer in chance.sample(range(PEOPLE), 3):
                said += self._sale(first, terms, owner, buyer, later=second, ends=ends)
        said += ends
        said.append((owner, calls.close_offer(asset, offers[0])))
        said.append((owner, calls.set_role(asset, self.people[other].address, Role.SELLER, False)))
        said += self._claims(asset, owner, other)
        if chance.random() < 0.3:
            said.append((owner, calls.transfer_asset(asset, owner=account, to=self.people[other].address)))
        return said

    # -- parts -----------------------------------------------------------------------------------------------

    def _node(self, asset: bytes, owner: int, other: int) -> Node:
        parts = ((owner, 7000), (other, BASIS - 7000))
        return Node(
            salt=asset,
            positions=tuple(Position(account_word(self.people[who].address), part) for who, part in parts),
        )

    def _version(self, asset: bytes, owner: int, other: int) -> Kept:
        kappa, chance = self.secret(), self.chance
        version = Version(
            asset=asset,  # type: ignore[arg-type]
            folder=chance.randbytes(32),
            content_root=chance.randbytes(32),
            size=chance.randrange(1, 1 << 40),
            scheme=1,
            key=key_commitment(kappa),
            node=self._node(asset, owner, other).id,
        )
        return Kept(kappa=kappa, version=version)

    def _proof(self, kept: Kept, owner: int) -> KeyProof:
        v, r, s = sign_key_ownership(
            kept.kappa,
            chain_id=self.shop.rpc.chain_id,
            registry=self.shop.deployment.assets,
            version=kept.version.id,
            account=self.people[owner].address,
        )
        return KeyProof(v, r.to_bytes(32, "big"), s.to_bytes(32, "big"))

    def _terms(self, owner: int, kind: int) -> Terms:
        """Return terms: a plain licence, one with a window, a rental, a free and revocable one."""
        chance = self.chance
        rental = kind == 2
        return Terms(
            seller=self.people[owner].address,
            currency=NATIVE,
            price=0 if kind == 3 else chance.randrange(1, ETHER),
            bond=self.shop.deployment.min_bond if kind == 1 else 0,
            kind=OfferKind.RENTAL if rental else OfferKind.PERPETUAL,
            scope=Scope.UNTIL_END if rental else Scope.ALL,
            transferable=True,
            revocable=kind == 3,
            period=DAY if rental else 0,
            renew_until=1 << 39 if rental else 0,
            supply=0,
            deliver_within=DAY,
            window=3600 if kind == 1 else 0,
            allow_list=bytes(32),
            text=chance.randbytes(32),
            salt=chance.randrange(1 << 63),
        )

    def _sale(
        self, kept: Kept, terms: Terms, owner: int, buyer: int, *, later: Kept, ends: list[Said]
    ) -> list[Said]:
        """Return a purchase and what follows at once; what must wait for a deadline goes to ``ends``."""
        calls, chance = self.calls, self.chance
        who = self.people[buyer].address
        order = Order(
            version=kept.version, terms=terms, buyer=who, salt=chance.randbytes(32), key=blind(self.secret())
        )
        chain_id, market = self.shop.rpc.chain_id, self.shop.deployment.market
        licence = order.id(chain_id=chain_id, market=market)
        said: list[Said] = [(buyer, calls.buy(order))]
        if chance.random() < 0.25:
            ends.append((buyer, calls.refund(order)))
            return said
        bound = delivery_context(chain_id, market=market, purchase=licence)
        said.append((owner, calls.deliver(order, *deliver(kept.kappa, blinded=order.key, context=bound))))
        if terms.window:
            ends.append((chance.randrange(PEOPLE), calls.settle(order)))
        if terms.kind is OfferKind.RENTAL:
            said.append((buyer, calls.renew(order)))
        if chance.random() < 0.3:
            asked = KeyRequest(
                licence=licence, version=later.version.id, holder=who, key=blind(self.secret())
            )
            said.append((buyer, calls.request_key(licence, asked.version, asked.key, within=DAY, fee=5)))
            bound = key_context(chain_id, market=market, request=asked.id(chain_id=chain_id, market=market))
            if chance.random() < 0.7:
                point, proof = deliver(later.kappa, blinded=asked.key, context=bound)
                said.append((owner, calls.deliver_key(asked, later.version, point, proof)))
            else:
                ends.append((buyer, calls.return_fee(asked)))
        if chance.random() < 0.3:
            to = self.people[chance.randrange(PEOPLE)].address
            said.append((buyer, calls.transfer_licence(licence, holder=who, to=to)))
        if terms.revocable and chance.random() < 0.5:
            said.append((owner, calls.revoke(licence)))
        return said

    def _claims(self, asset: bytes, owner: int, other: int) -> list[Said]:
        node = self._node(asset, owner, other)
        said: list[Said] = [(self.chance.randrange(PEOPLE), self.calls.deposit(node.id, NATIVE, 12_345))]
        for index, who in enumerate((owner, other)):
            said.append((who, self.calls.claim(node.salt, node.positions, index, NATIVE)))
        said.append(
            (other, self.calls.move_position(node.salt, node.positions, 1, self.people[owner].address))
        )
        said.append((owner, self.calls.withdraw(self.people[owner].address, NATIVE, 1)))
        return said


class Chain:
    """Mines calls of the people, block by block, on an anvil that makes none by itself."""

    def __init__(self, shop: Shop, people: Sequence[Account]) -> None:
        self.rpc: Rpc = shop.rpc
        self._senders = [Sender(shop.rpc, account.key.reveal) for account in people]
        self._people = people
        self._nonces: list[int] = []
        self.rpc.call("evm_setAutomine", (False,))
        self.forget()

    def forget(self) -> None:
        """Ask for the nonces anew, and empty the pool: the chain was put back."""
        self.rpc.call("anvil_dropAllTransactions")
        self._nonces = [self.rpc.get_nonce(account.address) for account in self._people]

    def sign(self, said: Iterable[Said]) -> list[tuple[int, str]]:
        """Sign calls under the next nonces of their callers; returns (who, raw transaction)."""
        made = []
        for who, call in said:
            signed = self._senders[who].sign(call, nonce=self._nonces[who], gas_limit=GAS, fees=FEES)
            self._nonces[who] += 1
            made.append((who, to_hex(signed.raw)))
        return made

    def mine(self, raws: Sequence[tuple[int, str]], *, pause: int = 0) -> None:
        """Make one block of signed transactions, some seconds after the last."""
        if raws:
            self.rpc.batch([("eth_sendRawTransaction", (raw,)) for _, raw in raws])
        if pause:
            self.rpc.call("evm_increaseTime", (pause,))
        self.rpc.call("evm_mine")

    def empty(self, count: int) -> None:
        """Make blocks without transactions."""
        for start in range(0, count, 100):  # anvil makes some hundred a second, and answers only then
            self.rpc.call("anvil_mine", (hex(min(100, count - start)),))


def mixed(stories: Sequence[Sequence[Said]], chance: random.Random) -> list[Said]:
    """Return stories told at the same time: each keeps its order."""
    left = [list(story) for story in stories]
    told = []
    while left := [story for story in left if story]:
        told.append(chance.choice(left).pop(0))
    return told


def reordered(raws: Sequence[tuple[int, str]], chance: random.Random) -> list[tuple[int, str]]:
    """Return the same transactions in another order, that of each caller's own kept."""
    queues: dict[int, list[str]] = defaultdict(list)
    for who, raw in raws:
        queues[who].append(raw)
    told = []
    while queues:
        who = chance.choice(list(queues))
        told.append((who, queues[who].pop(0)))
        if not queues[who]:
            del queues[who]
    return told


def dropped(raws: Sequence[tuple[int, str]], chance: random.Random) -> list[tuple[int, str]]:
    """Return the transactions without the last ones of each caller, some number of them."""
    count: dict[int, int] = defaultdict(int)
    for who, _ in raws:
        count[who] += 1
    left = {who: chance.randrange(number + 1) for who, number in count.items()}
    told = []
    for who, raw in raws:
        if left[who] > 0:
            left[who] -= 1
            told.append((who, raw))
    return told


def changed(said: Sequence[Said], chance: random.Random) -> list[Said]:
    """Return calls of which some were replaced by a payment of one wei, some left out, and neighbours swapped."""
    told = []
    for who, call in said:
        draw = chance.random()
        if draw < 0.15:
            told.append((who, replace(call, to=call.to, data=b"", value=0)))
        elif draw < 0.85:
            told.append((who, call))
    for place in range(len(told) - 1):
        if chance.random() < 0.2:
            told[place], told[place + 1] = told[place + 1], told[place]
    return told
