import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import steelyard
from steelyard import errors
from steelyard.cli.exits import Exit, exit_of
from steelyard.cli.main import COMMANDS, ROOT
from steelyard.domain.types import Stage
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stub import INFO, StubMarket

NAMES = [name for section in COMMANDS.values() for name in section]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("x"), 2),
        (errors.ConfigError("x"), 2),
        (errors.AmountError("x"), 2),
        (errors.NotFoundError("x"), 3),
        (errors.RefusedError("x"), 4),
        (errors.RevertError("x"), 4),
        (errors.UnsafeError("x"), 4),
        (errors.VerificationError("x"), 5),
        (errors.LeafError("x", leaf=1), 5),
        (errors.TrailError("x"), 5),
        (errors.UnavailableError("x"), 6),
        (errors.WrongChainError("x"), 6),
        (errors.SteelyardError("x"), 1),
    ],
)
def test_exit_code_of_each_error(cli: Cli, market: StubMarket, error: Exception, code: int) -> None:
    market.answers["info"] = error
    assert cli("info", "alice/digits").code == code


def test_no_error_of_the_tree_is_without_an_exit_code() -> None:
    def below(kind: type[errors.SteelyardError]) -> list[type[errors.SteelyardError]]:
        return [kind, *(item for child in kind.__subclasses__() for item in below(child))]

    for child in errors.SteelyardError.__subclasses__():
        for kind in below(child):
            assert exit_of(kind.__new__(kind)) is not Exit.UNEXPECTED, kind


def test_an_error_is_one_or_two_lines_on_stderr(cli: Cli, market: StubMarket) -> None:
    market.answers["info"] = errors.RefusedError("no\ndo\nthis\nthen")
    found = cli("info", "alice/digits")
    assert found.out == ""
    assert found.err == "error: no\ndo this then\n"


def test_an_error_with_json_is_a_document_too(cli: Cli, market: StubMarket) -> None:
    market.answers["info"] = errors.NotFoundError("no asset alice/digits")
    found = cli("info", "alice/digits", "--json")
    assert found.document == {
        "error": {"kind": "NotFoundError", "code": 3, "message": "no asset alice/digits"}
    }
    assert found.err.count("\n") == 1


def test_a_usage_error_with_json_is_a_document_too(cli: Cli) -> None:
    found = cli("info", "--json")
    assert found.code == 2
    assert found.document["error"]["kind"] == "UsageError"


def test_an_unexpected_error_shows_no_traceback(cli: Cli, market: StubMarket) -> None:
    market.answers["info"] = ZeroDivisionError("boom")
    found = cli("info", "alice/digits")
    assert found.code == 1
    assert "Traceback" not in found.err
    assert "STEELYARD_DEBUG=1" in found.err


