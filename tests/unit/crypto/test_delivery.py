import pytest
from eth_abi import encode
from eth_account import Account

from steelyard.crypto import delivery
from steelyard.crypto.curve import G, P, address, mul, neg
from steelyard.crypto.dleq import verify
from steelyard.crypto.secret import Secret
from steelyard.domain.hash import keccak256
from steelyard.domain.point import Point
from steelyard.errors import InputError, ProofError

KAPPA, B = Secret(b"\x05" * 32), Secret(b"\x06" * 32)
MARKET, PURCHASE, VERSION = b"\xaa" * 20, b"\xbb" * 32, b"\xcc" * 32
CONTEXT = delivery.delivery_context(1, market=MARKET, purchase=PURCHASE)


def test_contexts_are_the_abi_encodings_of_the_page() -> None:
    def expected(label: str, *ids: bytes) -> bytes:
        types = ["bytes32", "uint256", "address", *["bytes32"] * len(ids)]
        return keccak256(encode(types, [keccak256(label.encode()), 1, "0x" + MARKET.hex(), *ids]))

    assert expected("steelyard/delivery/v1", PURCHASE) == CONTEXT
    assert delivery.key_context(1, market=MARKET, request=PURCHASE) == expected("steelyard/key/v1", PURCHASE)
    dispute = delivery.dispute_context(1, market=MARKET, purchase=PURCHASE, version=VERSION)
    assert dispute == expected("steelyard/dispute/v1", PURCHASE, VERSION)


def test_buyer_unwraps_what_the_seller_sealed_with() -> None:
    q = delivery.blind(B)
    d, proof = delivery.deliver(KAPPA, blinded=q, context=CONTEXT)
    v = delivery.key_commitment(KAPPA)
    verify(proof, public=v, base=q, result=d, context=CONTEXT)
    assert delivery.unwrap(d, b=B, commitment=v) == delivery.content_key(delivery.key_point(KAPPA))


def test_another_buyer_unwraps_another_key() -> None:
    d, _ = delivery.deliver(KAPPA, blinded=delivery.blind(B), context=CONTEXT)
    other = delivery.unwrap(d, b=Secret(b"\x07" * 32), commitment=delivery.key_commitment(KAPPA))
    assert other != delivery.content_key(delivery.key_point(KAPPA))


def test_opening_of_a_dispute_yields_the_key_point_and_verifies() -> None:
    from steelyard.crypto.curve import add

    q, v = delivery.blind(B), delivery.key_commitment(KAPPA)
    d, _ = delivery.deliver(KAPPA, blinded=q, context=CONTEXT)
    context = delivery.dispute_context(1, market=MARKET, purchase=PURCHASE, version=VERSION)
    w, proof = delivery.open_dispute(B, commitment=v, blinded=q, context=context)
    verify(proof, public=add(q, neg(P)), base=v, result=w, context=context)
    assert add(d, neg(w)) == delivery.key_point(KAPPA)


def test_opening_does_not_reveal_the_key_of_another_version_bought_with_another_q() -> None:
    # C27: all public points of a disputed purchase give M of that version and no combination equal to another's M.
    other = Secret(b"\x09" * 32)
    q1, q2 = delivery.blind(B), delivery.blind(Secret(b"\x0a" * 32))
    d2, _ = delivery.deliver(other, blinded=q2, context=CONTEXT)
    w1 = mul(B.scalar(), delivery.key_commitment(KAPPA))
    from steelyard.crypto.curve import add

    assert q1 != q2
    assert add(d2, neg(w1)) != delivery.key_point(other)


def test_dispute_with_a_foreign_scalar_is_refused() -> None:
    with pytest.raises(InputError, match="does not belong"):
        delivery.open_dispute(B, commitment=G, blinded=delivery.blind(KAPPA), context=CONTEXT)


def test_blinding_with_zero_is_refused() -> None:
    with pytest.raises(ProofError):
        delivery.blind(Secret(bytes(32)))


def test_delivery_to_a_bad_q_is_refused() -> None:
    for bad in (Point(0, 0), Point(G.x, G.y + 2)):
        with pytest.raises(ProofError):
            delivery.deliver(KAPPA, blinded=bad, context=CONTEXT)


def test_unwrap_refuses_what_no_delivery_is() -> None:
    v = delivery.key_commitment(KAPPA)
    with pytest.raises(ProofError):
        delivery.unwrap(mul(B.scalar(), v), b=B, commitment=v)
    with pytest.raises(ProofError):
        delivery.unwrap(Point(1, 1), b=B, commitment=v)


def test_ownership_signature_recovers_to_the_commitment() -> None:
    arguments = {"chain_id": 1, "registry": MARKET, "version": VERSION, "account": b"\xdd" * 20}
    v, r, s = delivery.sign_key_ownership(KAPPA, **arguments)
    label = keccak256(b"steelyard/key-proof/v1")
    types = ["bytes32", "uint256", "address", "bytes32", "address"]
    digest = keccak256(encode(types, [label, 1, "0x" + MARKET.hex(), VERSION, "0x" + "dd" * 20]))
    signer = Account._recover_hash(digest, vrs=(v, r, s))
    assert bytes.fromhex(signer[2:]) == address(delivery.key_commitment(KAPPA))


def test_ownership_is_bound_to_every_argument() -> None:
    arguments = {"registry": MARKET, "version": VERSION, "account": b"\xdd" * 20}
    digests = {delivery.key_ownership_digest(1, **arguments), delivery.key_ownership_digest(2, **arguments)}
    for name, value in arguments.items():
        digests.add(delivery.key_ownership_digest(1, **{**arguments, name: bytes(len(value))}))
    assert len(digests) == 5


def test_ids_and_addresses_of_another_length_are_refused() -> None:
    with pytest.raises(InputError):
        delivery.delivery_context(1, market=MARKET[1:], purchase=PURCHASE)
    with pytest.raises(InputError):
        delivery.delivery_context(1, market=MARKET, purchase=PURCHASE[1:])
    with pytest.raises(InputError):
        delivery.delivery_context(-1, market=MARKET, purchase=PURCHASE)
