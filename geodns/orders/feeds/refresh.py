"""One feed brought up to date: fetch, verify, take, compare, keep. A fault changes nothing."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from geodns.orders.feeds.fetch import Fetched, Fetching, fetch
from geodns.orders.feeds.kept import KeptFeed, State, lines_of
from geodns.orders.feeds.outbox import keep_outbox, merged, read_outbox
from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.shield import FORMAT as TICKETS
from geodns.orders.feeds.shield_api import last_opened, opened, sendable
from geodns.orders.feeds.signature import verify_minisign, verify_openpgp
from geodns.orders.feeds.table import Feed
from geodns.orders.feeds.take import Progress, Taken, has_shrunk, take

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_LATEST = 3600.0
_FIRST_RETRY = 60.0


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came of it. taken: where a new list was read."""

    state: State
    outcome: Literal["new", "unchanged", "failed"]
    taken: Taken | None = None


def interval(feed: Feed) -> float:
    """Seconds between two fetches."""
    return int(feed.refresh[:-1]) * _UNITS[feed.refresh[-1]]


def due_at(feed: Feed, state: State) -> float:
    """When to fetch next, in epoch seconds; after a failure sooner, backing off to an hour."""
    if state.failures and state.tried is not None:
        return state.tried + pause(feed, state.failures)
    return 0.0 if state.checked is None else state.checked + interval(feed)


def pause(feed: Feed, failures: int) -> float:
    """Seconds after so many failures in a row until it is worth trying again."""
    return min(_FIRST_RETRY * 2.0 ** min(failures - 1, 20), _LATEST, interval(feed))


def refresh(
    order: str,
    feed: Feed,
    directory: Path,
    fetching: Fetching,
    *,
    certificate: bytes | None = None,
    shrunken: bool = False,
    now: float | None = None,
    progress: Progress | None = None,
) -> Refreshed:
    """Bring one feed with a URL up to date.

    order: its order's id. directory: the folder of all feeds. certificate: what ``openpgp`` names.
    shrunken: take a list that has lost more than half. Never raises for what a publisher does:
    that is in the state. Raises OSError where the folder cannot be written.
    """
    assert feed.url is not None
    kept = KeptFeed(directory, order, feed.url)
    state = kept.state()
    moment = time.time() if now is None else now
    state.tried = moment
    if feed.api is not None and read_outbox(kept) is None:
        # Without it, a list that has not changed must still be read.
        state.digest = None
    try:
        found = _found(feed, state, fetching)
        state.checked = moment
        if found.data is None or sha256(found.data).hexdigest() == state.digest:
            state.failures, state.fault = 0, None
            kept.note(state)
            return Refreshed(state, "unchanged")
        _verify(feed, found.data, fetching, certificate)
        day = datetime.fromtimestamp(moment, UTC).date()
        taken = take(
            found.data, day, TICKETS.name if feed.api else feed.format, feed.match, progress
        )
        before = kept.entries()
        _demand(taken, len(before), shrunken, empty=feed.api is not None)
        if feed.api is not None and not shrunken:
            _demand_each(before, lines_of(taken))
    except FeedFault as fault:
        state.failures += 1
        state.fault = str(fault)
        kept.note(state)
        return Refreshed(state, "failed")
    after = set(lines_of(taken))
    state = replace(
        state,
        fetched=moment,
        failures=0,
        fault=None,
        etag=found.etag,
        modified=found.modified,
        digest=sha256(found.data).hexdigest(),
        format=taken.format,
        rows=taken.rows,
        taken=taken.count,
        added=len(after.difference(before)),
        gone=len(set(before) - after),
        reasons={str(reason): count for reason, count in taken.reasons().items()},
    )
    if feed.api is not None:
        # Before the targets: what is in force and not in the outbox would never be told.
        rejected = {row.text: row.reason for row in taken.rejected if row.reason != "duplicate"}
        listed = last_opened(found.data)
        keep_outbox(kept, merged(read_outbox(kept), listed, rejected, moment))
    kept.put(found.data, taken, state, day.isoformat())
    return Refreshed(state, "new", taken)


def _found(feed: Feed, state: State, fetching: Fetching) -> Fetched:
    assert feed.url is not None
    if feed.api is not None:
        with opened(feed, fetching) as platform:
            return Fetched(platform.listed())
    authorization = _authorization(feed)
    return fetch(
        feed.url,
        fetching,
        etag=state.etag,
        modified=state.modified,
        authorization=authorization,
    )


def _demand(taken: Taken, before: int, shrunken: bool, *, empty: bool) -> None:
    """Raise FeedFault for what cannot be all of it. empty: whether nothing may be listed."""
    if not taken.count and (taken.rows or not empty):
        raise FeedFault(f"it has {taken.rows} rows and not one target")
    if has_shrunk(before, taken.count) and not shrunken:
        raise FeedFault(
            f"it has shrunk from {before} to {taken.count} targets; if that is right:"
            " geodns feeds refresh --shrunken"
        )


def _demand_each(before: Iterable[str], after: Iterable[str]) -> None:
    """Names and addresses come in lists of their own: none of them may be lost among the others."""
    former, latter = (Counter(map(_sort, lines)) for lines in (before, after))
    for sort, count in former.items():
        if has_shrunk(count, latter[sort]):
            raise FeedFault(
                f"its {sort} have shrunk from {count} to {latter[sort]}; if that is right:"
                " geodns feeds refresh --shrunken"
            )


def _sort(line: str) -> str:
    if not line.startswith("@"):
        return "names"
    return "IPv6 addresses" if ":" in line else "IPv4 addresses"


def _verify(feed: Feed, data: bytes, fetching: Fetching, certificate: bytes | None) -> None:
    if feed.signature is None:
        return
    assert feed.url is not None
    # Credentials are for one host.
    same = urlsplit(feed.signature).netloc == urlsplit(feed.url).netloc
    authorization = _authorization(feed) if same else None
    signature = fetch(feed.signature, fetching, authorization=authorization).data or b""
    if feed.minisign is not None:
        verify_minisign(data, signature, feed.minisign)
    elif feed.openpgp is not None:
        verify_openpgp(data, signature, certificate or b"")


def _authorization(feed: Feed) -> str | None:
    if feed.credentials is None:
        return None
    value = os.environ.get(feed.credentials, "").strip()
    if not value:
        told = f"the environment variable {feed.credentials} with its credentials is not set"
        raise FeedFault(told)
    if not sendable(value):
        told = f"the environment variable {feed.credentials} holds what no header can"
        raise FeedFault(told)
    return value if " " in value else f"Bearer {value}"
