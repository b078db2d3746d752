"""Assets by words, card, owner, offer; sorted, counted, and by id.

A word counts where it stands: in the name, or in the card of the newest version that the store has a card of.
Rank by relevance does not depend on how often a word stands elsewhere, so that it stays when assets come: first a
name that is the query, then names with all words, then titles and tags with all words, then the rest, each the newest first.
"""

from __future__ import annotations

import json
from typing import Final

from steelyard.domain.types import NATIVE, AssetId, AssetKind, Stage
from steelyard.domain.words import words as words_of
from steelyard.errors import InputError, NotFoundError
from steelyard.indexer.database import Reader
from steelyard.indexer.schema import amount_bytes
from steelyard.query import check, cursor
from steelyard.query.model import Asset, AssetPage, AssetQuery, Card, Metric, Sort
from steelyard.query.place import read_at
from steelyard.query.rows import OFFER, VERSION, to_offer, to_version

MAX_WORDS: Final = 16
FACETS: Final = ("task", "framework", "licence", "tag", "code")
MAX_FACET: Final = 50
"""Most values of a facet; those that are most frequent."""
SHOWN_OFFERS: Final = 20
CARD_THERE: Final = 1
"""``cards.state`` of a card that was fetched and read."""

Sql = tuple[str, tuple[object, ...]]

# The folder whose card speaks for an asset.
_FOLDER: Final = (
    "(SELECT v.folder FROM versions v JOIN cards c ON c.folder = v.folder WHERE v.asset = a.id"
    f" AND c.state = {CARD_THERE} ORDER BY v.number DESC LIMIT 1)"
)
# The one that would be bought: its mark is not that of an older one which the store has.
_NEWEST: Final = "(SELECT v.folder FROM versions v WHERE v.asset = a.id ORDER BY v.number DESC LIMIT 1)"
_ON_SALE: Final = ", ".join(str(int(stage)) for stage in Stage if stage.on_sale)
# Open, and a version that it is good for can be bought.
_OPEN: Final = (
    "o.asset = a.id AND o.closed_at IS NULL AND o.epoch = a.epoch AND EXISTS (SELECT 1 FROM versions w"
    f" WHERE w.asset = o.asset AND w.flagged_at IS NULL AND w.stage IN ({_ON_SALE}) AND (o.version IS NULL OR w.id = o.version))"
)
_SALES: Final = "(SELECT COUNT(*) FROM purchases s WHERE s.asset = a.id AND s.state IN (1, 2, 3, 5))"
_ASSET: Final = (
    f"a.id, a.name, a.kind, a.creator, a.owner, a.royalty, a.registered_at, a.epoch, {_SALES}, {_FOLDER}"
)
_CARD: Final = (
    "SELECT c.title, c.task, c.framework, c.licence, c.tags, c.metrics FROM cards c WHERE c.folder = ?"
)
_DESCENDING: Final = {
    Sort.RELEVANCE: False,
    Sort.NEWEST: True,
    Sort.UPDATED: True,
    Sort.NAME: False,
    Sort.PRICE: False,
    Sort.SALES: True,
}


def search(reader: Reader, query: AssetQuery) -> AssetPage:
    """Return a page of assets.

    Rows whose sort key changes between two pages (price, sales) may come twice or not at all; all others come once.

    Raises:
        InputError: a field is out of range, the sort does not go with the rest, or the cursor is another question's.
        NotFoundError: the index is empty.
    """
    _check(query)
    at = read_at(reader)
    upto, after = ((at.block + 1) << 20), None
    if query.cursor is not None:
        shape = (int, bytes if query.sort in (Sort.NAME, Sort.PRICE) else int, int)
        pinned, *rest = cursor.read(query, query.cursor, shape)
        assert isinstance(pinned, int)
        upto, after = pinned, rest
    where, params = _where(reader, query)
    key, key_params = _key(reader, query, upto)
    facets = _facets(reader, where, params) if query.facets else {}
    if facets:
        total = sum(facets["kind"].values())
    else:
        ((total,),) = reader.rows(f"SELECT COUNT(*) FROM assets a WHERE {where}", params)
    down = _DESCENDING[query.sort] if query.descending is None else query.descending
    mark, order = ("<", "DESC") if down else (">", "ASC")
    sql = f"SELECT id, pos, k FROM (SELECT a.id AS id, a.pos AS pos, {key} AS k FROM assets a WHERE {where}) AS f"
    sql += " WHERE k IS NOT NULL"
    values = [*key_params, *params]
    # Among equals the newest asset comes first, whatever the order.
    if after is not None:
        sql += f" AND (k {mark} ? OR (k = ? AND pos < ?))"
        value = _key_of(query, after[0])
        values += [value, value, after[1]]
    rows = reader.rows(f"{sql} ORDER BY k {order}, pos DESC LIMIT ?", (*values, query.limit + 1))
    following = cursor.cut(
        query, rows, lambda last: (upto, last[2].encode() if isinstance(last[2], str) else last[2], last[1])
    )
    return AssetPage(
        items=tuple(asset(reader, row[0]) for row in rows),
        next=following,
        at=at,
        total=int(total),
        facets=facets,
    )


