"""A version's key scalar as its new owner keeps it: sealed under a key that follows from his private key.

Format: docs/key-delivery.md, "Kept by the new owner".
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from steelyard.crypto.encoding import exact, uint
from steelyard.crypto.secret import Secret
from steelyard.errors import InputError, SealError

LABEL: Final = b"steelyard/kept-key/v1"
_NONCE: Final = bytes(12)
_SIZE: Final = 48


def seal_kept(kappa: Secret, *, owner: Secret, chain_id: int, registry: bytes, version: bytes) -> bytes:
    """Return the line that keeps a version's key scalar.

    The same arguments give the same bytes. That is safe: key and nonce belong to this version, and a version
    has one scalar.

    Args:
        kappa: key scalar, checked against the version's commitment.
        owner: private key of the account that keeps it.
        chain_id: EIP-155 chain id.
        registry: address of the registry, 20 bytes.
        version: version id, 32 bytes.

    Raises:
        InputError: an argument has the wrong length or range.
    """
    sealed = _cipher(owner, chain_id, registry, version).encrypt(_NONCE, kappa.reveal(), None)
    return LABEL + b" " + sealed.hex().encode() + b"\n"


def open_kept(line: bytes, *, owner: Secret, chain_id: int, registry: bytes, version: bytes) -> Secret:
    """Return the key scalar in such a line; arguments as in :func:`seal_kept`.

    Raises:
        InputError: it is no such line, or of another format than this package knows.
        SealError: it was altered, or belongs to another account, chain, registry or version.
    """
    label, _, digits = line.rstrip(b"\n").partition(b" ")
    try:
        sealed = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        sealed = b""
    if label != LABEL or len(sealed) != _SIZE:
        raise InputError("not a key that was kept by this package, or damaged")
    try:
        return Secret(_cipher(owner, chain_id, registry, version).decrypt(_NONCE, sealed, None))
    except InvalidTag:
        raise SealError("the kept key was altered, or belongs to another account or version") from None


def _cipher(owner: Secret, chain_id: int, registry: bytes, version: bytes) -> AESGCM:
    info = LABEL + uint(chain_id) + exact(registry, 20, "registry") + exact(version, 32, "version")
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=b"", info=info).derive(owner.reveal()))
