"""Deploy a market with brownie: `tools/brownie run deploy --network <network>`.

The plan is the package's own, `steelyard.chain.deploy`; only the sending is brownie's. Settings, all optional, in the environment:

    STEELYARD_DEPLOYER   id of the brownie account that sends; the first account of a development network
    STEELYARD_MIN_BOND   wei, least bond of an offer with a content window
    STEELYARD_CURATOR    address that may list further contracts in the directory; nobody if unset

Writes deployments/<chain id>.json after everything has been verified.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from brownie import accounts, network, web3
from steelyard.chain.calls import Call
from steelyard.chain.deploy import DISPUTE_GAS, deploy
from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import checksum_address, parse_address, to_hex
from steelyard.chain.rpc import Rpc
from steelyard.chain.wire import Receipt
from steelyard.domain.types import Address
from steelyard.errors import ChainError, RevertError

ROOT = Path(__file__).resolve().parent.parent

# The bond pays for a dispute up to a gas price of 5 gwei.
MIN_BOND = DISPUTE_GAS * 5 * 10**9


class BrownieSender:
    """An account of brownie that can carry the plan out."""

    def __init__(self, account: Any, rpc: Rpc) -> None:
        """Remember account and endpoint."""
        self._account = account
        self.rpc = rpc

    @property
    def address(self) -> Address:
        """The account's address."""
        return parse_address(str(self._account.address))

    def send(self, call: Call) -> Receipt:
        """Send a call by brownie and return its receipt.

        Raises:
            RevertError: it reverted.
            ChainError: the endpoint does not know it.
        """
        to = None if call.to is None else checksum_address(call.to)
        sent = self._account.transfer(to, call.value, data=to_hex(call.data), silent=True)
        receipt = self.rpc.get_receipt(bytes.fromhex(str(sent.txid)[2:]))
        if receipt is None:
            raise ChainError(f"{call.name}: transaction {sent.txid} is in no block")
        if not receipt.status:
            raise RevertError(f"{call.name}: transaction {sent.txid} reverted")
        return receipt


def endpoint() -> Rpc:
    """Return a reader of the network that brownie is connected to."""
    return Rpc(web3.provider.endpoint_uri, chain_id=web3.eth.chain_id)


def deployer() -> Any:
    """Return the account that sends; brownie asks for its password."""
    name = os.environ.get("STEELYARD_DEPLOYER", "")
    if name:
        return accounts.load(name)
    if network.show_active() == "development" or len(accounts):
        return accounts[0]
    raise SystemExit("set STEELYARD_DEPLOYER to the id of a brownie account (`brownie accounts list`)")


def curator() -> Address | None:
    """Return who may list further contracts, or None for nobody."""
    text = os.environ.get("STEELYARD_CURATOR", "")
    return parse_address(text) if text else None


def deployment_file(chain_id: int) -> Path:
    """Return where the deployment on a chain is written down."""
    return ROOT / "deployments" / f"{chain_id}.json"


def main() -> Deployment:
    """Deploy, verify, and write the addresses down."""
    rpc = endpoint()
    sender = BrownieSender(deployer(), rpc)
    min_bond = int(os.environ.get("STEELYARD_MIN_BOND") or MIN_BOND)

    def told(name: str, address: Address) -> None:
        print(f"{name}: {checksum_address(address)}", file=sys.stderr)

    deployment = deploy(sender, min_bond=min_bond, curator=curator(), told=told)
    path = deployment_file(rpc.chain_id)
    deployment.save(path)
    print(f"verified, written to {path.relative_to(ROOT)}", file=sys.stderr)
    return deployment
