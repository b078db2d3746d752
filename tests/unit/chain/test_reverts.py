from __future__ import annotations

import pytest

from steelyard.chain.artifacts import CONTRACTS, artifact
from steelyard.chain.reverts import _ADVICE, decode_revert, known_errors
from steelyard.domain.abi import encode, selector

ERRORS = {item.signature: item for name in CONTRACTS for item in artifact(name).items if item.kind == "error"}


def test_every_error_of_the_contracts_is_known() -> None:
    assert set(ERRORS) <= set(known_errors())


def test_advice_is_given_only_for_errors_that_exist() -> None:
    assert {signature.split("(")[0] for signature in known_errors()} >= set(_ADVICE)


def test_an_error_is_told_with_its_arguments_and_what_to_do() -> None:
    data = selector("Purchases_TooEarly(uint40)") + encode(("uint40",), (1_234,))
    error = decode_revert(data)
    assert (error.name, error.args_) == ("Purchases_TooEarly", (1_234,))
    assert str(error) == "Purchases_TooEarly(due=1234): try again after that time"


def test_an_old_reason_is_told_without_control_characters() -> None:
    data = selector("Error(string)") + encode(("string",), ("no\x1b[31m!",))
    assert str(decode_revert(data)) == "the contract reverted: no?[31m!"


def test_a_panic_is_explained() -> None:
    assert "index beyond an array" in str(
        decode_revert(selector("Panic(uint256)") + encode(("uint256",), (0x32,)))
    )


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x01\x02\x03\x04", selector("Panic(uint256)"), b"\xff" * 100]
)
def test_other_data_is_a_revert_without_a_name(data: bytes) -> None:
    assert decode_revert(data).name == ""


def test_what_the_endpoint_said_is_told_if_there_is_no_data() -> None:
    assert "out of gas" in str(decode_revert(b"", reason="out of gas"))
