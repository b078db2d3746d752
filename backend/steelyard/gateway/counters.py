"""Counters of the gateway for Prometheus: those of the HTTP service by endpoint, and by model calls and units."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from steelyard.api.metrics import Metrics
from steelyard.api.metrics import size_of as size_of_requests

OUTCOMES: Final = ("paid", "again", "trial", "unpaid", "refused", "failed")
_WIDTH: Final = len(OUTCOMES) + 1
"""Numbers for one model: outcomes, units."""

Sample = tuple[str, str, dict[str, str], float]
"""Name, help, labels and value of a gauge."""


class Counters(Collector):
    """Counters of one process and all others, in memory that they share."""

    def __init__(
        self,
        models: Sequence[str],
        endpoints: Sequence[str],
        *,
        memory: mmap.mmap | None = None,
        workers: int = 1,
        worker: int = 0,
    ) -> None:
        """Take the row of a process.

        Args:
            models: names, the same in each process.
            endpoints: likewise.
            memory: that all processes share, `size_of` bytes; private if None.
            workers: how many rows it has.
            worker: index of this process.
        """
        self._models = tuple(models)
        self._workers = workers
        if memory is None:
            memory = mmap.mmap(-1, size_of(len(models), len(endpoints), workers))
        split = len(self._models) * _WIDTH * 8 * workers
        self._all = memoryview(memory)[:split].cast("Q")
        row = len(self._models) * _WIDTH
        self._row = self._all[worker * row : (worker + 1) * row]
        self._start = {name: index * _WIDTH for index, name in enumerate(self._models)}
        self.requests = Metrics(endpoints, memory=memory, workers=workers, worker=worker, offset=split)
        self.samples: Callable[[], Iterable[Sample]] = lambda: ()

    def count(self, model: str, outcome: str, units: int = 0) -> None:
        """Count a call of a model."""
        start = self._start[model]
        self._row[start + OUTCOMES.index(outcome)] += 1
        self._row[start + _WIDTH - 1] += units

    def text(self) -> bytes:
        """Return all counters in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        registry.register(self.requests)
        return generate_latest(registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are known when they are collected."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the sums over all processes, and what the database says."""
        calls = CounterMetricFamily("steelyard_gateway_calls", "Calls.", labels=("model", "outcome"))
        units = CounterMetricFamily("steelyard_gateway_units", "Units answered.", labels=("model",))
        row = len(self._models) * _WIDTH
        for name, start in self._start.items():
            sums = [
                float(sum(self._all[worker * row + start + place] for worker in range(self._workers)))
                for place in range(_WIDTH)
            ]
            for outcome, value in zip(OUTCOMES, sums, strict=False):
                calls.add_metric((name, outcome), value)
            units.add_metric((name,), sums[-1])
        yield calls
        yield units
        gauges: dict[str, GaugeMetricFamily] = {}
        for name, text, labels, value in self.samples():
            gauge = gauges.setdefault(name, GaugeMetricFamily(name, text, labels=tuple(labels)))
            gauge.add_metric(tuple(labels.values()), value)
        yield from gauges.values()


def size_of(models: int, endpoints: int, workers: int) -> int:
    """Return the bytes of memory that so many models, endpoints and processes need."""
    return models * _WIDTH * 8 * workers + size_of_requests(endpoints, workers)
