from __future__ import annotations

import pytest

from steelyard.chain.hexdata import checksum_address, parse_address, quantity
from steelyard.errors import InputError

# From ERC-55.
KNOWN = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
]


@pytest.mark.parametrize("text", KNOWN)
def test_known_addresses_have_their_checksums(text: str) -> None:
    assert checksum_address(bytes.fromhex(text[2:])) == text
    assert parse_address(text) == parse_address(text.lower()) == parse_address("0x" + text[2:].upper())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        KNOWN[0][2:],
        KNOWN[0][:-1],
        KNOWN[0] + "0",
        "0X" + KNOWN[0][2:],
        "0x" + "zz" * 20,
        "0x" + "é" * 20,
    ],
)
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(InputError):
        parse_address(text)


def test_a_mistyped_address_is_noticed() -> None:
    with pytest.raises(InputError, match="checksum"):
        parse_address(KNOWN[0].replace("5aAe", "5aAE"))


def test_quantities_have_no_leading_zeros_and_no_sign() -> None:
    assert [quantity(0), quantity(255)] == ["0x0", "0xff"]
    with pytest.raises(InputError):
        quantity(-1)