def asset(reader: Reader, asset_id: AssetId) -> Asset:
    """Return an asset with its newest version, the offers that it can be bought under, and card.

    Raises:
        NotFoundError: there is none, as far as the index is.
    """
    check.word(asset_id, "asset")
    row = reader.row(f"SELECT {_ASSET} FROM assets a WHERE a.id = ?", (asset_id,))
    if row is None:
        raise NotFoundError(f"no asset 0x{asset_id.hex()}, as far as the index is")
    latest = reader.row(
        f"SELECT {VERSION} FROM versions v WHERE v.asset = ? ORDER BY v.number DESC LIMIT 1", (asset_id,)
    )
    offers = reader.rows(
        f"SELECT {OFFER} FROM offers o JOIN assets a ON {_OPEN} WHERE o.asset = ? ORDER BY o.price, o.pos LIMIT ?",
        (asset_id, SHOWN_OFFERS),
    )
    return Asset(
        asset=row[0],
        name=row[1],
        kind=AssetKind(row[2]).name.lower(),
        creator=row[3],
        owner=row[4],
        royalty=row[5],
        registered_at=row[6],
        epoch=row[7],
        latest=None if latest is None else to_version(latest),
        offers=tuple(to_offer(item) for item in offers),
        sales=row[8],
        card=None if row[9] is None else _card(reader, row[9]),
    )


def _card(reader: Reader, folder: bytes) -> Card | None:
    row = reader.row(_CARD, (folder,))
    if row is None:
        return None
    return Card(
        title=row[0],
        task=row[1],
        framework=row[2],
        licence=row[3],
        tags=tuple(json.loads(row[4] or "[]")),
        metrics=tuple(
            Metric(name=name, value=value, dataset=data) for name, value, data in json.loads(row[5] or "[]")
        ),
    )


# -- conditions ----------------------------------------------------------------------------------------------


