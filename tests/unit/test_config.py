import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard import config
from steelyard.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(folder: Path, flags: dict | None = None, **environ: str) -> config.Config:
    environ.setdefault("STEELYARD_HOME", str(folder / "home"))
    environ.setdefault("STEELYARD_CONFIG", str(folder / "user.toml"))
    return config.load(flags, environ=environ, directory=folder)


def write_local(folder: Path, **values: object) -> None:
    (folder / "home").mkdir(exist_ok=True)
    (folder / "home" / config.LOCAL_FILE).write_text(json.dumps(values))


def test_every_layer_gives_way_to_the_one_above(folder: Path) -> None:
    seen = []
    write_local(folder, rpc="http://local:1")
    seen.append(load(folder).rpc)
    (folder / "user.toml").write_text('rpc = "http://user:1"')
    seen.append(load(folder).rpc)
    (folder / "steelyard.toml").write_text('rpc = "http://project:1"')
    seen.append(load(folder).rpc)
    seen.append(load(folder, STEELYARD_RPC="http://environment:1").rpc)
    found = load(folder, {"rpc": "http://flag:1"}, STEELYARD_RPC="http://environment:1")
    seen.append(found.rpc)
    assert seen == [f"http://{name}:1" for name in ("local", "user", "project", "environment", "flag")]
    assert found.sources["rpc"] == "--rpc"


def test_sources_name_the_layer(folder: Path) -> None:
    (folder / "user.toml").write_text("timeout = 7")
    (folder / "steelyard.toml").write_text('rpc = "http://project"')
    sources = load(folder, STEELYARD_DEPTH="3").sources
    assert sources["timeout"] == str(folder / "user.toml")
    assert sources["rpc"] == str(folder / "steelyard.toml")
    assert sources["depth"] == "STEELYARD_DEPTH"
    assert sources["account"] == "default"


def test_what_runs_here_says_nothing_about_another_chain(folder: Path) -> None:
    write_local(folder, rpc="http://127.0.0.1:1", chain_id=31337)
    assert load(folder).chain_id == 31337
    assert load(folder, {"rpc": "http://elsewhere"}).chain_id is None


def test_local_state_sets_nothing_else(folder: Path) -> None:
    write_local(folder, rpc="http://127.0.0.1:1", anvil="/bin/false")
    assert load(folder).anvil is None


@pytest.mark.parametrize("name", ["home", "password_file", "anvil", "debug"])
def test_project_file_cannot_set_what_is_personal(folder: Path, name: str) -> None:
    (folder / "steelyard.toml").write_text(f'{name} = "x"')
    with pytest.raises(ConfigError, match=f"project file may not set '{name}'"):
        load(folder)


def test_project_file_cannot_set_aliases(folder: Path) -> None:
    (folder / "steelyard.toml").write_text('[aliases]\nalice = "0x00"')
    with pytest.raises(ConfigError, match="aliases"):
        load(folder)


def test_user_file_sets_what_is_personal(folder: Path) -> None:
    (folder / "user.toml").write_text('anvil = "tools/anvil"\n[aliases]\nAlice = "0x01"')
    found = load(folder)
    assert found.anvil == folder / "tools" / "anvil"
    assert found.aliases == {"alice": "0x01"}


def test_aliases_are_of_the_file_only(folder: Path) -> None:
    assert load(folder, STEELYARD_ALIASES="x").aliases == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rpc", "ftp://host"),
        ("rpc", "http://"),
        ("rpc", "http://host:port"),
        ("chain_id", "0"),
        ("chain_id", "-1"),
        ("chain_id", "1.5"),
        ("depth", "soon"),
        ("timeout", "0"),
        ("account", "../alice"),
        ("account", "-alice"),
        ("debug", "maybe"),
        ("home", "bad\x1b[31m"),
    ],
)
def test_malformed_value_is_named(folder: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"setting {name} from STEELYARD_{name.upper()}"):
        load(folder, **{f"STEELYARD_{name.upper()}": value})


