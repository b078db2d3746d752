from __future__ import annotations

from collections.abc import Iterator

import pytest

from steelyard.chain.deploy import deploy
from steelyard.chain.deployment import Deployed, Deployment
from steelyard.chain.node import Node, find_anvil
from steelyard.chain.rpc import Rpc
from steelyard.chain.sender import Sender
from steelyard.domain.types import Address
from steelyard.errors import InputError

MIN_BOND = 10**15


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    try:
        anvil = find_anvil()
    except InputError as exc:
        pytest.skip(str(exc))
    with Node.start(anvil) as running:
        yield running


@pytest.fixture(scope="session")
def rpc(node: Node) -> Iterator[Rpc]:
    with Rpc(node.url, chain_id=node.chain_id) as reader:
        yield reader


@pytest.fixture(scope="session")
def owner(node: Node, rpc: Rpc) -> Sender:
    """Deploys."""
    return Sender(rpc, lambda: node.keys[0], poll=0.02)


@pytest.fixture(scope="session")
def market(owner: Sender) -> Deployment:
    """A market on a chain of this machine."""
    return deploy(owner, min_bond=MIN_BOND)


@pytest.fixture
def nowhere() -> Deployment:
    """A market that lies on no chain."""
    names = ("Treasury", "FraudChecker", "Assets", "Market", "Directory")
    contracts = {
        name: Deployed(address=Address(bytes([place]) * 20), tx_hash=bytes(32), arguments=b"")
        for place, name in enumerate(names, start=1)
    }
    return Deployment(chain_id=31337, start_block=7, min_bond=MIN_BOND, contracts=contracts)
