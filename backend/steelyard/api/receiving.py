"""What is kept of an upload: which blocks its folder has, as far as they are known, and which of them came.

A block is taken only if the folder, or a block of it that came before, links to it, and only as large as that link says; so an
upload can never grow beyond the bytes that were announced, and nobody can put blocks here that belong to nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from steelyard.api.problem import Problem
from steelyard.api.state import State
from steelyard.api.tables import Row, Transaction
from steelyard.domain.types import Address
from steelyard.errors import DigestError, InputError, VerificationError
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, Codec, codec_of, digest_of, parse_cid
from steelyard.storage.dagpb import Link, decode_node

MAX_UPLOAD: Final = 1 << 42
"""Most bytes of one upload."""
MAX_OPEN: Final = 100
"""Most uploads of one account that are not published."""
MISSING: Final = 1000
"""Most CIDs that are named as missing at once."""
LEAST_BLOCK: Final = 65_536
"""Bytes that a block of a large file has at least, on average; bounds how many blocks an upload may link to."""
MAX_SMALL: Final = 256
"""Blocks that any upload may have besides."""
OPEN_TIME: Final = 7 * 86_400
"""Seconds without a block after which an upload is given up."""
COMPLETE_TIME: Final = 30 * 86_400
"""Seconds after which a complete folder that nobody published is let go."""

OPEN, COMPLETE, KEPT = "open", "complete", "kept"
"""``kept`` is complete too, of a folder that was pinned before: it is not the upload's to let go."""
Published = Callable[[bytes], bool]
"""Tells whether a version with this folder (digest, 32 bytes) is on the chain."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An upload, as its table has it; ``bytes`` as announced, ``received`` in bytes, times in Unix seconds."""

    id: str
    account: Address
    folder: CID
    bytes: int
    received: int
    state: str
    created: int
    touched: int


_COLUMNS: Final = "id, account, folder, bytes, received, state, created, touched"


def _upload(row: Row) -> Upload:
    name, account, folder, size, received, stands, created, touched = row
    return Upload(
        id=name, account=Address(bytes(account)), folder=folder, bytes=size, received=received, state=stands, created=created, touched=touched
    )  # fmt: skip


def open_upload(
    state: State, account: Address, folder: str, size: int, *, quota: int, now: int
) -> tuple[Upload, bool]:
    """Open an upload, or return the account's open one for this folder; and whether it is new.

    Args:
        state: the tables.
        account: whose it is.
        folder: CID of the folder.
        size: bytes of all its blocks.
        quota: bytes that the account may have announced and not published.
        now: Unix seconds.

    Raises:
        Problem: no folder's CID, or above the quota.
    """
    try:
        cid = parse_cid(folder)
    except InputError as exc:
        raise Problem("bad-body", str(exc), parameter="folder") from exc
    if codec_of(cid) is not Codec.DAG_PB or not 1 <= size <= MAX_UPLOAD:
        raise Problem(
            "bad-body",
            "folder is the CID of a folder, and bytes what all its blocks have",
            parameter="folder",
        )
    with state.write() as writer:
        rows = writer.rows(f"SELECT {_COLUMNS} FROM service_uploads WHERE account = ?", (account,))
        uploads = [_upload(row) for row in rows]
        for item in uploads:
            if item.folder == cid and item.bytes == size:
                return item, False
        if len(uploads) >= MAX_OPEN or sum(item.bytes for item in uploads) + size > quota:
            raise Problem(
                "too-large", f"the uploads of this account may have {quota} bytes in all until published"
            )
        made = Upload(
            id=secrets.token_hex(16), account=account, folder=cid, bytes=size, received=0, state=OPEN, created=now, touched=now
        )  # fmt: skip
        writer.execute(
            f"INSERT INTO service_uploads ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (made.id, account, cid, size, 0, OPEN, now, now),
        )
        _add_block(writer, made.id, cid, most=size, place=0)
    return made, True


def find_upload(state: State, account: Address, name: str) -> Upload:
    """Return an upload of an account.

    Raises:
        Problem: it has none of that id.
    """
    with state.read() as reader:
        return _found(reader, account, name)


def missing_blocks(state: State, upload: Upload) -> tuple[str, ...]:
    """Return the CIDs of blocks that are known to be missing, parents first, at most ``MISSING``."""
    sql = "SELECT cid FROM service_blocks WHERE upload = ? AND size IS NULL ORDER BY place, cid LIMIT ?"
    with state.read() as reader:
        return tuple(row[0] for row in reader.rows(sql, (upload.id, MISSING)))


