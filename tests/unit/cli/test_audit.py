from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.stub import StubMarket

HASH = "0x" + "ab" * 32
DIRECTORY = "0x" + "12" * 20


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    (tmp_path / "b.json").write_text("{}")
    return str(tmp_path / "b.json")


def test_a_directory_needs_its_chain(cli: Cli, bundle: str) -> None:
    found = cli("audit", "verify", bundle, "--directory", DIRECTORY, "--block-hash", HASH)
    assert found.code == 2
    assert "--chain-id" in found.err


def test_nothing_in_a_bundle_stands_for_the_auditors_block_hash(cli: Cli, bundle: str) -> None:
    found = cli("audit", "verify", bundle, "--directory", DIRECTORY, "--chain-id", "1")
    assert found.code == 2
    assert "--block-hash" in found.err


def test_a_document_that_is_no_bundle(cli: Cli, bundle: str) -> None:
    argv = ("--directory", DIRECTORY, "--chain-id", "1", "--block-hash", HASH)
    assert cli("audit", "verify", bundle, *argv).code == 5


def test_a_malformed_block_hash(cli: Cli, bundle: str) -> None:
    argv = ("--directory", DIRECTORY, "--chain-id", "1", "--block-hash", "0x12")
    assert cli("audit", "verify", bundle, *argv).code == 2


@pytest.mark.parametrize(
    ("form", "name"), [("bundle", "digits.bundle.json"), ("csv", "digits.csv"), ("prov", "digits.prov.json")]
)
def test_an_export_is_named_after_the_asset(cli: Cli, market: StubMarket, form: str, name: str) -> None:
    market.answers["export"] = Path("/x") / name
    found = cli("audit", "export", "alice/digits@1", "--format", form)
    assert found.out.splitlines()[-1] == f"/x/{name}"
    assert market.calls[-1] == ("export", ("alice/digits@1", Path(name)), {"format": form, "proofs": False})
