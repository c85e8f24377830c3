"""Which feeds there are and which are due; as a program, fetches those that are.

``python -m geodns.orders.feeds.due`` is what a running server starts when a list is due: a
process of its own, so that neither what fetching needs nor what a hostile list does stays in
the server. From its standard input it reads a JSON object: ``feeds``, each with ``order`` (id),
``feed`` (its table) and ``certificate`` (base64), as the server has them in use, whatever stands in
files by now; and ``reports``, what APIs are to be told: feed's key -> item -> what. It
prints a JSON document for each feed it has tried.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from geodns.orders.feeds.fetch import Fetching
from geodns.orders.feeds.kept import KeptFeed, State, feed_key
from geodns.orders.feeds.outbox import Outbox, read_outbox, report
from geodns.orders.feeds.refresh import due_at, pause, refresh
from geodns.orders.feeds.table import Feed
from geodns.orders.loaded import LoadedOrder

FETCHED = frozenset(("active", "shadow", "draft"))
"""Statuses of orders whose lists are kept up to date."""


Reports = Mapping[str, Mapping[str, str]]
"""What APIs are to be told: feed's key -> item -> PROCESSED, or why it is not in force."""


class Fed(NamedTuple):
    """A feed with a URL, its order, and what is known of it. outbox: of one with an API."""

    order: LoadedOrder
    feed: Feed
    state: State
    outbox: Outbox | None = None

    @property
    def key(self) -> str:
        """The name of its folder."""
        return feed_key(self.state.order, self.state.source)

    def job(self) -> dict[str, Any]:
        """What the program below needs to know of it, JSON-ready."""
        certificate = self.certificate
        return {
            "order": self.state.order,
            "feed": self.feed.model_dump(mode="json"),
            "certificate": None if certificate is None else b64encode(certificate).decode(),
        }

    @property
    def certificate(self) -> bytes | None:
        """The OpenPGP certificate of its publisher, as it was read with the order."""
        return self.order.certificates.get(self.feed.openpgp or "")

    @property
    def reports_due(self) -> float:
        """When its API is to be told next of what waits, in epoch seconds."""
        if self.outbox is None or not self.outbox.failures or self.outbox.tried is None:
            return 0.0
        return self.outbox.tried + pause(self.feed, self.outbox.failures)

    @property
    def fault(self) -> str | None:
        """What is wrong with it now, its list first."""
        if self.state.fault is None and self.outbox is not None and self.outbox.fault is not None:
            return f"reports wait: {self.outbox.fault}"
        return self.state.fault

    @property
    def due(self) -> float:
        """When it is to be fetched next, in epoch seconds."""
        return due_at(self.feed, self.state)


def _is_fetched(order: LoadedOrder) -> bool:
    # Nobody's word alone sends credentials anywhere.
    return order.signed and (order.order.status in FETCHED or order.may_have_force)


def fed(orders: Iterable[LoadedOrder], directory: Path) -> Iterator[Fed]:
    """The feeds with a URL of orders that may have force. directory: the folder of all feeds."""
    for order in orders:
        for feed in order.order.feeds if _is_fetched(order) else ():
            if feed.url is not None:
                kept = KeptFeed(directory, order.order.id, feed.url)
                outbox = None if feed.api is None else read_outbox(kept)
                yield Fed(order, feed, kept.state(), outbox)


LOCKS = (".lock", ".lock-api")
"""The files that keep processes apart: of plain lists, and of feeds with an API."""


@contextmanager
def alone(directory: Path, lock_name: str = LOCKS[0]) -> Iterator[bool]:
    """Keep other processes from fetching meanwhile; whether none was. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / lock_name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def main(arguments: list[str] | None = None) -> int:
    """Fetch what is due of some feeds; the exit code is 1 where it cannot be kept."""
    parser = argparse.ArgumentParser(prog="geodns.orders.feeds.due")
    parser.add_argument("--directory", type=Path, required=True, help="folder of all feeds")
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--attempts", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--lock", choices=LOCKS, default=LOCKS[0])
    parser.add_argument("--fetch", action=argparse.BooleanOptionalAction, default=True)
    chosen = parser.parse_args(arguments)
    asked = json.load(sys.stdin)
    reports: Reports = asked["reports"]
    fetching = Fetching(chosen.timeout, chosen.size, chosen.attempts)
    try:
        with alone(chosen.directory, chosen.lock) as mine:
            for job in asked["feeds"] if mine else ():
                feed = Feed.model_validate(job["feed"])
                kept = KeptFeed(chosen.directory, job["order"], feed.url or "")
                if chosen.fetch and due_at(feed, kept.state()) <= time.time():
                    done = refresh(
                        job["order"],
                        feed,
                        chosen.directory,
                        fetching,
                        certificate=b64decode(job["certificate"] or ""),
                    )
                    _say({"outcome": done.outcome, **asdict(done.state)})
                if wanted := reports.get(feed_key(job["order"], feed.url or "")):
                    _report(kept, feed, wanted, fetching)
    except OSError as error:
        _say({"outcome": "unkept", "fault": error.strerror or str(error)})
        return 1
    return 0


def _report(kept: KeptFeed, feed: Feed, wanted: Mapping[str, str], fetching: Fetching) -> None:
    state = kept.state()
    done = report(kept, feed, wanted, fetching, time.time())
    facts = {"order": state.order, "source": state.source, **asdict(done)}
    _say({"outcome": "reported", **facts})


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201 - the server reads it


if __name__ == "__main__":
    sys.exit(main())
