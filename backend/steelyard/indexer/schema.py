"""Tables and indexes of the index (docs/index.md): one text for both databases, and the encoding of its values.

The text is SQL that SQLite takes as it stands; each dialect's module says what it puts in its place (:func:`statements`) and
adds its full text. ``"index"`` and ``"window"`` are words of SQL and always quoted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from steelyard.errors import TrailError

FORMAT: Final = "3"
"""Raised whenever a database of an older client must be built again."""

SHIFT: Final = 20
"""A place is ``block << SHIFT | log index``."""
MAX_BLOCK: Final = (1 << 33) - 1
MAX_LOG: Final = (1 << SHIFT) - 1

ROLES: Final = ("actor", "owner", "seller", "buyer", "holder", "payee", "payer", "grantee", "publisher")
"""``parties.role`` by index."""
PAYMENTS: Final = ("escrow", "income", "refund", "bond", "fee", "answer", "returned", "direct", "claim")
"""``payments.kind`` by index."""

_TABLES: Final = """
CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE lease (name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL);
CREATE TABLE blocks (
    number INTEGER NOT NULL PRIMARY KEY, hash BLOB NOT NULL, parent BLOB, time INTEGER NOT NULL, proved INTEGER NOT NULL
);
CREATE TABLE heads (
    contract BLOB NOT NULL, subject BLOB NOT NULL, head BLOB NOT NULL, pos INTEGER NOT NULL,
    PRIMARY KEY (contract, subject)
) WITHOUT ROWID;
CREATE TABLE events (
    pos INTEGER NOT NULL PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT NULL, contract BLOB NOT NULL,
    subject BLOB NOT NULL, id BLOB NOT NULL, actor BLOB NOT NULL, tx BLOB NOT NULL, tx_index INTEGER NOT NULL,
    data BLOB NOT NULL, asset BLOB, version BLOB, amount BLOB, currency BLOB
);
CREATE TABLE parties (
    pos INTEGER NOT NULL, role INTEGER NOT NULL, account BLOB NOT NULL, PRIMARY KEY (pos, role, account)
) WITHOUT ROWID;
CREATE TABLE assets (
    id BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, word BLOB NOT NULL, kind INTEGER NOT NULL, creator BLOB NOT NULL,
    owner BLOB NOT NULL, royalty INTEGER NOT NULL, epoch INTEGER NOT NULL, registered_at INTEGER NOT NULL,
    pos INTEGER NOT NULL
);
CREATE TABLE roles (
    asset BLOB NOT NULL, epoch INTEGER NOT NULL, account BLOB NOT NULL, role INTEGER NOT NULL,
    PRIMARY KEY (asset, epoch, account, role)
) WITHOUT ROWID;
CREATE TABLE versions (
    id BLOB NOT NULL PRIMARY KEY, asset BLOB NOT NULL, number INTEGER NOT NULL, folder BLOB NOT NULL, root BLOB NOT NULL,
    size INTEGER NOT NULL, scheme INTEGER NOT NULL, key BLOB NOT NULL, node BLOB NOT NULL, publisher BLOB NOT NULL,
    published_at INTEGER NOT NULL, flagged_at INTEGER, flagged_by BLOB, stage INTEGER NOT NULL,
    pos INTEGER NOT NULL
);
CREATE TABLE offers (
    id BLOB NOT NULL PRIMARY KEY, asset BLOB NOT NULL, seller BLOB NOT NULL, currency BLOB NOT NULL, price BLOB NOT NULL,
    bond BLOB NOT NULL, kind INTEGER NOT NULL, scope INTEGER NOT NULL, transferable INTEGER NOT NULL,
    revocable INTEGER NOT NULL, period INTEGER NOT NULL, renew_until INTEGER NOT NULL, supply INTEGER NOT NULL,
    deliver_within INTEGER NOT NULL, "window" INTEGER NOT NULL, allow_list BLOB NOT NULL, text BLOB NOT NULL,
    salt BLOB NOT NULL, version BLOB, epoch INTEGER NOT NULL, opened_at INTEGER NOT NULL, closed_at INTEGER,
    pos INTEGER NOT NULL
);
CREATE TABLE purchases (
    id BLOB NOT NULL PRIMARY KEY, asset BLOB NOT NULL, version BLOB NOT NULL, offer BLOB NOT NULL, buyer BLOB NOT NULL,
    holder BLOB NOT NULL, salt BLOB NOT NULL, key BLOB NOT NULL, price BLOB NOT NULL, currency BLOB NOT NULL,
    state INTEGER NOT NULL, paid_at INTEGER NOT NULL, due INTEGER NOT NULL, until INTEGER NOT NULL, delivered BLOB,
    delivered_at INTEGER, delivered_tx BLOB, settled_at INTEGER, ended_at INTEGER, pos INTEGER NOT NULL
);
CREATE TABLE holdings (
    licence BLOB NOT NULL, since_pos INTEGER NOT NULL, holder BLOB NOT NULL, since INTEGER NOT NULL, till INTEGER,
    PRIMARY KEY (licence, since_pos)
) WITHOUT ROWID;
CREATE TABLE requests (
    id BLOB NOT NULL PRIMARY KEY, asset BLOB NOT NULL, licence BLOB NOT NULL, version BLOB NOT NULL, holder BLOB NOT NULL,
    key BLOB NOT NULL, fee BLOB NOT NULL, state INTEGER NOT NULL, asked_at INTEGER NOT NULL, due INTEGER NOT NULL,
    answered_at INTEGER, pos INTEGER NOT NULL
);
CREATE TABLE metered_offers (
    id BLOB NOT NULL PRIMARY KEY, asset BLOB NOT NULL, maker BLOB NOT NULL, payee BLOB NOT NULL, currency BLOB NOT NULL,
    price BLOB NOT NULL, unit BLOB NOT NULL, version BLOB NOT NULL, node BLOB NOT NULL, "window" INTEGER NOT NULL,
    in_flight INTEGER NOT NULL, expiry INTEGER NOT NULL, text BLOB NOT NULL, salt BLOB NOT NULL, epoch INTEGER NOT NULL,
    opened_at INTEGER NOT NULL, closed_at INTEGER, pos INTEGER NOT NULL
);
CREATE TABLE channels (
    id BLOB NOT NULL PRIMARY KEY, asset BLOB NOT NULL, version BLOB NOT NULL, offer BLOB NOT NULL, payer BLOB NOT NULL,
    signer BLOB NOT NULL, nonce BLOB NOT NULL, currency BLOB NOT NULL, deposit BLOB NOT NULL, claimed BLOB NOT NULL,
    units BLOB NOT NULL, sequence BLOB NOT NULL, root BLOB NOT NULL, state INTEGER NOT NULL, opened_at INTEGER NOT NULL,
    claimed_at INTEGER, closes_at INTEGER, closed_at INTEGER, pos INTEGER NOT NULL
);
CREATE TABLE payments (
    pos INTEGER NOT NULL, part INTEGER NOT NULL, kind INTEGER NOT NULL, asset BLOB, version BLOB, licence BLOB,
    payer BLOB NOT NULL, payee BLOB NOT NULL, currency BLOB NOT NULL, amount BLOB NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (pos, part)
) WITHOUT ROWID;
CREATE TABLE moves (
    node BLOB NOT NULL, "index" INTEGER NOT NULL, pos INTEGER NOT NULL, holder BLOB NOT NULL,
    PRIMARY KEY (node, "index", pos)
) WITHOUT ROWID;
CREATE TABLE cards (
    folder BLOB NOT NULL PRIMARY KEY, state INTEGER NOT NULL, text TEXT, title TEXT, task TEXT, framework TEXT,
    licence TEXT, tags TEXT, metrics TEXT, node TEXT, tried_at INTEGER
);
CREATE TABLE card_values (
    folder BLOB NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (folder, field, value)
) WITHOUT ROWID;
CREATE TABLE positions (
    node BLOB NOT NULL, "index" INTEGER NOT NULL, payee BLOB NOT NULL, weight INTEGER NOT NULL,
    PRIMARY KEY (node, "index")
) WITHOUT ROWID;
"""

# What the fold itself looks up.
_NEEDED: Final = """
CREATE INDEX versions_asset ON versions (asset, number);
CREATE INDEX versions_node ON versions (node);
"""

# Each is what a question needs (docs/index.md). An index that is built from nothing makes these last: sorting all keys at once costs a
# fifth of finding the place of each.
_INDEXES: Final = """
CREATE INDEX blocks_time ON blocks (time);
CREATE INDEX blocks_proved ON blocks (number) WHERE proved = 1;
CREATE INDEX events_subject ON events (subject, pos);
CREATE INDEX events_version ON events (version, pos) WHERE version IS NOT NULL;
CREATE INDEX events_kind ON events (kind, pos);
CREATE INDEX events_tx ON events (tx);
CREATE INDEX events_stages ON events (id, pos) WHERE kind = 27;
CREATE INDEX events_renewed ON events (id, pos) WHERE kind = 10;
CREATE INDEX parties_account ON parties (account, role, pos);
CREATE INDEX assets_name ON assets (name);
CREATE INDEX assets_owner ON assets (owner);
CREATE INDEX assets_pos ON assets (pos);
CREATE INDEX roles_account ON roles (account);
CREATE INDEX versions_folder ON versions (folder);
CREATE INDEX offers_asset ON offers (asset);
CREATE INDEX offers_seller ON offers (seller);
CREATE INDEX purchases_asset ON purchases (asset, pos);
CREATE INDEX purchases_offer ON purchases (offer, state);
CREATE INDEX purchases_sales ON purchases (asset, state);
CREATE INDEX purchases_holder ON purchases (holder);
CREATE INDEX purchases_due ON purchases (due) WHERE state IN (1, 2);
CREATE INDEX purchases_until ON purchases (until, id, state, buyer, holder, offer) WHERE state = 3 AND until > 0;
CREATE INDEX requests_licence ON requests (licence);
CREATE INDEX requests_holder ON requests (holder);
CREATE INDEX requests_due ON requests (due) WHERE state = 1;
CREATE INDEX metered_offers_pos ON metered_offers (pos);
CREATE INDEX metered_offers_asset ON metered_offers (asset, pos);
CREATE INDEX metered_offers_payee ON metered_offers (payee, pos);
CREATE INDEX channels_pos ON channels (pos);
CREATE INDEX channels_asset ON channels (asset, pos);
CREATE INDEX channels_offer ON channels (offer, pos);
CREATE INDEX channels_payer ON channels (payer, pos);
CREATE INDEX channels_signer ON channels (signer, pos);
CREATE INDEX payments_payee ON payments (payee, pos);
CREATE INDEX payments_payer ON payments (payer, pos);
CREATE INDEX payments_asset ON payments (asset, pos);
CREATE INDEX payments_licence ON payments (licence) WHERE licence IS NOT NULL;
CREATE INDEX moves_holder ON moves (holder);
CREATE INDEX card_values_value ON card_values (field, value);
CREATE INDEX positions_payee ON positions (payee);
"""


INDEXES: Final[Mapping[str, str]] = {
    text.split()[2]: text.strip() for text in _INDEXES.split(";") if text.strip()
}
"""Statements that make the indexes for questions, by name."""


def statements(*changes: tuple[str, str]) -> Iterator[str]:
    """Yield the statements that make the tables and indexes, with a dialect's words put in place of the common ones."""
    for text in (_TABLES + _NEEDED + _INDEXES).split(";"):
        statement = text.strip()
        for ours, theirs in changes:
            statement = statement.replace(ours, theirs)
        if statement:
            yield statement


