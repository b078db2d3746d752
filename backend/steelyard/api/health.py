"""Whether the service lives, whether it can answer, and its counters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from steelyard.api.metrics import Gauge
from steelyard.api.problem import Problem
from steelyard.api.read import ask
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.service import Service
from steelyard.errors import NotFoundError, SteelyardError
from steelyard.indexer.database import Reader
from steelyard.indexer.lease import SECONDS
from steelyard.query.model import At
from steelyard.query.place import read_at

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""


@dataclass(frozen=True, kw_only=True)
class Alive:
    """The process answers."""

    status: str


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The index can be asked and is near the chain.

    Attributes:
        status: ``ready``.
        lag: seconds since the index was last found to have the chain's newest block.
        at: how far it is.
    """

    status: str
    lag: int
    at: At


async def get_alive(call: Call) -> Answer:
    """Say that the process answers."""
    del call
    return Answer(value=Alive(status="ok"))


async def get_ready(call: Call) -> Answer:
    """Say whether the service should be asked.

    Raises:
        Problem: ``not-ready``.
    """
    service = call.service
    if service.stopping.is_set():
        raise Problem("not-ready", "the service is stopping")
    try:
        at, lag = await ask(call, lambda reader: measured(reader, service.now()), cheap=False)
    except NotFoundError as exc:
        raise Problem("not-ready", "the index is empty") from exc
    if lag > service.options.max_lag:
        raise Problem("not-ready", f"the index is {lag} s behind", members={"lag": lag, "at": at})
    return Answer(value=Ready(status="ready", lag=lag, at=at))


def measured(reader: Reader, now: int) -> tuple[At, int]:
    """Return how far the index is, and how many seconds behind.

    On a quiet chain the newest block may be old and the index complete. So where its newest block is proved, which ends each step of
    whoever follows the chain, what counts is when a step last began: that is when the lease was renewed. Else it is on its way, and
    what counts is the time of the block that it has come to.

    Raises:
        NotFoundError: the index is empty.
    """
    at = read_at(reader)
    followed = at.time
    row = reader.row("SELECT until FROM lease ORDER BY until DESC LIMIT 1")
    if row is not None and at.proved == at.block:
        followed = max(followed, row[0] // 1000 - int(SECONDS))
    return at, max(0, now - followed)


async def get_metrics(call: Call) -> Response:
    """Give the counters of all processes."""
    service = call.service
    assert service.metrics is not None
    gauges = await service.thread(_gauges, service)
    service.metrics.gauges = lambda: gauges
    return Response(service.metrics.text(), headers={"content-type": TEXT, "cache-control": "no-store"})


def _gauges(service: Service) -> Iterable[Gauge]:
    streams = 0 if service.streams is None else service.streams.total
    exports = 0 if service.exports is None else service.exports.total
    found: list[Gauge] = [
        ("steelyard_http_streams", "Open streams of events of this process.", streams),
        ("steelyard_http_exports", "Exports under way in this process.", exports),
        ("steelyard_http_waiting", "Requests that wait for a thread of this process.", service.waiting),
    ]
    try:
        with service.audit.database.read() as reader:
            at, lag = measured(reader, service.now())
    except SteelyardError:
        return [*found, ("steelyard_index_up", "Whether the index can be read.", 0)]
    return [
        *found,
        ("steelyard_index_up", "Whether the index can be read.", 1),
        ("steelyard_index_block", "Newest block of the index.", at.block),
        ("steelyard_index_proved_block", "Newest block that was compared with the contracts.", at.proved),
        ("steelyard_index_lag_seconds", "Seconds since the index had the chain's newest block.", lag),
    ]


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET", path="/healthz", handler=get_alive, name="get_alive", summary="Whether the process answers",
        tag="service", answer=Alive,
    ),
    Endpoint(
        method="GET", path="/readyz", handler=get_ready, name="get_ready",
        summary="Whether the index can be asked and is near the chain", tag="service", answer=Ready,
        problems=("not-ready",),
    ),
    Endpoint(
        method="GET", path="/metrics", handler=get_metrics, name="get_metrics", summary="Counters for Prometheus",
        tag="service", answer=TEXT,
    ),
)  # fmt: skip
