"""From settings to an open market, with aliases and the account of this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.chain.hexdata import read_quantity
from steelyard.config import Config
from steelyard.errors import ChainError
from steelyard.service.opening import endpoint, find_deployment, open_store

if TYPE_CHECKING:
    from steelyard.chain.deployment import Deployment
    from steelyard.cli.context import Session
    from steelyard.market import Market


def open_market(session: Session, signing: bool) -> Market:
    """Return the market that the settings name, with the chosen account unlocked if ``signing``."""
    from steelyard.market import Market
    from steelyard.service.context import Settings

    config = session.config
    deployment = find_deployment(config)
    account = session.accounts.unlock(session.accounts.chosen()) if signing else None
    if account is not None and session.seed is not None:
        account = replace(account, seed=session.seed)
    return Market(
        endpoint(config),
        deployment=deployment,
        store=open_store(config),
        account=account,
        home=market_folder(config, deployment),
        aliases=session.accounts.aliases(),
        settings=Settings(depth=config.depth, margin=config.reveal_margin, timeout=float(config.timeout)),
    )


def chain_id_of(config: Config) -> int:
    """Ask the endpoint which chain it serves.

    Raises:
        ChainError: it did not answer, or answered nonsense.
    """
    from steelyard.chain.transport import HttpTransport

    transport = HttpTransport(endpoint(config), timeout=config.timeout)
    try:
        answer = transport.exchange(b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}')
        return read_quantity(json.loads(answer.body)["result"], "chain id")
    except (ValueError, KeyError, TypeError) as exc:
        raise ChainError(f"{transport.name} does not answer as an Ethereum node") from exc
    finally:
        transport.close()


def record_path(config: Config, chain_id: int) -> Path:
    """Return where the deployment record of a chain is or would be."""
    return config.home / "deployments" / f"{chain_id}.json"


def market_folder(config: Config, deployment: Deployment) -> Path:
    """Return the folder of journals and pulled versions of one market; made, for its owner alone, if it does not exist."""
    from steelyard.cli.accounts import private_folder

    return private_folder(config.home / "markets" / f"{deployment.chain_id}-{deployment.directory.hex()}")


__all__ = [
    "chain_id_of",
    "endpoint",
    "find_deployment",
    "market_folder",
    "open_market",
    "open_store",
    "record_path",
]
