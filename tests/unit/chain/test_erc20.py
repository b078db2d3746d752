from __future__ import annotations

from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data

from steelyard.chain.erc20 import Token, approve, transfer
from steelyard.chain.hexdata import to_hex
from steelyard.domain.abi import encode, selector
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import ChainError, VerificationError

from .fake import CHAIN, FakeTransport, RpcFailure, rpc_of

TOKEN, OWNER, SPENDER = (Address(bytes([byte]) * 20) for byte in (0x70, 0x01, 0x02))


def domain(name: str, version: str) -> bytes:
    kind = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    parts = (kind, keccak256(name.encode()), keccak256(version.encode()), CHAIN, TOKEN)
    return keccak256(encode(("bytes32", "bytes32", "bytes32", "uint256", "address"), parts))


def token(**answers: bytes) -> Token:
    """A token that answers some views (their names) and reverts on the others."""

    def call(params: list[Any]) -> str:
        for name, answer in answers.items():
            for signature in (f"{name}()", f"{name}(address)", f"{name}(address,address)"):
                if params[0]["data"].startswith(to_hex(selector(signature))):
                    return to_hex(answer)
        raise RpcFailure(3, "execution reverted", "0x")

    return Token(rpc_of(FakeTransport({"eth_call": call})), TOKEN)


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def text(value: str) -> bytes:
    return encode(("string",), (value,))


def test_calls_are_those_of_the_standard() -> None:
    assert approve(TOKEN, SPENDER, 7).data == bytes.fromhex("095ea7b3") + encode(
        ("address", "uint256"), (SPENDER, 7)
    )
    assert transfer(TOKEN, SPENDER, 7).data == bytes.fromhex("a9059cbb") + encode(
        ("address", "uint256"), (SPENDER, 7)
    )


def test_amounts_are_read() -> None:
    found = token(balanceOf=word(5), allowance=word(6), decimals=word(18))
    assert (found.balance_of(OWNER), found.allowance(OWNER, SPENDER), found.decimals()) == (5, 6, 18)


def test_a_symbol_is_made_fit_for_a_terminal() -> None:
    assert token(symbol=text("US\x1b[2JD" + "x" * 100)).symbol() == ("US[2JD" + "x" * 100)[:32]


def test_absurd_decimals_are_refused() -> None:
    with pytest.raises(ChainError):
        token(decimals=word(256)).decimals()


def test_what_is_no_token_is_noticed() -> None:
    with pytest.raises(VerificationError):
        token(balanceOf=b"").balance_of(OWNER)


@pytest.mark.parametrize("version", [None, "2"])
def test_a_permit_signs_what_the_standard_says(version: str | None) -> None:
    answers = {"name": text("Coin"), "nonces": word(3), "DOMAIN_SEPARATOR": domain("Coin", version or "1")}
    if version is not None:
        answers["version"] = text(version)
    digest = token(**answers).permit_digest(owner=OWNER, spender=SPENDER, value=10**18, deadline=99)
    fields = [
        ("owner", "address"),
        ("spender", "address"),
        ("value", "uint256"),
        ("nonce", "uint256"),
        ("deadline", "uint256"),
    ]
    message = encode_typed_data(
        {"name": "Coin", "version": version or "1", "chainId": CHAIN, "verifyingContract": to_hex(TOKEN)},
        {"Permit": [{"name": name, "type": kind} for name, kind in fields]},
        {"owner": to_hex(OWNER), "spender": to_hex(SPENDER), "value": 10**18, "nonce": 3, "deadline": 99},
    )
    assert digest == bytes(_hash_eip191_message(message))


def test_a_token_with_another_domain_gets_no_permit() -> None:
    found = token(name=text("Coin"), nonces=word(0), DOMAIN_SEPARATOR=domain("Another", "1"))
    with pytest.raises(VerificationError, match="another domain"):
        found.permit_digest(owner=OWNER, spender=SPENDER, value=1, deadline=1)
