"""The content hash: what two indexes at one block agree in, whatever their history and their database (docs/index.md)."""

from __future__ import annotations

import hashlib

from steelyard.indexer import schema
from steelyard.indexer.database import Reader


def content_hash(reader: Reader) -> bytes:
    """Return the hash over the tables that the log alone makes, 32 bytes; streamed, in constant memory.

    SHA-256 of, for each table: its name in quotation marks, a line feed, and each row in the order of its key as a JSON array without
    spaces, with bytes in hexadecimal, and a line feed.
    """
    digest = hashlib.sha256()
    for table in schema.HASHED:
        digest.update(f'"{table}"\n'.encode())
        key = ", ".join(schema.quoted(column) for column in schema.KEYS[table])
        for row in reader.each(f"SELECT {schema.column_list(table)} FROM {table} ORDER BY {key}"):
            digest.update(f"[{','.join(map(_json, row))}]\n".encode())
    return digest.digest()


def _json(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    # Names are letters, digits and ._- or hexadecimal: nothing to escape.
    return f'"{value.hex() if isinstance(value, bytes) else value}"'
