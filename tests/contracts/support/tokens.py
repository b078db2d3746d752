"""Tokens of every kind by name, behind one small handle."""

from __future__ import annotations

from typing import Any

from brownie import (
    BlocklistCoin,
    BonusCoin,
    Coin,
    CoinEntry,
    FalseCoin,
    FeeCoin,
    HookCoin,
    LyingCoin,
    NoReturnCoin,
    PausableCoin,
    RebasingCoin,
    ShrinkingCoin,
    SilentCoin,
    TwinCoin,
    UpgradableCoin,
)

from .read import Method, read
from .shop import Shop, address

SOUND = (
    "usual",
    "0 decimals",
    "24 decimals",
    "no return",
    "false return",
    "pausable",
    "blocklist",
    "hooks",
    "rebasing",
    "upgradable",
    "double entry",
    "double entry, second address",
)
"""Kinds that behave as long as their issuer does: a purchase in them passes."""

FALSE = ("fee on transfer", "silent", "lying", "shrinking", "bonus")
"""Kinds that never move what they are asked to: a purchase in them reverts."""


class Token:
    """A token, sent to by its address, so that a proxy is no different."""

    def __init__(self, contract: Any, implementation: Any = None) -> None:
        """Wrap a deployed token; a proxy needs the contract whose functions it has."""
        self.contract = contract
        self._functions = implementation or contract
        self.address = str(contract)

    def __str__(self) -> str:
        """Return its address."""
        return self.address

    def send(self, sender: Any, name: str, *args: Any) -> Any:
        """Send a transaction to it."""
        data = Method(self._functions, name).encode_input(*args)
        return sender.transfer(self.address, 0, data=data)

    def of(self, account: object) -> int:
        """Return the balance that it claims for an account."""
        target = type("Target", (), {"abi": self._functions.abi, "__str__": lambda _: self.address})()
        return int(read(target, "balanceOf", account))


def make_token(kind: str, deployer: Any) -> Token:
    """Deploy a token of a kind."""
    plain = {
        "no return": NoReturnCoin,
        "false return": FalseCoin,
        "pausable": PausableCoin,
        "blocklist": BlocklistCoin,
        "hooks": HookCoin,
        "rebasing": RebasingCoin,
        "fee on transfer": FeeCoin,
        "silent": SilentCoin,
        "lying": LyingCoin,
        "shrinking": ShrinkingCoin,
        "bonus": BonusCoin,
    }
    if kind in plain:
        return Token(deployer.deploy(plain[kind]))
    if kind == "upgradable":
        implementation = deployer.deploy(Coin, 18)
        return Token(deployer.deploy(UpgradableCoin, implementation), implementation)
    if kind.startswith("double entry"):
        coin = deployer.deploy(TwinCoin)
        entry = deployer.deploy(CoinEntry, coin)
        coin.setEntry(entry, {"from": deployer})
        return Token(entry if kind.endswith("second address") else coin)
    return Token(deployer.deploy(Coin, {"usual": 18, "0 decimals": 0, "24 decimals": 24}[kind]))


def give(shop: Shop, token: Token, account: Any, amount: int) -> None:
    """Mint tokens for an account, all of them allowed to the market and, for deposits, to the treasury."""
    token.send(shop.roles.deployer, "mint", account, amount)
    for spender in (shop.market, shop.treasury):
        token.send(account, "approve", spender, amount)


def priced(token: Token, price: int = 1_000, **terms: Any) -> dict[str, Any]:
    """Return what terms change for a price in the token."""
    return {"currency": address(token), "price": price, **terms}
