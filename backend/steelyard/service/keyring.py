"""Which versions a seed opens, and their key scalars.

``kappa`` follows from the seed and the ``keySalt`` in the version's public manifest (docs/key-delivery.md).
The manifest is anybody's bytes; what decides is that ``kappa*G`` is the key commitment on the chain. So a
disk that is lost loses no sale, and a manifest of somebody else opens nothing.
"""

from __future__ import annotations

import threading
from typing import Final

from steelyard.crypto.delivery import key_commitment
from steelyard.crypto.derive import key_scalar
from steelyard.crypto.secret import Secret
from steelyard.domain import manifest as manifests
from steelyard.domain.canonical import MAX_BYTES
from steelyard.domain.types import Version, VersionId
from steelyard.errors import DigestError, InputError, UnsafeError, VerificationError
from steelyard.service.context import Context
from steelyard.service.public import MANIFEST, folder_cid

SCHEME: Final = 1
"""The only way of delivery that this package knows."""


class Keyring:
    """The key scalars of an account's seed.

    It remembers salts, which are public, and never a scalar. Safe to use from several threads.
    """

    def __init__(self, context: Context) -> None:
        """Remember whose seed; nothing is fetched."""
        self._context = context
        self._lock = threading.Lock()
        self._salts: dict[VersionId, bytes | None] = {}

    def opens(self, version: Version) -> bool:
        """Whether the seed gives the key of a version.

        Raises:
            NotFoundError: the store does not have the version's manifest now.
            DigestError: the store returned other bytes.
            StoreError: the store did not answer.
        """
        with self._lock:
            if version.id in self._salts:
                return self._salts[version.id] is not None
        salt = self._find(version)
        with self._lock:
            self._salts[version.id] = salt
        return salt is not None

    def kappa(self, version: Version) -> Secret:
        """Return the key scalar of a version.

        Raises:
            UnsafeError: the seed does not give its key.
            NotFoundError: as in :meth:`opens`.
            StoreError: as in :meth:`opens`.
        """
        if not self.opens(version):
            raise UnsafeError(
                f"the seed of this account does not give the key of version 0x{version.id.hex()}"
            )
        salt = self._salts[version.id]
        assert salt is not None
        return self._derive(version, salt)

    def _find(self, version: Version) -> bytes | None:
        if version.scheme != SCHEME:
            return None
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