def test_debug_shows_where(cli: Cli, market: StubMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_DEBUG", "1")
    market.answers["info"] = ZeroDivisionError("boom")
    with pytest.raises(ZeroDivisionError):
        cli("info", "alice/digits")


def test_interrupt(cli: Cli, market: StubMarket) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    market.info = interrupt  # type: ignore[method-assign]
    assert cli("info", "alice/digits").code == 130


def test_a_mistyped_command_names_the_near_one(cli: Cli) -> None:
    found = cli("purchase")
    assert found.code == 2
    assert "did you mean 'purchases'" in found.err


def test_a_malformed_setting_is_an_error_not_a_traceback(cli: Cli) -> None:
    found = cli("--rpc", "nonsense", "list")
    assert found.code == 2
    assert "setting rpc from --rpc" in found.err


def test_bare_command_prints_the_help(cli: Cli) -> None:
    assert cli() == cli("--help")


def test_common_options_stand_before_or_after_the_command(cli: Cli) -> None:
    assert cli("--json", "info", "alice/digits").document == cli("info", "--json", "alice/digits").document


def test_the_later_of_two_options_wins(cli: Cli) -> None:
    found = cli("--rpc", "http://first", "config", "rpc", "--rpc", "http://second")
    assert found.out == "http://second\n"


def test_the_market_is_closed(cli: Cli, market: StubMarket) -> None:
    market.answers["info"] = errors.NotFoundError("x")
    cli("info", "alice/digits")
    assert market.closed


def every_command() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in NAMES:
        command = ROOT.get_command(None, name)  # type: ignore[arg-type]
        found.append((name,))
        found += [(name, verb) for verb in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_help_fits_80_columns(cli: Cli, words: tuple[str, ...]) -> None:
    found = cli(*words, "--help")
    assert found.code == 0
    assert max(map(len, found.out.splitlines())) <= 80


def test_root_help_fits_80_columns(cli: Cli) -> None:
    assert max(map(len, cli("--help").out.splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_the_commands_own_help_says(name: str) -> None:
    command = ROOT.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    shown = next(section[name][1] for section in COMMANDS.values() if name in section)
    assert (command.help or "").startswith(shown)


HEAVY = (
    "web3",
    "eth_abi",
    "eth_account",
    "rich",
    "ipfshttpclient",
    "cryptography",
    "httpx2",
    "coincurve",
    "asyncio",
)


def modules_after(*argv: str) -> set[str]:
    code = f"import sys\nfrom steelyard.cli.main import run\nrun({list(argv)!r})\nprint('\\n' + ' '.join(sys.modules))"
    env = os.environ | {"PYTHONPATH": str(Path(steelyard.__file__).parent.parent)}
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return set(found.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("argv", [("--help",), ("buy", "--help"), ("config",), ("completions", "bash")])
def test_help_imports_nothing_heavy(argv: tuple[str, ...]) -> None:
    assert not modules_after(*argv) & set(HEAVY)


def test_help_imports_no_command() -> None:
    loaded = modules_after("--help")
    assert not loaded & {"steelyard.cli.look", "steelyard.cli.buy", "steelyard.cli.local", "steelyard.market"}


def test_every_result_is_one_json_document(cli: Cli) -> None:
    for argv in (
        ("list",),
        ("info", "alice/digits"),
        ("offer", "list", "alice/digits"),
        ("balance",),
        ("purchases",),
    ):
        found = cli(*argv, "--json")
        assert found.code == 0
        json.loads(found.out)


@pytest.mark.parametrize(
    ("stage", "flagged", "only", "shown"),
    [
        (Stage.RELEASED, False, bytes(32), True),
        (Stage.DEPRECATED, False, INFO.versions[0].version, True),
        (Stage.RELEASED, False, b"\x77" * 32, False),
        (Stage.RETIRED, False, bytes(32), False),
        (Stage.DRAFT, False, INFO.versions[0].version, False),
        (Stage.RELEASED, True, bytes(32), False),
    ],
)
def test_list_shows_the_price_of_what_is_on_sale(
    cli: Cli, market: StubMarket, stage: Stage, flagged: bool, only: bytes, shown: bool
) -> None:
    version = replace(INFO.versions[0], stage=stage, flagged=flagged)
    offer = replace(INFO.offers[0], terms=replace(INFO.offers[0].terms, version=only))
    market.answers["list"] = (replace(INFO, versions=(version,), offers=(offer,)),)
    price = cli("list").out.splitlines()[-1].split()[4:]
    assert price == (["0.05", "ETH"] if shown else ["-"])


def test_info_is_json_as_in_python(cli: Cli) -> None:
    document = cli("info", "alice/digits", "--json").document
    assert document["asset"] == "0x" + INFO.asset.hex()
    assert document["kind"] == "model"
    assert document["offers"][0]["terms"]["price"] == "50000000000000000"
    assert document["offers"][0]["terms"]["salt"] == str(2**63)
    assert document["owner"] == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert document["registered_at"] == 1_700_000_000