def take_block(
    state: State, store: Store, account: Address, name: str, cid: str, data: bytes, *, now: int
) -> Upload:
    """Take one block; taking it twice is taking it once.

    Raises:
        Problem: ``wrong-block``: it does not hash to its CID, is not of the folder as far as that is known, or links to more
            than was announced; ``conflict``: the upload is complete.
    """
    with state.read() as reader:
        upload = _found(reader, account, name)
        row = reader.row("SELECT most, size FROM service_blocks WHERE upload = ? AND cid = ?", (name, cid))
    if upload.state != OPEN:
        raise Problem("conflict", "the upload is complete")
    if row is None:
        raise Problem(
            "wrong-block",
            "the block is not of this folder, as far as its blocks are known: send parents first",
        )
    most, before = row
    if len(data) > most:
        raise Problem("wrong-block", f"the block has {len(data)} bytes, and its parent links to {most}")
    try:
        block = parse_cid(cid)
        # Hashed before anything of it is believed or written.
        store.put_block(block, data)
        links = () if codec_of(block) is Codec.RAW else decode_node(data).links
    except (DigestError, VerificationError, InputError) as exc:
        raise Problem("wrong-block", str(exc)) from exc
    if before is not None:
        return upload
    if len(data) + sum(link.tsize for link in links) > most:
        raise Problem(
            "wrong-block", "the block links to more bytes than its parent, or the upload, announced"
        )
    return _write_down(state, upload, block, len(data), links, now=now)


def _write_down(
    state: State, upload: Upload, block: CID, size: int, links: tuple[Link, ...], *, now: int
) -> Upload:
    with state.write() as writer:
        (count,) = writer.rows("SELECT count(*) FROM service_blocks WHERE upload = ?", (upload.id,))[0]
        if count + len(links) > MAX_SMALL + upload.bytes // LEAST_BLOCK:
            raise Problem("wrong-block", "the folder has more blocks than its bytes justify")
        for place, link in enumerate(links, count):
            _add_block(writer, upload.id, link.cid, most=link.tsize, place=place)
        changed = writer.execute(
            "UPDATE service_blocks SET size = ? WHERE upload = ? AND cid = ? AND size IS NULL",
            (size, upload.id, block),
        )
        if changed:  # else another request brought it meanwhile
            writer.execute(
                "UPDATE service_uploads SET received = received + ?, touched = ? WHERE id = ?",
                (size, now, upload.id),
            )
        return _found(writer, upload.account, upload.id)


def recheck(state: State, store: Store, upload: Upload) -> None:
    """Mark as missing what the store does not have (any more): unpinned blocks may be collected on the way."""
    with state.read() as reader:
        rows = reader.rows(
            "SELECT cid, size FROM service_blocks WHERE upload = ? AND size IS NOT NULL", (upload.id,)
        )
    lost = [(cid, size) for cid, size in rows if not store.has(cid)]
    with state.write() as writer:
        for cid, size in lost:
            if writer.execute(
                "UPDATE service_blocks SET size = NULL WHERE upload = ? AND cid = ? AND size IS NOT NULL",
                (upload.id, cid),
            ):
                writer.execute(
                    "UPDATE service_uploads SET received = received - ? WHERE id = ?", (size, upload.id)
                )


def mark_complete(state: State, upload: Upload, *, kept: bool, now: int) -> None:
    """Say that a folder is whole, right and pinned. Its blocks need no rows any more."""
    with state.write() as writer:
        writer.execute(
            "UPDATE service_uploads SET state = ?, touched = ? WHERE id = ? AND state = ?",
            (KEPT if kept else COMPLETE, now, upload.id, OPEN),
        )
        writer.execute("DELETE FROM service_blocks WHERE upload = ?", (upload.id,))


def give_up(state: State, store: Store, upload: Upload, *, published: Published) -> None:
    """Forget an upload, and let its folder go if it was pinned for it and nobody published it."""
    with state.write() as writer:
        writer.execute("DELETE FROM service_blocks WHERE upload = ?", (upload.id,))
        writer.execute("DELETE FROM service_uploads WHERE id = ?", (upload.id,))
        others = writer.rows(
            "SELECT 1 FROM service_uploads WHERE folder = ? AND state <> ? LIMIT 1", (upload.folder, OPEN)
        )
    if upload.state == COMPLETE and not others and not published(digest_of(upload.folder)):
        store.unpin(upload.folder)


def sweep_uploads(state: State, store: Store, *, published: Published, now: int) -> int:
    """Give up what was left lying, forget what was published, and return how many uploads went."""
    with state.read() as reader:
        uploads = [_upload(row) for row in reader.rows(f"SELECT {_COLUMNS} FROM service_uploads")]
    gone = 0
    for item in uploads:
        left = item.touched < now - (OPEN_TIME if item.state == OPEN else COMPLETE_TIME)
        if left or (item.state != OPEN and published(digest_of(item.folder))):
            give_up(state, store, item, published=published)
            gone += 1
    return gone


def _found(reader: Transaction, account: Address, name: str) -> Upload:
    # Another account's upload is not there, rather than forbidden: ids tell nothing.
    row = reader.row(f"SELECT {_COLUMNS} FROM service_uploads WHERE id = ? AND account = ?", (name, account))
    if row is None:
        raise Problem("not-found", "there is no such upload of this account")
    return _upload(row)


def _add_block(writer: Transaction, upload: str, cid: CID, *, most: int, place: int) -> None:
    writer.execute(
        "INSERT INTO service_blocks (upload, cid, place, most) VALUES (?, ?, ?, ?) ON CONFLICT (upload, cid) DO NOTHING",
        (upload, cid, place, most),
    )
