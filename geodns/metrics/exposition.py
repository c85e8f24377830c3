"""The pages of the metrics listener: figures in the format that was asked for, and health."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from geodns.metrics.families import OrderLabels, families
from geodns.metrics.health import Health
from geodns.metrics.listener import Handler, Page, as_json

Describe = Callable[[], Mapping[str, Any] | None]
"""Gives the status document; None until the server has something in force."""


class Figures(Collector):
    """Collects a scrape from the status document."""

    def __init__(self, describe: Describe, most_orders: Callable[[], int]) -> None:
        """most_orders: how many orders have figures of their own."""
        self._describe = describe
        self._most_orders = most_orders
        self._labels = OrderLabels()

    def describe(self) -> Iterator[Metric]:
        """Nothing: what there is depends on what is in force."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All figures now."""
        found = self._describe()
        if found is not None:
            yield from families(found, self._labels, self._most_orders())


def make_pages(
    describe: Describe, most_orders: Callable[[], int], health: Callable[[], Health]
) -> dict[str, Handler]:
    """What the listener serves, by path."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures(describe, most_orders))
    ProcessCollector(registry=registry)

    def metrics(accept: str) -> Page:
        encode, kind = choose_encoder(accept)
        return Page(200, kind, encode(registry))

    def alive(_accept: str) -> Page:
        good, document = health().alive()
        return as_json(200 if good else 503, document)

    def ready(_accept: str) -> Page:
        good, document = health().ready()
        return as_json(200 if good else 503, document)

    return {"/metrics": metrics, "/healthz": alive, "/readyz": ready}
