import io
import json
import stat
from pathlib import Path

import pytest
from eth_account import Account as EthAccount

from steelyard.cli.accounts import Accounts, read_key, read_secret_line
from steelyard.config import load
from steelyard.crypto import keystore
from steelyard.crypto.secret import Secret
from steelyard.errors import InputError
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stub import ALICE

KEY = "11" * 32
PASSWORD = "hunter2 hunter2"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore.encrypt, "__kwdefaults__", {"scrypt_n": 1024})
    monkeypatch.setattr(keystore.save, "__kwdefaults__", {"scrypt_n": 1024})


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    (tmp_path / "password").write_text(PASSWORD + "\nanother line\n")
    return str(tmp_path / "password")


@pytest.fixture
def imported(cli: Cli, tmp_path: Path, password_file: str) -> str:
    (tmp_path / "key").write_text("0x" + KEY + "\n")
    found = cli("account", "import", "bob", str(tmp_path / "key"), "--key", "--password-file", password_file)
    assert found.code == 0
    return "bob"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_others_read_what_is_created(cli: Cli, home: Path, password_file: str) -> None:
    document = cli("account", "create", "bob", "--json", "--password-file", password_file).document
    path = home / "keystores" / "bob.json"
    assert mode(path) == 0o600
    key = EthAccount.decrypt(json.loads(path.read_bytes()), PASSWORD)
    assert EthAccount.from_key(key).address == document["address"]


def test_a_key_is_imported_and_never_printed(cli: Cli, home: Path, imported: str) -> None:
    assert KEY not in str([cli("account", *argv) for argv in (("list",), ("show", "bob"))])
    assert Accounts(load({"password_file": "password"})).unlock("bob").key == Secret(bytes.fromhex(KEY))


def test_a_keystore_of_others_is_imported(cli: Cli, tmp_path: Path, password_file: str) -> None:
    (tmp_path / "old").write_text("old password")
    (tmp_path / "geth.json").write_text(json.dumps(EthAccount.encrypt(KEY, "old password", iterations=1024)))
    argv = ("--old-password-file", str(tmp_path / "old"), "--password-file", password_file)
    assert cli("account", "import", "carol", str(tmp_path / "geth.json"), *argv).code == 0
    assert Accounts(load({"password_file": "password"})).unlock("carol").key == Secret(bytes.fromhex(KEY))


def test_a_wrong_password_is_a_failed_verification(cli: Cli, tmp_path: Path, imported: str) -> None:
    (tmp_path / "wrong").write_text("wrong")
    found = cli("account", "export", "bob", "--to", "x", "--password-file", str(tmp_path / "wrong"))
    assert found.code == 5
    assert not (tmp_path / "x").exists()


def test_an_account_is_never_overwritten(cli: Cli, imported: str, password_file: str) -> None:
    assert cli("account", "create", "bob", "--password-file", password_file).code == 2


def test_an_exported_keystore_opens_with_the_same_password(
    cli: Cli, tmp_path: Path, imported: str, password_file: str
) -> None:
    found = cli("account", "export", "bob", "--to", "copy.json", "--password-file", password_file)
    assert found.out.splitlines()[-1] == str(tmp_path / "copy.json")
    assert mode(tmp_path / "copy.json") == 0o600
    assert keystore.load(tmp_path / "copy.json", password=PASSWORD) == Secret(bytes.fromhex(KEY))


def test_an_exported_seed_is_not_the_key(cli: Cli, tmp_path: Path, imported: str, password_file: str) -> None:
    found = cli("account", "export", "bob", "--seed", "--to", "seed", "--password-file", password_file)
    seed = (tmp_path / "seed").read_text().strip()
    assert mode(tmp_path / "seed") == 0o600
    assert len(bytes.fromhex(seed)) == 32
    assert seed != KEY
    assert seed not in found.out + found.err


def test_an_export_replaces_no_file(cli: Cli, tmp_path: Path, imported: str, password_file: str) -> None:
    (tmp_path / "seed").write_text("precious")
    argv = ("account", "export", "bob", "--seed", "--to", "seed", "--password-file", password_file)
    assert cli(*argv).code == 4
    assert (tmp_path / "seed").read_text() == "precious"


