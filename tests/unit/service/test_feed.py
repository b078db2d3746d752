"""The log follower: what it takes over, what it goes back from, and what it does not believe."""

from __future__ import annotations

import pytest

from steelyard.domain.types import AssetId
from steelyard.errors import TrailError
from steelyard.service.feed import Feed
from tests.unit.service.chain import OWNER, Chain, Made

A, B, C = (AssetId(bytes([n]) * 32) for n in (1, 2, 3))


def test_the_log_is_read_once() -> None:
    chain = Chain()
    chain.mine(Made(A))
    feed = Feed(chain.reader())
    assert set(feed.step().ledger.assets) == {A}
    chain.mine()
    chain.mine(Made(B))
    assert set(feed.step().ledger.assets) == {A, B}
    assert chain.asked == [(1, 1), (2, 3)]


def test_nothing_is_asked_while_the_head_stays() -> None:
    chain = Chain()
    chain.mine(Made(A))
    feed = Feed(chain.reader())
    assert feed.step().moved
    assert not feed.step().moved
    assert len(chain.asked) == 1


def test_a_replaced_block_is_read_again_from_the_last_place_that_stands() -> None:
    chain = Chain()
    chain.mine(Made(A))
    feed = Feed(chain.reader())
    feed.step()
    chain.mine(Made(B))
    feed.step()
    chain.replace_last(1, [Made(C)], [])
    step = feed.step()
    assert set(step.ledger.assets) == {A, C}
    assert step.dropped == 2
    assert chain.asked[-1] == (2, 3)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_after_any_reorganisation_the_state_is_that_of_a_fresh_reading(depth: int) -> None:
    chain = Chain()
    feed = Feed(chain.reader())
    for number in range(6):
        chain.mine(Made(AssetId(bytes([number + 1]) * 32)))
        feed.step()
    chain.replace_last(depth, [Made(AssetId(b"\x77" * 32))], *([[]] * depth))
    assert feed.step().ledger == Feed(chain.reader()).step().ledger


def test_a_chain_that_became_shorter_is_followed() -> None:
    chain = Chain()
    feed = Feed(chain.reader())
    chain.mine(Made(A))
    feed.step()
    chain.mine(Made(B))
    chain.mine(Made(C))
    feed.step()
    chain.replace_last(2)
    assert set(feed.step().ledger.assets) == {A}


def test_a_hidden_log_of_a_watched_asset_does_not_move_it() -> None:
    chain = Chain()
    feed = Feed(chain.reader(), assets=[A])
    chain.mine()
    before = feed.step().head
    chain.mine(Made(A))
    chain.hidden.add(A)
    with pytest.raises(TrailError):
        feed.step()
    assert feed.place.block == before
    chain.hidden.clear()
    assert set(feed.step().ledger.assets) == {A}
    assert chain.asked[-1] == (2, 2)


def test_an_asset_of_the_owner_that_is_hidden_is_missed() -> None:
    chain = Chain()
    feed = Feed(chain.reader())
    feed.watch((), owner=OWNER)
    chain.mine(Made(A))
    chain.hidden.add(A)
    with pytest.raises(TrailError, match="hides some"):
        feed.step()


def test_only_the_assets_asked_for_are_watched() -> None:
    chain = Chain()
    feed = Feed(chain.reader(), assets=[A])
    chain.mine(Made(B))
    chain.hidden.add(B)
    assert feed.step().ledger.assets == {}


def test_places_that_are_forgotten_cost_nothing_but_time() -> None:
    chain = Chain()
    feed = Feed(chain.reader())
    for number in range(300):
        chain.mine(*([Made(A)] if number == 0 else []))
        feed.step()
    chain.replace_last(300, [Made(B)])
    assert set(feed.step().ledger.assets) == {B}
