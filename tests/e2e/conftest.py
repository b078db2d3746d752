"""One anvil and one deployment for a run; every test gets accounts of its own, so tests do not see each other."""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steelyard.chain.calls import Call
from steelyard.chain.deploy import deploy
from steelyard.chain.deployment import Deployment
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.crypto.secret import Secret
from steelyard.domain.abi import encode
from steelyard.domain.types import Address
from steelyard.errors import InputError
from steelyard.market import Market
from steelyard.service.account import Account
from steelyard.service.context import Settings
from steelyard.storage.base import Store
from steelyard.storage.embedded import EmbeddedStore

ETHER = 10**18
MIN_BOND = ETHER // 100


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: runs for longer than ten seconds; only with -m slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" not in config.getoption("-m"):
        skip = pytest.mark.skip(reason="slow: run with -m slow")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    configured = os.environ.get("STEELYARD_ANVIL")
    try:
        anvil = find_anvil(configured=Path(configured) if configured else None)
    except InputError as exc:
        pytest.skip(f"anvil is needed: {exc}")
    with Node.start(anvil) as running:
        yield running


@pytest.fixture(scope="session")
def rpc(node: Node) -> Iterator[Rpc]:
    with Rpc(node.url, chain_id=node.chain_id) as opened:
        yield opened


@pytest.fixture(scope="session")
def faucet(node: Node, rpc: Rpc) -> Sender:
    return Sender(rpc, lambda: node.keys[0])


@pytest.fixture(scope="session")
def deployment(faucet: Sender) -> Deployment:
    return deploy(faucet, min_bond=MIN_BOND)


@pytest.fixture(scope="session", params=["permit", "approval"])
def coin(request: pytest.FixtureRequest, faucet: Sender) -> tuple[Address, Sender]:
    """An ERC-20 of six decimals, with or without permits, and who may mint it (anybody)."""
    name = "Coin" if request.param == "permit" else "NoReturnCoin"
    return deploy_coin(faucet, name), faucet


@pytest.fixture(scope="session")
def stuck_coin(faucet: Sender) -> tuple[Address, Sender]:
    """An ERC-20 that its issuer can stop."""
    return deploy_coin(faucet, "PausableCoin"), faucet


def deploy_coin(faucet: Sender, name: str) -> Address:
    """Deploy a test token as it was compiled last."""
    for place in (f"build/forge/out/{name}.sol/{name}.json", f"build/brownie/contracts/{name}.json"):
        file = Path(__file__).parents[2] / place
        if file.is_file():
            break
    else:
        pytest.skip(f"the test token {name} is not compiled: run forge build or brownie compile")
    raw = json.loads(file.read_bytes())
    code = raw["bytecode"] if isinstance(raw["bytecode"], str) else raw["bytecode"]["object"]
    inputs: list[object] = next((item["inputs"] for item in raw["abi"] if item["type"] == "constructor"), [])
    arguments = encode(["uint8"], [6]) if inputs else b""
    receipt = faucet.send(Call(None, bytes.fromhex(code.removeprefix("0x")) + arguments))
    assert receipt.contract is not None
    return receipt.contract


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model of three chunks."""
    place = tmp_path / "model"
    (place / "extra").mkdir(parents=True)
    (place / "model.onnx").write_bytes(secrets.token_bytes((2 << 20) + 12_345))
    (place / "extra" / "labels.json").write_text('["zero","one"]')
    (place / "extra" / "empty.txt").write_text("")
    (place / "README.md").write_text("# Digits\n\nReads digits.\n")
    return place


@pytest.fixture
def market_of(
    node: Node, faucet: Sender, deployment: Deployment, store: EmbeddedStore, tmp_path: Path
) -> Iterator[Callable[..., Market]]:
    """Make a market for a fresh, funded account, or for the one given."""
    count = itertools.count()
    opened = []

    def make(
        account: Account | None = None,
        *,
        settings: Settings | None = None,
        home: Path | None = None,
        other_store: Store | None = None,
    ) -> Market:
        if account is None:
            account = Account.from_key(Secret(secrets.token_bytes(32)))
            faucet.send(Call(account.address, b"", 10 * ETHER))
        market = Market(
            node.url,
            deployment=deployment,
            store=other_store or store,
            account=account,
            home=home or tmp_path / f"home-{next(count)}",
            settings=settings or Settings(poll=0.05, margin=0),
        )
        opened.append(market)
        return market

    yield make
    for market in opened:
        market.close()


@pytest.fixture
def seller(market_of: Callable[..., Market]) -> Market:
    return market_of()


@pytest.fixture
def buyer(market_of: Callable[..., Market]) -> Market:
    return market_of()


@pytest.fixture
def travel(rpc: Rpc) -> Callable[[int], None]:
    """Move the chain's clock on, in seconds."""

    def go(seconds: int) -> None:
        rpc.call("evm_increaseTime", (seconds,))
        rpc.call("evm_mine")

    return go
