"""Signed transactions as they are sent: read strictly, without web3. Sources: EIP-2718, EIP-1559, EIP-2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from steelyard.chain.calls import Call
from steelyard.chain.transaction import Fees, Signed, encode_fee_market, fee_market_fields
from steelyard.crypto.personal import recover
from steelyard.domain import rlp
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import InputError, ProofError

MAX_RAW: Final = 131_072
"""Most bytes of a transaction that nodes pass on."""
_TYPE: Final = 2
_FIELDS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A signed transaction of type 2.

    Attributes:
        sender: who signed it.
        chain_id: EIP-155 chain id.
        call: what it does.
        signed: the bytes, hash, nonce and fees.
    """

    sender: Address
    chain_id: int
    call: Call
    signed: Signed


def decode_raw(raw: bytes) -> Decoded:
    """Read a signed transaction of type 2 (EIP-1559).

    Raises:
        InputError: it is none, has an access list, creates a contract, or its signature is not valid.
    """
    if not raw or len(raw) > MAX_RAW or raw[0] != _TYPE:
        raise InputError("the transaction is not of type 2 (EIP-1559), or too large")
    try:
        items = rlp.decode_list(raw[1:])
        if len(items) != _FIELDS or items[8] != ():
            raise InputError("the transaction has another number of fields, or an access list")
        chain_id, nonce, priority, max_fee, gas = (rlp.integer(item) for item in items[:5])
        to, value, data = rlp.string(items[5]), rlp.integer(items[6]), rlp.string(items[7])
        parity, r, s = (rlp.integer(item) for item in items[9:])
    except ProofError as exc:
        raise InputError(f"the transaction is malformed: {exc}") from exc
    if len(to) != 20:
        raise InputError("the transaction creates a contract, or its receiver is malformed")
    call = Call(Address(to), data, value)
    fees = Fees(max_fee=max_fee, priority=priority)
    fields = fee_market_fields(call, chain_id=chain_id, nonce=nonce, gas_limit=gas, fees=fees)
    sender = recover(keccak256(encode_fee_market(fields)), r=r, s=s, parity=parity)
    if sender is None:
        raise InputError("the transaction's signature is not valid")
    signed = Signed(raw=raw, tx_hash=keccak256(raw), nonce=nonce, fees=fees, gas_limit=gas)
    return Decoded(sender=sender, chain_id=chain_id, call=call, signed=signed)
