"""Money that moved: in lists, with the parts of an income, and summed for an account."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from steelyard.domain.types import Address, AssetId, account_word
from steelyard.errors import InputError
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import PAYMENTS, SHIFT, amount_bytes, amount_of
from steelyard.query import check, cursor
from steelyard.query.model import Earning, Earnings, EarningsQuery, Page, Payment, PaymentKind, PaymentQuery
from steelyard.query.nodes import due, nodes_of, parts
from steelyard.query.place import read_at, span

Row: TypeAlias = tuple[Any, ...]

EARNED: Final = (PaymentKind.CLAIM, PaymentKind.REFUND, PaymentKind.BOND, PaymentKind.ANSWER)
"""What an account earns; the rest is its own money that comes back, or a node's."""
MAX_NODES: Final = 64
"""Nodes that one question about shares goes through."""

_COLUMNS: Final = "y.pos, y.part, y.kind, y.payer, y.payee, y.currency, y.amount, y.asset, y.version, y.licence, y.time, e.tx"
_SUMS: Final = "SELECT y.asset, y.currency, y.kind, y.amount FROM payments y WHERE y.payee = ? AND y.pos >= ? AND y.pos < ?"


def payments(reader: Reader, query: PaymentQuery) -> Page[Payment]:
    """Return a page of payments, with the parts of each income of a node whose positions are known.

    Raises:
        InputError: a field is out of range, or the cursor is another question's.
        NotFoundError: the index is empty.
    """
    rows, following = payment_rows(reader, query)
    return Page(items=tuple(_payment(reader, row) for row in rows), next=following, at=read_at(reader))


def payment_rows(reader: Reader, query: PaymentQuery) -> tuple[list[Row], str | None]:
    """Return the rows of a page as the database has them, and the cursor of the next one."""
    _check(query)
    low, high = span(reader, since=query.since, until=query.until)
    place, of = _after(query)
    rest, params = _rest(query)
    branches = _branches(reader, query)
    order = "DESC" if query.newest_first else "ASC"
    inner: list[str] = []
    values: list[object] = []
    for number, (condition, given) in enumerate(branches):
        sql = (
            f"SELECT y.pos, y.part FROM payments y WHERE {condition} AND y.pos >= ? AND y.pos < ?{place}{rest}"
            f" ORDER BY y.pos {order}, y.part {order} LIMIT ?"
        )
        inner.append(f"SELECT pos, part FROM ({sql}) AS s{number}")
        values += [*given, low, high, *of, *params, query.limit + 1]
    keys = f"SELECT pos, part FROM ({' UNION '.join(inner)}) AS u ORDER BY pos {order}, part {order} LIMIT ?"
    sql = (
        f"SELECT {_COLUMNS} FROM ({keys}) AS k CROSS JOIN payments y CROSS JOIN events e"
        f" WHERE y.pos = k.pos AND y.part = k.part AND e.pos = k.pos ORDER BY k.pos {order}, k.part {order}"
    )
    rows = reader.rows(sql, (*values, query.limit + 1))
    return rows, cursor.cut(query, rows, lambda last: (last[0], last[1]))


def earnings(reader: Reader, query: EarningsQuery) -> Earnings:
    """Return what an account was paid in a period, by asset, currency and kind, and what it could claim now.

    Raises:
        InputError: a field is out of range.
        NotFoundError: the index is empty.
    """
    check.address(query.account, "account")
    check.times(query.since, query.until)
    low, high = span(reader, since=query.since, until=query.until)
    kinds = {PAYMENTS.index(kind.value): kind for kind in EARNED}
    sums: dict[tuple[bytes | None, Address, PaymentKind], tuple[int, int]] = {}
    for asset, currency, kind, amount in reader.each(_SUMS, (account_word(query.account), low, high)):
        if kind in kinds:
            key = (asset, currency, kinds[kind])
            count, total = sums.get(key, (0, 0))
            sums[key] = (count + 1, total + amount_of(amount))
    owed: dict[tuple[bytes | None, Address, PaymentKind], tuple[int, int]] = {}
    for node in nodes_of(reader, query.account):
        asset = _asset_of(reader, node)
        for currency, amount in due(reader, node, query.account).items():
            count, total = owed.get((asset, currency, PaymentKind.CLAIM), (0, 0))
            owed[asset, currency, PaymentKind.CLAIM] = (count + 1, total + amount)
    return Earnings(
        account=query.account,
        since=query.since,
        until=query.until,
        items=_earnings(reader, sums),
        due=_earnings(reader, owed),
        at=read_at(reader),
    )


