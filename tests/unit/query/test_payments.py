"""Payments against what the entries say one by one, earnings against sums of them, dues against the Treasury's rule."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from steelyard.domain.types import BASIS, NATIVE, Address, account_word
from steelyard.errors import InputError
from steelyard.query.audit import Audit
from steelyard.query.model import EarningsQuery, PaymentKind, PaymentQuery
from tests.unit.query.world import ALICE, BOB, CAROL, CONTRACTS, DAVE, MARKET, SOURCE, TOKEN, World

Paid = tuple[int, int, str, bytes, bytes, bytes, int]


def walk(audit: Audit, query: PaymentQuery, limit: int = 4) -> list[Any]:
    found: list[Any] = []
    query = dataclasses.replace(query, limit=limit)
    while True:
        page = audit.payments(query)
        found += page.items
        if page.next is None:
            return found
        assert len(page.items) == limit
        query = dataclasses.replace(query, cursor=page.next)


def expected(world: World) -> list[Paid]:
    """Return all payments, the oldest first, by a second reading of docs/index.md, "payments.kind"."""
    found: list[Paid] = []
    market, channels = account_word(MARKET), account_word(CONTRACTS["Channels"])
    sales: dict[bytes, Any] = {}
    metered: dict[bytes, Any] = {}  # terms, by offer and by channel
    requests: dict[bytes, Any] = {}
    for event in world.events:
        f: Any = event.fields
        out: list[tuple[str, bytes, bytes, bytes, int]] = []
        if event.name == "Purchased":
            terms, version = world.terms[f["offer"]], world.versions[f["version"]]
            sales[event.id] = (terms.currency, f["price"], version.node)
            out.append(("escrow", account_word(event.actor), market, terms.currency, f["price"]))
        elif event.name == "Settled" or (event.name == "Delivered" and f["settlesAt"] == event.time):
            currency, price, node = sales[event.id]
            out.append(("income", market, node, currency, price))
        elif event.name == "Renewed":
            currency, _, node = sales[event.id]
            out.append(("income", account_word(event.actor), node, currency, f["price"]))
        elif event.name == "Refunded":
            out.append(("refund", market, account_word(f["payer"]), sales[event.id][0], f["price"]))
            out.append(("bond", market, account_word(f["payer"]), NATIVE, f["bond"]))
        elif event.name == "KeyRequested":
            requests[event.id] = (event.actor, f["fee"])
            out.append(("fee", account_word(event.actor), market, NATIVE, f["fee"]))
        elif event.name in ("KeyDelivered", "KeyReturned"):
            holder, fee = requests[event.id]
            to = event.actor if event.name == "KeyDelivered" else holder
            kind = "answer" if event.name == "KeyDelivered" else "returned"
            out.append((kind, market, account_word(to), NATIVE, fee))
        elif event.name == "MeteredOffered":
            metered[event.id] = dict(
                zip(("payee", "currency", "price", "unit", "version", "node"), f["terms"], strict=False)
            )
        elif event.name in ("ChannelOpened", "ChannelToppedUp"):
            terms = metered[event.id] = metered[f.get("offer", event.id)]
            amount = f["deposit"] if event.name == "ChannelOpened" else f["amount"]
            out.append(("escrow", account_word(event.actor), channels, terms["currency"], amount))
        elif event.name == "UsageClaimed":
            terms = metered[event.id]
            out += [("income", channels, terms["node"], terms["currency"], use[1]) for use in f["uses"]]
        elif event.name == "ChannelClosed":
            out.append(
                ("refund", channels, account_word(f["payer"]), metered[event.id]["currency"], f["refunded"])
            )
        elif event.name == "Claimed":
            out.append(("claim", event.subject, event.id, f["currency"], f["amount"]))
        found += [(event.block, event.log, *item) for item in out if item[-1]]
    return found


def seen(payment: Any) -> Paid:
    return (
        payment.block,
        payment.pos & 0xFFFFF,
        payment.kind.value,
        payment.payer,
        payment.payee,
        payment.currency,
        payment.amount,
    )


def test_all_payments_in_both_orders(full: Audit, history: World) -> None:
    wanted = expected(history)
    assert {kind for _, _, kind, *_ in wanted} == {kind.value for kind in PaymentKind} - {"direct"}
    assert [seen(item) for item in walk(full, PaymentQuery(newest_first=False))] == wanted
    assert [seen(item) for item in walk(full, PaymentQuery())] == wanted[::-1]


@pytest.mark.parametrize("account", [ALICE, BOB, DAVE])
def test_to_and_from_an_account(full: Audit, history: World, account: Address) -> None:
    word, wanted = account_word(account), expected(history)[::-1]
    assert [seen(i) for i in walk(full, PaymentQuery(payee=account))] == [i for i in wanted if i[4] == word]
    assert [seen(i) for i in walk(full, PaymentQuery(payer=account))] == [i for i in wanted if i[3] == word]


def test_of_a_node(full: Audit, history: World) -> None:
    node = next(event.subject for event in history.events if event.name == "Claimed")
    wanted = [item for item in expected(history)[::-1] if node in (item[3], item[4])]
    assert [seen(item) for item in walk(full, PaymentQuery(node=node))] == wanted


def test_filters_narrow_together(full: Audit, history: World) -> None:
    wanted = expected(history)[::-1]
    query = PaymentQuery(
        kinds=(PaymentKind.ESCROW, PaymentKind.REFUND),
        currency=TOKEN,
        at_least=2,
        at_most=99_999,
        since=history.events[50].time,
        until=history.events[-50].time,
    )
    first, last = history.events[50].block, history.events[-50].block
    chosen = [
        item
        for item in wanted
        if item[2] in ("escrow", "refund")
        and item[5] == TOKEN
        and 2 <= item[6] <= 99_999
        and first <= item[0] <= last
    ]
    assert chosen
    assert [seen(item) for item in walk(full, query, 2)] == chosen


def test_of_an_asset_and_of_a_licence(full: Audit, history: World) -> None:
    everything = walk(full, PaymentQuery(), 50)
    asset = everything[0].asset
    assert walk(full, PaymentQuery(asset=asset)) == [item for item in everything if item.asset == asset]
    licence = next(item.licence for item in everything if item.kind is PaymentKind.REFUND)
    found = walk(full, PaymentQuery(licence=licence), 1)
    assert found == [item for item in everything if item.licence == licence] and len(found) >= 2


def test_parts_are_those_of_the_positions_as_they_stood(full: Audit, history: World) -> None:
    incomes = [item for item in walk(full, PaymentQuery(), 50) if item.payee[0] & 0x80]
    assert incomes
    for item in incomes:
        moved = {
            event.fields["index"]: event.id
            for event in history.events
            if event.name == "PositionMoved" and event.subject == item.payee and event.block < item.block
        }
        positions = history.positions[item.payee][1]
        assert [(part.index, part.payee, part.weight, part.amount) for part in item.parts] == [
            (index, moved.get(index, one.payee), one.weight, item.amount * one.weight // BASIS)
            for index, one in enumerate(positions)
        ]


def test_shares_are_the_incomes_of_nodes_with_a_position(full: Audit, history: World) -> None:
    word = account_word(CAROL)
    nodes = {
        node for node, (_, positions) in history.positions.items() if word in {p.payee for p in positions}
    }
    wanted = [item for item in expected(history)[::-1] if item[4] in nodes]
    assert wanted
    assert [seen(item) for item in walk(full, PaymentQuery(share=CAROL))] == wanted


@pytest.mark.parametrize("account", [ALICE, BOB, CAROL, DAVE])
def test_earnings_are_sums_and_dues_are_the_treasurys(full: Audit, history: World, account: Address) -> None:
    since, until = history.events[60].time, history.events[-30].time
    found = full.earnings(EarningsQuery(account=account, since=since, until=until))
    first, last = history.events[60].block, history.events[-30].block
    sums: Counter[tuple[str, bytes]] = Counter()
    for block, _, kind, _, payee, currency, amount in expected(history):
        earned = kind in ("claim", "refund", "bond", "answer")
        if earned and payee == account_word(account) and first <= block <= last:
            sums[kind, currency] += amount
    said: Counter[tuple[str, bytes]] = Counter()
    for item in found.items:
        said[item.kind.value, item.currency] += item.amount
    assert said == sums
    due: Counter[bytes] = Counter()
    for node in history.ledger().nodes.values():
        for index, position in enumerate(history.positions[node.id][1]):
            holder = node.holders.get(index)
            payee = position.payee if holder is None else account_word(holder)
            for currency, total in node.received.items():
                if payee == account_word(account):
                    due[currency] += total * position.weight // BASIS - node.paid.get((index, currency), 0)
    said_due: Counter[bytes] = Counter()
    for item in found.due:
        said_due[item.currency] += item.amount
    assert said_due == +due


def test_earnings_name_their_asset(audit: Audit, world: World) -> None:
    asset = world.asset("digits")
    version, terms = world.publish(asset), world.offer(asset)
    world.deliver(version, terms, world.buy(version, terms))
    world.tick()
    world.claim(version.node, ALICE, 0, 100)
    world.feed(audit.database)
    (item,) = audit.earnings(EarningsQuery(account=ALICE)).items
    assert (item.asset, item.name, item.kind, item.count, item.amount) == (
        asset,
        "digits",
        PaymentKind.CLAIM,
        1,
        100,
    )


def test_money_from_outside_is_direct(audit: Audit, world: World) -> None:
    asset = world.asset("digits")
    version = world.publish(asset)
    world.log("Received", version.node, account_word(SOURCE), MARKET, NATIVE, 9)
    world.feed(audit.database)
    (item,) = audit.payments().items
    assert (item.kind, item.payer, item.payee, item.amount) == (
        PaymentKind.DIRECT,
        account_word(SOURCE),
        version.node,
        9,
    )


def test_parts_are_not_made_up(audit: Audit, world: World) -> None:
    asset = world.asset("digits")
    version, terms = world.publish(asset), world.offer(asset)
    world.deliver(version, terms, world.buy(version, terms))
    world.feed(audit.database)
    income = next(item for item in audit.payments().items if item.kind is PaymentKind.INCOME)
    assert income.parts == ()


@pytest.mark.parametrize(
    "question",
    [
        {"limit": 0},
        {"payee": b"\x01"},
        {"node": b"\x01"},
        {"cursor": "AAAA"},
        {"since": -1},
        {"share": ALICE, "payee": BOB},
    ],
)
def test_what_cannot_be_asked(full: Audit, question: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        full.payments(PaymentQuery(**question))
