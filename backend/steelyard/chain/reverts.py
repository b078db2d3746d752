"""What a revert means: every error of our contracts and of OpenZeppelin's tokens, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from steelyard.chain.artifacts import CONTRACTS, artifact
from steelyard.chain.calls import argument_types
from steelyard.domain.abi import Value, decode, selector
from steelyard.errors import NotFoundError, RevertError, VerificationError

_SHOWN = 200

# Errors of tokens and helpers that are not in the ABIs of our contracts, with the names of their arguments.
# Source: OpenZeppelin Contracts 5.7.0 (draft-IERC6093, ERC20Permit, SafeERC20); Solidity documentation,
# "Panic".
_FOREIGN = {
    "ERC20InsufficientBalance(address,uint256,uint256)": ("sender", "balance", "needed"),
    "ERC20InvalidSender(address)": ("sender",),
    "ERC20InvalidReceiver(address)": ("receiver",),
    "ERC20InsufficientAllowance(address,uint256,uint256)": ("spender", "allowance", "needed"),
    "ERC20InvalidApprover(address)": ("approver",),
    "ERC20InvalidSpender(address)": ("spender",),
    "ERC721InvalidOwner(address)": ("owner",),
    "ERC721NonexistentToken(uint256)": ("tokenId",),
    "ERC721IncorrectOwner(address,uint256,address)": ("sender", "tokenId", "owner"),
    "ERC721InvalidSender(address)": ("sender",),
    "ERC721InvalidReceiver(address)": ("receiver",),
    "ERC721InsufficientApproval(address,uint256)": ("operator", "tokenId"),
    "ERC721InvalidApprover(address)": ("approver",),
    "ERC721InvalidOperator(address)": ("operator",),
    "ERC2612ExpiredSignature(uint256)": ("deadline",),
    "ERC2612InvalidSigner(address,address)": ("signer", "owner"),
    "SafeERC20FailedOperation(address)": ("token",),
    "OwnableUnauthorizedAccount(address)": ("account",),
    "OwnableInvalidOwner(address)": ("owner",),
    "ReentrancyGuardReentrantCall()": (),
    "Error(string)": ("message",),
    "Panic(uint256)": ("code",),
}

_PANICS = {
    0x01: "an assertion failed",
    0x11: "an arithmetic overflow",
    0x12: "a division by zero",
    0x21: "a number that names no choice of an enumeration",
    0x22: "badly encoded storage",
    0x31: "taking from an empty array",
    0x32: "an index beyond an array",
    0x41: "too much memory",
    0x51: "a call of nothing",
}

_ADVICE = {
    "Assets_NameTaken": "this account has an asset of that name: publish a new version of it, or choose another name",
    "Assets_NoName": "give the asset a name",
    "Assets_RoyaltyTooHigh": "the royalty may be at most 1,000 basis points",
    "Assets_NoAsset": "there is no such asset: check its id and the chain",
    "Assets_NotAllowed": "only the owner or an account with the role may do this",
    "Assets_WrongAsset": "the version was made for another asset, account or chain: make it anew",
    "Assets_BadSize": "the content must have 1 byte to 2^52 bytes",
    "Assets_UnknownScheme": "this market does not know that delivery scheme: update the client",
    "Assets_NotANode": "the version needs a revenue node",
    "Assets_KeyUsed": "a key commitment can be used once: make the version anew with a fresh key",
    "Assets_KeyNotOwned": "the key proof is for another account, chain or version: make it anew with the publishing account",
    "Offers_NotAllowed": "only the owner or a seller of the asset may do this, in his own name",
    "Offers_Exists": "that very offer exists: use it, or change the salt",
    "Offers_NotOpen": "the offer was closed, or the asset has a new owner: look for another offer",
    "Offers_SoldOut": "all licences of the offer are out: look for another offer",
    "Offers_BadPeriod": "a rental, or versions until an end, needs a period of 1 second to 3,650 days; others none",
    "Offers_BadRenewal": "only a rental can be renewed",
    "Offers_BadDeliveryTime": "the time to deliver must be 1 hour to 30 days",
    "Offers_BadWindow": "the content window must be 0 or 1 hour to 30 days",
    "Offers_BondTooLow": "raise the bond of the offer to the market's least bond",
    "Offers_OtherVersion": "the offer sells that version and no other: choose another offer",
    "Offers_PaidRevocable": "only a free licence may be revocable",
    "Offers_OpenFreeSupply": "a free, limited offer needs an allow-list",
    "Escrow_BondTooLow": "the seller's free bond is too small: the seller must fund it first",
    "Escrow_WrongValue": "send exactly the price",
    "Escrow_WrongTransfer": "the token did not move what it was asked to: it cannot be used here",
    "Purchases_NotBuyer": "the order names another buyer: use that account, or make the order anew",
    "Purchases_NotAllowed": "the account is not on the offer's allow-list",
    "Purchases_WrongState": "the purchase has moved on: look at its state",
    "Purchases_NoVersion": "that version was never published: check the chain and the id",
    "Purchases_VersionFlagged": "the version was proved false; open purchases of it can be refunded",
    "Purchases_BadKey": "the order's key is invalid: make the order anew",
    "Purchases_TooLate": "the time for this has passed; an undelivered purchase can be refunded",
    "Purchases_TooEarly": "try again after that time",
    "Purchases_NotRenewable": "it is no rental, has ended, or may not be renewed any further: buy anew",
    "FraudChecker_HonestLeaf": "the leaf is what the seller committed to: there is nothing to dispute",
    "Licences_NotTransferable": "its terms forbid a transfer, or its price is still refundable",
    "Licences_NotRevocable": "its terms do not allow to revoke it",
    "Licences_NotAllowed": "only the owner or a seller of the asset may do this",
    "Keys_NotHolder": "only the holder of a valid licence may ask for a key",
    "Keys_WrongState": "the request has moved on: look at its state",
    "Keys_BadTime": "the time to deliver must be 1 hour to 30 days",
    "Keys_NotCovered": "the licence does not cover that version",
    "Keys_StillOpen": "the request can still be answered: wait until it is due",
    "Treasury_InsufficientBalance": "the balance is too small: ask for less, or claim first",
    "Treasury_NotAPayee": "pay an account or a revenue node",
    "Treasury_WrongValue": "send exactly the amount",
    "Treasury_WrongTransfer": "the token did not move what it was asked to: it cannot be used here",
    "Treasury_TransferRefused": "the receiver does not accept the coin: withdraw to another address",
    "Treasury_BadPositions": "a node has 1 to 32 positions whose weights sum to 10,000",
    "Treasury_NotHolder": "only the holder of the position may move it",
    "Directory_NotListable": "it is no contract, or listed already",
    "ERC20InsufficientBalance": "the account has too little of the token",
    "ERC20InsufficientAllowance": "approve the token first",
    "ERC2612ExpiredSignature": "sign a new permit",
    "ERC721NonexistentToken": "there is no such token: check the id and the chain",
    "ERC721InsufficientApproval": "only the holder or an approved account may transfer it",
    "ERC721IncorrectOwner": "another account holds it",
    "OwnableUnauthorizedAccount": "only the curator may do this",
}


def decode_revert(data: bytes, *, reason: str = "") -> RevertError:
    """Return what a contract's revert data says, as an error to raise.

    Args:
        data: revert data; empty if there was none.
        reason: what the endpoint said, used where the data says nothing.
    """
    found = _known().get(data[:4]) if len(data) >= 4 else None
    if found is not None:
        signature, names = found
        try:
            values = decode(argument_types(signature), data[4:])
        except VerificationError:
            return RevertError(f"the contract reverted with a malformed {signature}")
        return _told(signature[: signature.index("(")], names, values)
    if data:
        return RevertError(
            f"the contract reverted with unknown data 0x{data[:36].hex()}{'...' if len(data) > 36 else ''}"
        )
    # Solidity's checks of call data, and code that runs out of gas, give no data.
    told = f" ({_printable(reason)})" if reason else ""
    return RevertError(f"the contract reverted without a reason{told}")


def known_errors() -> dict[str, tuple[str, ...]]:
    """Return every error that is decoded: names of its arguments by signature."""
    return {signature: names for signature, names in _known().values()}


def _told(name: str, names: Sequence[str], values: tuple[Value, ...]) -> RevertError:
    if name == "Error":
        return RevertError(f"the contract reverted: {_printable(str(values[0]))}", name=name, args_=values)
    if name == "Panic":
        code = values[0] if isinstance(values[0], int) else 0
        return RevertError(
            f"the contract failed: {_PANICS.get(code, 'unknown panic')} ({code:#04x})",
            name=name,
            args_=values,
        )
    shown = ", ".join(f"{key}={_show(value)}" for key, value in zip(names, values, strict=True))
    advice = _ADVICE.get(name)
    return RevertError(f"{name}({shown})" + (f": {advice}" if advice else ""), name=name, args_=values)


def _show(value: Value) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else _printable(str(value))


def _printable(text: str) -> str:
    # It comes from a stranger's contract and goes to a terminal.
    return "".join(c if c.isprintable() else "?" for c in text[:_SHOWN])


@lru_cache(maxsize=1)
def _known() -> dict[bytes, tuple[str, tuple[str, ...]]]:
    table = {selector(signature): (signature, names) for signature, names in _FOREIGN.items()}
    for contract in CONTRACTS:
        try:
            items = artifact(contract).items
        except NotFoundError:
            continue  # an installation without ABIs can still read; it decodes less
        for item in items:
            if item.kind == "error":
                names = tuple(field.name or f"arg{place}" for place, field in enumerate(item.inputs))
                table[item.selector] = (item.signature, names)
    return table
