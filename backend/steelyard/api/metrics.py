"""Counters of the service for Prometheus: of all processes together, whichever is asked.

Each process counts in a row of its own in memory that all of them see, so counting takes neither lock nor system call, and a
process that ends leaves what it counted.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of request times, seconds."""
STATUSES: Final = (
    *(
        200,
        201,
        202,
        204,
        206,
        304,
        400,
        401,
        402,
        403,
        404,
        405,
        406,
        408,
        409,
        413,
        415,
        416,
        422,
        429,
        431,
    ),
    *(500, 502, 503, 0),
)
"""Statuses that are counted; 0 stands for any other."""
_STATUS: Final = {status: index for index, status in enumerate(STATUSES)}
_TIMES: Final = len(STATUSES)
_SUM: Final = _TIMES + len(BUCKETS) + 1
_WIDTH: Final = _SUM + 1
"""Numbers for one endpoint: statuses, buckets, microseconds."""

Gauge = tuple[str, str, float]
"""Name, help and value."""


class Metrics(Collector):
    """Counters by endpoint, of one process and all others."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        memory: mmap.mmap | None = None,
        workers: int = 1,
        worker: int = 0,
        offset: int = 0,
    ) -> None:
        """Take the row of a process.

        Args:
            names: of the endpoints, the same in each process.
            memory: that all processes share, `size_of` bytes; private if None.
            workers: how many rows it has.
            worker: index of this process.
            offset: bytes at the memory's beginning that are somebody else's.
        """
        self._names = (*names, "none")
        self._workers = workers
        if memory is None:
            memory = mmap.mmap(-1, size_of(len(names), workers))
        self._all = memoryview(memory)[offset:].cast("Q")
        row = len(self._names) * _WIDTH
        self._row = self._all[worker * row : (worker + 1) * row]
        self._start = {name: index * _WIDTH for index, name in enumerate(self._names)}
        self.gauges: Callable[[], Iterable[Gauge]] = lambda: ()

    def count(self, name: str, status: int, seconds: float) -> None:
        """Count a request of an endpoint (``none`` for paths that do not exist)."""
        row, start = self._row, self._start[name]
        row[start + _STATUS.get(status, _TIMES - 1)] += 1
        row[start + _TIMES + bisect_left(BUCKETS, seconds)] += 1
        row[start + _SUM] += int(seconds * 1e6)

    def text(self) -> bytes:
        """Return all counters in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are known when they are collected."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the sums over all processes."""
        requests = CounterMetricFamily(
            "steelyard_http_requests", "Requests answered.", labels=("endpoint", "status")
        )
        times = HistogramMetricFamily(
            "steelyard_http_request_seconds", "Seconds until a request was answered.", labels=("endpoint",)
        )
        for name in self._names:
            values = self._sums(name)
            if not any(values):
                continue
            for status, value in zip(STATUSES, values, strict=False):
                if value:
                    requests.add_metric((name, str(status or "other")), value)
            total = 0.0
            buckets: list[tuple[str, float]] = []
            for bound, value in zip((*BUCKETS, "+Inf"), values[_TIMES:_SUM], strict=True):
                total += value
                buckets.append((str(bound), total))
            times.add_metric((name,), buckets, sum_value=values[_SUM] / 1e6)
        yield requests
        yield times
        for name, text, measured in self.gauges():
            yield GaugeMetricFamily(name, text, value=measured)

    def _sums(self, name: str) -> list[int]:
        row, start = len(self._names) * _WIDTH, self._start[name]
        parts = [
            self._all[worker * row + start : worker * row + start + _WIDTH] for worker in range(self._workers)
        ]
        return [sum(column) for column in zip(*parts, strict=True)]


def size_of(endpoints: int, workers: int) -> int:
    """Return the bytes of memory that so many endpoints and processes need."""
    return (endpoints + 1) * _WIDTH * workers * 8
