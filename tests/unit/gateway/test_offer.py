"""Payments as x402 wraps them."""

from __future__ import annotations

import sys
from base64 import b64encode

import pytest

from steelyard.gateway.offer import payment_of_x402
from steelyard.gateway.problem import Refusal


def test_the_payment_of_an_x402_header_is_found() -> None:
    assert payment_of_x402(b64encode(b'{"x402Version": 2, "payload": {"payment": "abc"}}').decode()) == "abc"


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"1", b"{}", b'{"payload": 1}', b'{"payload": {}}', b'{"payload": {"payment": 1}}', b"\xff"],
)
def test_another_document_is_refused(document: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        payment_of_x402(b64encode(document).decode())
    assert caught.value.code == "bad-payment"


@pytest.mark.parametrize("document", [b"[" * 40_000, b'{"payload":' * 10_000])
def test_brackets_are_refused_whatever_the_recursion_limit(document: bytes) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(Refusal):
            payment_of_x402(b64encode(document).decode())
    finally:
        sys.setrecursionlimit(before)
