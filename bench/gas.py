"""Gas of everything that people do, from receipts.

Peers' figures and bars: docs/gas.md, which names their sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench import metered
from bench.row import Outcome, Row, Skipped
from bench.stage import DAY, MIN_BOND, PRICE, Account, Sealed, Stage, open_stage
from bench.token import NoCompilerError, creation_code
from steelyard.chain.calls import Call, call_data
from steelyard.chain.wire import Receipt
from steelyard.domain.types import (
    NATIVE,
    Address,
    AssetKind,
    KeyRequest,
    OfferKind,
    Order,
    Terms,
    account_word,
    name_word,
)
from steelyard.domain.types import Stage as LifeStage

_MANY = 10**27


@dataclass(frozen=True)
class Bar:
    """Figures that a measured sum is compared with: the cheapest peer, the EVM's own limit, and the bar."""

    peer: int | None
    limit: int | None
    bar: int | None


BARS = {
    "register asset + first version": Bar(166_000, 68_000, 260_000),
    "new version": Bar(100_000, None, 150_000),
    "new offer": Bar(None, 46_000, 90_000),
    "buy + deliver": Bar(137_000, 150_000, 210_000),
    "buy + deliver, ERC-20": Bar(270_000, None, 240_000),
    "renew": Bar(100_000, 33_000, 60_000),
    "key request + delivery": Bar(None, 95_000, 130_000),
    "refund + withdraw": Bar(81_000, None, 105_000),
    "dispute of a 4 KiB leaf": Bar(443_000, None, 3_000_000),
    "open channel": Bar(78_000, 45_000, 62_000),
    "claim, one voucher": Bar(45_800, 38_000, 60_000),
    "claim, 100 vouchers, each": Bar(19_200, 9_900, 16_000),
}
"""Bars by the name of the row."""


@dataclass(frozen=True)
class Step:
    """A transaction of the story: who sent what, and its receipt."""

    name: str
    sender: Account
    call: Call
    receipt: Receipt


