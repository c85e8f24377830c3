"""One feed brought up to date: fetch, verify, take, compare, keep. A fault changes nothing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from geodns.orders.feeds.fetch import Fetching, fetch
from geodns.orders.feeds.kept import KeptFeed, State, lines_of
from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.signature import verify_minisign, verify_openpgp
from geodns.orders.feeds.take import Progress, Taken, has_shrunk, take
from geodns.orders.loaded import LoadedOrder
from geodns.orders.schema import Feed

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
        wait = min(_FIRST_RETRY * 2.0 ** min(state.failures - 1, 20), _LATEST, interval(feed))
        return state.tried + wait
    return 0.0 if state.checked is None else state.checked + interval(feed)


def refresh(
    order: LoadedOrder,
    feed: Feed,
    directory: Path,
    fetching: Fetching,
    *,
    shrunken: bool = False,
    now: float | None = None,
    progress: Progress | None = None,
) -> Refreshed:
    """Bring one feed with a URL up to date.

    directory: the folder of all feeds. shrunken: take a list that has lost more than half.
    Never raises for what a publisher does: that is in the state. Raises OSError where the
    folder cannot be written.
    """
    assert feed.url is not None
    kept = KeptFeed(directory, order.order.id, feed.url)
    state = kept.state()
    moment = time.time() if now is None else now
    state.tried = moment
    try:
        found = fetch(
            feed.url,
            fetching,
            etag=state.etag,
            modified=state.modified,
            authorization=_authorization(feed),
        )
        state.checked = moment
        if found.data is None or sha256(found.data).hexdigest() == state.digest:
            state.failures, state.fault = 0, None
            kept.note(state)
            return Refreshed(state, "unchanged")
        _verify(order, feed, found.data, fetching)
        day = datetime.fromtimestamp(moment, UTC).date()
        taken = take(found.data, day, feed.format, feed.match, progress)
        before = kept.entries()
        _demand(taken, len(before), shrunken)
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
    kept.put(found.data, taken, state, day.isoformat())
    return Refreshed(state, "new", taken)


def _demand(taken: Taken, before: int, shrunken: bool) -> None:
    if not taken.count:
        raise FeedFault(f"it has {taken.rows} rows and not one target")
    if has_shrunk(before, taken.count) and not shrunken:
        raise FeedFault(
            f"it has shrunk from {before} to {taken.count} targets; if that is right:"
            " geodns feeds refresh --shrunken"
        )


def _verify(order: LoadedOrder, feed: Feed, data: bytes, fetching: Fetching) -> None:
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
        path = Path(order.path).parent / feed.openpgp
        try:
            certificate = path.read_bytes()
        except OSError as error:
            told = f"the certificate {feed.openpgp} cannot be read: {error.strerror or error}"
            raise FeedFault(told) from None
        verify_openpgp(data, signature, certificate)


def _authorization(feed: Feed) -> str | None:
    if feed.credentials is None:
        return None
    value = os.environ.get(feed.credentials, "").strip()
    if not value:
        told = f"the environment variable {feed.credentials} with its credentials is not set"
        raise FeedFault(told)
    return value if " " in value else f"Bearer {value}"
