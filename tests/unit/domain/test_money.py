from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from steelyard.domain.money import format_native, format_token, format_units, parse_native, parse_token
from steelyard.domain.types import MAX_AMOUNT, checked_amount
from steelyard.errors import AmountError


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("0", 0),
        ("0.0", 0),
        ("12wei", 12),
        ("10gwei", 10**10),
        ("0.05eth", 5 * 10**16),
        ("0.05 ETH", 5 * 10**16),
        (" 1ether ", 10**18),
        ("1_000_000wei", 10**6),
        ("0.000000000000000001eth", 1),
        ("1.500000000000000000000eth", 15 * 10**17),
        (f"{MAX_AMOUNT}wei", MAX_AMOUNT),
    ],
)
def test_an_amount_is_read_exactly(text: str, wei: int) -> None:
    assert parse_native(text) == wei


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "eth",
            "1",
            "0.5",
            "-1eth",
            "+1eth",
            "1e18wei",
            "1,5eth",
            ".5eth",
            "1.eth",
            "0x10wei",
            "nan",
            "1 000wei",
        ),
        *(
            "0.5wei",
            "0.0000000000000000001eth",
            "1usdc",
            "1eth eth",
            "١eth",
            f"{MAX_AMOUNT + 1}wei",
            "1__0wei",
            "1_wei",
        ),
        *("9" * 200 + "eth", "1eth\n"),
    ],
)
def test_what_is_no_exact_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_native(text)


def test_the_most_is_what_the_contracts_hold() -> None:
    assert parse_native(f"{MAX_AMOUNT}wei") == checked_amount(MAX_AMOUNT) == MAX_AMOUNT
    with pytest.raises(AmountError, match="'400000000000000000000eth' is above the most"):
        parse_native("400000000000000000000eth")


@pytest.mark.parametrize("value", [-1, MAX_AMOUNT + 1])
def test_a_value_that_is_no_amount(value: int) -> None:
    with pytest.raises(AmountError, match="is no amount"):
        checked_amount(value)


def test_a_fraction_is_never_rounded() -> None:
    with pytest.raises(AmountError, match="exact"):
        parse_token("0.1234567", decimals=6)
    assert parse_token("0.1234560", decimals=6) == 123_456


@pytest.mark.parametrize(
    ("text", "units"), [("2.5", 2_500_000), ("2.5USDC", 2_500_000), ("2.5 usdc", 2_500_000), ("3", 3 * 10**6)]
)
def test_a_token_is_counted_in_its_own_units(text: str, units: int) -> None:
    assert parse_token(text, decimals=6, symbol="USDC") == units


def test_another_unit_than_the_tokens_is_refused() -> None:
    with pytest.raises(AmountError, match="own unit"):
        parse_token("1eth", decimals=6, symbol="USDC")
    with pytest.raises(AmountError, match="whole tokens"):
        parse_token("1USDC", decimals=6)


def test_a_token_without_decimals_has_whole_amounts_only() -> None:
    assert parse_token("7", decimals=0) == 7
    with pytest.raises(AmountError):
        parse_token("7.1", decimals=0)


def test_absurd_decimals_are_refused() -> None:
    with pytest.raises(AmountError):
        parse_token("1", decimals=255)
    with pytest.raises(AmountError):
        format_units(1, decimals=-1)


@pytest.mark.parametrize("amount", [0, 1, 10**9, 10**17 + 1, 2**63, 2**64 - 1, MAX_AMOUNT])
def test_what_is_written_is_read_back(amount: int) -> None:
    assert parse_native(format_units(amount, decimals=18) + "eth") == amount
    assert parse_native(format_native(amount).replace(" ", "").lower()) == amount
    with localcontext() as context:
        context.prec = 80
        assert Decimal(format_units(amount, decimals=18)) == Decimal(amount) / 10**18


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 ETH"),
        (3, "3 wei"),
        (12_500_000_000, "12.5 gwei"),
        (5 * 10**16, "0.05 ETH"),
        (10**18, "1 ETH"),
        (10**18 + 1, "1.000000000000000001 ETH"),
    ],
)
def test_the_native_coin_is_written_for_people(amount: int, text: str) -> None:
    assert format_native(amount) == text


def test_a_token_is_written_with_its_symbol() -> None:
    assert format_token(2_500_000, decimals=6, symbol="USDC") == "2.5 USDC"


def test_a_negative_amount_is_never_written() -> None:
    with pytest.raises(AmountError):
        format_native(-1)
