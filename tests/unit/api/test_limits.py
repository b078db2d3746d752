"""Buckets and counts: nothing here looks at a clock."""

from __future__ import annotations

import pytest

from steelyard.api.limits import Buckets, Counts, caller_of


def test_a_bucket_is_full_at_first_and_refills_steadily() -> None:
    buckets = Buckets(per_minute=60, burst=3, size=10)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 1]
    assert buckets.take("a", 0.5) == 0.5
    assert buckets.take("a", 1.0) == 0
    assert [buckets.take("a", 1000.0) for _ in range(4)] == [0, 0, 0, 1], "not above the burst"


def test_a_bucket_may_hold_bytes() -> None:
    buckets = Buckets(per_minute=600, burst=40, size=10)
    assert [buckets.take("a", 0.0, 15) for _ in range(3)] == [0, 0, 0.5]
    assert buckets.take("a", 0.0, 10) == 0, "what was refused took nothing"
    assert buckets.take("a", 4.0, 1000) == 0, "more than it holds takes all of it"
    assert buckets.take("a", 4.0, 1) == 0.1


def test_refused_requests_do_not_push_the_next_one_back() -> None:
    buckets = Buckets(per_minute=60, burst=1, size=10)
    buckets.take("a", 0.0)
    for step in range(1, 10):
        assert buckets.take("a", step / 10) > 0
    assert buckets.take("a", 1.0) == 0


def test_one_caller_does_not_take_from_another() -> None:
    buckets = Buckets(per_minute=60, burst=1, size=10)
    assert buckets.take("a", 0.0) == buckets.take("b", 0.0) == 0


def test_no_rate_is_no_limit_and_remembers_nobody() -> None:
    buckets = Buckets(per_minute=0, burst=1, size=10)
    assert {buckets.take("a", 0.0) for _ in range(100)} == {0}
    assert len(buckets) == 0


def test_the_table_is_bounded_and_forgets_who_was_quiet_longest() -> None:
    buckets = Buckets(per_minute=60, burst=1, size=3)
    for caller in ("a", "b", "c", "a", "d"):
        buckets.take(caller, 0.0)
    assert len(buckets) == 3
    assert buckets.take("a", 0.0) > 0, "still remembered"
    assert buckets.take("b", 0.0) == 0, "forgotten"


def test_places_are_bounded_for_each_and_for_all_and_given_back() -> None:
    counts = Counts(each=2, together=3)
    assert [counts.enter(who) for who in "aaab"] == [True, True, False, True]
    assert not counts.enter("c")
    counts.leave("a")
    assert counts.enter("c")
    assert counts.total == 3
    for who in "abc":
        counts.leave(who)
    assert (counts.total, counts._open) == (0, {})


@pytest.mark.parametrize(
    ("host", "caller"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_of_ipv6_a_network_is_one_caller(host: str, caller: str) -> None:
    assert caller_of((host, 1), (), frozenset()) == caller


def test_a_connection_without_an_address_is_one_caller() -> None:
    assert caller_of(None, (), frozenset()) == ""
