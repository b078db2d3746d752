"""Steelyard: a market for model weights.

Pay once, and get a key that provably opens what was listed, or the money back.

Example::

    from steelyard import Market

    with Market.open() as market:
        path = market.buy("alice/digits").pull()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.errors import SteelyardError
    from steelyard.market import Market
    from steelyard.service.account import Account
    from steelyard.service.budget import Budget
    from steelyard.service.context import Settings

__all__ = ["Account", "Budget", "Market", "Settings", "SteelyardError"]

_HOME = {
    "Account": "steelyard.service.account",
    "Budget": "steelyard.service.budget",
    "Market": "steelyard.market",
    "Settings": "steelyard.service.context",
    "SteelyardError": "steelyard.errors",
}


def __getattr__(name: str) -> object:
    # Lazily, so that `import steelyard` and the command line's --help cost nothing.
    if name not in _HOME:
        raise AttributeError(f"module 'steelyard' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
