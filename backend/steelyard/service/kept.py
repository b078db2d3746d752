"""Imported version keys below home; docs/key-delivery.md, "Kept by the new owner"."""

from __future__ import annotations

from pathlib import Path

from steelyard.crypto.curve import N
from steelyard.crypto.delivery import key_commitment
from steelyard.crypto.kept import open_kept, seal_kept
from steelyard.crypto.secret import Secret
from steelyard.domain.types import Version, VersionId
from steelyard.errors import ConfigError, InputError, SealError, WrongKeyError
from steelyard.service.context import Context
from steelyard.service.files import private_folder, write_private

_MAX_LINE = 256


def check_key(version: Version, kappa: Secret) -> Secret:
    """Return a key scalar if it is that of a version, as the chain is committed to it.

    Raises:
        WrongKeyError: it is not.
    """
    if not 1 <= kappa.scalar() < N or key_commitment(kappa) != version.key:
        raise WrongKeyError(
            f"the key given for version 0x{version.id.hex()} is not the one that the chain has"
        )
    return kappa


class KeptKeys:
    """The imported keys of one account in one market. They only deliver; nothing is published under them."""

    def __init__(self, context: Context) -> None:
        """Remember where; nothing is read, and no folder made."""
        self._context = context

    def find(self, version: Version) -> Secret | None:
        """Return the key scalar of a version, checked against its commitment, or None if none is kept.

        Raises:
            SealError: the file was altered, or is damaged.
            WrongKeyError: it holds another key.
        """
        if not self._context.has_home:
            return None
        path = self.path(version.id)
        try:
            with path.open("rb") as file:
                line = file.read(_MAX_LINE)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise SealError(f"cannot read the kept key {path}: {exc.strerror}") from exc
        try:
            found = open_kept(
                line,
                owner=self._context.account.key,
                chain_id=self._context.chain_id,
                registry=self._context.deployment.assets,
                version=version.id,
            )
        except (InputError, SealError) as exc:
            raise SealError(f"{path}: {exc}; import the key again") from exc
        return check_key(version, found)

    def keep(self, version: Version, kappa: Secret) -> None:
        """Write the key scalar of a version, whole or not at all; what was there is replaced.

        Raises:
            WrongKeyError: it is not this version's.
            ConfigError: the market has no home, so the key would be lost with this object.
            InputError: it cannot be written.
        """
        if not self._context.has_home:
            raise ConfigError("a key that is imported needs a home folder: open the market with one")
        line = seal_kept(
            check_key(version, kappa),
            owner=self._context.account.key,
            chain_id=self._context.chain_id,
            registry=self._context.deployment.assets,
            version=version.id,
        )
        path = self.path(version.id)
        private_folder(path.parent)
        write_private(path, line, replace=True)

    def path(self, version: VersionId) -> Path:
        """Return where the key of a version is or would be kept."""
        context = self._context
        return context.home / "keys" / context.account.address.hex() / f"{version.hex()}.key"
