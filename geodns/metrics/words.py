"""Which counter of the server is which figure, by Prometheus' conventions of names.

Counters are named in docs/operations.md, figures in docs/metrics.md.
"""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    """One figure. name: without ``geodns_`` and ``_total``. gauge: it can fall. label: or None."""

    name: str
    help: str
    label: str | None = None
    gauge: bool = False


QUERIES = Family("queries", "Queries read.", "transport")
REPLIES = Family("replies", "What became of the queries, by outcome.", "outcome")
UPSTREAM = Family("upstream_events", "What happened between this server and upstreams.", "event")
TCP = Family("tcp_connection_events", "What became of TCP connections.", "event")
UDP = Family("udp_events", "UDP packets that could not be sent or read.", "event")
FAST = Family("fast_path_packets", "Packets that the fast path dealt with alone.", "outcome")
COOKIES = Family("cookies", "Queries with a DNS cookie, by what it was worth.", "state")
RATE = Family("rate_limited_replies", "Replies over the rate, by what became of them.", "fate")
PROXY = Family("proxy_faults", "PROXY headers that are not where they must be.", "fault")
RULING_LINES = Family("ruling_log_lines", "Lines of the ruling log.", "outcome")

COUNTERS: dict[str, tuple[Family, str | None]] = {
    "queries/udp": (QUERIES, "udp"),
    "queries/tcp": (QUERIES, "tcp"),
    "allowed": (REPLIES, "allowed"),
    "blocked": (REPLIES, "blocked"),
    "local": (REPLIES, "local"),
    "refused": (REPLIES, "refused"),
    "malformed": (REPLIES, "malformed"),
    "dropped": (REPLIES, "dropped"),
    "overload": (REPLIES, "overload"),
    "overload/client": (REPLIES, "client_overload"),
    "upstream/failed": (REPLIES, "failed"),
    "unlocated": (Family("unlocated_queries", "Queries of clients whose place is unknown."), None),
    "fast/queries": (FAST, "answered"),
    "fast/dropped": (FAST, "dropped"),
    "cache/hits": (Family("cache_hits", "Queries answered from the cache."), None),
    "cache/misses": (Family("cache_misses", "Queries that an upstream was asked for."), None),
    "cache/evictions": (
        Family("cache_evictions", "Good answers put out of the cache to make room."),
        None,
    ),
    "cache/entries": (Family("cache_entries", "Answers in the caches.", None, True), None),
    "cache/octets": (Family("cache_bytes", "What they take in memory.", None, True), None),
    "fast/kept": (
        Family("fast_path_kept_answers", "Answers kept by the fast paths.", None, True),
        None,
    ),
    "upstream/sent": (Family("upstream_queries", "Queries sent to upstreams."), None),
    "upstream/timeouts": (UPSTREAM, "timeout"),
    "upstream/errors": (UPSTREAM, "error"),
    "upstream/failovers": (UPSTREAM, "failover"),
    "upstream/tcp": (UPSTREAM, "tcp"),
    "upstream/mismatched": (UPSTREAM, "mismatched"),
    "upstream/malformed": (UPSTREAM, "malformed"),
    "upstream/shared": (UPSTREAM, "shared"),
    "upstream/probes": (UPSTREAM, "probe"),
    "cookie/new": (COOKIES, "new"),
    "cookie/valid": (COOKIES, "valid"),
    "cookie/bad": (COOKIES, "bad"),
    "rate/dropped": (RATE, "dropped"),
    "rate/truncated": (RATE, "truncated"),
    "rate/over": (RATE, "only_counted"),
    "proxy/missing": (PROXY, "missing"),
    "proxy/malformed": (PROXY, "malformed"),
    "proxy/unexpected": (PROXY, "unexpected"),
    "tcp/open": (Family("tcp_connections", "Open TCP connections.", None, True), None),
    "tcp/accepted": (TCP, "accepted"),
    "tcp/refused": (TCP, "refused"),
    "tcp/displaced": (TCP, "displaced"),
    "tcp/cut": (TCP, "cut"),
    "udp/unsent": (UDP, "unsent"),
    "udp/unreadable": (UDP, "unreadable"),
    "log/rulings": (RULING_LINES, "written"),
    "log/lost": (RULING_LINES, "lost"),
    "internal_errors": (Family("internal_errors", "Bugs met while answering."), None),
}
"""Each counter that is a figure of its own, or one value of its label. ``place/``, ``order/`` and
the like are for families.py; all others are values of ``geodns_events_total``."""

OTHER_EVENTS = Family("events", "Whatever else is counted, by its name in geodns status.", "event")
OTHER_GAUGES = Family("current", "Whatever else there is now, by its name.", "what", True)
