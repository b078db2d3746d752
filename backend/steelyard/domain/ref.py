"""References: how people and programs name assets and versions.

========================================  ==================================================================
``0xabc.../digits``                       the asset that this account registered under this name
``alice/digits``                          the same, by an alias from the configuration
``0x<64 hex>``                            an asset by its id
``eip155:<chain>/<registry>/<asset id>``  the same, for any market: canonical, what is pinned and exported
========================================  ==================================================================

Each may end in ``@2`` (a number), ``@latest`` or ``@0x<64 hex>`` (a version's id). Names are folded to lower
case. Parsing asks nobody; what a reference means is looked up afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from steelyard.domain.types import Address, AssetId, VersionId, asset_id, name_word
from steelyard.errors import InputError, NotFoundError

LATEST: Final = "latest"
MAX_LENGTH: Final = 300

_ID: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_ALIAS: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_CANONICAL: Final = re.compile(r"eip155:([1-9][0-9]{0,19})/(0x[0-9a-fA-F]{40})/(0x[0-9a-fA-F]{64})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Ref:
    """A parsed reference.

    Attributes:
        asset: id, where the reference gives it; else ``creator`` and ``name`` are given.
        creator: who registered it.
        name: its name, folded.
        chain_id: of a canonical reference, else None.
        registry: of a canonical reference, else None.
        version: number, id, ``"latest"``, or None if none is named.
    """

    asset: AssetId | None = None
    creator: Address | None = None
    name: str = ""
    chain_id: int | None = None
    registry: Address | None = None
    version: int | VersionId | str | None = None

    def asset_id(self, *, chain_id: int, registry: Address) -> AssetId:
        """Return the asset's id in one market.

        Raises:
            InputError: the reference is of another chain or registry.
        """
        if self.chain_id is not None and (self.chain_id, self.registry) != (chain_id, registry):
            raise InputError(
                f"the reference is of chain {self.chain_id}, and this market is on chain {chain_id}"
                if self.chain_id != chain_id
                else "the reference is of another registry than this market's"
            )
        if self.asset is not None:
            return self.asset
        assert self.creator is not None
        return asset_id(chain_id=chain_id, registry=registry, creator=self.creator, name=name_word(self.name))

    def without_version(self) -> Ref:
        """Return the reference to the asset itself."""
        return replace(self, version=None)


def parse(text: str, *, aliases: Mapping[str, Address] | None = None) -> Ref:
    """Read a reference.

    Args:
        text: as in the table above.
        aliases: names for creators' addresses.

    Raises:
        InputError: it is no reference.
        NotFoundError: it names an alias that is not configured.
    """
    if len(text) > MAX_LENGTH:
        raise InputError("that is no reference: it is too long")
    base, at, tail = text.strip().partition("@")
    version = _version(tail, text) if at else None
    if match := _CANONICAL.fullmatch(base):
        return Ref(
            asset=AssetId(bytes.fromhex(match[3][2:])),
            chain_id=int(match[1]),
            registry=Address(bytes.fromhex(match[2][2:])),
            version=version,
        )
    if _ID.fullmatch(base):
        return Ref(asset=AssetId(bytes.fromhex(base[2:])), version=version)
    owner, slash, name = base.partition("/")
    if not slash or "/" in name or not owner:
        raise InputError(
            f"{text!r} is no reference: write <creator>/<name>, or eip155:<chain>/<registry>/<asset id>"
        )
    name_word(name)
    return Ref(creator=_creator(owner, aliases or {}), name=name.lower(), version=version)


def canonical(asset: AssetId, *, chain_id: int, registry: Address, version: VersionId | None = None) -> str:
    """Return the canonical reference of an asset or a version."""
    text = f"eip155:{chain_id}/0x{registry.hex()}/0x{asset.hex()}"
    return text if version is None else f"{text}@0x{version.hex()}"


def short(
    creator: Address, name: str, *, aliases: Mapping[str, Address] | None = None, version: int | None = None
) -> str:
    """Return a reference for people: ``alice/digits@2``, or with the creator's address if he has no alias."""
    known = sorted(alias for alias, address in (aliases or {}).items() if address == creator)
    text = f"{known[0] if known else '0x' + creator.hex()}/{name}"
    return text if version is None else f"{text}@{version}"


def check_alias(alias: str) -> str:
    """Return an alias if it can stand in a reference.

    Raises:
        InputError: it has another character than ``a-z 0-9 . _ -``, or looks like an address.
    """
    if not _ALIAS.fullmatch(alias) or alias.startswith("0x"):
        raise InputError(f"{alias!r} is no alias: 1 to 63 of a-z, 0-9, '.', '_', '-', not starting with 0x")
    return alias


def _creator(text: str, aliases: Mapping[str, Address]) -> Address:
    if _ADDRESS.fullmatch(text):
        return Address(bytes.fromhex(text[2:]))
    alias = check_alias(text.lower())
    if alias not in aliases:
        raise NotFoundError(
            f"no alias {alias!r}: use the creator's address, or add the alias to the configuration"
        )
    return aliases[alias]


def _version(text: str, whole: str) -> int | VersionId | str:
    if text == LATEST:
        return LATEST
    if _NUMBER.fullmatch(text):
        return int(text)
    if _ID.fullmatch(text):
        return VersionId(bytes.fromhex(text[2:]))
    raise InputError(
        f"{whole!r} names no version: after the @ goes a number from 1, 'latest', or 0x and 64 digits"
    )
