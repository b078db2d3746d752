"""From a configuration to what a market needs: endpoint, deployment record, store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import read_quantity
from steelyard.chain.transport import HttpTransport
from steelyard.domain.jsontext import parse_json
from steelyard.errors import ChainError, ConfigError, DatabaseError
from steelyard.storage.base import Store

if TYPE_CHECKING:
    from steelyard.config import Config
    from steelyard.query.audit import Audit
    from steelyard.storage.gateway import GatewayStore

_PATIENCE: Final = 15.0
"""Seconds for an answer where another store can be asked."""
INDEX_FILE: Final = "index.sqlite"
"""The index, in the folder of its market, where the setting ``database`` names no other."""


def endpoint(config: Config) -> str:
    """Return the chain's endpoint.

    Raises:
        ConfigError: none is set.
    """
    if config.rpc is None:
        raise ConfigError("no chain is configured: run `steelyard up`, or set rpc")
    return config.rpc


def open_store(config: Config) -> Store:
    """Return the store of the settings, or all of them as one.

    Raises:
        ConfigError: a folder is something else, or an address is malformed.
        StoreError: a folder cannot be opened.
    """
    if not config.store_more and not config.gateways:
        return open_place(config.store)
    from steelyard.storage.several import SeveralStores

    writers = [open_place(place, timeout=_PATIENCE) for place in (config.store, *config.store_more)]
    return SeveralStores(writers, [open_gateway(url) for url in config.gateways])


def open_place(place: str, *, timeout: float = 60.0) -> Store:
    """Return one store: a Kubo RPC if its place is a URL, else the embedded one in that folder.

    Args:
        place: as in the settings.
        timeout: seconds for an answer of a Kubo RPC.

    Raises:
        ConfigError: the folder is something else, or the address is malformed.
        StoreError: it cannot be opened.
    """
    if "://" in place:
        from steelyard.storage.kubo import KuboStore

        return KuboStore(place, timeout=timeout)
    from steelyard.storage.embedded import EmbeddedStore

    return EmbeddedStore(place)


def open_gateway(url: str) -> GatewayStore:
    """Return a trustless gateway to read from.

    Raises:
        ConfigError: the address is malformed.
    """
    from steelyard.storage.gateway import GatewayStore

    return GatewayStore(url, timeout=_PATIENCE)


def find_deployment(config: Config) -> Deployment:
    """Return the deployment record of the settings, or that of the endpoint's chain below home.

    Raises:
        ConfigError: there is none, or it is of another chain than the one configured.
        ChainError: the endpoint did not say which chain it serves.
    """
    path = config.deployment
    if path is None and config.offline and config.chain_id is None:
        records = sorted((config.home / "deployments").glob("*.json"))
        if len(records) != 1:
            raise ConfigError(f"offline, {len(records)} markets are known here: set chain_id or deployment")
        path = records[0]
    if path is None:
        chain_id = config.chain_id or ask_chain_id(config)
        path = record_path(config, chain_id)
        if not path.exists():
            raise ConfigError(
                f"no market is known on chain {chain_id}: set deployment, or run `steelyard up`"
            )
    deployment = Deployment.load(path)
    if config.chain_id not in (None, deployment.chain_id):
        raise ConfigError(f"{path} is of chain {deployment.chain_id}, and the settings say {config.chain_id}")
    return deployment


def record_path(config: Config, chain_id: int) -> Path:
    """Return where the deployment record of a chain is or would be."""
    return config.home / "deployments" / f"{chain_id}.json"


def market_folder(config: Config, deployment: Deployment) -> Path:
    """Return the folder of journals and pulled versions of one market; it need not exist."""
    return config.home / "markets" / f"{deployment.chain_id}-{deployment.directory.hex()}"


def find_index(config: Config, deployment: Deployment) -> str | Path:
    """Return where the index of a market is or would be: a file, or a ``postgresql://`` URL."""
    return config.database or market_folder(config, deployment) / INDEX_FILE


def open_audit(where: str | Path | None, deployment: Deployment) -> Audit:
    """Open the index of a market for questions.

    Raises:
        DatabaseError: there is none yet, it cannot be read, or it is of another market.
    """
    from steelyard.indexer.database import open_database
    from steelyard.indexer.market import require
    from steelyard.query.audit import Audit

    if where is None:
        raise DatabaseError("this market was opened without a folder and without an index: name a database")
    database = open_database(where, readonly=True)
    try:
        require(database, deployment)
    except BaseException:
        database.close()
        raise
    return Audit(database)


def ask_chain_id(config: Config) -> int:
    """Ask the endpoint which chain it serves.

    Raises:
        ConfigError: no endpoint is set.
        ChainError: it did not answer, or answered nonsense.
    """
    transport = HttpTransport(endpoint(config), timeout=config.timeout)
    try:
        answer = transport.exchange(b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}')
        return read_quantity(parse_json(answer.body)["result"], "chain id")
    except (ValueError, KeyError, TypeError) as exc:
        raise ChainError(f"{transport.name} does not answer as an Ethereum node") from exc
    finally:
        transport.close()
