"""Encrypted key files, Web3 Secret Storage version 3, as cast, geth and brownie write and read them.

Source: the Web3 Secret Storage definition of ethereum.org. Written here because importing ``eth_account``
costs half a second in the command line; the tests use it as oracle in both directions.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from steelyard.crypto.curve import G, N, address, mul
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256
from steelyard.domain.jsontext import parse_json
from steelyard.errors import InputError, SealError

SCRYPT_N: Final = 1 << 18
"""Cost of new files: 256 MiB of memory and about half a second."""
_MAX_FILE: Final = 1 << 16
_MAX_SCRYPT_MEMORY: Final = 1 << 30
_MAX_SCRYPT_WORK: Final = 1 << 24
_MAX_PBKDF2: Final = 10_000_000


def encrypt(secret: Secret, *, password: str, scrypt_n: int = SCRYPT_N) -> dict[str, object]:
    """Return the key file of a private key (or a seed that is a valid one).

    Args:
        secret: 32 bytes, as a scalar in ``[1, n)``.
        password: any text; encoded as UTF-8.
        scrypt_n: cost, a power of two. Tests lower it.

    Raises:
        InputError: the secret is no private key of secp256k1.
    """
    if not 1 <= secret.scalar() < N:
        raise InputError("the secret is not a private key of secp256k1")
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    derived = Scrypt(salt=salt, length=32, n=scrypt_n, r=8, p=1).derive(password.encode())
    ciphertext = _ctr(derived, iv, secret.reveal())
    return {
        "version": 3,
        "id": str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
        "address": address(mul(secret.scalar(), G)).hex(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": scrypt_n, "p": 1, "r": 8, "salt": salt.hex()},
            "mac": keccak256(derived[16:] + ciphertext).hex(),
        },
    }


def decrypt(document: Mapping[str, object], *, password: str) -> Secret:
    """Return the secret of a key file, scrypt or PBKDF2.

    Raises:
        InputError: the file is malformed, of another version, or asks for absurd work.
        SealError: the password is wrong, or the file was altered.
    """
    # geth's oldest files write "Crypto".
    crypto = _mapping(document.get("crypto", document.get("Crypto")), "crypto")
    if document.get("version") != 3 or crypto.get("cipher") != "aes-128-ctr":
        raise InputError("not a version 3 key file with aes-128-ctr")
    ciphertext = _hex(crypto.get("ciphertext"), "ciphertext")
    iv = _hex(_mapping(crypto.get("cipherparams"), "cipherparams").get("iv"), "iv")
    if len(ciphertext) != 32 or len(iv) != 16:
        raise InputError("the key file's ciphertext or iv has the wrong length")
    derived = _derive(crypto.get("kdf"), _mapping(crypto.get("kdfparams"), "kdfparams"), password.encode())
    if not hmac.compare_digest(keccak256(derived[16:32] + ciphertext), _hex(crypto.get("mac"), "mac")):
        raise SealError("the password is wrong, or the key file was altered")
    return Secret(_ctr(derived, iv, ciphertext))


def save(path: Path, secret: Secret, *, password: str, scrypt_n: int = SCRYPT_N) -> None:
    """Write a key file with mode 0600, whole or not at all.

    Raises:
        InputError: the file exists (a key is never overwritten), or the secret is no private key.
        OSError: the folder cannot be written.
    """
    data = json.dumps(encrypt(secret, password=password, scrypt_n=scrypt_n)).encode()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".keystore-")  # mkstemp gives mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)  # unlike a rename, fails if the name is taken
    except FileExistsError as exc:
        raise InputError(f"{path} exists; a key file is never overwritten") from exc
    finally:
        os.unlink(name)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: Path, *, password: str) -> Secret:
    """Read a key file.

    Raises:
        InputError: there is no such file, or it is malformed.
        SealError: the password is wrong, or the file was altered.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as exc:
        raise InputError(f"cannot read the key file {path}: {exc.strerror}") from exc
    if len(data) > _MAX_FILE:
        raise InputError(f"{path} is too large for a key file")
    try:
        document = parse_json(data)
    except ValueError:
        # Without the cause, whose message could quote the file.
        raise InputError(f"{path} is not a JSON key file") from None
    return decrypt(_mapping(document, "the key file"), password=password)


def _derive(kdf: object, params: Mapping[str, object], password: bytes) -> bytes:
    salt, length = _hex(params.get("salt"), "salt"), _integer(params, "dklen")
    if length != 32:
        raise InputError("the key file's dklen must be 32")
    if kdf == "scrypt":
        n, r, p = (_integer(params, name) for name in "nrp")
        # Bounded, because a hostile file could ask for all memory.
        if n < 2 or n & (n - 1) or not 1 <= r <= 64 or p < 1:
            raise InputError("the key file's scrypt parameters are invalid")
        if 128 * n * r > _MAX_SCRYPT_MEMORY or n * r * p > _MAX_SCRYPT_WORK:
            raise InputError("the key file's scrypt parameters ask for too much memory or time")
        return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(password)
    if kdf == "pbkdf2" and params.get("prf") == "hmac-sha256":
        rounds = _integer(params, "c")
        if not 1 <= rounds <= _MAX_PBKDF2:
            raise InputError("the key file's PBKDF2 count is out of range")
        return PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=rounds).derive(password)
    raise InputError("the key file's key derivation is neither scrypt nor pbkdf2 with hmac-sha256")


def _ctr(derived: bytes, iv: bytes, data: bytes) -> bytes:
    return Cipher(AES(derived[:16]), CTR(iv)).encryptor().update(data)


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InputError(f"{name} must be an object")
    return value


def _hex(value: object, name: str) -> bytes:
    if not isinstance(value, str):
        raise InputError(f"the key file's {name} must be hex")
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except ValueError as exc:
        raise InputError(f"the key file's {name} must be hex") from exc


def _integer(params: Mapping[str, object], name: str) -> int:
    value = params.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"the key file's {name} must be an integer")
    return value