def test_without_a_terminal_no_password_is_asked_for(cli: Cli, home: Path) -> None:
    found = cli("account", "create", "bob")
    assert found.code == 2
    assert "--password-file" in found.err
    assert not (home / "keystores" / "bob.json").exists()


@pytest.mark.parametrize("name", ["../bob", "0xbob", "bob/x", ""])
def test_a_name_that_cannot_stand_in_a_reference(cli: Cli, name: str, password_file: str) -> None:
    assert cli("account", "create", name, "--password-file", password_file).code == 2


def test_several_accounts_must_be_chosen_from(cli: Cli, imported: str) -> None:
    found = cli("account", "show")
    assert found.code == 2
    assert "alice, bob" in found.err
    assert cli("account", "show", "--account", "bob").code == 0


def test_an_unknown_account_is_not_found(cli: Cli) -> None:
    assert cli("account", "show", "dave").code == 3


def test_an_altered_address_is_noticed(cli: Cli, home: Path, imported: str) -> None:
    path = home / "keystores" / "bob.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"address": ALICE.hex()}))
    with pytest.raises(InputError, match="altered"):
        Accounts(load({"password_file": "password"})).unlock("bob")


def test_aliases_are_accounts_and_those_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "user.toml").write_text(f'[aliases]\ndave = "0x{"12" * 20}"\nalice = "0x{"13" * 20}"')
    assert Accounts(load()).aliases() == {"dave": b"\x12" * 20, "alice": b"\x13" * 20}


def test_a_remembered_password_opens_without_asking(home: Path) -> None:
    accounts = Accounts(load())
    address = accounts.add("demo", remember=True)
    assert accounts.unlock("demo").address == address
    assert mode(home / "keystores" / "demo.password") == 0o600


def remembered(cli: Cli) -> str:
    """Make an account as `up --dev` does."""
    Accounts(load()).add("demo", remember=True)
    return "demo"


@pytest.mark.parametrize("given", ["flag", "environment", "user file"])
def test_a_given_password_goes_before_a_remembered_one_and_the_error_says_so(
    cli: Cli, tmp_path: Path, password_file: str, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    name = remembered(cli)
    argv, source = (), str(tmp_path / "user.toml")
    if given == "flag":
        argv, source = ("--password-file", password_file), "--password-file"
    elif given == "environment":
        monkeypatch.setenv("STEELYARD_PASSWORD_FILE", password_file)
        source = "STEELYARD_PASSWORD_FILE"
    else:
        (tmp_path / "user.toml").write_text(f'password_file = "{password_file}"')
    found = cli("account", "export", name, "--seed", "--to", "seed", *argv)
    assert found.code == 5 and not (tmp_path / "seed").exists()
    assert f"from {password_file} ({source}) is wrong" in found.err
    assert f"without {source} the password made by `steelyard up --dev`" in found.err
    assert PASSWORD not in found.err


def test_the_flag_goes_before_the_environment(
    cli: Cli, tmp_path: Path, imported: str, password_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong").write_text("wrong")
    monkeypatch.setenv("STEELYARD_PASSWORD_FILE", str(tmp_path / "wrong"))
    argv = ("account", "export", imported, "--seed", "--to", "seed")
    assert cli(*argv, "--password-file", password_file).code == 0


def test_a_wrong_remembered_password_is_named_too(cli: Cli, home: Path) -> None:
    name = remembered(cli)
    (home / "keystores" / "demo.password").write_text("wrong")
    found = cli("account", "export", name, "--seed", "--to", "seed")
    assert found.code == 5
    assert "demo.password (made by `steelyard up --dev`) is wrong" in found.err and "without" not in found.err


@pytest.mark.parametrize("text", ["", "\n", "xyz", "11" * 31, "11" * 33])
def test_a_malformed_key_file_is_not_repeated(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(InputError) as caught:
        read_key(tmp_path / "key")
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_secret_line_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"secret\r\nmore")))
    assert read_secret_line(Path("-"), "password file") == "secret"
