"""Figures out of a status document: names, bounded labels, zeros, and sums that hold."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from geodns.metrics import families as module
from geodns.metrics.exposition import make_pages
from geodns.metrics.families import OrderLabels
from geodns.metrics.health import Health
from geodns.metrics.words import COUNTERS

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def document(**counters: int) -> dict[str, Any]:
    """A status document with some counters; ``_`` in their names stands for a slash."""
    return {
        "started": "2026-11-22T00:00:00+00:00",
        "version": "0.1.0",
        "fast_path": "native",
        "digest": "ab12",
        "next_change": None,
        "workers": [
            {"index": 0, "pid": 7, "current": True, "restarts": 0, "resident": 4096},
            {"index": 1, "pid": None, "current": False, "restarts": 2, "resident": None},
        ],
        "orders": [
            {"id": "it-a", "status": "active", "last_good": False, "held": 0},
            {"id": "it-s", "status": "shadow", "last_good": True, "held": 3},
        ],
        "coming": [],
        "due": [{"what": "review", "wanted": True}, {"what": "event", "wanted": False}],
        "reload": {"at": "2026-11-22T00:00:01+00:00", "took": 0.5},
        "reloads": 3,
        "failures": 1,
        "faults": [{}],
        "restart_needed": [],
        "sources": [
            {
                "path": 'x"y.csv',
                "kind": "geofeed",
                "built": "2026-11-21T00:00:00+00:00",
                "networks": 2,
                "stale": True,
            }
        ],
        "scope_classes": 4,
        "upstreams": [
            {"server": "a", "answers": 4, "seconds": 0.5, "rtt": 0.1, "away": 0},
            {"server": "b", "answers": 0, "seconds": 0.0, "rtt": None, "away": 2},
        ],
        "ledger": {"fault": "the disk is full", "waiting": 3, "lost": 2},
        "unverified": {"it-a": "no reply in time"},
        "blockpage": {"pid": 9, "current": False, "restarts": 1},
        "counters": {name.replace("__", "/"): count for name, count in counters.items()},
        "gauges": ["tcp/open", "odd/now"],
    }


class Scrape:
    """Scrapes of one server, whose status document changes."""

    def __init__(self, orders: int = 200) -> None:
        self.found: dict[str, Any] | None = document()
        self.orders = orders
        self.pages = make_pages(lambda: self.found, lambda: self.orders, lambda: Health("serving"))

    def text(self, accept: str = "") -> str:
        page = self.pages["/metrics"](accept)
        assert page.status == 200
        return page.body.decode()

    def samples(self) -> Samples:
        found: Samples = {}
        for family in plain(self.text()):
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                assert key not in found, f"{key} twice"
                found[key] = sample.value
        return found

    def value(self, name: str, **labels: str) -> float:
        return self.samples()[f"geodns_{name}", tuple(sorted(labels.items()))]


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def test_every_named_counter_is_a_figure_and_keeps_its_value(scrape: Scrape) -> None:
    scrape.found = document()
    scrape.found["counters"] = {key: number + 1 for number, key in enumerate(COUNTERS)}
    samples = scrape.samples()
    for number, (family, value) in enumerate(COUNTERS.values()):
        name = f"geodns_{family.name}" + "_total" * (not family.gauge)
        labels = () if value is None or family.label is None else ((family.label, value),)
        assert samples[name, labels] == number + 1
    assert not [key for key in samples if key[0] == "geodns_events_total"]


def test_names_keep_the_conventions(scrape: Scrape) -> None:
    scrape.found = document(place__IT=1, order__it_a=1, odd=2, odd__now=1)
    for family in openmetrics(scrape.text("application/openmetrics-text; version=1.0.0")):
        assert family.documentation.endswith("."), family.name
        ours = family.name.startswith("geodns_")
        assert ours or family.name.startswith("process_")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        elif ours:
            assert "total" not in family.name
        for unit in ("ms", "milliseconds", "kib", "octets"):
            assert not family.name.endswith(unit)


def test_a_counter_without_a_figure_of_its_own_is_an_event(scrape: Scrape) -> None:
    scrape.found = document(odd__thing=3, odd__now=5)
    assert scrape.value("events_total", event="odd/thing") == 3
    assert scrape.value("current", what="odd/now") == 5


def test_places_and_events_are_bounded_and_lose_nothing(
    scrape: Scrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PLACES", 3)
    monkeypatch.setattr(module, "MOST_EVENTS", 3)
    scrape.found = document(
        **{f"blocked_in__{code}": 1 for code in ("IT", "FR", "DE", "AT")},
        **{f"place__{code}": 1 for code in ("IT", "FR", "None", "DE", "AT", "CH")},
        **{f"odd{number}": 1 for number in range(10)},
    )
    samples = scrape.samples()
    for name, bound, total in (
        ("geodns_queries_by_place_total", 3, 6),
        ("geodns_blocked_by_place_total", 3, 4),
        ("geodns_events_total", 3, 10),
    ):
        found = {labels: count for (each, labels), count in samples.items() if each == name}
        assert len(found) == bound + 1
        assert sum(found.values()) == total
    assert scrape.value("queries_by_place_total", place="unknown") == 1


def test_rulings_of_orders_begin_at_zero_and_keep_kinds_apart(scrape: Scrape) -> None:
    assert scrape.value("rulings_total", order="it-a", ruling="block") == 0
    assert scrape.value("rulings_total", order="it-s", ruling="shadow") == 0
    counters = {
        "order/it-a": 5,
        "shadow/it-s": 2,
        "never_block/a/b.example/it-a": 1,
        "never_block/c.example/it-a": 2,
        "order/gone": 7,
    }
    scrape.found = {**document(), "counters": counters}
    assert scrape.value("rulings_total", order="it-a", ruling="block") == 5
    assert scrape.value("rulings_total", order="it-s", ruling="shadow") == 2
    assert scrape.value("rulings_total", order="it-a", ruling="never_block") == 3
    assert scrape.value("rulings_total", order="gone", ruling="block") == 7


def test_block_pages_by_order(scrape: Scrape) -> None:
    scrape.found = {**document(), "counters": {"blockpage/order/it-a": 3, "blockpage/451": 3}}
    assert scrape.value("block_pages_total", order="it-a") == 3
    assert scrape.value("rulings_total", order="it-a", ruling="block") == 0


def test_pages_of_orders_beyond_the_bound_are_added_up() -> None:
    scrape = Scrape(orders=1)
    assert scrape.found is not None
    scrape.found["orders"] = []
    scrape.found["counters"] = {"order/a": 9, "blockpage/order/a": 1, "blockpage/order/b": 2}
    assert scrape.value("block_pages_total", order="a") == 1
    assert scrape.value("block_pages_total", order="other") == 2


def test_orders_beyond_the_bound_are_added_up_and_nothing_ever_falls() -> None:
    scrape = Scrape(orders=3)
    counts = {f"order/o{number}": number for number in range(10)}

    def rulings() -> dict[str, float]:
        assert scrape.found is not None
        scrape.found["counters"] = dict(counts)
        return {
            dict(labels)["order"]: count
            for (name, labels), count in scrape.samples().items()
            if name == "geodns_rulings_total"
        }

    assert scrape.found is not None
    scrape.found["orders"] = []
    first = rulings()
    assert first == {"o9": 9, "o8": 8, "o7": 7, "other": sum(range(7))}
    counts["order/o1"] = 1000
    counts["order/new"] = 50
    second = rulings()
    assert second == {**first, "other": first["other"] + 999 + 50}
    assert sum(second.values()) == sum(counts.values())


def test_labels_are_kept_when_orders_end_and_the_bound_is_lowered() -> None:
    labels = OrderLabels()
    assert labels.choose(["a", "b"], {}, 2) == {"a", "b"}
    assert labels.choose(["c"], {"a": 1}, 2) == {"a", "b"}
    assert labels.choose(["c"], {"a": 1}, 1) == {"a", "b"}
    assert labels.choose(["c"], {"d": 1}, 4) == {"a", "b", "c", "d"}


def test_reload_sources_and_workers(scrape: Scrape) -> None:
    assert scrape.value("reloads_total") == 3
    assert scrape.value("reload_failures_total") == 1
    assert scrape.value("last_reload_timestamp_seconds") == 1795305601
    assert scrape.value("last_reload_duration_seconds") == 0.5
    assert scrape.value("faults") == 1
    assert scrape.value("orders", status="shadow") == 1
    assert scrape.value("orders_last_good") == 1
    assert scrape.value("targets_held") == 3
    assert scrape.value("ledger_writable") == 0
    assert scrape.value("ledger_waiting") == 3
    assert scrape.value("ledger_lost_total") == 2
    assert scrape.value("orders_unverified") == 1
    assert scrape.value("orders_due", what="review") == 1
    assert scrape.value("orders_due", what="deadline") == 0
    assert scrape.value("snapshot_info", digest="ab12") == 1
    assert scrape.value("build_info", version="0.1.0", fast_path="native") == 1
    source = {"source": 'x"y.csv', "kind": "geofeed"}
    assert scrape.value("source_build_timestamp_seconds", **source) == 1795219200
    assert scrape.value("source_stale", **source) == 1
    assert [scrape.value("worker_up", worker=each) for each in "01"] == [1, 0]
    assert [scrape.value("worker_current", worker=each) for each in "01"] == [1, 0]
    assert scrape.value("worker_restarts_total", worker="1") == 2
    assert scrape.value("worker_resident_memory_bytes", worker="0") == 4096
    assert "next_change" not in scrape.text()


def test_upstreams(scrape: Scrape) -> None:
    assert scrape.value("upstream_rtt_seconds_sum", server="a") == 0.5
    assert scrape.value("upstream_rtt_seconds_count", server="a") == 4
    assert scrape.value("upstream_smoothed_rtt_seconds", server="a") == 0.1
    assert scrape.value("upstream_avoided", server="b") == 2
    assert ("geodns_upstream_smoothed_rtt_seconds", (("server", "b"),)) not in scrape.samples()


def test_block_page(scrape: Scrape) -> None:
    counts = {"451": 3, "421": 1, "cut": 2, "order/it-a": 3, "internal/KeyError": 1}
    counters = {f"blockpage/{key}": count for key, count in counts.items()}
    scrape.found = {**document(), "counters": counters}
    assert scrape.value("block_page_replies_total", status="451") == 3
    assert scrape.value("block_page_replies_total", status="421") == 1
    assert scrape.value("block_page_events_total", event="cut") == 2
    assert scrape.value("block_page_events_total", event="internal/KeyError") == 1
    assert scrape.value("block_pages_total", order="it-a") == 3
    assert scrape.value("block_page_up") == 1
    assert scrape.value("block_page_current") == 0
    assert scrape.value("block_page_restarts_total") == 1
    scrape.found = {**document(), "blockpage": None}
    assert "block_page_" not in scrape.text()


def test_before_the_first_load_there_is_only_the_process(scrape: Scrape) -> None:
    scrape.found = None
    names = {name for name, _ in scrape.samples()}
    assert "process_resident_memory_bytes" in names
    assert not [name for name in names if name.startswith("geodns_")]


def test_the_format_is_what_was_asked_for(scrape: Scrape) -> None:
    page = scrape.pages["/metrics"]
    assert page("").kind.startswith("text/plain; version=0.0.4")
    assert page("text/html").kind.startswith("text/plain")
    wanted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    asked = page(wanted)
    assert asked.kind.startswith("application/openmetrics-text; version=1.0.0")
    assert asked.body.endswith(b"# EOF\n")
