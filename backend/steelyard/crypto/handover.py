"""The file that hands the key scalars of an asset's versions over, sealed under a password.

Format and attacker model: docs/key-delivery.md, "Handing keys over". Whether a scalar is the right one is for
the reader to check against the chain; here only the file is.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from steelyard.crypto.keystore import SCRYPT_N
from steelyard.crypto.secret import Secret
from steelyard.domain import canonical
from steelyard.domain.types import Address, AssetId, VersionId
from steelyard.errors import InputError, ManifestError, SealError

FORMAT: Final = "steelyard/version-keys/v1"
MAX_FILE: Final = 1 << 20
MAX_VERSIONS: Final = 4096
LEAST_PASSWORD: Final = 12
"""Characters. The file travels, so whoever gets hold of it can guess at leisure."""
_NONCE: Final = bytes(12)
_FIELDS: Final = {"format", "chain", "registry", "asset", "versions", "salt", "sealed"}
_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_CHAIN: Final = re.compile(r"[1-9][0-9]{0,77}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class KeyFile:
    """What a file of version keys says in the clear.

    Attributes:
        chain_id: EIP-155 chain id.
        registry: address of the registry, 20 bytes.
        asset: the asset.
        versions: its versions, in the order of their keys.
        salt: of the password, 32 bytes.
        sealed: the keys, 32 bytes each, encrypted, and a tag of 16.
    """

    chain_id: int
    registry: Address
    asset: AssetId
    versions: tuple[VersionId, ...]
    salt: bytes
    sealed: bytes

    def header(self) -> bytes:
        """Return the canonical bytes of all but ``sealed``; the tag covers them."""
        return canonical.encode(self._open())

    def to_bytes(self) -> bytes:
        """Return the file."""
        return canonical.encode({**self._open(), "sealed": _text(self.sealed)})

    def _open(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "chain": str(self.chain_id),
            "registry": _text(self.registry),
            "asset": _text(self.asset),
            "versions": [_text(version) for version in self.versions],
            "salt": _text(self.salt),
        }


def seal_keys(
    keys: Sequence[tuple[VersionId, Secret]],
    *,
    chain_id: int,
    registry: Address,
    asset: AssetId,
    password: str,
    scrypt_n: int = SCRYPT_N,
) -> bytes:
    """Return the file with the key scalars of some versions of an asset.

    Args:
        keys: versions, all different, and their scalars.
        chain_id: EIP-155 chain id.
        registry: address of the registry, 20 bytes.
        asset: the asset.
        password: at least 12 characters.
        scrypt_n: a constant of the format; tests lower it.

    Raises:
        InputError: the password is too short, or there is no version, or too many.
    """
    if len(password) < LEAST_PASSWORD:
        raise InputError(f"a file that travels needs a password of at least {LEAST_PASSWORD} characters")
    versions = tuple(version for version, _ in keys)
    if not 1 <= len(versions) <= MAX_VERSIONS or len(set(versions)) != len(versions):
        raise InputError(f"a key file holds the keys of 1 to {MAX_VERSIONS} different versions")
    salt = secrets.token_bytes(32)
    made = KeyFile(
        chain_id=chain_id, registry=registry, asset=asset, versions=versions, salt=salt, sealed=b""
    )
    plain = b"".join(key.reveal() for _, key in keys)
    # A constant nonce: the key follows from a fresh salt, and seals this one text.
    sealed = AESGCM(_derive(password, salt, scrypt_n)).encrypt(_NONCE, plain, made.header())
    return KeyFile(
        chain_id=chain_id, registry=registry, asset=asset, versions=versions, salt=salt, sealed=sealed
    ).to_bytes()


def read_file(data: bytes) -> KeyFile:
    """Read what a file says in the clear; nothing of it is authenticated yet.

    Raises:
        InputError: it is no key file, is damaged, or is of another format than this package knows.
    """
    if len(data) > MAX_FILE:
        raise InputError(f"the file is too large for version keys: {len(data)} bytes")
    try:
        value = canonical.decode(data)
    except ManifestError:
        # Without the cause, whose message could quote the file.
        raise InputError("the file is damaged, or does not hold version keys") from None
    if not isinstance(value, dict) or not isinstance(value.get("format"), str):
        raise InputError("the file does not hold version keys")
    if value["format"] != FORMAT:
        raise InputError(
            f"the file is of format {value['format'][:60]!r}; this package reads {FORMAT!r} only"
        )
    chain, versions = value.get("chain"), value.get("versions")
    if set(value) != _FIELDS or not isinstance(chain, str) or not _CHAIN.fullmatch(chain):
        raise InputError("the file of version keys is damaged")
    if not isinstance(versions, list) or not 1 <= len(versions) <= MAX_VERSIONS:
        raise InputError(f"a key file holds the keys of 1 to {MAX_VERSIONS} versions")
    found = KeyFile(
        chain_id=int(chain),
        registry=Address(_bytes(value["registry"], 20)),
        asset=AssetId(_bytes(value["asset"], 32)),
        versions=tuple(VersionId(_bytes(item, 32)) for item in versions),
        salt=_bytes(value["salt"], 32),
        sealed=_bytes(value["sealed"], 32 * len(versions) + 16),
    )
    if len(set(found.versions)) != len(versions):
        raise InputError("the file names a version twice")
    return found


def open_keys(file: KeyFile, *, password: str, scrypt_n: int = SCRYPT_N) -> list[tuple[VersionId, Secret]]:
    """Return the key scalars in a file, unchecked, each with its version.

    Raises:
        SealError: the password is wrong, or the file was altered.
    """
    try:
        plain = AESGCM(_derive(password, file.salt, scrypt_n)).decrypt(_NONCE, file.sealed, file.header())
    except InvalidTag:
        raise SealError("the password of the key file is wrong, or the file was altered") from None
    return [
        (version, Secret(plain[32 * place : 32 * place + 32])) for place, version in enumerate(file.versions)
    ]


def _derive(password: str, salt: bytes, scrypt_n: int) -> bytes:
    # Keyboards compose accents differently; two people must get one key from one password.
    text = unicodedata.normalize("NFC", password).encode()
    return Scrypt(salt=FORMAT.encode() + salt, length=32, n=scrypt_n, r=8, p=1).derive(text)


def _text(value: bytes) -> str:
    return "0x" + value.hex()


def _bytes(value: object, size: int) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) != 2 + 2 * size:
        raise InputError("the file of version keys is damaged")
    return bytes.fromhex(value[2:])