def _parse() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the columns and the key of every table, read from the text above, so that they are written once."""
    columns: dict[str, tuple[str, ...]] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for text in _TABLES.split(";"):
        if not text.strip():
            continue
        head, body = text.split("(", 1)
        table = head.split()[-1]
        body, mark, key = body.rpartition("PRIMARY KEY (")
        if mark:
            keys[table] = tuple(name.strip().strip('"') for name in key[: key.index(")")].split(","))
        else:
            body = key[: key.rindex(")")]
        parts = [part.split() for part in body.split(",") if part.strip()]
        columns[table] = tuple(part[0].strip('"') for part in parts)
        if not mark:
            keys[table] = tuple(part[0] for part in parts if part[-3:] == ["NULL", "PRIMARY", "KEY"])
    return columns, keys


_PARSED: Final = _parse()

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = _PARSED[0]
"""Columns of every table, in order."""
KEYS: Final[Mapping[str, tuple[str, ...]]] = _PARSED[1]
"""Primary key of every table."""
_OTHERS: Final = ("meta", "lease", "blocks", "cards", "card_values", "positions")
HASHED: Final = tuple(name for name in COLUMNS if name not in _OTHERS)
"""Tables that the content hash covers, in its order: those that the log alone makes."""


def quoted(column: str) -> str:
    """Return a column as it stands in SQL."""
    return f'"{column}"' if column in ("index", "window") else column


def column_list(table: str) -> str:
    """Return the columns of a table as they stand in SQL."""
    return ", ".join(quoted(column) for column in COLUMNS[table])


def place(block: int, log: int) -> int:
    """Return the place of a log.

    Raises:
        TrailError: no chain has such a block or such a log.
    """
    if not 0 <= block <= MAX_BLOCK or not 0 <= log <= MAX_LOG:
        raise TrailError(f"log {log} of block {block} is beyond what any chain has")
    return block << SHIFT | log


def block_of(pos: int) -> int:
    """Return the block of a place."""
    return pos >> SHIFT


_WIDE: Final = b"\xff" * 16


def amount_bytes(amount: int) -> bytes:
    """Return an amount as it is stored: 16 bytes, big-endian; above 2^128-1 16 bytes 0xff and 32 bytes, big-endian.

    Only a claim of a token whose supply is absurd can be above. Bytes compare as numbers do.
    """
    return amount.to_bytes(16, "big") if amount >> 128 == 0 else _WIDE + amount.to_bytes(32, "big")


def amount_of(stored: bytes) -> int:
    """Return a stored amount."""
    return int.from_bytes(stored if len(stored) == 16 else stored[16:], "big")
