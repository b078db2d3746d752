"""Fixtures of the tests of the contracts: the people, one deployment for all tests, and isolation between them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from web3.exceptions import TransactionNotFound

from brownie import accounts, web3
from tests.contracts.support import rpc
from tests.contracts.support.sealed import Sealed
from tests.contracts.support.shop import ETHER, Roles, Shop
from tests.contracts.support.trail import assert_heads


def pytest_configure(config: pytest.Config) -> None:
    """Let a name stand that brownie's contract objects use themselves; `support.read` reaches it."""
    text = "Namespace collision between contract function"
    config.addinivalue_line("filterwarnings", f"ignore:{text}:brownie.exceptions.BrownieEnvironmentWarning")


@pytest.fixture(scope="session", autouse=True)
def asked_again() -> Iterator[None]:
    """Ask a second time for a receipt: a busy node counts a nonce before it has the receipt, and brownie calls that dropped."""
    ask = web3.eth.get_transaction_receipt

    def patient(txid: Any) -> Any:
        for _ in range(20):
            try:
                return ask(txid)
            except TransactionNotFound:
                time.sleep(0.05)
        return ask(txid)

    web3.eth.get_transaction_receipt = patient
    yield
    web3.eth.get_transaction_receipt = ask


@pytest.fixture(scope="session")
def roles() -> Roles:
    """All accounts by name."""
    return Roles(*(accounts[i] for i in range(8)))


@pytest.fixture
def deployer(roles: Roles) -> Any:
    """Who deployed the market, and curates the directory."""
    return roles.deployer


@pytest.fixture
def seller(roles: Roles) -> Any:
    """Owner of the asset `digits`, with a free bond of one coin."""
    return roles.seller


@pytest.fixture
def buyer(roles: Roles) -> Any:
    """Who buys."""
    return roles.buyer


@pytest.fixture
def other_buyer(roles: Roles) -> Any:
    """Who buys too, or receives a licence."""
    return roles.other_buyer


@pytest.fixture
def stranger(roles: Roles) -> Any:
    """Who has no part in anything."""
    return roles.stranger


@pytest.fixture
def contributor(roles: Roles) -> Any:
    """Who holds 30 % of the revenue node."""
    return roles.contributor


@pytest.fixture
def maintainer(roles: Roles) -> Any:
    """Who may be lent the role Maintainer."""
    return roles.maintainer


@pytest.fixture
def agent(roles: Roles) -> Any:
    """Who may be lent the role Seller."""
    return roles.agent


@pytest.fixture(scope="session")
def _stage(roles: Roles) -> tuple[Shop, Sealed]:
    rpc.stop_clock()
    shop = Shop(roles)
    sealed = shop.register("digits")
    shop.market.fundBond(roles.seller, {"from": roles.seller, "value": ETHER})
    return shop, sealed


@pytest.fixture(autouse=True)
def shop(_stage: tuple[Shop, Sealed]) -> Iterator[Shop]:
    """The deployment as it was before the first test; afterwards every head is the fold of its logs (T1)."""
    name = rpc.snapshot()
    yield _stage[0]
    assert_heads(*_stage[0].contracts)
    rpc.revert(name)


@pytest.fixture
def sealed(_stage: tuple[Shop, Sealed]) -> Sealed:
    """The first version of `digits`, and what its maintainer knows."""
    return _stage[1]


@pytest.fixture
def asset(sealed: Sealed) -> bytes:
    """The asset `digits`."""
    return sealed.version.asset


@pytest.fixture
def market(shop: Shop) -> Any:
    """The market."""
    return shop.market


@pytest.fixture
def assets(shop: Shop) -> Any:
    """The registry of assets."""
    return shop.assets


@pytest.fixture
def treasury(shop: Shop) -> Any:
    """The books."""
    return shop.treasury


@pytest.fixture
def directory(shop: Shop) -> Any:
    """The list of contracts."""
    return shop.directory
