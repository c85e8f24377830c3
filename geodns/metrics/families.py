"""The figures of a scrape, made of the document that ``geodns status`` shows.

Both tell the same numbers since there is one source. Sets of labels are bounded: countries
are few, and orders beyond a number are added up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from geodns.metrics.words import COUNTERS, OTHER_EVENTS, OTHER_GAUGES, Family

PREFIX = "geodns_"
MOST_PLACES = 300
"""Values of ``place`` at most, which is more than there are countries."""
MOST_EVENTS = 300
"""Values of ``event`` of what has no figure of its own, at most."""
OTHER = "other"
"""The label value under which what is beyond a bound is added up."""
RULINGS = {"order/": "block", "shadow/": "shadow", "never_block/": "never_block"}
_Kind = CounterMetricFamily | GaugeMetricFamily
_PAGE = "blockpage/"
_PAGES = f"{_PAGE}order/"
_APART = (*RULINGS, _PAGE, "place/", "blocked_in/", "internal/")


class OrderLabels:
    """Which orders have figures of their own: once one has them, it keeps them.

    Else ``other`` would fall when an order leaves it, and a counter that falls is read as one
    that began anew.
    """

    def __init__(self) -> None:
        self._named: set[str] = set()

    def choose(
        self, in_force: Collection[str], counts: Mapping[str, int], limit: int
    ) -> Collection[str]:
        """Those with most rulings first, as far as there is room; then the rest in force."""
        room = limit - len(self._named)
        if room > 0 and (new := {*in_force, *counts} - self._named):
            by_rank = sorted(new, key=lambda ident: (-counts.get(ident, 0), ident))
            self._named.update(by_rank[:room])
        return self._named


def families(found: Mapping[str, Any], labels: OrderLabels, limit: int) -> Iterator[Metric]:
    """All figures. found: the status document; limit: how many orders have their own."""
    yield from _counted(found["counters"], frozenset(found["gauges"]))
    told = "Queries by the country of the client."
    yield _by_place(found["counters"], "place/", "queries_by_place", told)
    told = "Those of them that an order blocked."
    yield _by_place(found["counters"], "blocked_in/", "blocked_by_place", told)
    yield from _by_order(found, labels, limit)
    yield from _of_orders(found)
    yield from _of_reloads(found)
    yield from _of_sources(found["sources"])
    yield from _of_workers(found["workers"])
    yield from _of_upstreams(found["upstreams"])
    if (ledger := found.get("ledger")) is not None:
        yield _gauge("ledger_writable", "Whether the ledger can be written.", not ledger["fault"])
        yield _gauge("ledger_waiting", "Entries that wait to be written.", ledger["waiting"])
        told = "Entries that could not be written and are lost."
        yield _counter("ledger_lost", told, ledger["lost"])
    if "unverified" in found:
        told = "Orders in force that asking the server has not shown to be."
        yield _gauge("orders_unverified", told, len(found["unverified"]))
    if found["blockpage"] is not None:
        yield from _of_block_page(found["blockpage"], found["counters"])
    yield InfoMetricFamily(
        f"{PREFIX}build",
        "The running program.",
        value={"version": found["version"], "fast_path": found["fast_path"] or "unknown"},
    )
    yield _gauge("start_time_seconds", "When the server was started.", _epoch(found["started"]))


def _counted(counters: Mapping[str, int], gauges: Collection[str]) -> Iterator[Metric]:
    """What words.py names, zero where nothing was counted yet, and the rest under its own name."""
    made: dict[Family, _Kind] = {}
    for key, (family, value) in COUNTERS.items():
        # A gauge that no worker reports is not zero, but unknown.
        if key in counters or not family.gauge:
            _add(made, family, value, counters.get(key, 0))
    rest = sorted(key for key in counters if key not in COUNTERS and not key.startswith(_APART))
    beyond = sum(counters[key] for key in rest[MOST_EVENTS:])
    for key in rest[:MOST_EVENTS]:
        _add(made, OTHER_GAUGES if key in gauges else OTHER_EVENTS, key, counters[key])
    if beyond:
        _add(made, OTHER_EVENTS, OTHER, beyond)
    yield from made.values()


def _add(made: dict[Family, _Kind], family: Family, value: str | None, count: float) -> None:
    metric = made.get(family)
    if metric is None:
        kind: type[_Kind] = GaugeMetricFamily if family.gauge else CounterMetricFamily
        labels = [] if family.label is None else [family.label]
        metric = made[family] = kind(PREFIX + family.name, family.help, labels=labels)
    metric.add_metric([] if value is None else [value], count)


def _by_place(counters: Mapping[str, int], prefix: str, name: str, told: str) -> Metric:
    metric = CounterMetricFamily(PREFIX + name, told, labels=["place"])
    places: Counter[str] = Counter()
    for key, count in counters.items():
        if key.startswith(prefix):
            place = key.removeprefix(prefix)
            place = "unknown" if place == "None" else place
            places[place if place in places or len(places) < MOST_PLACES else OTHER] += count
    for place in sorted(places):
        metric.add_metric([place], places[place])
    return metric


def _by_order(found: Mapping[str, Any], labels: OrderLabels, limit: int) -> Iterator[Metric]:
    metric = CounterMetricFamily(
        f"{PREFIX}rulings",
        "Rulings by order: blocks, and blocks that shadow or never_block made none.",
        labels=["order", "ruling"],
    )
    by_order: Counter[str] = Counter()
    counted: Counter[tuple[str, str]] = Counter()
    for key, count in found["counters"].items():
        for prefix, ruling in RULINGS.items():
            if key.startswith(prefix):
                # An order's id holds no slash; a target of never_block in front of it may.
                order = key.rpartition("/")[2]
                by_order[order] += count
                counted[order, ruling] += count
    status = {order["id"]: order["status"] for order in found["orders"]}
    named = labels.choose(status.keys(), by_order, limit)
    # Zeros of what is in force, so that the first block is seen as a rise.
    shown: Counter[tuple[str, str]] = Counter(
        {
            (order, "shadow" if status[order] == "shadow" else "block"): 0
            for order in named
            if order in status
        }
    )
    for (order, ruling), count in counted.items():
        shown[order if order in named else OTHER, ruling] += count
    for order, ruling in sorted(shown):
        metric.add_metric([order, ruling], shown[order, ruling])
    yield metric
    yield _pages(found, named)


def _pages(found: Mapping[str, Any], named: Collection[str]) -> Metric:
    metric = CounterMetricFamily(
        f"{PREFIX}block_pages", "Block pages shown, by order.", labels=["order"]
    )
    shown: Counter[str] = Counter()
    for key, count in found["counters"].items():
        if key.startswith(_PAGES):
            order = key.removeprefix(_PAGES)
            shown[order if order in named else OTHER] += count
    for order in sorted(shown):
        metric.add_metric([order], shown[order])
    return metric


def _of_block_page(page: Mapping[str, Any], counters: Mapping[str, int]) -> Iterator[Metric]:
    yield _gauge("block_page_up", "1 where its process runs.", page["pid"] is not None)
    told = "1 where it has what is in force."
    yield _gauge("block_page_current", told, page["current"])
    yield _counter("block_page_restarts", "How often it died and was replaced.", page["restarts"])
    told = "Replies of the block page, by HTTP status."
    replies = CounterMetricFamily(f"{PREFIX}block_page_replies", told, labels=["status"])
    told = "What else the block page counts, bugs by their kind among it."
    events = CounterMetricFamily(f"{PREFIX}block_page_events", told, labels=["event"])
    for key in sorted(counters):
        what = key.removeprefix(_PAGE)
        if key.startswith(_PAGE) and not key.startswith(_PAGES):
            (replies if what.isdecimal() else events).add_metric([what], counters[key])
    yield from (replies, events)


def _of_orders(found: Mapping[str, Any]) -> Iterator[Metric]:
    metric = GaugeMetricFamily(f"{PREFIX}orders", "Orders in force.", labels=["status"])
    statuses = Counter(order["status"] for order in found["orders"])
    for status in ("active", "shadow"):
        metric.add_metric([status], statuses[status])
    yield metric
    last_good = sum(order["last_good"] for order in found["orders"])
    yield _gauge("orders_last_good", "Orders used by their last good edition.", last_good)
    held = sum(order["held"] for order in found["orders"])
    told = "Targets of orders in force that the guard holds until somebody acknowledges them."
    yield _gauge("targets_held", told, held)
    told = "Dates of orders that want somebody: missed deadlines, reviews, ends within 30 days."
    wanted = GaugeMetricFamily(f"{PREFIX}orders_due", told, labels=["what"])
    counts = Counter(row["what"] for row in found["due"] if row["wanted"])
    for what in ("deadline", "review", "expires"):
        wanted.add_metric([what], counts[what])
    yield wanted
    yield _gauge("orders_coming", "Orders that will come into force later.", len(found["coming"]))
    if found["scope_classes"] is not None:
        classes = "Classes of places to which the same orders apply."
        yield _gauge("scope_classes", classes, found["scope_classes"])
    if found["next_change"] is not None:
        told = "When the clock will next put an order in or out of force."
        yield _gauge("next_change_timestamp_seconds", told, _epoch(found["next_change"]))
    yield InfoMetricFamily(
        f"{PREFIX}snapshot", "What is in force.", value={"digest": found["digest"]}
    )


def _of_reloads(found: Mapping[str, Any]) -> Iterator[Metric]:
    last = found["reload"]
    yield _counter("reloads", "Reloads that were done, the start among them.", found["reloads"])
    yield _counter("reload_failures", "Reloads that failed.", found["failures"])
    yield _gauge("last_reload_timestamp_seconds", "When the last one was done.", _epoch(last["at"]))
    yield _gauge("last_reload_duration_seconds", "How long it took.", last["took"])
    faults = "What is wrong with orders, geofeeds, databases or settings now."
    yield _gauge("faults", faults, len(found["faults"]))
    restart = "Settings that changed and need a restart."
    yield _gauge("settings_restart_needed", restart, len(found["restart_needed"]))


def _of_sources(sources: Collection[Mapping[str, Any]]) -> Iterator[Metric]:
    labels = ["source", "kind"]
    built = GaugeMetricFamily(
        f"{PREFIX}source_build_timestamp_seconds",
        "When a database or geofeed was made: its edition.",
        labels=labels,
    )
    networks = GaugeMetricFamily(f"{PREFIX}source_networks", "Networks in it.", labels=labels)
    stale = GaugeMetricFamily(
        f"{PREFIX}source_stale", "1 where it is past geoip.max_age_days.", labels=labels
    )
    for source in sources:
        value = [source["path"], source["kind"]]
        built.add_metric(value, _epoch(source["built"]))
        networks.add_metric(value, source["networks"])
        stale.add_metric(value, source["stale"])
    yield from (built, networks, stale)


def _of_workers(workers: Collection[Mapping[str, Any]]) -> Iterator[Metric]:
    up = GaugeMetricFamily(f"{PREFIX}worker_up", "1 where it runs.", labels=["worker"])
    current = GaugeMetricFamily(
        f"{PREFIX}worker_current", "1 where it has what is in force.", labels=["worker"]
    )
    restarts = CounterMetricFamily(
        f"{PREFIX}worker_restarts", "How often it died and was replaced.", labels=["worker"]
    )
    memory = GaugeMetricFamily(
        f"{PREFIX}worker_resident_memory_bytes",
        "Its resident memory, pages that workers share included.",
        labels=["worker"],
    )
    for worker in workers:
        value = [str(worker["index"])]
        up.add_metric(value, worker["pid"] is not None)
        current.add_metric(value, worker["current"])
        restarts.add_metric(value, worker["restarts"])
        if worker["resident"] is not None:
            memory.add_metric(value, worker["resident"])
    yield from (up, current, restarts, memory)


def _of_upstreams(upstreams: Collection[Mapping[str, Any]]) -> Iterator[Metric]:
    rtt = SummaryMetricFamily(
        f"{PREFIX}upstream_rtt_seconds", "How long upstreams took to answer.", labels=["server"]
    )
    smoothed = GaugeMetricFamily(
        f"{PREFIX}upstream_smoothed_rtt_seconds",
        "The round trip time by which the workers choose, their mean.",
        labels=["server"],
    )
    away = GaugeMetricFamily(
        f"{PREFIX}upstream_avoided", "How many workers avoid it now.", labels=["server"]
    )
    for upstream in upstreams:
        value = [upstream["server"]]
        rtt.add_metric(value, upstream["answers"], upstream["seconds"])
        if upstream["rtt"] is not None:
            smoothed.add_metric(value, upstream["rtt"])
        away.add_metric(value, upstream["away"])
    yield from (rtt, smoothed, away)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, told, value=value)


def _counter(name: str, told: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, told, value=value)


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