def _where(reader: Reader, query: AssetQuery) -> Sql:
    found: list[Sql] = [("1 = 1", ())]
    if query.text is not None:
        words = _words(query.text)
        found += [_word(reader, word, last=index == len(words) - 1) for index, word in enumerate(words)]
    values = [(field, getattr(query, field)) for field in ("task", "framework", "licence", "metric")]
    for field, value in (*values, *(("tag", tag) for tag in query.tags)):
        if value is not None:
            sql = f"EXISTS (SELECT 1 FROM card_values k WHERE k.folder = {_FOLDER} AND k.field = ? AND k.value = ?)"
            found.append((sql, (field, value.lower())))
    if query.kind is not None:
        found.append(("a.kind = ?", (int(query.kind),)))
    if query.owner is not None:
        found.append(("a.owner = ?", (query.owner,)))
    if query.currency is not None or query.at_most is not None:
        sql, params = f"EXISTS (SELECT 1 FROM offers o WHERE {_OPEN} AND o.currency = ?", (_currency(query),)
        if query.at_most is None:
            found.append((f"{sql})", params))
        else:
            found.append((f"{sql} AND o.price <= ?)", (*params, amount_bytes(query.at_most))))
    if query.on_sale is not None:
        sql = f"EXISTS (SELECT 1 FROM offers o WHERE {_OPEN})"
        found.append((sql if query.on_sale else f"NOT {sql}", ()))
    if query.code is not None:
        sql = f"EXISTS (SELECT 1 FROM card_values k WHERE k.folder = {_NEWEST} AND k.field = 'code' AND k.value = ?)"
        found.append((sql, ("yes" if query.code else "no",)))
    return " AND ".join(sql for sql, _ in found), tuple(item for _, items in found for item in items)


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a query.

    Raises:
        InputError: it has none, or more than MAX_WORDS.
    """
    words = tuple(dict.fromkeys(words_of(text)))
    if not 1 <= len(words) <= MAX_WORDS:
        raise InputError(f"a search has 1 to {MAX_WORDS} words of letters and digits")
    return words


def _word(reader: Reader, word: str, *, last: bool) -> Sql:
    """Return the condition that a word stands in the name or in the card; ``last`` may be the beginning of one."""
    names, cards = reader.matching_names((word,)), reader.matching_cards((word,))
    sql = f"(a.id IN (SELECT asset FROM ({names[0]}) AS n) OR {_FOLDER} IN (SELECT folder FROM ({cards[0]}) AS d))"
    return sql, (*names[1], *cards[1])


def _currency(query: AssetQuery) -> bytes:
    return NATIVE if query.currency is None else query.currency


# -- order ---------------------------------------------------------------------------------------------------


def _key(reader: Reader, query: AssetQuery, upto: int) -> Sql:
    """Return the expression that assets are sorted by; null leaves an asset out."""
    if query.sort is Sort.NEWEST:
        return "a.pos", ()
    if query.sort is Sort.UPDATED:
        # With a first page, later versions do not move an asset.
        return (
            "COALESCE((SELECT MAX(v.pos) FROM versions v WHERE v.asset = a.id AND v.pos < ?), a.pos)",
            (upto,),
        )
    if query.sort is Sort.NAME:
        return "a.name", ()
    if query.sort is Sort.SALES:
        return _SALES, ()
    if query.sort is Sort.PRICE:
        return f"(SELECT MIN(o.price) FROM offers o WHERE {_OPEN} AND o.currency = ?)", (_currency(query),)
    return _relevance(reader, query)


def _relevance(reader: Reader, query: AssetQuery) -> Sql:
    assert query.text is not None
    words = _words(query.text)
    parts: list[str] = []
    params: list[object] = []
    for word in words:
        sql, given = reader.matching_names((word,))
        parts.append(f"a.id IN (SELECT asset FROM ({sql}) AS n)")
        params += given
    names = " AND ".join(parts)
    tags = " AND ".join(
        f"EXISTS (SELECT 1 FROM card_values k WHERE k.folder = {_FOLDER} AND k.field IN ('title', 'tag', 'task')"
        " AND (k.value = ? OR k.value LIKE ?))"
        for _ in words
    )
    # Letters and digits only, so nothing in a word is a wildcard.
    of_tags = [item for word in words for item in (word, f"%{word}%")]
    sql = f"CASE WHEN a.name = ? THEN 0 WHEN {names} THEN 1 WHEN {tags} THEN 2 ELSE 3 END"
    return sql, (query.text.strip().lower(), *params, *of_tags)


def _key_of(query: AssetQuery, value: object) -> object:
    if query.sort is Sort.NAME:
        assert isinstance(value, bytes)
        try:
            return value.decode()
        except UnicodeDecodeError as exc:
            raise InputError("that is no cursor of this question") from exc
    return value


# -- facets --------------------------------------------------------------------------------------------------


def _facets(reader: Reader, where: str, params: tuple[object, ...]) -> dict[str, dict[str, int]]:
    """Return how many of all that match have each value, the most frequent first; what matches is looked for once."""
    found: dict[str, dict[str, int]] = {field: {} for field in (*FACETS, "kind")}
    rows = reader.rows(
        f"WITH m AS MATERIALIZED (SELECT a.kind AS kind, {_FOLDER} AS folder FROM assets a WHERE {where})"
        " SELECT field, value, number, place FROM (SELECT k.field AS field, k.value AS value, COUNT(*) AS number,"
        " ROW_NUMBER() OVER (PARTITION BY k.field ORDER BY COUNT(*) DESC, k.value) AS place"
        f" FROM m JOIN card_values k ON k.folder = m.folder WHERE k.field IN ({', '.join('?' * len(FACETS))})"
        " GROUP BY k.field, k.value) AS counted WHERE place <= ?"
        " UNION ALL SELECT 'kind', '', COUNT(*), m.kind FROM m GROUP BY m.kind ORDER BY field, place",
        (*params, *FACETS, MAX_FACET),
    )
    for field, value, number, place in rows:
        found[field][AssetKind(place).name.lower() if field == "kind" else value] = int(number)
    return found


def _check(query: AssetQuery) -> None:
    check.limit(query.limit)
    for name in ("text", "task", "framework", "licence", "metric"):
        check.text(getattr(query, name), name)
    if len(query.tags) > MAX_WORDS:
        raise InputError(f"at most {MAX_WORDS} tags can be asked for")
    for tag in query.tags:
        check.text(tag, "tag")
    check.address(query.owner, "owner")
    check.address(query.currency, "currency")
    check.amounts(None, query.at_most)
    if query.sort is Sort.RELEVANCE and query.text is None:
        raise InputError("relevance sorts by words: give a text")