class Story:
    """Everything that happens on the stage, in one order; remembers what it cost."""

    def __init__(self, stage: Stage, root: Path) -> None:
        """Prepare the first asset."""
        self.stage = stage
        self.steps: dict[str, Step] = {}
        self.sums: dict[str, int] = {}
        self.skipped: list[Skipped] = []
        self.orders: list[Order] = []
        self.requests: list[KeyRequest] = []
        self.metered: metered.Metered | None = None
        self._root = root

    def run(self) -> None:
        """Play all of it."""
        first = self._assets()
        asset = self.stage.asset("digits")
        terms = self.stage.terms()
        self.do("new offer, first of the asset", self.stage.seller, self.stage.calls.make_offer(asset, terms))
        rental = self.stage.terms(kind=OfferKind.RENTAL, period=30 * DAY, renew_until=2**32 - 1)
        self.do("new offer", self.stage.seller, self.stage.calls.make_offer(asset, rental))
        late = [self._buy(self.stage.third, first, terms, f"late {turn}") for turn in (1, 2)]
        self._sale("buy + deliver, very first", self.stage.buyer, first, terms)
        licence = self._sale("buy + deliver", self.stage.buyer, first, terms)
        self._sale("buy + deliver, new buyer", self.stage.other, first, terms)
        self._claims()
        rented = self._sale("buy + deliver, rental", self.stage.buyer, first, rental)
        self.do("renew", self.stage.buyer, self.stage.calls.renew(rented))
        self._requests(licence)
        self._coin_sales(first)
        self._bonds(first)
        self._refund(late)
        self.metered = metered.play(self, first)

    def _assets(self) -> Sealed:
        stage = self.stage
        for name, label in (
            ("first", "register, seller's first"),
            ("digits", "register asset + first version"),
        ):
            sealed = stage.seal(stage.asset(name), f"{name} 1")
            word, proof = name_word(name), stage.key_proof(sealed)
            self.do(
                label, stage.seller, stage.calls.register(word, AssetKind.MODEL, 500, sealed.version, proof)
            )
        self.second = stage.seal(stage.asset("digits"), "digits 2")
        call = stage.calls.publish(self.second.version, stage.key_proof(self.second))
        self.do("new version", stage.seller, call)
        call = stage.calls.move_stage(self.second.version, LifeStage.DEPRECATED, "digits 3 will be better")
        self.do("move of a stage", stage.seller, call)
        return sealed

    def _buy(self, who: Account, sealed: Sealed, terms: Terms, label: str) -> Order:
        order = self.stage.order(who, sealed, terms, label)
        self.orders.append(order)
        self.do(f"{label}: buy", who, self.stage.calls.buy(order))
        return order

    def _sale(self, name: str, who: Account, sealed: Sealed, terms: Terms) -> Order:
        order = self._buy(who, sealed, terms, name)
        self.do(f"{name}: deliver", self.stage.seller, self.stage.deliver(order, sealed))
        self._sum(name, f"{name}: buy", f"{name}: deliver")
        return order

    def _claims(self) -> None:
        stage = self.stage
        args = (stage.node_salt, stage.positions)
        self.do("claim of a position, first", stage.keeper, stage.calls.claim(*args, 0, NATIVE))
        self._sale("buy + deliver, between claims", stage.other, *self._usual)
        self.do("claim of a position", stage.keeper, stage.calls.claim(*args, 0, NATIVE))

    @property
    def _usual(self) -> tuple[Sealed, Terms]:
        return self.stage.seal(self.stage.asset("digits"), "digits 1"), self.stage.terms()

    def _requests(self, licence: Order) -> None:
        stage = self.stage
        # The seller has a balance in the books from his claim; a first one writes a fresh word, 17,100 more.
        for name, fee in (("key request + delivery", 0), ("key request + delivery, with a fee", 10**13)):
            request = stage.request(stage.buyer, licence, self.second.version, name)
            self.requests.append(request)
            ask = stage.calls.request_key(request.licence, request.version, request.key, within=DAY, fee=fee)
            self.do(f"{name}: request", stage.buyer, ask)
            self.do(f"{name}: deliver", stage.seller, stage.answer(request, self.second))
            self._sum(name, f"{name}: request", f"{name}: deliver")

    def _coin_sales(self, sealed: Sealed) -> None:
        stage = self.stage
        try:
            code = creation_code(self._root)
        except NoCompilerError as exc:
            self.skipped.append(Skipped("buy + deliver, ERC-20", str(exc)))
            return
        coin = stage.deployer.send(Call(None, code, name="create the token")).contract
        assert coin is not None
        for who in (stage.buyer, stage.other):
            for sender, signature, to, amount in (
                (stage.deployer, "transfer(address,uint256)", who.address, _MANY),
                # More than the price and less than all: the allowance is written at each purchase.
                (who, "approve(address,uint256)", stage.market, _MANY),
            ):
                sender.send(Call(Address(coin), call_data(signature, to, amount), name=signature))
        terms = stage.terms(currency=Address(coin), price=49_900_000)
        stage.seller.send(stage.calls.make_offer(sealed.version.asset, terms))
        # An order that stays open: without it each sale would empty the market's word in the token and be refunded for that.
        self._buy(stage.other, sealed, terms, "ERC-20, stays open")
        self._sale("buy + deliver, ERC-20, very first", stage.buyer, sealed, terms)
        self._sale("buy + deliver, ERC-20", stage.buyer, sealed, terms)
        rental = stage.terms(
            currency=Address(coin),
            price=4_990_000,
            kind=OfferKind.RENTAL,
            period=30 * DAY,
            renew_until=2**32 - 1,
        )
        stage.seller.send(stage.calls.make_offer(sealed.version.asset, rental))
        order = self._sale("buy + deliver, ERC-20 rental", stage.buyer, sealed, rental)
        self.do("renew, ERC-20", stage.buyer, stage.calls.renew(order))

    def _bonds(self, sealed: Sealed) -> None:
        stage = self.stage
        for name in ("fund a bond, first", "fund a bond"):
            call = stage.calls.fund_bond(stage.seller.address, 10 * MIN_BOND)
            self.do(name, stage.seller, call)
        self.do("take a bond back", stage.seller, stage.calls.take_bond(MIN_BOND))
        windowed = {"window": DAY, "bond": MIN_BOND}
        terms = stage.terms(**windowed)
        stage.seller.send(stage.calls.make_offer(sealed.version.asset, terms))
        order = self._sale("buy + deliver, with a window", stage.buyer, sealed, terms)
        false = stage.seal(sealed.version.asset, "digits 3", lie=700)
        stage.seller.send(stage.calls.publish(false.version, stage.key_proof(false)))
        wrong = self._sale("buy + deliver, false content", stage.buyer, false, terms)
        call = stage.dispute(stage.buyer, wrong, false, "buy + deliver, false content")
        self.do("dispute of a 4 KiB leaf", stage.buyer, call)
        stage.wait(DAY + 60)
        self.do("settle after a window", stage.keeper, stage.calls.settle(order))
        names = [f"buy + deliver, with a window: {part}" for part in ("buy", "deliver")]
        self._sum("buy + deliver + settle, window", *names, "settle after a window")

    def _refund(self, late: list[Order]) -> None:
        stage, payer = self.stage, self.stage.third
        for order, case in zip(late, ("", ", payer with a balance"), strict=True):
            self.do(f"refund{case}", payer, stage.calls.refund(order))
            self.do(f"withdraw{case}", payer, stage.calls.withdraw(payer.address, NATIVE, PRICE))
            self._sum(f"refund + withdraw{case}", f"refund{case}", f"withdraw{case}")
            stage.seller.send(stage.calls.deposit(account_word(payer.address), NATIVE, PRICE))

    def do(self, name: str, who: Account, call: Call) -> None:
        """Send a call, and remember what it cost.

        Raises:
            RevertError: it reverted.
        """
        receipt = who.send(call)
        self.steps[name] = Step(name, who, call, receipt)
        self.sums[name] = receipt.gas_used

    def _sum(self, name: str, *parts: str) -> None:
        self.sums[name] = sum(self.sums[part] for part in parts)


