"""The audit trail: an asset's whole history with its proofs, exported, and verified again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from steelyard.audit.build import Build, load
from steelyard.audit.bundle import parse as parse_bundle
from steelyard.audit.collect import collect
from steelyard.audit.compare import BUNDLE_SUFFIX
from steelyard.audit.entry import Entry
from steelyard.audit.export import export as export_history
from steelyard.audit.verify import Anchors, Verified, verify
from steelyard.chain.artifacts import CONTRACTS
from steelyard.domain.events import TrailEvent, decode_event
from steelyard.domain.header import parse as parse_header
from steelyard.domain.records import AssetState
from steelyard.domain.state import fold
from steelyard.errors import InputError, RefusedError
from steelyard.service.context import Context
from steelyard.service.naming import find_asset

MAX_BUNDLE: Final = 1 << 26
"""Most bytes of a bundle, docs/trail.md."""
_SPAN: Final = 10_000


def trail(context: Context, text: str) -> tuple[TrailEvent, ...]:
    """Return the verified history of an asset; see :meth:`steelyard.Market.trail`."""
    _, verified = _collect(context, text)
    return tuple(_event(entry) for entry in verified.entries)


def export(context: Context, text: str, path: Path, *, format: str, proofs: bool = False) -> Path:
    """Write the verified history of an asset; see :meth:`steelyard.Market.export`."""
    data, verified = _collect(context, text)
    if proofs and format != "bundle":
        _write(path.with_name(path.name + BUNDLE_SUFFIX), [data])
    _write(path, [data if format == "bundle" else export_history(verified, format=format).encode()])
    return path


def write_text(path: Path, pieces: Iterable[str]) -> None:
    """Write a file out of pieces, whole or not at all, in constant memory.

    Raises:
        InputError: it cannot be written.
    """
    _write(path, (piece.encode() for piece in pieces))


def verify_bundle(context: Context, path: Path, *, block_hash: bytes | None) -> AssetState:
    """Verify a bundle; see :meth:`steelyard.Market.verify_bundle`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE + 1)
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}") from exc
    if block_hash is None:
        number = parse_header(parse_bundle(data).header).number
        block_hash = context.rpc.get_block(number).hash
    anchors = Anchors(
        chain_id=context.chain_id,
        directory=context.deployment.directory,
        block_hash=block_hash,
        builds=shipped_builds(),
    )
    return state_of(verify(data, anchors=anchors))


def state_of(verified: Verified) -> AssetState:
    """Return the state that a verified history leads to.

    Raises:
        RefusedError: there is no entry: the asset did not exist at that block.
    """
    events = [_event(entry) for entry in verified.entries]
    found = fold(events, block=verified.block.number).assets.get(verified.asset)
    if found is None:
        raise RefusedError(f"asset 0x{verified.asset.hex()} did not exist at block {verified.block.number}")
    return found


def shipped_builds() -> Mapping[str, Build]:
    """Return the builds that this package ships, by name."""
    folder = files("steelyard.chain") / "abi"
    return {name: load(json.loads((folder / f"{name}.json").read_bytes())) for name in CONTRACTS}


def _collect(context: Context, text: str) -> tuple[bytes, Verified]:
    return collect(
        context.rpc,
        directory=context.deployment.directory,
        asset=find_asset(context, text).id,
        builds=shipped_builds(),
        first_block=context.deployment.start_block,
        span=_SPAN,
    )


def _event(entry: Entry) -> TrailEvent:
    return decode_event(
        entry.topics,
        entry.data,
        contract=entry.contract,
        block=entry.block,
        time=entry.time,
        log=entry.log,
        tx=entry.tx,
    )


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file, whole or not at all."""
    name = ""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}-")
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        name = ""
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc
    finally:
        if name:
            os.unlink(name)
