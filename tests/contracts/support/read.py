"""Views of a contract, read by the package's own ABI code: exact values, and names that brownie's objects keep for themselves."""

from __future__ import annotations

from typing import Any

from brownie import web3
from steelyard.domain.abi import decode, encode, selector

from .decode import attempt, error_of, kind, plain
from .rpc import rpc

__all__ = ["Method", "attempt", "error_of", "read"]


class Method:
    """A function of a contract by its name, where brownie offers none (``Assets.info``) or several."""

    def __init__(self, contract: Any, name: str, inputs: int | None = None) -> None:
        """Find it in the contract's ABI; ``inputs`` tells overloads apart."""
        (self.item,) = [
            item
            for item in contract.abi
            if item["type"] == "function" and item["name"] == name and inputs in (None, len(item["inputs"]))
        ]
        self._address = str(contract)

    def encode_input(self, *args: Any) -> str:
        """Return the call data."""
        types = [kind(part) for part in self.item["inputs"]]
        return "0x" + (selector(f"{self.item['name']}({','.join(types)})") + encode(types, plain(args))).hex()

    def results(self, data: bytes) -> tuple[Any, ...]:
        """Decode what a call returned."""
        return decode([kind(part) for part in self.item["outputs"]], data)


def read(contract: Any, name: str, *args: Any, sender: object = None, value: int = 0) -> Any:
    """Call a function without sending and return its result, or a tuple of them."""
    method = Method(contract, name)
    call = {"to": str(contract), "data": method.encode_input(*args), "value": hex(value)}
    if sender is not None:
        call["from"] = str(sender)
    values = method.results(bytes.fromhex(rpc("eth_call", call, "latest")[2:]))
    return values[0] if len(values) == 1 else values


def code(address: object) -> bytes:
    """Return the code at an address."""
    return bytes(web3.eth.get_code(str(address)))
