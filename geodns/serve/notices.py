"""Telling somebody what is due and what is held: an HTTP POST of JSON, once for each event.

What was told is kept in the state folder, so that a restart repeats nothing. What cannot be
delivered is tried again, later each time; serving never waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geodns.orders.due import due
from geodns.orders.loaded import LoadedOrder

LOOK = 15.0
"""Seconds between two looks at what is to be told."""
TIMEOUT = 10.0
"""Seconds that one delivery may take."""
LONGEST = 3600.0
"""Seconds between two attempts at most, where the receiver does not take what it is sent."""
MOST_KEPT = 10_000
"""Events that are remembered as told."""
STATE = "notices.json"

Post = Callable[[str, bytes], str | None]
"""Sends a body to a URL; returns why it was not taken, or None."""

log = logging.getLogger("geodns.notices")


def notices(orders: Sequence[LoadedOrder], now: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is to be told at ``now`` (aware): a key that names the event, and its document."""
    for row in due(orders, now):
        if row.wanted:
            key = f"{row.order}/{row.what}/{row.state}/{row.at.isoformat()}"
            yield key, {"event": row.what, **row.as_json()}
    for loaded in orders:
        if loaded.held:
            names = sorted(f"{held.field} {held.target!s}" for held in loaded.held)
            digest = sha256("\n".join(names).encode()).hexdigest()[:16]
            yield (
                f"{loaded.order.id}/held/{digest}",
                {
                    "event": "held",
                    "order": loaded.order.id,
                    "title": loaded.order.title,
                    "targets": len(loaded.held),
                    "findings": sorted({held.finding for held in loaded.held}),
                    "told": "targets are held out of force until they are acknowledged",
                    "wanted": True,
                },
            )


def post(url: str, body: bytes) -> str | None:
    """Deliver a notice: any answer of 200 to 299 means that it was taken."""
    import httpx

    # It would log the whole URL.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    headers = {"Content-Type": "application/json", "User-Agent": "geodns (notices)"}
    try:
        answer = httpx.post(url, content=body, headers=headers, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    return None if answer.is_success else f"it answered {answer.status_code}"


class Notices:
    """Delivers notices for a running server.

    state: the folder in which is kept what was told. orders, url: what is in force when asked;
    without a URL nothing is told, and nothing is taken as told.
    """

    def __init__(
        self,
        state: Path,
        orders: Callable[[], Sequence[LoadedOrder]],
        url: Callable[[], str | None],
        send: Post = post,
    ) -> None:
        self._path = state / STATE
        self._orders = orders
        self._url = url
        self._send = send
        self._told = self._read()
        self._failures = 0
        self._next = 0.0

    async def run(self) -> None:
        """Deliver what is to be told, for ever."""
        while True:
            url = self._url()
            if url is not None and time.monotonic() >= self._next:
                await self.look(url, datetime.now(UTC))
            await asyncio.sleep(LOOK)

    async def look(self, url: str, now: datetime) -> None:
        """Deliver what has not been told yet; stop at the first that is not taken."""
        for key, document in list(notices(self._orders(), now)):
            if key in self._told:
                continue
            body = json.dumps({"sent": now.isoformat(timespec="seconds"), **document})
            why = await asyncio.to_thread(self._send, url, body.encode())
            if why is not None:
                self._failures += 1
                self._next = time.monotonic() + min(LONGEST, LOOK * 2**self._failures)
                # The path and query of a webhook are often its secret.
                host, told = urlsplit(url).hostname, why.replace(url, "its address")
                log.warning("%s does not take notices: %s", host, told)
                return
            self._failures = 0
            self._told[key] = int(now.timestamp())
            self._write()

    def _read(self) -> dict[str, int]:
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self) -> None:
        newest = sorted(self._told.items(), key=lambda item: item[1])[-MOST_KEPT:]
        self._told = dict(newest)
        part = self._path.with_suffix(".part")
        with suppress(OSError):  # then a restart tells it again
            part.write_text(json.dumps(self._told))
            part.replace(self._path)
