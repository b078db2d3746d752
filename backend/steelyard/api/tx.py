"""Transactions for other people's wallets: prepared and simulated here, signed there, passed on. No key of anybody lies here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from steelyard.api.acts import Act
from steelyard.api.building import ACTS, Told
from steelyard.api.problem import Problem
from steelyard.api.raw import Decoded, decode_raw
from steelyard.api.route import Answer, Call, Endpoint, Handler
from steelyard.api.service import Service
from steelyard.chain.hexdata import checksum_address, parse_address, to_hex
from steelyard.chain.refusals import is_known_already, refusal
from steelyard.chain.transaction import GAS_CAP
from steelyard.domain.abi import decode, selector
from steelyard.domain.money import format_native
from steelyard.domain.types import Address
from steelyard.errors import InputError, RpcError, VerificationError
from steelyard.service.context import Context
from steelyard.service.prepare import PermitRequest, Preparing, Unsigned, finish

_APPROVE: Final = selector("approve(address,uint256)")
_DOMAIN_TYPE: Final = (
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
)
_PERMIT_TYPE: Final = (
    {"name": "owner", "type": "address"},
    {"name": "spender", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "nonce", "type": "uint256"},
    {"name": "deadline", "type": "uint256"},
)


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """An unsigned transaction of type 2, with the names of JSON-RPC. Wei are decimal text.

    Attributes:
        type: 2 (EIP-1559).
        chainId: EIP-155 chain id.
        nonce: its place among the account's transactions.
        to: contract.
        data: call data.
        value: wei sent along.
        gas: most gas that it may use.
        maxFeePerGas: most wei for one gas.
        maxPriorityFeePerGas: of these, most for who makes the block.
        does: contract and function.
        simulated: whether it succeeded in a simulation at the newest block.
    """

    type: int
    chainId: int
    nonce: int
    to: Address
    data: bytes
    value: str
    gas: int
    maxFeePerGas: str
    maxPriorityFeePerGas: str
    does: str
    simulated: bool


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What is to be signed.

    Attributes:
        act: what was asked for.
        sender: who must sign.
        explanation: what it does and what it costs, for a person.
        transactions: to be signed and sent in this order.
        permit: EIP-712 data that may be signed instead of the first transaction; then ask again with ``permit``. None if not.
        price: smallest units that are paid or moved, beside gas.
        currency: of the price; the zero address is the native coin.
        fee: wei for gas, at most.
        ids: what will come of it, by kind: ``purchase``, ``offer``, ``asset``, ...
        notes: what to know first.
    """

    act: str
    sender: Address
    explanation: str
    transactions: tuple[Transaction, ...]
    permit: Mapping[str, object] | None
    price: int
    currency: Address
    fee: int
    ids: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A signed transaction, as ``eth_sendRawTransaction`` takes it."""

    raw: bytes


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A transaction that the chain's endpoint has. ``sender`` is who signed it."""

    tx: bytes
    sender: Address


def prepare(base: Context, act: str, body: Act, *, keep_for: Address | None) -> Prepared:
    """Prepare an act.

    Args:
        base: the service's own context.
        act: its name.
        body: its arguments.
        keep_for: who is signed in; texts of his own offers are kept in the store.

    Raises:
        SteelyardError: as the use case of the client does.
    """
    sender = parse_address(body.sender)
    context = Preparing(base, sender, keep=keep_for == sender)
    build = ACTS[act][1]
    told: Told = build(context, body)
    made = finish(context)
    fee = sum(item.gas * item.fees.max_fee for item in made)
    gas = sum(item.gas for item in made)
    explanation = f"{told.sentence}. Gas: at most {gas:,}, which costs at most {format_native(fee)}."
    return Prepared(
        act=act,
        sender=sender,
        explanation=explanation,
        transactions=tuple(_transaction(item, context.chain_id) for item in made),
        permit=None if told.permit is None else typed_data(told.permit, chain_id=context.chain_id),
        price=told.price,
        currency=Address(told.currency),
        fee=fee,
        ids=told.ids,
        notes=told.notes,
    )


