"""Which versions an account opens, and their key scalars: imported ones, and those of its seed.

``kappa`` follows from the seed and the ``keySalt`` in the version's public manifest (docs/key-delivery.md).
The manifest is anybody's bytes; what decides is that ``kappa*G`` is the key commitment on the chain. So a
disk that is lost loses no sale, and a manifest of somebody else opens nothing. Keys that were imported are
looked at first, since they need no store, and checked in the same way.
"""

from __future__ import annotations

import enum
import threading
from typing import Final

from steelyard.crypto.delivery import key_commitment
from steelyard.crypto.derive import key_scalar
from steelyard.crypto.secret import Secret
from steelyard.domain import manifest as manifests
from steelyard.domain.canonical import MAX_BYTES
from steelyard.domain.types import Version, VersionId
from steelyard.errors import (
    DigestError,
    InputError,
    SealError,
    UnsafeError,
    VerificationError,
    WrongKeyError,
)
from steelyard.service.context import Context
from steelyard.service.kept import KeptKeys
from steelyard.service.public import MANIFEST, folder_cid

SCHEME: Final = 1
"""The only way of delivery that this package knows."""


class KeySource(enum.Enum):
    """Where an account has the key of a version from."""

    IMPORTED = "imported"
    SEED = "seed"
    NONE = "none"


class Keyring:
    """The key scalars that an account has.

    It remembers salts, which are public, and never a scalar. Safe to use from several threads. A key that is
    imported meanwhile is found at the next question.
    """

    def __init__(self, context: Context) -> None:
        """Remember whose keys; nothing is fetched."""
        self._context = context
        self._kept = KeptKeys(context)
        self._lock = threading.Lock()
        self._salts: dict[VersionId, bytes | None] = {}

    def opens(self, version: Version) -> bool:
        """Whether the account has the key of a version; raises what :meth:`source` does."""
        return self.source(version) is not KeySource.NONE

    def source(self, version: Version) -> KeySource:
        """Return where the account has the key of a version from.

        Raises:
            NotFoundError: the store does not have the version's manifest now.
            DigestError: the store returned other bytes.
            StoreError: the store did not answer.
            SealError: the key was imported, its file is damaged, and the seed does not give it.
            WrongKeyError: likewise, and it holds another key.
        """
        return self._find(version)[0]

    def kappa(self, version: Version) -> Secret:
        """Return the key scalar of a version.

        Raises:
            UnsafeError: the account does not have it.
            NotFoundError: and the other errors of :meth:`source`.
        """
        found = self._find(version)[1]
        if found is None:
            raise UnsafeError(
                f"the seed of this account does not give the key of version 0x{version.id.hex()}, and it was "
                "not imported: ask the former owner for a file of `steelyard keys export`"
            )
        return found

    def _find(self, version: Version) -> tuple[KeySource, Secret | None]:
        if version.scheme != SCHEME:
            return KeySource.NONE, None
        damage: VerificationError | None = None
        try:
            kept = self._kept.find(version)
        except (SealError, WrongKeyError) as exc:
            kept, damage = None, exc
        if kept is not None:
            return KeySource.IMPORTED, kept
        salt = self._salt(version)
        if salt is not None:
            return KeySource.SEED, self._derive(version, salt)
        if damage is not None:
            raise damage
        return KeySource.NONE, None

    def _salt(self, version: Version) -> bytes | None:
        """Return the salt under which the seed gives the key, or None if it does not."""
        with self._lock:
            if version.id in self._salts:
                return self._salts[version.id]
        salt = self._read_salt(version)
        with self._lock:
            self._salts[version.id] = salt
        return salt

    def _read_salt(self, version: Version) -> bytes | None:
        store = self._context.store
        try:
            cid = store.resolve(folder_cid(version), MANIFEST)
            salt = manifests.parse(store.read_file(cid, max_size=MAX_BYTES)).key_salt
        except DigestError:
            raise  # the store's fault; the right bytes may come
        except (InputError, VerificationError):
            return None  # what the chain commits to is no version of ours, and never will be
        return salt if key_commitment(self._derive(version, salt)) == version.key else None

    def _derive(self, version: Version, salt: bytes) -> Secret:
        context = self._context
        return key_scalar(
            context.account.seed,
            salt=salt,
            chain_id=context.chain_id,
            registry=context.deployment.assets,
            asset=version.asset,
        )
