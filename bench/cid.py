"""The CID of a file against SHA-256 alone."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bench.rounds import interleave
from bench.row import Outcome, Row
from bench.setting import MB, MIB, Setting
from steelyard.storage.unixfs import file_cid

_HELIA = 882.0
"""MB/s of Helia 7's importer on another machine of 2 cores; npm's lock file here does not install it."""


def _ours(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file_cid(file)


def _sha256(path: Path) -> None:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(MIB))
    with path.open("rb", buffering=0) as file:
        while got := file.readinto(buffer):
            digest.update(buffer[:got])
    digest.digest()


def rows(setting: Setting) -> list[Outcome]:
    """Return the row."""
    path = setting.folder / "file"
    with path.open("wb") as file:
        for _ in range(0, setting.size, MIB):
            file.write(os.urandom(MIB))
    times = interleave({"ours": lambda: _ours(path), "bare": lambda: _sha256(path)}, rounds=setting.rounds)
    limit = setting.size / MB / times.median("bare")
    return [
        Row(
            name="CID of a file, 1 thread",
            unit="MB/s",
            ours=setting.size / MB / times.median("ours"),
            peer=_HELIA,
            limit=limit,
            share=0.85,
            ratio=times.speedup("ours", "bare"),
            against="limit: SHA-256 alone; peer: Helia, quoted from another run",
        )
    ]
