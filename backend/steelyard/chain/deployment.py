"""Where the contracts of a market lie on a chain: ``deployments/<chain>.json``."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.chain.artifacts import CONTRACTS, OPTIONAL
from steelyard.chain.hexdata import checksum_address, parse_address, to_hex
from steelyard.domain.jsontext import parse_json
from steelyard.domain.types import Address, checked_amount
from steelyard.errors import ConfigError, InputError

_FORMAT = "steelyard/deployment/v1"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """One contract of a deployment.

    Attributes:
        address: where it lies.
        tx_hash: transaction that created it, 32 bytes.
        arguments: ABI encoding of its constructor's arguments.
    """

    address: Address
    tx_hash: bytes
    arguments: bytes


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The contracts of one market on one chain.

    Attributes:
        chain_id: EIP-155 chain id.
        start_block: block of the first of them; nothing of the market is older.
        min_bond: wei, ``IOffers.minBond``.
        contracts: the contracts by name, see :data:`steelyard.chain.artifacts.CONTRACTS`; those of
            :data:`steelyard.chain.artifacts.OPTIONAL` may be missing.
    """

    chain_id: int
    start_block: int
    min_bond: int
    contracts: Mapping[str, Deployed]

    def __post_init__(self) -> None:
        """Check that it is complete.

        Raises:
            InputError: a contract is missing or unknown, or a number is out of range.
        """
        if not set(CONTRACTS) - OPTIONAL <= set(self.contracts) <= set(CONTRACTS):
            raise InputError(f"a deployment has the contracts {', '.join(CONTRACTS)}")
        if self.chain_id < 1 or self.start_block < 0:
            raise InputError("a deployment needs a chain id and a start block")
        checked_amount(self.min_bond)
        if len({item.address for item in self.contracts.values()}) != len(self.contracts):
            raise InputError("two contracts of a deployment have one address")

    @property
    def treasury(self) -> Address:
        """The books."""
        return self.contracts["Treasury"].address

    @property
    def fraud_checker(self) -> Address:
        """Judges disputes."""
        return self.contracts["FraudChecker"].address

    @property
    def assets(self) -> Address:
        """Owners, versions and roles."""
        return self.contracts["Assets"].address

    @property
    def market(self) -> Address:
        """Offers, purchases, licences, disputes."""
        return self.contracts["Market"].address

    @property
    def channels(self) -> Address | None:
        """Metered use; None where a market has none."""
        found = self.contracts.get("Channels")
        return None if found is None else found.address

    @property
    def directory(self) -> Address:
        """The list of the contracts."""
        return self.contracts["Directory"].address

    @property
    def trails(self) -> dict[str, Address]:
        """The contracts with a trail by name, which the directory lists: Treasury, Assets, Market, and Channels."""
        names = ("Treasury", "Assets", "Market", "Channels")
        return {name: self.contracts[name].address for name in names if name in self.contracts}

    @property
    def listed(self) -> tuple[Address, ...]:
        """What the directory lists, in its order: treasury, assets, market, and channels where there are any."""
        return tuple(self.trails.values())

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically.

        Args:
            path: file to write or replace; its folder is made if it does not exist.

        Raises:
            InputError: it cannot be written.
        """
        record = {
            "format": _FORMAT,
            "chainId": self.chain_id,
            "startBlock": self.start_block,
            "minBond": str(self.min_bond),
            "contracts": {
                name: _record(self.contracts[name]) for name in CONTRACTS if name in self.contracts
            },
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(record, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes it private; addresses are not secret.
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except OSError as exc:
            raise InputError(f"cannot write {path}: {exc.strerror}") from exc

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read what :meth:`save` wrote.

        Raises:
            ConfigError: the file is missing, unreadable or malformed.
        """
        try:
            raw = parse_json(path.read_bytes())
        except OSError as exc:
            raise ConfigError(f"no deployment in {path}: {exc.strerror}") from exc
        except ValueError as exc:
            raise ConfigError(f"{path} is not JSON") from exc
        return cls.parse(raw, source=str(path))

    @classmethod
    def parse(cls, raw: object, *, source: str = "the deployment") -> Deployment:
        """Build it from parsed JSON.

        Args:
            raw: what :meth:`save` wrote, parsed.
            source: where it is from, for messages.

        Raises:
            ConfigError: it is malformed.
        """
        try:
            if not isinstance(raw, dict) or raw["format"] != _FORMAT:
                raise ConfigError(f"{source} is not of the format {_FORMAT}")
            numbers = [raw["chainId"], raw["startBlock"]]
            if any(type(number) is not int for number in numbers):
                raise TypeError
            return cls(
                chain_id=numbers[0],
                start_block=numbers[1],
                min_bond=int(str(raw["minBond"])),
                contracts={name: _parse(item) for name, item in raw["contracts"].items()},
            )
        except ConfigError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as exc:
            raise ConfigError(f"{source} is malformed: {exc}") from exc


def _record(item: Deployed) -> dict[str, str]:
    return {
        "address": checksum_address(item.address),
        "transaction": to_hex(item.tx_hash),
        "arguments": to_hex(item.arguments),
    }


def _parse(raw: Any) -> Deployed:
    if set(raw) != {"address", "transaction", "arguments"}:
        raise ValueError("a contract has address, transaction and arguments")
    tx_hash = bytes.fromhex(raw["transaction"][2:])
    if len(tx_hash) != 32 or not raw["arguments"].startswith("0x"):
        raise ValueError("a transaction hash has 32 bytes")
    arguments = bytes.fromhex(raw["arguments"][2:])
    return Deployed(address=parse_address(raw["address"]), tx_hash=tx_hash, arguments=arguments)
