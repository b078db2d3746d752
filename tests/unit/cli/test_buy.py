from dataclasses import replace

import pytest

from steelyard.domain.types import State
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stub import OFFER, OFFER_INFO, PAID, PRICE, PURCHASE, QUOTE, StubMarket

ID = "0x" + OFFER.hex()


def test_without_a_terminal_nothing_is_bought_unasked(cli: Cli, market: StubMarket) -> None:
    found = cli("buy", "alice/digits")
    assert found.code == 2
    assert "--yes" in found.err
    assert "buy" not in market.names


def test_price_gas_text_and_warnings_are_shown_first(cli: Cli) -> None:
    shown = cli("buy", "alice/digits").err
    for part in ("0.05 ETH", "90,000 gas", "Use it well.", "no refund once delivered", "you have"):
        assert part in shown


def test_what_was_shown_is_what_is_bought(cli: Cli, market: StubMarket) -> None:
    assert cli("buy", "alice/digits", "--yes").code == 0
    name, args, kwargs = market.calls[-1]
    assert (name, args) == ("buy", (QUOTE.ref,))
    assert kwargs["offer"] == ID
    assert kwargs["max_price"] == PRICE


@pytest.mark.parametrize("answer", ["n", ""])
def test_no_is_no(cli: Cli, market: StubMarket, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    found = cli("buy", "alice/digits")
    assert found.code == 130
    assert "buy" not in market.names


def test_yes_on_the_terminal_buys(cli: Cli, market: StubMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    found = cli("buy", "alice/digits")
    assert found.code == 0
    assert "Buy it and pay 0.05 ETH?" in found.err
    assert "pay" not in found.out


def test_quiet_does_not_hide_the_price_from_who_is_asked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert "0.05 ETH" in cli("-q", "buy", "alice/digits").err


def test_dry_run_sends_nothing(cli: Cli, market: StubMarket) -> None:
    found = cli("buy", "alice/digits", "--dry-run", "--json")
    assert found.document["dry_run"] is True
    assert found.document["quote"]["price"] == str(PRICE)
    assert set(market.names) == {"quote"}


def test_above_the_highest_price_is_refused(cli: Cli, market: StubMarket) -> None:
    assert cli("buy", "alice/digits", "--yes", "--max-price", "0.049eth").code == 4
    assert "buy" not in market.names
    assert cli("buy", "alice/digits", "--yes", "--max-price", "0.05eth").code == 0


def test_a_price_needs_a_unit(cli: Cli, market: StubMarket) -> None:
    assert cli("buy", "alice/digits", "--yes", "--max-price", "5").code == 2
    assert "buy" not in market.names


def test_offer_by_its_first_digits(cli: Cli, market: StubMarket) -> None:
    cli("buy", "alice/digits", "--yes", "--offer", ID[:10])
    assert next(kwargs for name, _, kwargs in market.calls if name == "quote")["offer"] == ID


@pytest.mark.parametrize(("digits", "code"), [("0x0f0f0f", 2), ("0xffffffff", 3), ("0x0f0f0f0fzz", 2)])
def test_bad_first_digits(cli: Cli, digits: str, code: int) -> None:
    assert cli("buy", "alice/digits", "--yes", "--offer", digits).code == code


def test_ambiguous_first_digits(cli: Cli, market: StubMarket) -> None:
    twin = replace(OFFER_INFO, offer=OFFER[:-1] + b"\0")
    market.answers["offers"] = (OFFER_INFO, twin)
    found = cli("buy", "alice/digits", "--yes", "--offer", ID[:20])
    assert found.code == 2
    assert "more digits" in found.err


def test_rent_asks_for_rentals_only(cli: Cli, market: StubMarket) -> None:
    cli("rent", "alice/digits", "--yes")
    assert next(kwargs for name, _, kwargs in market.calls if name == "quote")["rental"] is True
    assert market.names[-1] == "rent"


@pytest.mark.parametrize(("given", "wait"), [("0", False), ("90s", 90.0), ("2m", 120.0)])
def test_wait(cli: Cli, market: StubMarket, given: str, wait: float) -> None:
    cli("buy", "alice/digits", "--yes", "--wait", given)
    assert market.calls[-1][2]["wait"] == wait


def test_not_delivered_yet_says_what_to_do(cli: Cli, market: StubMarket) -> None:
    market.answers["buy"] = replace(PAID, state=State.PAID)
    found = cli("buy", "alice/digits", "--yes")
    assert found.code == 0
    assert f"steelyard refund 0x{PURCHASE.hex()[:12]}" in found.err


def test_last_line_of_pull_is_the_path(cli: Cli, market: StubMarket) -> None:
    found = cli(
        "pull", "alice/digits", "model.onnx", "--include", "*.json", "--exclude", "x", "--local-dir", "d"
    )
    assert found.out.splitlines()[-1] == "/home/models/digits"
    name, args, kwargs = market.calls[-1]
    assert (name, args[0], str(args[1])) == ("pull", "alice/digits", "d")
    assert kwargs["include"] == ("model.onnx", "*.json")
    assert kwargs["exclude"] == ("x",)


def test_a_second_pattern_to_exclude_is_no_file_name(cli: Cli) -> None:
    result = cli("pull", "alice/digits", "--exclude", "*.bin", "*.h5")
    assert result.code == 2 and "give --exclude again" in result.err


def test_pull_by_purchase(cli: Cli, market: StubMarket) -> None:
    cli("pull", "0x" + PURCHASE.hex()[:10])
    assert market.calls[-1][1][0] == PAID


def test_renewal_shows_its_price_and_is_bound_by_it(cli: Cli, market: StubMarket) -> None:
    found = cli("renew", "alice/digits", "--yes")
    assert "0.05 ETH" in found.err
    assert market.names[-2:] == ["dry:renew", "renew"]
    assert market.calls[-1][2] == {"max_price": PRICE}


def test_renewal_above_the_highest_price_is_refused(cli: Cli, market: StubMarket) -> None:
    assert cli("renew", "alice/digits", "--yes", "--max-price", "1wei").code == 4
    assert "renew" not in market.names


def test_several_purchases_of_one_reference_must_be_told_apart(cli: Cli, market: StubMarket) -> None:
    market.answers["purchases"] = (PAID, replace(PAID, id=b"\xbc" * 32))
    found = cli("renew", "alice/digits", "--yes")
    assert found.code == 2
    assert "0xbbbbbbbbbbbb, 0xbcbcbcbcbcbc" in found.err


class Terminal:
    """A stdin that says it is a terminal."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines(keepends=True)
        self.encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def readline(self, size: int = -1) -> str:
        return self._lines.pop(0) if self._lines else ""

    def fileno(self) -> int:
        raise OSError
