import json
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.cli.sell import parse_position
from steelyard.domain.types import State
from steelyard.errors import InputError, NotFoundError, RefusedError
from steelyard.service.results import Offered
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stub import ALICE, ASSET, DEFAULTS, OFFER, PURCHASE, TERMS, StubMarket

OFFERED = Offered(
    tx=b"\x15" * 32, gas_used=1, fee_wei=1, ref="alice/digits", asset=ASSET, offer=OFFER, terms=TERMS
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "model").mkdir()
    return str(tmp_path / "model")


def test_a_new_name_is_a_new_asset(cli: Cli, market: StubMarket, folder: str) -> None:
    market.answers["info"] = NotFoundError("x")
    found = cli("publish", folder, "--name", "digits")
    assert found.out.splitlines()[-1] == "alice/digits@1"
    assert market.names == ["info", "publish"]


def test_a_known_name_is_a_new_version(cli: Cli, market: StubMarket, folder: str) -> None:
    market.answers["new_version"] = market.publish()
    market.calls.clear()
    cli("publish", folder, "--name", "digits")
    assert market.names == ["info", "new_version"]
    assert market.calls[-1][1][0] == f"0x{ALICE.hex()}/digits"


def test_a_price_makes_an_offer(cli: Cli, market: StubMarket, folder: str) -> None:
    market.answers |= {"info": NotFoundError("x"), "offer": OFFERED}
    cli("publish", folder, "--name", "digits", "--price", "0.05eth", "--window", "1d")
    assert market.calls[-1] == ("offer", ("alice/digits@1",), {"price": 5 * 10**16, "window": 86_400})


def test_a_failed_offer_does_not_hide_the_version(cli: Cli, market: StubMarket, folder: str) -> None:
    market.answers |= {"info": NotFoundError("x"), "offer": RefusedError("no")}
    found = cli("publish", folder, "--name", "digits", "--price", "0.05eth")
    assert found.code == 4
    assert "steelyard offer make alice/digits@1" in found.err


def test_a_malformed_price_is_found_before_anything_is_published(
    cli: Cli, market: StubMarket, folder: str
) -> None:
    assert cli("publish", folder, "--name", "digits", "--price", "0.05").code == 2
    assert market.names == []


def test_publish_dry_run(cli: Cli, market: StubMarket, folder: str) -> None:
    market.answers["info"] = NotFoundError("x")
    found = cli("publish", folder, "--name", "digits", "--price", "1eth", "--dry-run")
    assert found.code == 0 and market.names == ["info", "dry:publish"]
    size = DEFAULTS["publish"].size
    for fact in (f"{size:,} bytes in {-(-size // (1 << 20))} chunk", "1 ETH", "about ", " gas, "):
        assert fact in found.out
    assert "nothing was sealed" in found.err


@pytest.mark.parametrize("argv", [(), ("--name", "a", "--to", "alice/a")])
def test_publish_needs_one_target(cli: Cli, folder: str, argv: tuple[str, ...]) -> None:
    assert cli("publish", folder, *argv).code == 2


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0xabc=2500", ("0xabc", 2500)),
        ("bob=25%", ("bob", 2500)),
        ("bob=0.5%", ("bob", 50)),
        ("b=33.33%", ("b", 3333)),
    ],
)
def test_positions(text: str, position: tuple[str, int]) -> None:
    assert parse_position(text) == position


@pytest.mark.parametrize(
    "text", ["bob", "=5%", "bob=", "bob=-5%", "bob=1.234%", "bob=1.5", "bob=%", "bob=x%"]
)
def test_malformed_positions(text: str) -> None:
    with pytest.raises(InputError):
        parse_position(text)


def test_positions_take_accounts_by_name(cli: Cli, market: StubMarket, folder: str) -> None:
    market.answers["info"] = NotFoundError("x")
    cli("publish", folder, "--name", "d", "--position", "alice=60%", "--position", f"0x{'12' * 20}=40%")
    assert market.calls[-1][2]["positions"] == [(ALICE, 6000), ("0x" + "12" * 20, 4000)]


def test_offer_terms_reach_the_market(cli: Cli, market: StubMarket) -> None:
    market.answers["offer"] = OFFERED
    argv = "--price 1gwei --rental 30d --supply 3 --scope until-end --window 1h --no-transfer --deliver-within 2h"
    assert cli("offer", "make", "alice/digits", *argv.split(), "--allow", "alice").code == 0
    given = market.calls[-1][2]
    wanted = {"price": 10**9, "rental_period": 2_592_000, "supply": 3, "scope": "until-end", "window": 3600}
    assert (
        given.items() >= (wanted | {"transferable": False, "deliver_within": 7200, "allow": [ALICE]}).items()
    )


def test_offer_is_closed_by_its_first_digits(cli: Cli, market: StubMarket) -> None:
    assert cli("offer", "close", "alice/digits", "0x0f0f0f0f").code == 0
    assert market.calls[-1][:2] == ("close_offer", ("alice/digits", "0x" + OFFER.hex()))


def test_offers_are_listed_with_whole_ids(cli: Cli) -> None:
    assert "0x" + OFFER.hex() in cli("offer", "list", "alice/digits").out


def test_deliver_needs_a_sale_or_all(cli: Cli, market: StubMarket) -> None:
    assert cli("deliver").code == 2
    assert cli("deliver", "0x12345678", "--all").code == 2


def test_deliver_all(cli: Cli, market: StubMarket) -> None:
    market.answers["deliver_pending"] = ()
    found = cli("deliver", "--all")
    assert found.code == 0
    assert "sales --open" in found.err


