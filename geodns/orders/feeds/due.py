"""Which feeds there are and which are due; as a program, fetches those that are.

``python -m geodns.orders.feeds.due`` is what a running server starts when a list is due: a
process of its own, so that neither what fetching needs nor what a hostile list does stays in
the server. It prints a JSON document for each feed it has tried.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from geodns.orders.feeds.fetch import Fetching
from geodns.orders.feeds.kept import KeptFeed, State
from geodns.orders.feeds.refresh import due_at, refresh
from geodns.orders.load import load_path
from geodns.orders.loaded import LoadedOrder
from geodns.orders.schema import Feed

FETCHED = frozenset(("active", "shadow", "draft"))
"""Statuses of orders whose lists are kept up to date."""


class Fed(NamedTuple):
    """A feed with a URL, its order, and what is known of it."""

    order: LoadedOrder
    feed: Feed
    state: State

    @property
    def due(self) -> float:
        """When it is to be fetched next, in epoch seconds."""
        return due_at(self.feed, self.state)


def _is_fetched(order: LoadedOrder) -> bool:
    return order.order.status in FETCHED or order.may_have_force


def fed(orders: Iterable[LoadedOrder], directory: Path) -> Iterator[Fed]:
    """The feeds with a URL of orders that may have force. directory: the folder of all feeds."""
    for order in orders:
        for feed in order.order.feeds if _is_fetched(order) else ():
            if feed.url is not None:
                yield Fed(order, feed, KeptFeed(directory, order.order.id, feed.url).state())


@contextmanager
def alone(directory: Path) -> Iterator[bool]:
    """Keep other processes from fetching meanwhile; whether none was. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def main(arguments: list[str] | None = None) -> int:
    """Fetch what is due of some order files; the exit code is 1 where it cannot be kept."""
    parser = argparse.ArgumentParser(prog="geodns.orders.feeds.due")
    parser.add_argument("--directory", type=Path, required=True, help="folder of all feeds")
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--attempts", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("files", type=Path, nargs="+", help="order files")
    chosen = parser.parse_args(arguments)
    fetching = Fetching(chosen.timeout, chosen.size, chosen.attempts)
    orders = [order for path in chosen.files for order in load_path(path).orders]
    try:
        with alone(chosen.directory) as mine:
            for each in fed(orders, chosen.directory) if mine else ():
                if each.due > time.time():
                    continue
                done = refresh(each.order, each.feed, chosen.directory, fetching)
                print(  # noqa: T201 - the server reads it
                    json.dumps({"outcome": done.outcome, **asdict(done.state)}), flush=True
                )
    except OSError as error:
        print(  # noqa: T201
            json.dumps({"outcome": "unkept", "fault": error.strerror or str(error)}), flush=True
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
