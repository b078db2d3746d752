"""Every error that Steelyard raises.

    SteelyardError
    ├── InputError                 the caller's argument, file or configuration is wrong
    │   ├── ConfigError            a setting is missing or malformed
    │   ├── ManifestError          a manifest, card or path breaks the format
    │   ├── FormatError            a model or data file is damaged, declares what cannot be, or is two things at once
    │   └── AmountError            an amount is negative, fractional in wei, or above 2^128-1
    ├── NotFoundError              no such asset, version, offer, purchase, licence, block or account
    ├── RefusedError               the rules of the market forbid it now (state, time, right, balance)
    │   ├── RevertError            a contract said no; carries the decoded error
    │   ├── UnsafeError            going on would risk a key or money, so the client will not
    │   ├── NotOnSaleError         the version is in a stage that is not sold; carries the stage
    │   └── CodeError              a file runs code when it is loaded, and nobody has allowed that
    ├── VerificationError          what was fetched or claimed is not what was committed
    │   ├── DigestError            bytes do not hash to their CID, root or leaf
    │   │   └── LeafError          a plaintext leaf is not what the seller committed to; can be disputed
    │   ├── ProofError             a key delivery, dispute, Merkle or state proof is false
    │   ├── WrongKeyError          a key that was handed over is not the one that its version is committed to
    │   ├── SealError              authenticated decryption failed, or a stream is cut, spliced or re-ordered
    │   └── TrailError             a history is incomplete, altered or re-ordered
    └── UnavailableError           an outside thing did not answer, or answered nonsense
        ├── ChainError             the RPC endpoint
        │   ├── WrongChainError    it serves another chain than the one configured
        │   ├── RpcError           it answered with an error; carries code and data
        │   └── PendingError       a transaction was sent and its fate is not known yet; carries its hash
        ├── StoreError             the content store
        └── DatabaseError          the database of the index: damaged, foreign, locked or gone
            └── LeaseError         another process writes it now

Only the command line turns one of these into an exit code.
"""

from __future__ import annotations


class SteelyardError(Exception):
    """Root of all errors of this package. The message says what, which id, and what to do next."""


class InputError(SteelyardError):
    """The caller's argument, file or configuration is wrong; nothing was done."""


class ConfigError(InputError):
    """A setting is missing or malformed."""


class ManifestError(InputError):
    """A manifest, model card or path breaks the format."""


class FormatError(InputError):
    """A model or data file is damaged, declares what cannot be, or is valid as two formats."""


class AmountError(InputError):
    """An amount is negative, not a whole number of wei, or above 2^128-1."""


class NotFoundError(SteelyardError):
    """The named thing does not exist where it was looked for."""


class RefusedError(SteelyardError):
    """The rules of the market forbid this now; nothing was spent."""


class RevertError(RefusedError):
    """A contract reverted.

    Attributes:
        name: name of the Solidity error, or ``""`` if the data was not one of ours.
        args_: its decoded arguments, in order.
    """

    def __init__(self, message: str, *, name: str = "", args_: tuple[object, ...] = ()) -> None:
        """Keep the decoded error beside the message."""
        super().__init__(message)
        self.name = name
        self.args_ = args_


class UnsafeError(RefusedError):
    """Going on would risk a key or money, so the client refuses."""


class NotOnSaleError(RefusedError):
    """The version is in a stage of its life that is not sold (docs/stages.md); nothing was paid.

    Attributes:
        stage: ``draft``, ``validated`` or ``retired``.
    """

    def __init__(self, message: str, *, stage: str) -> None:
        """Keep the stage beside the message."""
        super().__init__(message)
        self.stage = stage


class CodeError(RefusedError):
    """A file runs code that its maker chose when it is loaded, and nobody has allowed that; nothing was done."""


class VerificationError(SteelyardError):
    """What was fetched or claimed is not what was committed."""


class DigestError(VerificationError):
    """Bytes do not hash to their CID, root or leaf."""


class LeafError(DigestError):
    """A decrypted leaf is not the plaintext that its public leaf hash commits to.

    Under the right content key and the content root on chain this is the seller's lie, and a dispute proves
    it.

    Attributes:
        leaf: index of the leaf in the stream, from 0.
    """

    def __init__(self, message: str, *, leaf: int) -> None:
        """Keep the leaf index beside the message."""
        super().__init__(message)
        self.leaf = leaf


class ProofError(VerificationError):
    """A key delivery, dispute, Merkle or state proof is false.

    Attributes:
        step: number of the failed check in the verifier of docs/key-delivery.md, or 0 where it does not
            apply.
    """

    def __init__(self, message: str, *, step: int = 0) -> None:
        """Keep the number of the failed check beside the message."""
        super().__init__(message)
        self.step = step


class WrongKeyError(VerificationError):
    """A key that was handed over is not the one that its version is committed to on the chain."""


class SealError(VerificationError):
    """Authenticated decryption failed, or a stream is cut, spliced or re-ordered."""


class TrailError(VerificationError):
    """A history is incomplete, altered or re-ordered."""


class UnavailableError(SteelyardError):
    """An outside thing did not answer, or answered nonsense; trying again may help."""


class ChainError(UnavailableError):
    """The RPC endpoint did not answer, or answered nonsense."""


class WrongChainError(ChainError):
    """The endpoint serves another chain than the one configured."""


class RpcError(ChainError):
    """The RPC endpoint answered with an error of its own.

    Attributes:
        code: JSON-RPC error code.
        reason: its text, cut to a readable length.
        data: what it added, mostly revert data as hexadecimal, or None.
    """

    def __init__(self, message: str, *, code: int, reason: str, data: object = None) -> None:
        """Keep the parts beside the message."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.data = data


class PendingError(ChainError):
    """A signed transaction may have been sent, and nobody says yet what became of it.

    Never send it anew: ask again.

    Attributes:
        tx_hash: its hash, 32 bytes.
    """

    def __init__(self, message: str, *, tx_hash: bytes) -> None:
        """Keep the hash beside the message."""
        super().__init__(message)
        self.tx_hash = tx_hash


class StoreError(UnavailableError):
    """The content store did not answer, or answered nonsense."""


class DatabaseError(UnavailableError):
    """The index's database cannot be used: damaged, of another chain, market or format, locked, or gone."""


class LeaseError(DatabaseError):
    """Another process holds the right to write the index; nothing was written."""