def _earnings(
    reader: Reader, sums: dict[tuple[bytes | None, Address, PaymentKind], tuple[int, int]]
) -> tuple[Earning, ...]:
    names: dict[bytes | None, str | None] = {None: None}
    for asset, _, _ in sums:
        if asset not in names:
            row = reader.row("SELECT a.name FROM assets a WHERE a.id = ?", (asset,))
            names[asset] = None if row is None else row[0]
    order = sorted(sums, key=lambda key: (key[0] or b"", key[1], key[2].value))
    return tuple(
        Earning(
            asset=None if asset is None else AssetId(asset),
            name=names[asset],
            currency=currency,
            kind=kind,
            count=sums[asset, currency, kind][0],
            amount=sums[asset, currency, kind][1],
        )
        for asset, currency, kind in order
    )


def _asset_of(reader: Reader, node: bytes) -> bytes | None:
    """Return the asset whose versions name a node if it is one only."""
    rows = reader.rows("SELECT DISTINCT v.asset FROM versions v WHERE v.node = ? LIMIT 2", (node,))
    return rows[0][0] if len(rows) == 1 else None


def _payment(reader: Reader, row: Row) -> Payment:
    pos, _, kind, payer, payee, currency, amount, asset, version, licence, time, tx = row
    value = amount_of(amount)
    return Payment(
        pos=pos,
        kind=PaymentKind(PAYMENTS[kind]),
        payer=payer,
        payee=payee,
        currency=currency,
        amount=value,
        asset=asset,
        version=version,
        licence=licence,
        time=time,
        block=pos >> SHIFT,
        tx=tx,
        parts=parts(reader, payee, value, pos) if payee[0] & 0x80 else (),
    )


def _branches(reader: Reader, query: PaymentQuery) -> list[tuple[str, tuple[object, ...]]]:
    """Return the conditions of which a payment fulfils one; each is a seek."""
    if query.licence is not None:
        return [("y.licence = ?", (query.licence,))]
    if query.payee is not None:
        return [("y.payee = ?", (account_word(query.payee),))]
    if query.payer is not None:
        return [("y.payer = ?", (account_word(query.payer),))]
    if query.node is not None:
        return [("y.payee = ?", (query.node,)), ("y.payer = ?", (query.node,))]
    if query.share is not None:
        nodes = nodes_of(reader, query.share)
        if len(nodes) > MAX_NODES:
            raise InputError(
                f"0x{query.share.hex()} has positions in {len(nodes)} nodes, more than {MAX_NODES}: ask by node or asset"
            )
        return [("y.payee = ?", (node,)) for node in nodes] or [("y.pos < 0", ())]
    if query.asset is not None:
        return [("y.asset = ?", (query.asset,))]
    return [("y.pos >= 0", ())]


def _rest(query: PaymentQuery) -> tuple[str, list[object]]:
    """Return the other conditions; one that a branch makes already may stand twice."""
    found: list[tuple[str, tuple[object, ...]]] = []
    if query.payee is not None:
        found.append(("y.payee = ?", (account_word(query.payee),)))
    if query.payer is not None:
        found.append(("y.payer = ?", (account_word(query.payer),)))
    if query.node is not None:
        found.append(("(y.payee = ? OR y.payer = ?)", (query.node, query.node)))
    if query.share is not None and (query.licence, query.payee, query.payer, query.node) != (None,) * 4:
        raise InputError("share goes with asset, kinds, currency, times and amounts only")
    if query.asset is not None:
        found.append(("y.asset = ?", (query.asset,)))
    if query.kinds:
        numbers = tuple(PAYMENTS.index(PaymentKind(kind).value) for kind in query.kinds)
        found.append((f"y.kind IN ({', '.join('?' * len(numbers))})", numbers))
    if query.currency is not None:
        found.append(("y.currency = ?", (query.currency,)))
    if query.at_least is not None:
        found.append(("y.amount >= ?", (amount_bytes(query.at_least),)))
    if query.at_most is not None:
        found.append(("y.amount <= ?", (amount_bytes(query.at_most),)))
    return "".join(f" AND {sql}" for sql, _ in found), [item for _, items in found for item in items]


def _after(query: PaymentQuery) -> tuple[str, tuple[object, ...]]:
    """Return the condition that the page begins after the one before."""
    if query.cursor is None:
        return "", ()
    pos, part = cursor.read(query, query.cursor, (int, int))
    if query.newest_first:
        return " AND y.pos <= ? AND (y.pos < ? OR y.part < ?)", (pos, pos, part)
    return " AND y.pos >= ? AND (y.pos > ? OR y.part > ?)", (pos, pos, part)


def _check(query: PaymentQuery) -> None:
    check.limit(query.limit)
    check.times(query.since, query.until)
    check.amounts(query.at_least, query.at_most)
    for name in ("payee", "payer", "share", "currency"):
        check.address(getattr(query, name), name)
    for name in ("node", "asset", "licence"):
        check.word(getattr(query, name), name)
