"""Entries of trails, by whatever concerns them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from steelyard.domain.plain import checksum, plain
from steelyard.errors import InputError, NotFoundError
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import MAX_LOG, ROLES, SHIFT, amount_bytes, amount_of, place
from steelyard.query import check, cursor
from steelyard.query.fields import FORMS, KIND_OF, KINDS, Fields
from steelyard.query.model import Event, EventQuery, Page, Party
from steelyard.query.place import read_at, span
from steelyard.query.streams import MAX_STREAMS, Stream, page_sql

Row: TypeAlias = tuple[Any, ...]

COLUMNS: Final = (
    "e.pos, e.time, e.kind, e.subject, e.id, e.actor, e.tx, e.asset, e.version, e.amount, e.currency, e.data"
)
"""Columns of a row, in the order of :func:`event_rows`."""

_NAMES: Final = tuple(f'"name":"{kind.name}","contract":"{kind.contract}"' for kind in KINDS)
"""By ``events.kind``, in an entry's JSON."""


def events(reader: Reader, query: EventQuery) -> Page[Event]:
    """Return a page of entries.

    Raises:
        InputError: a field is out of range, or the cursor is another question's.
        NotFoundError: the index is empty.
    """
    rows, following = event_rows(reader, query)
    return Page(items=tuple(to_event(row) for row in rows), next=following, at=read_at(reader))


def event(reader: Reader, block: int, log: int) -> Event:
    """Return the entry at a log of a block.

    Raises:
        InputError: no chain has such a log.
        NotFoundError: there is no entry.
    """
    check.blocks(block, None)
    check.whole(log, "log", most=MAX_LOG)
    row = reader.row(f"SELECT {COLUMNS} FROM events e WHERE e.pos = ?", (place(block, log),))
    if row is None:
        raise NotFoundError(f"log {log} of block {block} is no entry of a trail, as far as the index is")
    return to_event(row)


def event_rows(reader: Reader, query: EventQuery) -> tuple[list[Row], str | None]:
    """Return the rows of a page as the database has them (:data:`COLUMNS`), and the cursor of the next one.

    Raises:
        InputError: as :func:`events`.
    """
    _check(query)
    low, high = span(
        reader,
        since=query.since,
        until=query.until,
        first_block=query.first_block,
        last_block=query.last_block,
    )
    if query.cursor is not None:
        (last,) = cursor.read(query, query.cursor, (int,))
        assert isinstance(last, int)
        low, high = (low, min(high, last)) if query.newest_first else (max(low, last + 1), high)
    streams, joined = _streams(reader, query)
    rest, params = _rest(query, joined)
    inner, values = page_sql(
        streams,
        key="p.pos" if joined else "e.pos",
        rest=rest,
        rest_params=params,
        low=low,
        high=high,
        newest_first=query.newest_first,
        limit=query.limit + 1,
    )
    order = "DESC" if query.newest_first else "ASC"
    # CROSS JOIN: SQLite takes the places first and seeks each entry; PostgreSQL reads it as any join.
    sql = (
        f"SELECT {COLUMNS} FROM ({inner}) AS k CROSS JOIN events e WHERE e.pos = k.pos ORDER BY k.pos {order}"
    )
    if len(streams) == 1:
        # One seek already has the rows in their order.
        sql = inner.replace(
            "SELECT p.pos AS pos" if joined else "SELECT e.pos AS pos", f"SELECT {COLUMNS}", 1
        )
    rows = reader.rows(sql, values)
    return rows, cursor.cut(query, rows, lambda last: (last[0],))


def to_event(row: Row) -> Event:
    """Return the entry of a row of :func:`event_rows`."""
    pos, time, kind, subject, id_, actor, tx, asset, version, amount, currency, data = row
    type_ = KINDS[kind]
    return Event(
        pos=pos,
        block=pos >> SHIFT,
        log=pos & MAX_LOG,
        time=time,
        tx=tx,
        name=type_.name,
        contract=type_.contract,
        subject=subject,
        id=id_,
        actor=actor,
        asset=asset,
        version=version,
        amount=None if amount is None else amount_of(amount),
        currency=currency,
        fields=Fields(kind, data),
    )


def to_json(row: Row) -> str:
    """Return the entry of a row as JSON: what :func:`~steelyard.domain.plain.plain` makes of :func:`to_event`, without it in between."""
    pos, time, kind, subject, id_, actor, tx, asset, version, amount, currency, data = row
    form = FORMS[kind]
    fields = None if form is None else form.write(data)
    if fields is None:
        return msgspec.json.encode(plain(to_event(row))).decode()
    amount_text = "null" if amount is None else f'"{amount_of(amount)}"'
    currency_text = "null" if currency is None else f'"{checksum(currency)}"'
    # All that Event has, in its order.
    return (
        f'{{"pos":{pos},"block":{pos >> SHIFT},"log":{pos & MAX_LOG},"time":{time},"tx":"0x{tx.hex()}",{_NAMES[kind]},'
        f'"subject":"0x{subject.hex()}","id":"0x{id_.hex()}","actor":"{checksum(actor)}","asset":{_word(asset)},'
        f'"version":{_word(version)},"amount":{amount_text},"currency":{currency_text},"fields":{fields}}}'
    )