SHOWN = (
    "register asset + first version",
    "register, seller's first",
    "new version",
    "move of a stage",
    "new offer",
    "new offer, first of the asset",
    "buy + deliver",
    "buy + deliver: buy",
    "buy + deliver: deliver",
    "buy + deliver, new buyer",
    "buy + deliver, very first",
    "buy + deliver, ERC-20",
    "buy + deliver, ERC-20, very first",
    "renew",
    "renew, ERC-20",
    "key request + delivery",
    "key request + delivery, with a fee",
    "refund + withdraw",
    "refund",
    "withdraw",
    "refund + withdraw, payer with a balance",
    "buy + deliver, with a window",
    "settle after a window",
    "buy + deliver + settle, window",
    "dispute of a 4 KiB leaf",
    "claim of a position",
    "claim of a position, first",
    "fund a bond",
    "fund a bond, first",
    "take a bond back",
    "new metered offer",
    "open channel",
    "open channel, first of the asset",
    "top up a channel",
    "claim, one voucher",
    "claim, 10 vouchers, each",
    "claim, 100 vouchers, each",
    "start closing",
    "close a channel",
    "close after the window, by anybody",
    "one call of 1,000 in a channel",
    "one call of 1,000, claimed in a batch",
)
"""Rows of the table, in order; more was measured on the way."""


def rows(root: Path) -> list[Outcome]:
    """Return the gas table; exact figures from receipts.

    Args:
        root: the checkout.
    """
    with open_stage(root) as stage:
        story = Story(stage, root)
        story.run()
    return [*_rows(story.sums), *story.skipped]


def _rows(sums: dict[str, int]) -> list[Row]:
    found = []
    for name in SHOWN:
        if name in sums:
            bar = BARS.get(name, Bar(None, None, None))
            ratio = sums[name] / bar.peer if bar.peer else None
            found.append(
                Row(
                    name=name,
                    unit="gas",
                    ours=sums[name],
                    peer=bar.peer,
                    limit=bar.limit,
                    bar=bar.bar,
                    ratio=ratio,
                )
            )
    return found
