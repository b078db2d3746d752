"""The keys of versions that a buyer was given, and their proofs.

The seller's: :mod:`steelyard.service.keyring`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from steelyard.chain.calls import PROOF
from steelyard.chain.hexdata import to_hex
from steelyard.crypto import dleq
from steelyard.crypto.delivery import (
    blind,
    content_key,
    delivery_context,
    key_context,
    key_point,
    unwrap,
)
from steelyard.crypto.derive import blind_scalar
from steelyard.crypto.dleq import Proof
from steelyard.crypto.secret import Secret
from steelyard.domain.abi import decode, encode, selector, topic
from steelyard.domain.point import Point
from steelyard.domain.records import AssetState, PurchaseState, RequestRecord, VersionState
from steelyard.domain.types import (
    KEY_REQUEST,
    ORDER,
    POINT,
    VERSION,
    PurchaseId,
    RequestState,
    State,
    Version,
    VersionId,
)
from steelyard.errors import ChainError, ProofError, RefusedError, VerificationError
from steelyard.service.context import Context

_PROOF_SIZE = 7 * 32
_REQUEST_GAP = 2 * 32 + 2 * 32
_DELIVERY_PROOF = topic(f"DeliveryProof(bytes32,{PROOF})")
_MAX_COUNTER_SLACK = 8


@dataclass(frozen=True, kw_only=True)
class Received:
    """A delivery that the account can open.

    Attributes:
        delivered: ``D``.
        b: blinding scalar of the purchase or request.
        blinded: ``Q``.
        context: what the proof is bound to, 32 bytes.
        tx: transaction that delivered it.
        call: call data up to the proof, as far as it is known: selector and encoded arguments. Of a key
            request origin and ``D`` lie between.
        purchase: the purchase, if it was one.
    """

    delivered: Point
    b: Secret
    blinded: Point
    context: bytes
    tx: bytes
    call: bytes
    purchase: PurchaseState | None

    def content_key(self, version: Version) -> Secret:
        """Return the content key."""
        return unwrap(self.delivered, b=self.b, commitment=version.key)


@dataclass(frozen=True, kw_only=True)
class OwnKey:
    """The key of a version that the account sells itself.

    Attributes:
        kappa: the version's key scalar.
    """

    kappa: Secret

    def content_key(self, version: Version) -> Secret:
        """Return the content key."""
        del version
        return content_key(key_point(self.kappa))


# -- buyer ---------------------------------------------------------------------------------------------------


def request_scalar(context: Context, *, licence: PurchaseId, version: VersionId, counter: int) -> Secret:
    """Return the blinding scalar of the account's key request number ``counter`` for a licence and a version.

    The request's salt is not on the chain, so it is a function of what is: see docs/key-delivery.md.
    """
    label = b"steelyard/request-salt/v1"
    salt = hashlib.sha256(label + licence + version + counter.to_bytes(4, "big")).digest()
    return blind_scalar(
        context.account.seed,
        chain_id=context.chain_id,
        market=context.deployment.market,
        buyer=context.account.address,
        salt=salt,
    )


def find_request_scalar(context: Context, asset: AssetState, record: RequestRecord) -> Secret | None:
    """Return the blinding scalar of a key request of the account, or None if its seed does not give it."""
    for counter in range(len(asset.requests) + _MAX_COUNTER_SLACK):
        b = request_scalar(
            context, licence=record.request.licence, version=record.request.version, counter=counter
        )
        if blind(b) == record.request.key:
            return b
    return None


def received(context: Context, asset: AssetState, version: VersionState) -> list[Received]:
    """Return all deliveries of a version's key that the account can open, newest first."""
    own = context.account.address
    found = []
    for purchase in asset.purchases.values():
        mine = purchase.version == version.id and purchase.buyer == own and purchase.delivered is not None
        if mine and (item := from_purchase(context, asset, purchase)) is not None:
            found.append(item)
    for record in asset.requests.values():
        asked = record.request
        if record.state is RequestState.ANSWERED and asked.version == version.id and asked.holder == own:
            item = _from_request(context, asset, record, version.commitments)
            if item is not None:
                found.append(item)
    return found[::-1]


def from_purchase(context: Context, asset: AssetState, purchase: PurchaseState) -> Received | None:
    """Return the delivery of a purchase of the account, or None if there is none that the seed opens."""
    if purchase.delivered is None:
        return None
    b = blind_scalar(
        context.account.seed,
        chain_id=context.chain_id,
        market=context.deployment.market,
        buyer=purchase.buyer,
        salt=purchase.salt,
    )
    if blind(b) != purchase.key:
        return None
    signature = f"deliver({ORDER},{POINT},{PROOF})"
    arguments = encode((ORDER, POINT), (asset.order(purchase).abi(), purchase.delivered.abi()))
    return Received(
        delivered=purchase.delivered,
        b=b,
        blinded=purchase.key,
        context=delivery_context(context.chain_id, market=context.deployment.market, purchase=purchase.id),
        tx=purchase.delivered_tx,
        call=selector(signature) + arguments,
        purchase=purchase,
    )


