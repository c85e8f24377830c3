"""The figures of a worker: everything that its parts have counted, in one document each."""

from __future__ import annotations

from collections import Counter
from typing import Any

from geodns.fastpath.pure import FastPath
from geodns.serve.rulings import RulingLog
from geodns.upstream.cache import Cache
from geodns.upstream.forward import Forwarder


def of_pipeline(
    counted: Counter[str], fast: FastPath, forwarder: Forwarder, cache: Cache, log: RulingLog
) -> dict[str, int]:
    """All counts of a worker's pipeline. counted: its own and what the fast path has answered."""
    told = fast.counters()
    dropped = Counter(dict.fromkeys(("queries/udp", "dropped"), told["dropped"]))
    return {
        **(counted + dropped),
        "fast/queries": told["queries"],
        "fast/dropped": told["dropped"],
        "fast/kept": fast.kept_answers(),
        **{f"upstream/{name}": value for name, value in forwarder.counters.items()},
        "cache/entries": len(cache),
        "cache/octets": cache.octets,
        "cache/evictions": cache.evictions,
        "log/rulings": log.written,
        "log/lost": log.lost,
        **fast.guard.counts(),
    }


def of_upstreams(forwarder: Forwarder) -> dict[str, dict[str, Any]]:
    """What is known of each upstream: answers, the seconds they took in all, the smoothed
    round trip time (None before the first answer), and whether it is avoided now."""
    return {
        # The path of a DoH server often is the key to an account.
        "://".join(part.partition("/")[0] for part in server.split("://", 1)): {
            "answers": health.answers,
            "seconds": round(health.seconds, 6),
            "rtt": health.rtt,
            "away": health.away_until > 0,
        }
        for server, health in forwarder.known.items()
    }