def _word(word: bytes | None) -> str:
    return "null" if word is None else f'"0x{word.hex()}"'


@lru_cache(maxsize=64)
def kind_numbers(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return ``events.kind`` of names of events.

    Raises:
        InputError: there is no such event.
    """
    unknown = [name for name in names if name not in KIND_OF]
    if unknown:
        raise InputError(f"there is no event {unknown[0]!r}; there are {', '.join(KIND_OF)}")
    return tuple(dict.fromkeys(KIND_OF[name] for name in names))


def _check(query: EventQuery) -> None:
    check.limit(query.limit)
    check.times(query.since, query.until)
    check.blocks(query.first_block, query.last_block)
    check.amounts(query.at_least, query.at_most)
    for name in ("asset", "version", "tx"):
        check.word(getattr(query, name), name)
    check.address(query.account, "account")
    check.address(query.currency, "currency")
    if query.party is not None and query.account is None:
        raise InputError("party says how an account is concerned: give the account too")


def _streams(reader: Reader, query: EventQuery) -> tuple[list[Stream], bool]:
    """Return the index to read: the one that narrows most; and whether it is one of parties."""
    if query.tx is not None:
        return [Stream("events e", "e.tx = ?", (query.tx,))], False
    if query.version is not None:
        return [Stream("events e", "e.version = ?", (query.version,))], False
    if query.account is not None:
        roles = ROLES if query.party is None else (Party(query.party).value,)
        alone = len(roles) > 1 and not _narrowed(query)
        source, on = ("parties p", "") if alone else ("parties p CROSS JOIN events e", " AND e.pos = p.pos")
        return [
            Stream(source, f"p.account = ? AND p.role = ?{on}", (query.account, ROLES.index(role)))
            for role in roles
        ], True
    if query.asset is not None:
        subjects = _subjects(reader, query.asset)
        if len(subjects) <= MAX_STREAMS:
            return [Stream("events e", "e.subject = ?", (subject,)) for subject in subjects], False
        return [Stream("events e", _OF_ASSET, (query.asset, query.asset))], False
    kinds = kind_numbers(query.kinds)
    if kinds:
        return [Stream("events e", "e.kind = ?", (kind,)) for kind in kinds], False
    return [Stream("events e", "e.pos >= 0")], False


_OF_ASSET: Final = "(e.subject = ? OR e.subject IN (SELECT v.node FROM versions v WHERE v.asset = ?))"


def _subjects(reader: Reader, asset: bytes) -> list[bytes]:
    """Return an asset and the nodes of its versions: the subjects of its trail, apart from nodes that nodes feed."""
    sql = f"SELECT DISTINCT v.node FROM versions v WHERE v.asset = ? LIMIT {MAX_STREAMS}"
    return [asset, *(row[0] for row in reader.rows(sql, (asset,)))]


def _narrowed(query: EventQuery) -> bool:
    """Whether an account's entries are narrowed by more than place."""
    wanted = (query.asset, query.version, query.tx, query.currency, query.at_least, query.at_most)
    return bool(query.kinds) or any(item is not None for item in wanted)


def _rest(query: EventQuery, joined: bool) -> tuple[str, list[object]]:
    """Return the conditions that the stream does not make already."""
    found: list[tuple[str, tuple[object, ...]]] = []
    led = query.tx is not None
    if query.version is not None:
        if led:
            found.append(("e.version = ?", (query.version,)))
        led = True
    if query.account is not None:
        if led:
            found.append(_party(query))
        led = True
    if query.asset is not None:
        if led:
            found.append((_OF_ASSET, (query.asset, query.asset)))
        led = True
    kinds = kind_numbers(query.kinds)
    if kinds and led:
        found.append((f"e.kind IN ({', '.join('?' * len(kinds))})", kinds))
    if query.currency is not None:
        found.append(("e.currency = ?", (query.currency,)))
    if query.at_least is not None:
        found.append(("e.amount >= ?", (amount_bytes(query.at_least),)))
    if query.at_most is not None:
        found.append(("e.amount <= ?", (amount_bytes(query.at_most),)))
    return "".join(f" AND {sql}" for sql, _ in found), [item for _, items in found for item in items]


def _party(query: EventQuery) -> tuple[str, tuple[object, ...]]:
    assert query.account is not None
    roles = range(len(ROLES)) if query.party is None else (ROLES.index(Party(query.party).value),)
    marks = ", ".join("?" * len(roles))
    sql = f"EXISTS (SELECT 1 FROM parties q WHERE q.account = ? AND q.role IN ({marks}) AND q.pos = e.pos)"
    return sql, (query.account, *roles)
