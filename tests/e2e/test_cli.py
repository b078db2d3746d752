"""The command line as people use it, on a real local chain and a real store.

Most command lines run in this process, as importing web3 costs each that signs 2.6 s. Those that must be processes of their own
are: the service, what imports are measured of, and one of each kind of outcome.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steelyard.chain.node import find_anvil
from steelyard.cli.main import run
from steelyard.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120


@dataclass(frozen=True)
class Done:
    """What a process gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """Runs `steelyard` with one home."""

    home: Path
    env: dict[str, str]

    def __call__(self, *argv: str, account: str = "", code: int = 0) -> Done:
        """Run in this process, with nobody at the terminal."""
        chosen = ("--account", account) if account else ()
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(self.home):
            for name in os.environ.keys() - self.env.keys():
                patch.delenv(name)
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO())
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                found = int(run([*chosen, *argv]))
        assert found == code, err.getvalue()
        return Done(found, out.getvalue(), err.getvalue())

    def process(self, *argv: str, code: int = 0) -> Done:
        """Run in a process of its own."""
        found = subprocess.run(
            self.command(*argv),
            env=self.env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert found.returncode == code, found.stderr
        return Done(found.returncode, found.stdout, found.stderr)

    def command(self, *argv: str) -> list[str]:
        return [sys.executable, "-P", "-m", "steelyard.cli.main", *argv]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    try:
        anvil = find_anvil(start=ROOT)
    except InputError as exc:
        pytest.skip(str(exc))
    home = tmp_path_factory.mktemp("home")
    env = {name: value for name, value in os.environ.items() if not name.startswith("STEELYARD_")}
    env |= {
        "STEELYARD_HOME": str(home),
        "STEELYARD_HTTP": "127.0.0.1:0",
        "STEELYARD_CONFIG": str(home / "user.toml"),
        "STEELYARD_ANVIL": str(anvil),
        "PYTHONPATH": str(ROOT / "backend"),
        "COLUMNS": "80",
    }
    made = Cli(home, env)
    made.process("up", "--dev")
    try:
        yield made
    finally:
        made.process("down")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "README.md").write_text("# Digits\n")
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 20)
    return folder


@pytest.fixture(scope="module")
def listed(cli: Cli, model: Path) -> str:
    """A model of alice, offered for 0.05 ETH."""
    found = cli("publish", str(model), "--name", "digits", "--price", "0.05eth", account="alice")
    assert found.out.splitlines()[-1].endswith("/digits@1")
    return "alice/digits"


@pytest.fixture(scope="module")
def bought(cli: Cli, listed: str) -> str:
    """The id of bob's purchase, delivered."""
    document = cli("buy", listed, "--yes", "--wait", "0", "--json", account="bob").document
    assert document["state"] == "paid"
    assert document["order"]["terms"]["price"] == "50000000000000000"
    cli.process("--account", "alice", "deliver", document["id"])
    return str(document["id"])


def test_doctor_finds_nothing_wrong(cli: Cli) -> None:
    document = cli.process("doctor", "--json").document
    assert document["ok"]
    assert {check["name"] for check in document["checks"]} >= {
        "accounts",
        "store",
        "chain",
        "market",
        "clock",
    }


