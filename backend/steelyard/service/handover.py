"""Handing version keys over: export to a file, import from one, and which versions have a key here.

Format, checks and attacker model: docs/key-delivery.md, "Handing keys over".
"""

from __future__ import annotations

from pathlib import Path

from steelyard.crypto.handover import MAX_FILE, KeyFile, open_keys, read_file, seal_keys
from steelyard.crypto.secret import Secret
from steelyard.domain.records import AssetState, VersionState
from steelyard.domain.types import VersionId
from steelyard.errors import (
    DigestError,
    InputError,
    NotFoundError,
    SealError,
    UnavailableError,
    UnsafeError,
    WrongKeyError,
)
from steelyard.service.context import Context
from steelyard.service.deliver import served_assets
from steelyard.service.files import write_private
from steelyard.service.kept import KeptKeys, check_key
from steelyard.service.keyring import Keyring
from steelyard.service.naming import asset_name, find_asset, pick_version
from steelyard.service.results import KeyHandover, VersionKey


def export_keys(context: Context, text: str, path: Path, *, password: str) -> KeyHandover:
    """Write version keys to a file; see :meth:`steelyard.Market.export_keys`."""
    asset = find_asset(context, text)
    wanted = context.parse(text).version
    chosen = list(asset.versions.values()) if wanted is None else [pick_version(asset, wanted)]
    keyring = Keyring(context)
    keys: list[tuple[VersionId, Secret]] = []
    missing: list[int] = []
    for version in chosen:
        try:
            keys.append((version.id, keyring.kappa(version.commitments)))
        except UnsafeError:
            if wanted is not None:
                raise
            missing.append(version.number)
    if not keys:
        raise UnsafeError(
            f"this account has no key of {asset_name(context, asset)}: there is nothing to hand over"
        )
    data = seal_keys(
        keys,
        chain_id=context.chain_id,
        registry=context.deployment.assets,
        asset=asset.id,
        password=password,
    )
    path = path.absolute()
    if not context.dry:
        write_private(path, data)
    given = {version for version, _ in keys}
    return _handover(context, asset, [item for item in chosen if item.id in given], missing, path)


def import_keys(context: Context, path: Path, *, password: str) -> KeyHandover:
    """Take over version keys; see :meth:`steelyard.Market.import_keys`."""
    path = path.absolute()
    file = read_file(_read(path))
    _require_this_market(context, file)
    keys = open_keys(file, password=password)
    try:
        asset = context.follow(file.asset).state()
    except NotFoundError as exc:
        raise NotFoundError(f"the asset 0x{file.asset.hex()} of the key file is not on this chain") from exc
    # All are checked before one is kept.
    checked: list[tuple[VersionState, Secret]] = []
    for identity, kappa in keys:
        version = asset.versions.get(identity)
        if version is None:
            raise NotFoundError(f"{asset.label} has no version 0x{identity.hex()} on this chain")
        checked.append((version, check_key(version.commitments, kappa)))
    if not context.dry:
        kept = KeptKeys(context)
        for version, kappa in checked:
            kept.keep(version.commitments, kappa)
    return _handover(context, asset, [version for version, _ in checked], [], path)


def version_keys(context: Context, text: str | None) -> tuple[VersionKey, ...]:
    """Return which versions have a key here; see :meth:`steelyard.Market.version_keys`."""
    keyring = Keyring(context)
    return tuple(
        VersionKey(
            ref=asset_name(context, asset, version.number),
            asset=asset.id,
            version=version.id,
            source=_source(keyring, version),
        )
        for asset in served_assets(context, text)
        for version in asset.versions.values()
    )


def _source(keyring: Keyring, version: VersionState) -> str:
    try:
        return keyring.source(version.commitments).value
    except (SealError, WrongKeyError):
        return "damaged"
    except (NotFoundError, DigestError, UnavailableError):
        return "unknown"


def _handover(
    context: Context, asset: AssetState, versions: list[VersionState], missing: list[int], path: Path
) -> KeyHandover:
    return KeyHandover(
        ref=asset_name(context, asset),
        asset=asset.id,
        versions=tuple(sorted(version.number for version in versions)),
        missing=tuple(missing),
        path=path,
    )


def _require_this_market(context: Context, file: KeyFile) -> None:
    if file.chain_id != context.chain_id:
        raise InputError(
            f"the key file is of chain {file.chain_id}, and this market is on chain {context.chain_id}"
        )
    if file.registry != context.deployment.assets:
        raise InputError(
            f"the key file is of the registry 0x{file.registry.hex()}, and this market's is "
            f"0x{context.deployment.assets.hex()}"
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as exc:
        raise InputError(f"cannot read the key file {path}: {exc.strerror}") from exc
