"""What it means when an endpoint does not take a transaction. Nodes say it in prose, each in its own."""

from __future__ import annotations

from steelyard.chain.hexdata import checksum_address, to_hex
from steelyard.chain.transaction import Signed
from steelyard.domain.types import Address
from steelyard.errors import PendingError, RefusedError, RpcError, SteelyardError

_KNOWN = ("already known", "already imported", "known transaction", "already exists", "alreadyknown")


class NonceUsedError(RefusedError):
    """Another transaction has the nonce, and the endpoint does not know the one that was signed under it."""


def is_known_already(exc: RpcError) -> bool:
    """Return whether the endpoint refused a transaction because it has it."""
    reason = exc.reason.lower()
    return any(text in reason for text in _KNOWN)


def refusal(signed: Signed, address: Address, exc: RpcError) -> SteelyardError:
    """Return the error to raise for a transaction of an account that the endpoint refused and does not know.

    NonceUsedError if another transaction has its nonce, otherwise RefusedError.
    """
    reason = exc.reason.lower()
    if "nonce too low" in reason or "nonce is too low" in reason or "replacement" in reason:
        return NonceUsedError(f"nonce {signed.nonce} was used by another transaction of the account")
    try:
        raise_if_poor(exc, address)
    except RefusedError as refused:
        return refused
    if "underpriced" in reason or "fee too low" in reason or "less than block base fee" in reason:
        return RefusedError(f"the endpoint finds the fees too low ({exc.reason}): try again")
    return RefusedError(f"the endpoint refused the transaction: {exc.reason} (code {exc.code})")


def pending(signed: Signed, cause: Exception) -> PendingError:
    """Return the error for a transaction that was signed and may have been sent."""
    text = f"transaction {to_hex(signed.tx_hash)} may have been sent; look for its receipt ({cause})"
    return PendingError(text, tx_hash=signed.tx_hash)


def raise_if_poor(exc: RpcError, address: Address) -> None:
    """Raise RefusedError if an endpoint says that the account cannot pay; otherwise return."""
    if "insufficient funds" in exc.reason.lower() or "insufficient balance" in exc.reason.lower():
        raise RefusedError(
            f"account {checksum_address(address)} cannot pay for this transaction and its gas: {exc.reason}"
        ) from exc
