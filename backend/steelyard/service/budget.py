"""What a user of hosted models is willing to spend, and what a call would cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be spent, smallest units of the offer's currency.

    Attributes:
        deposit: paid in when a channel is opened, and at each top-up.
        total: most that may be paid into one channel in all; the deposit, so no top-up, if None.
        per_day: most that calls under one offer may cost on one day (UTC); None for no limit.
        price: most for one unit; None for no limit.
    """

    deposit: int
    total: int | None = None
    per_day: int | None = None
    price: int | None = None


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a call would cost. Nothing was sent.

    Attributes:
        units: that it counts.
        amount: price of the call, smallest units.
        deposit: that would have to be paid in first; 0 if the channel covers it.
        gas: of that transaction, estimated.
        fee_wei: wei for the gas.
    """

    units: int
    amount: int
    deposit: int
    gas: int
    fee_wei: int