def test_malformed_endpoint_is_not_repeated(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, STEELYARD_RPC="htp://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_finalized_depth(folder: Path) -> None:
    assert load(folder, STEELYARD_DEPTH="finalized").depth == "finalized"
    assert load(folder, STEELYARD_DEPTH="12").depth == 12


def test_limit_of_fees_has_a_unit_and_is_shown_with_it(folder: Path) -> None:
    assert load(folder).max_fee is None
    found = load(folder, STEELYARD_MAX_FEE="50gwei")
    assert found.max_fee == 50 * 10**9
    assert config.shown(found, "max_fee") == "50 gwei"
    assert load(folder, STEELYARD_MAX_FEE=str(config.shown(found, "max_fee"))).max_fee == found.max_fee


@pytest.mark.parametrize("text", ["50", "0", "1wei", "0.09gwei", "-1gwei", "much"])
def test_limit_of_fees_without_a_unit_or_too_low_to_send_anything_is_refused(folder: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="max_fee"):
        load(folder, STEELYARD_MAX_FEE=text)


def test_unknown_setting_of_a_file_is_refused(folder: Path) -> None:
    (folder / "user.toml").write_text("rcp = 1")
    with pytest.raises(ConfigError, match="unknown setting 'rcp'"):
        load(folder)


@pytest.mark.parametrize("text", ["rpc", "a = " + "[" * 5000, "\xff"], ids=["no value", "deep", "no text"])
def test_file_that_is_no_toml_is_refused(folder: Path, text: str) -> None:
    (folder / "user.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="not a TOML file"):
        load(folder)


def test_broken_local_state_says_what_to_do(folder: Path) -> None:
    (folder / "home").mkdir()
    (folder / "home" / config.LOCAL_FILE).write_text("{")
    with pytest.raises(ConfigError, match="steelyard down"):
        load(folder)


def test_relative_paths_start_at_the_file_or_the_working_directory(folder: Path) -> None:
    (folder / "steelyard.toml").write_text('deployment = "d.json"')
    assert load(folder).deployment == folder / "d.json"
    assert load(folder, {"password_file": "p"}).password_file == folder / "p"


def test_store_is_a_folder_or_an_endpoint(folder: Path) -> None:
    assert load(folder).store == str(folder / "home" / "store")
    assert load(folder, {"store": "blocks"}).store == str(folder / "blocks")
    assert load(folder, {"store": "http://127.0.0.1:5001"}).store == "http://127.0.0.1:5001"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:secret@rpc.example:8545/v3/secret?k=secret", "https://rpc.example:8545/..."),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://[::1]:8545/", "http://[::1]:8545"),
    ],
)
def test_endpoint_is_shown_without_credentials(folder: Path, url: str, shown: str) -> None:
    found = load(folder, STEELYARD_RPC=url)
    assert config.shown(found, "rpc") == shown
    assert "secret" not in repr(found)


def test_no_color_and_dumb_terminals(folder: Path) -> None:
    assert load(folder).color
    assert not load(folder, NO_COLOR="1").color
    assert load(folder, NO_COLOR="").color
    assert not load(folder, TERM="dumb").color


def test_default_home_is_the_users_data_folder(folder: Path) -> None:
    from platformdirs import user_data_path

    found = config.load(environ={"STEELYARD_CONFIG": str(folder / "none.toml")}, directory=folder)
    assert found.home == user_data_path("steelyard")


def test_every_setting_is_a_field_of_config() -> None:
    assert {item.name for item in config.SETTINGS} <= set(config.Config.__dataclass_fields__)


def test_nobody_else_reads_the_environment() -> None:
    package = Path(config.__file__).parent
    needles = ("os.environ", "os.getenv", "environ[", "import environ")
    found = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(needle in path.read_text() for needle in needles)
    ]
    assert found == ["config.py"]


def test_import_is_light() -> None:
    code = "import sys, steelyard.config; print(*sys.modules)"
    env = os.environ | {"PYTHONPATH": str(Path(config.__file__).parent.parent)}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"tomllib", "platformdirs", "web3", "cryptography"} & set(loaded)


def test_further_stores_and_gateways(folder: Path) -> None:
    found = load(
        folder,
        STEELYARD_STORE_MORE="more, http://me:key@node:5001",
        STEELYARD_GATEWAYS="https://a/x,https://b",
    )
    assert found.store_more == (str(folder / "more"), "http://me:key@node:5001")
    assert found.gateways == ("https://a/x", "https://b")
    assert config.shown(found, "store_more") == f"{folder / 'more'}, http://node:5001/..."
    assert "key" not in repr(found)
    (folder / "user.toml").write_text('store_more = ["more"]\ngateways = ["https://a"]')
    assert load(folder).store_more == (str(folder / "more"),)
    for bad in ("ftp://a", "a", ""):
        (folder / "user.toml").write_text(f'gateways = ["{bad}"]')
        with pytest.raises(ConfigError):
            load(folder)
