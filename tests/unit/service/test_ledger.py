"""The followers of a client: assets, offers, sales and metered use are one fold, proved by the heads of every contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from steelyard.chain.deployment import Deployment
from steelyard.domain.events import TOPICS, TYPES, decode_event
from steelyard.domain.records import AssetState
from steelyard.domain.state import fold
from steelyard.domain.types import AssetId
from steelyard.errors import NotFoundError, TrailError
from steelyard.service.ledger import LedgerReader
from tests.support.history import CONTRACTS, DEPLOYMENT, Chain, Made, Market


class Filtering(Chain):
    """A node that answers for the contracts and topics asked for, and can hide logs."""

    hides: Callable[[dict[str, Any]], bool] = staticmethod(lambda log: False)

    def logs(self, query: dict[str, Any]) -> Any:
        found = super().logs(query)
        return [log for log in found if self._matches(log, query) and not self.hides(log)]

    def _matches(self, log: dict[str, Any], query: dict[str, Any]) -> bool:
        if log["address"] not in query["address"]:
            return False
        pairs = zip(query["topics"], log["topics"], strict=False)
        return all(wanted is None or topic in wanted for wanted, topic in pairs)

    def reader(self, deployment: Deployment = DEPLOYMENT) -> LedgerReader:
        return LedgerReader(self.rpc(), deployment)

    def happens(self, what: Callable[[int], list[Made]]) -> list[Made]:
        """Mine a block with a certain act, and return its logs."""
        logs: list[Made] = []
        while not logs:
            logs = what(1_000_000 + 10 * len(self.blocks))
        self.mine(logs)
        return logs


@pytest.fixture
def chain() -> Filtering:
    made = Filtering(Market(3))
    for _ in range(30):
        made.mine(count=4)
    made.happens(made.market.meter)
    return made


def told(chain: Chain, asset: bytes) -> AssetState:
    """Return an asset as all of its logs say."""
    events = [
        decode_event(
            tuple(bytes.fromhex(topic[2:]) for topic in log["topics"]),
            bytes.fromhex(log["data"][2:]),
            contract=CONTRACTS[TYPES[bytes.fromhex(log["topics"][0][2:])].contract],
            block=int(log["blockNumber"], 16),
            time=int(log["blockTimestamp"], 16),
            log=int(log["logIndex"], 16),
            tx=bytes.fromhex(log["transactionHash"][2:]),
        )
        for block in chain.blocks
        for log in block.logs
        if bytes.fromhex(log["topics"][1][2:]) == asset
    ]
    return fold(events, block=chain.newest).assets[AssetId(asset)]


def metered(chain: Chain) -> Iterator[AssetId]:
    """Yield the assets with metered use."""
    yield from dict.fromkeys(AssetId(offer["asset"]) for offer in chain.market.world.metered)


def named(name: str, *, block: int) -> Callable[[dict[str, Any]], bool]:
    """Match the logs of an event in a block."""
    topic = "0x" + TOPICS[name].hex()
    return lambda log: log["topics"][0] == topic and block == int(log["blockNumber"], 16)


def test_metered_use_is_in_the_fold_with_everything_else(chain: Filtering) -> None:
    reader = chain.reader()
    everything = reader.everything().refresh()
    assert any(asset.metered for asset in everything.assets.values())
    assert any(asset.channels for asset in everything.assets.values())
    for asset in chain.market.world.assets:
        wanted = told(chain, asset)
        assert everything.assets[AssetId(asset)] == wanted
        assert reader.of(AssetId(asset)).state() == wanted
    chain.mine(count=30)
    for asset in chain.market.world.assets:
        wanted = told(chain, asset)
        assert reader.of(AssetId(asset)).state() == reader.everything().refresh().assets[wanted.id] == wanted


def test_logs_that_a_node_does_not_have_yet_are_waited_for(chain: Filtering) -> None:
    # A node may say that a block is the newest a moment before it finds the logs in it.
    begun, newest = time.monotonic(), chain.newest
    chain.hides = lambda log: int(log["blockNumber"], 16) == newest and time.monotonic() < begun + 0.1
    asset = next(metered(chain))
    assert chain.reader().of(asset).state() == told(chain, asset)
    assert time.monotonic() > begun + 0.1


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("name", ["MeteredOffered", "ChannelOpened", "Offered", "VersionPublished"])
def test_a_hidden_log_is_found_and_its_contract_named(chain: Filtering, name: str, known: bool) -> None:
    reader, market = chain.reader(), chain.market
    for asset in metered(chain) if known else ():
        reader.of(asset).state()
    acts = {
        "MeteredOffered": market.meter,
        "ChannelOpened": market.open_channel,
        "Offered": market.offer,
        "VersionPublished": market.publish,
    }
    (log,) = chain.happens(acts[name])
    asset = AssetId(log.topics[1])
    chain.hides = named(name, block=chain.newest)
    with pytest.raises(
        TrailError, match=f"0x{asset.hex()} do not lead to its head in {log.contract} at block"
    ):
        reader.of(asset).state()
    chain.hides = lambda log: False
    assert reader.of(asset).state() == told(chain, asset)


def test_a_hidden_log_of_channels_is_found_by_who_follows_everything(chain: Filtering) -> None:
    reader = chain.reader()
    reader.everything().refresh()
    opened = chain.market.open_channel(0)
    (asset,) = (log.topics[1] for log in opened)
    owner = chain.market.world.assets[asset]["owner"]
    # The same asset is in the log of another contract, so it is looked at.
    role = chain.market._log("RoleSet", asset, bytes(12) + b"\x01" * 20, owner, 1, True)
    chain.mine([role, *opened])
    chain.hides = named("ChannelOpened", block=chain.newest)
    with pytest.raises(TrailError, match="in Channels"):
        reader.everything().refresh()


def test_what_was_hidden_is_taken_up_when_something_follows_it(chain: Filtering) -> None:
    reader = chain.reader()
    chain.hides = named("AssetRegistered", block=chain.newest + 1)
    made = chain.happens(chain.market.register)
    chain.hides = lambda log: log["topics"][1] == "0x" + made[0].topics[1].hex()
    assert made[0].topics[1] not in reader.everything().refresh().assets
    chain.hides = lambda log: False
    chain.mine([chain.market._log("RoleSet", made[0].topics[1], bytes(32), b"\x01" * 20, 1, True)])
    assert made[0].topics[1] in reader.everything().refresh().assets


@pytest.mark.parametrize("again", [False, True])
def test_the_opening_of_a_channel_is_reorganised_away(chain: Filtering, again: bool) -> None:
    reader = chain.reader()
    (opened,) = chain.happens(chain.market.open_channel)
    asset, channel = AssetId(opened.topics[1]), opened.topics[2]
    before = reader.of(asset).state()
    assert channel in before.channels
    chain.rewind(chain.newest - 1)
    chain.mine([])
    if again:
        chain.mine([opened])
    chain.mine([])
    found = reader.of(asset).state()
    assert (channel in found.channels) is again
    assert not again or found.channels[channel] != before.channels[channel]  # opened later
    assert found == told(chain, asset)
    assert reader.everything().refresh().assets[asset] == found


def test_a_chain_that_was_replaced_from_the_start_has_no_such_asset(chain: Filtering) -> None:
    reader = chain.reader()
    asset = next(metered(chain))
    reader.of(asset).state()
    chain.rewind(0)
    chain.mine([])
    with pytest.raises(NotFoundError, match="no asset"):
        reader.of(asset).state()


def test_no_log_is_read_while_no_head_moves(chain: Filtering) -> None:
    reader, assets = chain.reader(), list(metered(chain))[:3]
    before = reader.of(*assets).refresh().assets
    del chain.asked[:], chain.calls[:]
    assert reader.of(*assets).refresh().assets == before
    assert chain.calls == ["eth_getBlockByNumber"]
    chain.mine([])
    chain.mine([])
    del chain.calls[:]
    follower = reader.of(*assets)
    assert follower.refresh().assets == before
    assert follower.head.number == chain.newest
    heads = len(assets) * len(reader.names)
    assert chain.calls == ["eth_getBlockByNumber"] * 2 + ["eth_call"] * heads
    assert not chain.asked


def test_a_market_without_metered_use_is_followed(chain: Filtering) -> None:
    old = replace(
        DEPLOYMENT,
        contracts={name: item for name, item in DEPLOYMENT.contracts.items() if name != "Channels"},
    )
    reader = chain.reader(old)
    assert set(reader.names.values()) == {"Assets", "Market"}
    for asset in metered(chain):
        assert reader.of(asset).state() == replace(told(chain, asset), metered={}, channels={})


def test_nobody_followed_is_nothing_asked(chain: Filtering) -> None:
    assert chain.reader().of().refresh().assets == {}
    assert chain.asked == []