@pytest.mark.parametrize("command", ["refund", "dispute"])
def test_acts_on_a_purchase_by_reference(cli: Cli, market: StubMarket, command: str) -> None:
    from tests.unit.cli.stub import PAID

    market.answers["purchases"] = (replace(PAID, state=State.DELIVERED),)
    assert cli(command, "alice/digits").code == 0
    assert market.calls[-1][:2] == (command, (PURCHASE,))


def test_nothing_to_refund(cli: Cli) -> None:
    found = cli("refund", "alice/digits")
    assert found.code == 3
    assert "yours are settled" in found.err


def test_settle_by_whole_id(cli: Cli, market: StubMarket) -> None:
    assert cli("settle", "0x" + PURCHASE.hex()).code == 0
    assert market.names[-1] == "settle"


@pytest.mark.parametrize("what", ["alice/digits", "0x" + "bb" * 32])
def test_transfer_asks_first(cli: Cli, market: StubMarket, what: str) -> None:
    found = cli("transfer", what, "alice")
    assert found.code == 2
    assert "0x70997970C51812dc3A010C7d01b50e0d17dc79C8" in found.err
    assert not {"transfer_asset", "transfer_licence"} & set(market.names)


def test_transfer_to_a_mistyped_address(cli: Cli, market: StubMarket) -> None:
    assert cli("transfer", "alice/digits", "0x70997970c51812dC3A010C7d01b50e0d17dc79C8", "--yes").code == 2
    assert market.names == []


def test_roles(cli: Cli, market: StubMarket) -> None:
    cli("role", "grant", "alice/digits", "seller", "alice")
    cli("role", "take", "alice/digits", "maintainer", "alice")
    assert [call[1] for call in market.calls] == [
        ("alice/digits", ALICE, "seller", True),
        ("alice/digits", ALICE, "maintainer", False),
    ]


def test_a_stage_is_shown(cli: Cli, market: StubMarket) -> None:
    found = cli("stage", "alice/digits@1")
    assert found.code == 0 and market.calls == [("stages", ("alice/digits@1",), {})]
    assert found.out.splitlines()[1].split() == ["stage", "deprecated"]
    assert "\x1b" not in found.out and found.out.rstrip().endswith("better")
    shown = json.loads(cli("stage", "alice/digits@1", "--json").out)
    assert (shown["stage"], shown["history"][1]["stage"]) == ("deprecated", "deprecated")


def test_a_stage_is_moved_and_retiring_asks_first(cli: Cli, market: StubMarket) -> None:
    assert cli("stage", "alice/digits@1", "--to", "draft", "--reason", "why").code == 0
    assert market.calls == [("move_stage", ("alice/digits@1", "draft"), {"reason": "why"})]
    retire = ("stage", "alice/digits@1", "--to", "retired", "--reason", "why")
    found = cli(*retire)
    assert found.code == 2 and "for ever" in found.err and market.names[-1] == "dry:move_stage"
    assert cli(*retire, "--dry-run").code == 0 and market.names[-1] == "dry:move_stage"
    found = cli(*retire, "--yes")
    assert found.code == 0 and market.names[-1] == "move_stage"
    assert "0x" + "16" * 32 in found.out


@pytest.mark.parametrize(
    "arguments", [("--to", "draft"), ("--to", "dead", "--reason", "x"), ("--reason", "x"), ("--dry-run",)]
)
def test_a_move_needs_stage_and_reason(cli: Cli, market: StubMarket, arguments: tuple[str, ...]) -> None:
    assert cli("stage", "alice/digits@1", *arguments).code == 2
    assert market.calls == []


def test_withdraw_asks_first_and_dry_run_never(cli: Cli, market: StubMarket) -> None:
    assert cli("withdraw").code == 2
    assert market.names == ["dry:withdraw"]
    assert cli("withdraw", "--dry-run").code == 0
    assert market.names == ["dry:withdraw"] * 2


def test_withdraw_goes_to_the_account_itself(cli: Cli, market: StubMarket) -> None:
    assert cli("withdraw", "1gwei", "--yes").code == 0
    name, args, kwargs = market.calls[-1]
    assert (name, args, kwargs["to"]) == ("withdraw", (10**9,), ALICE)


def test_bond(cli: Cli, market: StubMarket) -> None:
    assert cli("bond", "fund", "0.1eth", "--yes").code == 0
    assert market.calls[-1][1] == (10**17,)
    assert cli("bond", "take", "1wei").code == 0
    assert market.calls[-1][1] == (1,)


def test_balance_shows_every_wei(cli: Cli) -> None:
    assert "1180.591620717411303424 ETH" in cli("balance").out


def test_balance_of_a_stranger_needs_no_account(cli: Cli, market: StubMarket, home: Path) -> None:
    (home / "keystores" / "alice.json").unlink()
    assert cli("balance", "0x" + "12" * 20).code == 0
    assert market.calls[-1][2]["account"] == b"\x12" * 20


def test_code_and_preview_are_asked_for(cli: Cli, market: StubMarket, folder: str) -> None:
    market.answers["info"] = NotFoundError("x")
    cli("publish", folder, "--name", "digits")
    cli("publish", folder, "--name", "digits", "--allow-code", "--preview")
    first, second = (options for name, _, options in market.calls if name == "publish")
    assert (first["allow_code"], first["preview"]) == (False, False)
    assert (second["allow_code"], second["preview"]) == (True, True)


def test_a_card_with_faults_is_told_and_published(cli: Cli, market: StubMarket, folder: str) -> None:
    market.answers["info"] = NotFoundError("x")
    (Path(folder) / "README.md").write_text("---\nlicense: mine\n---\n# x\n")
    found = cli("publish", folder, "--name", "digits")
    assert found.code == 0 and "'mine' is neither an SPDX expression" in found.err