def typed_data(permit: PermitRequest, *, chain_id: int) -> dict[str, object]:
    """Return a permit as ``eth_signTypedData_v4`` takes it (EIP-712, ERC-2612)."""
    return {
        "types": {"EIP712Domain": _DOMAIN_TYPE, "Permit": _PERMIT_TYPE},
        "primaryType": "Permit",
        "domain": {
            "name": permit.name,
            "version": permit.version,
            "chainId": chain_id,
            "verifyingContract": checksum_address(permit.token),
        },
        "message": {
            "owner": checksum_address(permit.owner),
            "spender": checksum_address(permit.spender),
            "value": str(permit.value),
            "nonce": str(permit.nonce),
            "deadline": str(permit.deadline),
        },
    }


def _transaction(item: Unsigned, chain_id: int) -> Transaction:
    assert item.call.to is not None  # no act creates a contract
    return Transaction(
        type=2,
        chainId=chain_id,
        nonce=item.nonce,
        to=item.call.to,
        data=item.call.data,
        value=str(item.call.value),
        gas=item.gas,
        maxFeePerGas=str(item.fees.max_fee),
        maxPriorityFeePerGas=str(item.fees.priority),
        does=item.call.name,
        simulated=item.simulated,
    )


def pass_on(context: Context, raw: bytes) -> Passed:
    """Send a signed transaction if it is about this market; one that is known already is sent, too.

    Raises:
        InputError: it is malformed, for another chain, or calls something else.
        RefusedError: the chain does not take it: nonce, fees, or balance.
        ChainError: the endpoint failed; asking again is safe.
    """
    found = decode_raw(raw)
    _require_ours(context, found)
    signed = found.signed
    try:
        context.rpc.call("eth_sendRawTransaction", (to_hex(raw),))
    except RpcError as exc:
        if not is_known_already(exc) and not context.rpc.is_known(signed.tx_hash):
            raise refusal(signed, found.sender, exc) from exc
    return Passed(tx=signed.tx_hash, sender=found.sender)


def _require_ours(context: Context, found: Decoded) -> None:
    if found.chain_id != context.chain_id:
        raise InputError(f"the transaction is for chain {found.chain_id}, not {context.chain_id}")
    if found.signed.gas_limit > GAS_CAP:
        raise InputError(f"the transaction allows more gas than one may have ({GAS_CAP})")
    contracts = {item.address for item in context.deployment.contracts.values()}
    if found.call.to not in contracts and not _approves(found.call.data, context.deployment.market):
        raise InputError("the transaction calls no contract of this market, and approves nothing for it")
    if len(found.call.data) < 4:
        raise InputError("the transaction calls no function")


def _approves(data: bytes, market: Address) -> bool:
    """Return whether call data lets the market take some ERC-20, as a purchase in one needs first."""
    if data[:4] != _APPROVE or len(data) != 68:
        return False
    try:
        return decode(("address", "uint256"), data[4:])[0] == market
    except VerificationError:
        return False


def _handler(act: str) -> Handler:
    async def post_act(call: Call) -> Answer:
        service: Service = call.service
        made = await service.thread(prepare, service.context, act, call.body, keep_for=call.account)
        return Answer(value=made)

    post_act.__doc__ = f"Prepare {act}."
    return post_act


async def post_send(call: Call) -> Answer:
    """Pass a signed transaction on."""
    body: Raw = call.body
    try:
        passed = await call.service.thread(pass_on, call.service.context, body.raw)
    except InputError as exc:
        raise Problem("bad-body", str(exc), parameter="raw") from exc
    return Answer(value=passed)


def _endpoint(act: str, body: type[Any]) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"/v1/tx/{act}",
        handler=_handler(act),
        name=f"prepare_{act.replace('-', '_')}",
        summary=(body.__doc__ or act).splitlines()[0],
        tag="transactions",
        body=body,
        answer=Prepared,
        problems=(
            "not-found",
            "conflict",
            "reverted",
            "unverified",
            "chain-unavailable",
            "store-unavailable",
        ),
        idempotent=True,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    *(_endpoint(act, body) for act, (body, _) in ACTS.items()),
    Endpoint(
        method="POST",
        path="/v1/tx/send",
        handler=post_send,
        name="send_transaction",
        summary="Pass a signed transaction on, if it calls a contract of this market or approves a token for it",
        tag="transactions",
        body=Raw,
        answer=Passed,
        problems=("conflict", "chain-unavailable"),
        idempotent=True,
        max_body=300_000,
    ),
)
"""What this module serves."""
