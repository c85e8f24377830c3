"""One upstream server: the ways to it, and what is known of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from geodns.model.resolver import Resolver
from geodns.upstream.channel import Asker, Channel
from geodns.upstream.cookie import Jar
from geodns.upstream.health import Health
from geodns.upstream.lane import Lanes
from geodns.upstream.stream import Streams
from geodns.upstream.trust import Trust

_TOLD_EVERY = 60.0  # seconds between two log lines about the same server
_CHANGES = 3  # replies in other letters after which a server is taken to fold them
_STREAM_WAIT = 1.0  # seconds at least: TCP repeats what is lost by itself, and has to connect

log = logging.getLogger("geodns.upstream")


class Server(Health):
    """An upstream server: its lanes, its connections and its health.

    mismatched: called for each message from it that answers nothing that was asked. plain:
    asked over UDP. trust: what its certificate is checked against, where it is asked over TLS.
    jar: its cookies, None where none are used.
    """

    def __init__(
        self,
        address: Resolver,
        numbers: Iterator[int],
        mismatched: Callable[[], None],
        trust: Trust,
        *,
        cookies: bool = False,
    ) -> None:
        self.plain = address.scheme == "dns"
        super().__init__(*(() if self.plain else (_STREAM_WAIT,)))
        self.address = address
        self.mismatched = mismatched
        self._lanes = Lanes(self, numbers)
        self._streams = Streams(self, numbers, trust)
        self._told_at = float("-inf")
        self.jar = Jar() if cookies and self.plain else None
        self._keeps_letters = False
        self._changed = 0

    @property
    def sockets(self) -> int:
        """How many UDP sockets and connections are open."""
        return len(self._lanes) + len(self._streams)

    def ask(
        self, body: bytes, asker: Asker, loop: asyncio.AbstractEventLoop
    ) -> tuple[Channel, int]:
        """Send a query the usual way; return what ``forget`` needs.

        body: the query behind its ID. Raises OSError if the server cannot be reached.
        """
        ways = self._lanes if self.plain else self._streams
        return ways.ask(body, asker, loop)

    def ask_stream(
        self, body: bytes, asker: Asker, loop: asyncio.AbstractEventLoop
    ) -> tuple[Channel, int]:
        """The same by a way that no reply can be forged on, and that holds large ones."""
        return self._streams.ask(body, asker, loop)

    def timed_out(self, now: float, since: float | None = None) -> None:
        """Learn that it was silent until ``now``, and on its connections from ``since`` on."""
        if since is not None:
            self._streams.abandon(since)
        super().timed_out(now)

    def kept_letters(self) -> None:
        """Learn that it gave a question back in the letters it was asked in."""
        self._keeps_letters = True

    def changes_letters(self) -> bool:
        """Learn that it did not; return whether it never does, so that no more is to be expected.

        Who has kept them once is believed to do so always: then such a reply is forged.
        """
        self._changed += 1
        return not self._keeps_letters and self._changed > _CHANGES

    def refused(self, why: str, now: float) -> None:
        """Learn why no connection came about: an operator must hear of a bad certificate."""
        if not self.plain and now - self._told_at >= _TOLD_EVERY:
            self._told_at = now
            log.warning("upstream %s cannot be used: %s", self.address.text, why)

    def retire(self) -> None:
        """Send no more but what is under way; sockets close as that ends."""
        self._lanes.retire()
        self._streams.retire()

    def close(self) -> None:
        """Close all sockets now."""
        self._lanes.close()
        self._streams.close()
