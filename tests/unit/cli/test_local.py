import fcntl
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.chain.transport import HttpTransport
from steelyard.cli import keeper
from steelyard.cli.context import Session
from steelyard.cli.doctor import checks
from steelyard.errors import ChainError
from tests.unit.cli.conftest import Cli


@pytest.fixture
def held(home: Path) -> Iterator[Path]:
    """A home whose lock is held, as by a living keeper."""
    place = keeper.folder(home)
    handle = os.open(place / keeper.LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield home
    os.close(handle)


def write_run(home: Path, **values: object) -> None:
    (keeper.folder(home) / keeper.RUN_FILE).write_text(json.dumps(values))


def test_nothing_runs_at_first(home: Path, cli: Cli) -> None:
    assert keeper.running(home) is None
    assert cli("status", "--json").document["running"] is False
    assert cli("down").out == "nothing was running\n"


def test_what_a_dead_keeper_wrote_is_not_believed(home: Path) -> None:
    write_run(home, pid=1)
    (keeper.folder(home) / keeper.LOCK_FILE).touch()
    assert keeper.running(home) is None


def test_what_a_living_keeper_wrote_is_believed(held: Path) -> None:
    assert keeper.running(held) == {}
    write_run(held, pid=5, rpc="http://127.0.0.1:1")
    assert keeper.running(held) == {"pid": 5, "rpc": "http://127.0.0.1:1"}


def test_two_keepers_do_not_run_in_one_home(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["keeper", "--home", str(held)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert keeper.main() == 1


def test_a_stranger_with_the_process_id_of_an_old_chain_is_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (keeper.folder(home) / keeper.LAST_FILE).write_text(json.dumps({"anvil_pid": os.getpid()}))
    monkeypatch.setattr("os.kill", lambda *_: pytest.fail("a stranger was killed"))
    keeper.stop_orphan(home)


def test_dry_runs_start_and_stop_nothing(home: Path, cli: Cli) -> None:
    assert cli("up", "--dry-run", "--json").document["running"] is False
    assert cli("down", "--dry-run").code == 0
    assert keeper.running(home) is None
    assert not (home / "local").exists()


def test_up_says_how_to_get_anvil(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = cli("up")
    assert found.code == 2
    assert "npm install" in found.err


def test_a_purge_asks_first(home: Path, cli: Cli) -> None:
    state = keeper.folder(home) / "chain-31337"
    state.mkdir()
    assert cli("down", "--purge").code == 2
    assert state.exists()
    assert cli("down", "--purge", "--yes").code == 0
    assert not state.exists()
    assert (home / "keystores" / "alice.json").exists()


def test_doctor_says_what_to_do_without_a_chain(cli: Cli) -> None:
    found = cli("doctor", "--json")
    assert found.code == 6
    chain = next(check for check in found.document["checks"] if check["name"] == "chain")
    assert (chain["state"], chain["advice"]) == ("fail", "run `steelyard up`, or set rpc")


def test_doctor_names_keystores_that_others_can_read(home: Path, cli: Cli) -> None:
    (home / "keystores" / "alice.json").chmod(0o640)
    accounts = next(
        check for check in cli("doctor", "--json").document["checks"] if check["name"] == "accounts"
    )
    assert accounts["state"] == "fail"
    assert accounts["advice"] == f"chmod go= {home / 'keystores' / 'alice.json'}"


def test_doctor_names_an_endpoint_that_does_not_answer(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ChainError("no answer")

    monkeypatch.setattr(HttpTransport, "exchange", refuse)
    found = cli("doctor", "--rpc", "http://127.0.0.1:1", "--json")
    chain = next(check for check in found.document["checks"] if check["name"] == "chain")
    assert (chain["found"], "--rpc" in chain["advice"]) == ("no answer", True)


def test_doctor_leaves_no_store_behind(home: Path) -> None:
    list(checks(Session()))
    assert not (home / "store").exists()


def test_home_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    place = keeper.folder(tmp_path / "fresh")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place, place.parent)] == [0o700, 0o700]