def _from_request(
    context: Context, asset: AssetState, record: RequestRecord, version: Version
) -> Received | None:
    b = find_request_scalar(context, asset, record)
    if b is None or record.delivered is None:
        return None
    signature = f"deliverKey({KEY_REQUEST},{VERSION},bytes32[2],{POINT},{PROOF})"
    return Received(
        delivered=record.delivered,
        b=b,
        blinded=record.request.key,
        context=key_context(context.chain_id, market=context.deployment.market, request=record.id),
        tx=record.delivered_tx,
        call=selector(signature) + encode((KEY_REQUEST, VERSION), (record.request.abi(), version.abi())),
        purchase=None,
    )


def no_key(context: Context, asset: AssetState, version: VersionState, *, name: str) -> RefusedError:
    """Return the error that says why the account cannot open a version, and what to do."""
    own = context.account.address
    now = context.now()
    waiting = [
        item
        for item in asset.purchases.values()
        if item.buyer == own and item.version == version.id and item.state is State.PAID
    ]
    if waiting:
        due = waiting[-1].due
        return RefusedError(
            f"{name} is paid and not delivered yet: the seller has until {due} (Unix seconds)"
            + ("; the time has passed, so take a refund" if now > due else "")
        )
    for licence in asset.purchases.values():
        if licence.holder == own and asset.covers(licence, version, at=now):
            return RefusedError(
                f"licence 0x{licence.id.hex()} covers {name}, and its key was not delivered to this account: ask for it"
            )
    return RefusedError(f"this account has no key of {name}: buy it")


# -- the proof -----------------------------------------------------------------------------------------------


def find_proof(context: Context, item: Received, version: Version) -> Proof | None:
    """Return the proof of a delivery, verified, or None if the endpoint does not show it.

    Whoever sends a delivery chooses how: from a contract of his own, with the call data hidden, or behind
    bytes that look like a proof. So every candidate is verified, and the next one tried. A delivery that
    opened a content window logs its proof, which cannot be hidden; of others it is call data, possibly of an
    inner call.

    Args:
        context: market and account.
        item: the delivery.
        version: commitments of the version.
    """
    for proof in _candidates(context, item):
        try:
            dleq.verify(
                proof, public=version.key, base=item.blinded, result=item.delivered, context=item.context
            )
        except ProofError:
            continue
        return proof
    return None


def _candidates(context: Context, item: Received) -> Iterator[Proof]:
    if item.purchase is not None:
        yield from _logged(context, item.tx, item.purchase.id)
    for data in _inputs(context, item.tx):
        start = data.find(item.call)
        while start >= 0:
            end = start + len(item.call) + (_REQUEST_GAP if item.purchase is None else 0)
            if (proof := _read_proof(data[end : end + _PROOF_SIZE])) is not None:
                yield proof
            start = data.find(item.call, start + 1)


def _logged(context: Context, tx: bytes, purchase: PurchaseId) -> Iterator[Proof]:
    """Yield what the market logged as proof of a purchase's delivery."""
    try:
        receipt = context.rpc.get_receipt(tx)
    except ChainError:
        return
    for log in () if receipt is None else receipt.logs:
        ours = log.address == context.deployment.market and log.topics == (_DELIVERY_PROOF, purchase)
        if ours and (proof := _read_proof(log.data)) is not None:
            yield proof


def _read_proof(data: bytes) -> Proof | None:
    try:
        ((a1, a2, s, cy, inverse),) = decode((PROOF,), data)  # type: ignore[misc, str-unpack]
    except (VerificationError, ValueError):
        return None
    assert isinstance(a1, bytes) and isinstance(s, int) and isinstance(inverse, int)
    assert isinstance(a2, tuple) and isinstance(cy, tuple)
    return Proof(a1=a1, a2=_point(a2), s=s, cy=_point(cy), inverse=inverse)


def _point(value: tuple[Any, ...]) -> Point:
    return Point(value[0], value[1])


def _inputs(context: Context, tx: bytes) -> Iterator[bytes]:
    """Yield the call data of a transaction, then that of its calls to the market that stood."""
    try:
        found = context.rpc.call("eth_getTransactionByHash", (to_hex(tx),))
    except ChainError:
        found = None
    if isinstance(found, dict):
        yield _data(found.get("input"))
    try:
        trace = context.rpc.call("debug_traceTransaction", (to_hex(tx), {"tracer": "callTracer"}))
    except ChainError:
        return
    market = to_hex(context.deployment.market)
    todo = [trace]
    while todo:
        frame = todo.pop()
        # What is below a frame that reverted was undone with it.
        if not isinstance(frame, dict) or frame.get("error") is not None:
            continue
        if frame.get("type") == "CALL" and str(frame.get("to")).lower() == market:
            yield _data(frame.get("input"))
        inner = frame.get("calls")
        todo.extend(reversed(inner) if isinstance(inner, list) else ())


def _data(value: object) -> bytes:
    try:
        return bytes.fromhex(value[2:]) if isinstance(value, str) else b""
    except ValueError:
        return b""
