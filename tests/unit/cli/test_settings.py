import pytest

from tests.unit.cli.conftest import Cli


def test_every_setting_is_shown_with_its_source(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_RPC", "https://user:hunter2@rpc.example/hunter2")
    found = cli("config", "--json", "--account", "bob")
    assert found.document["rpc"] == {"value": "https://rpc.example/...", "source": "STEELYARD_RPC"}
    assert found.document["account"] == {"value": "bob", "source": "--account"}
    assert "hunter2" not in found.out + found.err + cli("config").out


def test_one_setting(cli: Cli) -> None:
    assert cli("config", "timeout").out == "20\n"
    assert cli("config", "chain-id").out == "-\n"
    assert cli("config", "nonsense").code == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions(cli: Cli, shell: str) -> None:
    found = cli("completions", shell)
    assert found.code == 0
    assert "_STEELYARD_COMPLETE" in found.out


def test_completions_of_another_shell(cli: Cli) -> None:
    assert cli("completions", "tcsh").code == 2