def test_nothing_below_home_can_be_read_by_others(cli: Cli) -> None:
    private = [
        cli.home / "keystores",
        cli.home / "local",
        *(cli.home / "keystores").iterdir(),
        cli.home / "local.json",
    ]
    assert [path for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_a_second_up_changes_nothing(cli: Cli) -> None:
    before = cli("status", "--json").document
    assert "was there already" in cli("up").err
    after = cli("status", "--json").document
    assert before == after


def test_a_buyer_gets_the_same_bytes(cli: Cli, bought: str, model: Path) -> None:
    path = Path(cli("pull", "alice/digits", account="bob").out.splitlines()[-1])
    assert {item.name: item.read_bytes() for item in path.iterdir()} == {
        item.name: item.read_bytes() for item in model.iterdir()
    }


def test_who_has_not_paid_gets_nothing(cli: Cli, bought: str) -> None:
    found = cli.process("--account", "carol", "pull", "alice/digits", code=4)
    assert found.out == ""


def test_dry_run_of_a_purchase_sends_nothing(cli: Cli, listed: str) -> None:
    before = cli("balance", "carol", "--json").document
    cli("buy", listed, "--dry-run", account="carol")
    assert cli("balance", "carol", "--json").document == before


def test_dry_run_of_a_publication_sends_nothing(cli: Cli, model: Path) -> None:
    cli("publish", str(model), "--name", "dry", "--dry-run", account="alice")
    cli("info", "alice/dry", code=3)


def test_no_purchase_without_an_answer(cli: Cli, listed: str) -> None:
    assert "--yes" in cli("buy", listed, account="carol", code=2).err


def test_reads_import_nothing_heavy(cli: Cli, listed: str) -> None:
    for argv in (["info", listed], ["list"], ["verify", listed], ["audit", "trail", listed]):
        code = (
            "import sys; from steelyard.cli.main import run; code = run(sys.argv[1:]); "
            "print(code, *sys.modules, file=sys.stderr)"
        )
        found = subprocess.run(
            [sys.executable, "-c", code, "-q", *argv], env=cli.env, capture_output=True, text=True, check=True
        )
        code_, *loaded = found.stderr.splitlines()[-1].split()
        assert code_ == "0"
        assert not set(loaded) & {"web3", "eth_abi", "eth_account", "rich", "ipfshttpclient", "asyncio"}


def test_a_sale_is_served_with_the_sellers_seed_and_another_accounts_gas(cli: Cli, listed: str) -> None:
    target = cli.home / "seed"
    exported = cli("account", "export", "alice", "--seed", "--to", str(target))
    secret = target.read_text().strip()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert secret not in exported.out + exported.err
    argv = ["serve", "--account", "carol", "--seed-file", str(target), "--ref", listed, "--interval", "1s"]
    with subprocess.Popen(
        cli.command(*argv, "--json"), env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            document = cli("buy", listed, "--yes", "--json", account="bob").document
            assert document["state"] == "settled"
        finally:
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=SECONDS)
    assert server.returncode == 0
    assert json.loads(out)["delivered"] == 1
    assert "delivered" in [json.loads(line)["event"] for line in err.splitlines()]
    assert secret not in err


def test_a_version_published_later_is_had_by_a_key_request(cli: Cli, model: Path) -> None:
    cli("publish", str(model), "--name", "growing", account="alice")
    cli("offer", "make", "alice/growing", "--price", "0", "--scope", "all", account="alice")
    cli("buy", "alice/growing", "--yes", "--wait", "0", account="bob")
    cli("deliver", "--all", account="alice")
    second = cli("publish", str(model), "--name", "growing", "--json", account="alice").document
    assert second["published"]["number"] == 2
    cli("request-key", "alice/growing", account="bob")
    cli("deliver", "--all", account="alice")
    assert cli("pull", "alice/growing@2", account="bob").code == 0


def test_an_asset_is_given_away_and_its_keys_are_handed_over(cli: Cli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("correct horse battery\n")
    word = ("--key-password-file", str(tmp_path / "word"))
    file = tmp_path / "given.keys"
    cli("publish", str(model), "--name", "given", "--price", "0.01eth", account="alice")
    cli("buy", "alice/given", "--yes", "--wait", "0", account="bob")
    cli("transfer", "alice/given", "carol", "--yes", account="alice")
    assert cli("keys", "list", "alice/given", "--json", account="carol").document[0]["source"] == "none"
    cli("keys", "export", "alice/given", "--to", str(file), *word, account="alice")
    (tmp_path / "wrong").write_text("another word for it\n")
    wrong = ("--key-password-file", str(tmp_path / "wrong"))
    cli("keys", "import", str(file), *wrong, account="carol", code=5)
    assert cli("keys", "import", str(file), *word, "--json", account="carol").document["versions"] == [1]
    assert "imported" in cli("keys", "list", account="carol").out
    cli("deliver", "--all", account="carol")
    assert cli("pull", "alice/given", account="bob").code == 0


def test_a_trail_is_verified_offline_and_a_cut_one_is_not(cli: Cli, bought: str, tmp_path: Path) -> None:
    bundle = tmp_path / "b.json"
    assert cli("audit", "export", "alice/digits", "-o", str(bundle)).out.splitlines()[-1] == str(bundle)
    seen = cli("audit", "verify", str(bundle), "--json").document
    chain = json.loads((cli.home / "deployments" / "31337.json").read_text())
    offline = Cli(
        tmp_path, cli.env | {"STEELYARD_HOME": str(tmp_path), "STEELYARD_CONFIG": str(tmp_path / "none")}
    )
    given = ("--chain-id", "31337", "--directory", chain["contracts"]["Directory"]["address"])
    given += ("--block-hash", seen["block_hash"])
    assert offline("audit", "verify", str(bundle), *given, "--json").document == seen
    document = json.loads(bundle.read_text())
    del document["entries"][1]
    bundle.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    offline("audit", "verify", str(bundle), *given, code=5)


def test_income_is_withdrawn(cli: Cli, bought: str) -> None:
    document = cli("withdraw", "--yes", "--json", account="alice").document
    assert int(document["amount"]) >= 5 * 10**16
    assert int(cli("balance", "alice", "--json").document["treasury"]) == 0


def test_json_and_prose_agree_about_the_market(cli: Cli, listed: str) -> None:
    documents = cli("list", "--json").document
    shown = cli("list").out
    assert all(item["ref"] in shown for item in documents)


def test_what_was_there_is_there_after_a_restart(cli: Cli, bought: str) -> None:
    before = cli("purchases", "--json", account="bob").document
    cli.process("down")
    assert cli("list", code=2).err.count("steelyard up") == 1
    cli.process("up")
    assert cli("purchases", "--json", account="bob").document == before


def test_no_secret_was_ever_written_outside_the_keystores(cli: Cli, bought: str) -> None:
    passwords = [path.read_text().strip() for path in (cli.home / "keystores").glob("*.password")]
    assert len(passwords) == 3
    texts = [path for path in cli.home.rglob("*") if path.is_file() and "keystores" not in path.parts]
    for password in passwords:
        assert [path for path in texts if password.encode() in path.read_bytes()] == []
