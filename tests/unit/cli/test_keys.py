from pathlib import Path

import pytest

from steelyard.errors import InputError, NotFoundError, SealError, SteelyardError, WrongKeyError
from steelyard.service.results import KeyHandover, VersionKey
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stub import ASSET, VERSION, StubMarket

PASSWORD = "correct horse battery"
DONE = KeyHandover(ref="alice/digits", asset=ASSET, versions=(1, 3), missing=(), path=Path("/tmp/keys"))


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    (tmp_path / "key-password").write_text(PASSWORD + "\n")
    return str(tmp_path / "key-password")


@pytest.fixture(autouse=True)
def answers(market: StubMarket) -> None:
    market.answers |= {"export_keys": DONE, "import_keys": DONE}


def test_export(cli: Cli, market: StubMarket, password_file: str) -> None:
    found = cli("keys", "export", "alice/digits", "--to", "keys", "--key-password-file", password_file)
    assert found.code == 0
    assert market.calls == [("export_keys", ("alice/digits", Path("keys")), {"password": PASSWORD})]
    assert found.out.splitlines()[-1] == "/tmp/keys"
    assert "1, 3" in found.out and "for ever" in found.err
    assert PASSWORD not in found.out + found.err


def test_export_says_which_keys_are_missing(cli: Cli, market: StubMarket, password_file: str) -> None:
    market.answers["export_keys"] = KeyHandover(
        ref="alice/digits", asset=ASSET, versions=(1,), missing=(2,), path=Path("/tmp/keys")
    )
    argv = ("keys", "export", "alice/digits", "--to", "keys", "--key-password-file", password_file)
    assert "not in the file: version 2" in cli(*argv).err


def test_import(cli: Cli, market: StubMarket, password_file: str) -> None:
    found = cli("keys", "import", "keys", "--key-password-file", password_file, "--json")
    assert market.calls == [("import_keys", (Path("keys"),), {"password": PASSWORD})]
    assert found.document == {
        "ref": "alice/digits",
        "asset": "0x" + ASSET.hex(),
        "versions": [1, 3],
        "missing": [],
        "path": "/tmp/keys",
    }


@pytest.mark.parametrize(
    ("error", "code"), [(InputError, 2), (NotFoundError, 3), (SealError, 5), (WrongKeyError, 5)]
)
def test_what_is_wrong_with_a_file_has_its_exit_code(
    cli: Cli, market: StubMarket, password_file: str, error: type[SteelyardError], code: int
) -> None:
    market.answers["import_keys"] = error("x")
    found = cli("keys", "import", "keys", "--key-password-file", password_file, "--json")
    assert found.code == code and found.document["error"]["kind"] == error.__name__


@pytest.mark.parametrize("argv", [("export", "alice/digits", "--to", "keys"), ("import", "keys")])
def test_without_a_terminal_the_file_s_password_comes_from_a_file(
    cli: Cli, market: StubMarket, argv: tuple[str, ...]
) -> None:
    found = cli("keys", *argv)
    assert found.code == 2 and "--key-password-file" in found.err
    assert market.names == []


def test_list(cli: Cli, market: StubMarket) -> None:
    market.answers["version_keys"] = (
        VersionKey(ref="alice/digits@1", asset=ASSET, version=VERSION.id, source="imported"),
    )
    assert cli("keys", "list").out.splitlines()[-1].split() == ["alice/digits@1", "imported"]
    assert market.calls == [("version_keys", (None,), {})]
    assert cli("keys", "list", "alice/digits", "--json").document[0]["source"] == "imported"
