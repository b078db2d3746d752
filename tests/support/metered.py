"""Random metered use: offers, channels, claims and their ends, as the contract Channels could have recorded them."""

from __future__ import annotations

import random
from typing import Any

from steelyard.domain.abi import encode
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import METERED_TERMS

CHANNELS = b"\x06" * 20
PAYEES = (b"\x07" * 20, b"\x09" * 20)
SIGNERS = tuple(bytes([number]) * 20 for number in (0x08, 0x0A, 0x0B))


class Metered:
    """Makes the events of Channels; a part of ``history.Market``."""

    world: Any
    random: random.Random
    accounts: Any
    _log: Any
    fresh: Any

    def metered_choices(self) -> list[tuple[int, Any]]:
        """Return what may happen next, with weights."""
        world, choices = self.world, []
        if world.assets:
            choices.append((2, self.meter))
        if any(self._is_open(offer) for offer in world.metered):
            choices += [(6, self.open_channel), (1, self.unmeter)]
        if any(channel["state"] != "closed" for channel in world.channels):
            choices += [(8, self.use), (2, self.top_up), (2, self.start_closing), (1, self.close_channel)]
        return choices

    def _is_open(self, offer: dict[str, Any]) -> bool:
        return not offer["closed"] and offer["epoch"] == self.world.assets[offer["asset"]]["epoch"]

    def meter(self, time: int) -> list[Any]:
        version, asset, node = self.random.choice(self.world.versions)
        record, rnd = self.world.assets[asset], self.random
        currency, price = rnd.choice([bytes(20), b"\xcc" * 20]), rnd.choice([1, 10**14, (1 << 128) - 1])
        payee = PAYEES[len(self.world.metered) % 2]
        terms = (
            *(payee, currency, price, b"row".ljust(32, b"\0"), version, node),
            *(86_400, 8, time + 10**8, self.fresh(), rnd.getrandbits(64)),
        )
        offer = keccak256(asset + keccak256(encode((METERED_TERMS,), (terms,))))
        made = {"id": offer, "asset": asset, "node": node, "price": price, "currency": currency}
        self.world.metered.append({**made, "payee": payee, "closed": False, "epoch": record["epoch"]})
        return [self._log("MeteredOffered", asset, offer, record["owner"], terms)]

    def unmeter(self, time: int) -> list[Any]:
        offer = self.random.choice([offer for offer in self.world.metered if self._is_open(offer)])
        offer["closed"] = True
        owner = self.world.assets[offer["asset"]]["owner"]
        return [self._log("MeteredOfferClosed", offer["asset"], offer["id"], owner)]

    def open_channel(self, time: int) -> list[Any]:
        rnd = self.random
        place = rnd.choice([i for i, offer in enumerate(self.world.metered) if self._is_open(offer)])
        offer, payer = self.world.metered[place], rnd.choice(self.accounts)
        deposit = rnd.choice([1, 10**18, (1 << 104) - 1])
        channel = {"id": self.fresh(), "offer": place, "payer": payer, "deposit": deposit, "claimed": 0}
        self.world.channels.append({**channel, "state": "open"})
        values = (offer["id"], SIGNERS[len(self.world.channels) % 3], rnd.getrandbits(64), deposit)
        return [self._log("ChannelOpened", offer["asset"], channel["id"], payer, *values)]

    def _some(self, *states: str) -> dict[str, Any] | None:
        found = [channel for channel in self.world.channels if channel["state"] in states]
        channel: dict[str, Any] | None = self.random.choice(found) if found else None
        return channel

    def top_up(self, time: int) -> list[Any]:
        channel = self._some("open")
        if channel is None or channel["deposit"] > 1 << 103:
            return []
        amount = self.random.choice([1, 10**15])
        channel["deposit"] += amount
        asset = self.world.metered[channel["offer"]]["asset"]
        who = self.random.choice([channel["payer"], self.random.choice(self.accounts)])
        return [self._log("ChannelToppedUp", asset, channel["id"], who, amount, channel["deposit"])]

    def use(self, time: int) -> list[Any]:
        """A claim of one to five channels of an offer, sometimes of one twice."""
        first = self._some("open", "closing")
        if first is None:
            return []
        offer = self.world.metered[first["offer"]]
        fellows = [
            channel
            for channel in self.world.channels
            if channel["offer"] == first["offer"] and channel["state"] != "closed"
        ]
        uses = []
        for channel in self.random.choices(fellows, k=self.random.randrange(1, 6)):
            left = channel["deposit"] - channel["claimed"]
            units = channel["claimed"] // offer["price"] + self.random.choice([1, 7, 10**6])
            amount = min(offer["price"] * units, channel["deposit"]) - channel["claimed"]
            if left and amount > 0:
                channel["claimed"] += amount
                uses.append((channel["id"], amount, units, units % 1000, self.fresh()))
        if not uses:
            return []
        paid = sum(use[1] for use in uses)
        made = self._log("UsageClaimed", offer["asset"], offer["id"], offer["payee"], uses)
        return [made, self._log("Received", offer["node"], bytes(32), CHANNELS, offer["currency"], paid)]

    def start_closing(self, time: int) -> list[Any]:
        channel = self._some("open")
        if channel is None:
            return []
        channel["state"] = "closing"
        asset = self.world.metered[channel["offer"]]["asset"]
        return [self._log("ChannelClosing", asset, channel["id"], channel["payer"], time + 86_400)]

    def close_channel(self, time: int) -> list[Any]:
        channel = self._some("open", "closing")
        if channel is None:
            return []
        channel["state"] = "closed"
        offer = self.world.metered[channel["offer"]]
        values = (channel["payer"], channel["deposit"] - channel["claimed"])
        return [self._log("ChannelClosed", offer["asset"], channel["id"], offer["payee"], *values)]
