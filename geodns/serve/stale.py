"""Stale answers (RFC 8767): what an upstream said before is better than nothing, for a while.

A client whose answer has expired waits for a fresh one for 1.8 seconds at the most; then it gets
the old one, while the question goes on, and what comes of it is kept for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from geodns.model.message import NOERROR, NXDOMAIN
from geodns.model.response import Response
from geodns.upstream.forward import TooManyMisses, UpstreamFailure

PATIENCE = 1.8
"""Seconds that a client waits while there is a stale answer (RFC 8767 section 5)."""
TTL = 30
"""Seconds that a stale answer may be kept by the client (RFC 8767 section 4)."""
EDE_STALE, EDE_STALE_NXDOMAIN = 3, 19

# RFC 8914: what a validating upstream says of data that is bogus or cannot be validated. Such data
# may have been changed on its way, and the old answer must not hide that.
_DNSSEC = frozenset((1, 2, *range(5, 13)))


class Late(Exception):
    """No answer has come in time; one is still being waited for."""


class Refreshes:
    """Questions whose stale answers are being renewed, by cache key."""

    def __init__(self) -> None:
        self._late: dict[bytes, asyncio.Task[Response]] = {}

    async def in_time(
        self,
        key: bytes,
        resolve: Callable[[], Coroutine[None, None, Response]],
        keep: Callable[[Response], object],
    ) -> Response:
        """The answer to a question, or Late.

        resolve: asks it; what it raises is raised here. keep: is given an answer that came late.
        """
        if key in self._late:
            raise Late
        task = asyncio.ensure_future(resolve())
        try:
            done, _ = await asyncio.wait((task,), timeout=PATIENCE)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if done:
            return task.result()
        if key not in self._late:
            self._late[key] = task
            task.add_done_callback(lambda ended: self._ended(key, ended, keep))
        else:
            task.cancel()
        raise Late

    def _ended(
        self, key: bytes, task: asyncio.Task[Response], keep: Callable[[Response], object]
    ) -> None:
        del self._late[key]
        if task.cancelled():
            return
        fault = task.exception()
        if fault is None:
            if is_fresh(task.result()):
                keep(task.result())
        elif not isinstance(fault, UpstreamFailure | TooManyMisses):
            raise fault


def is_answer(response: Response) -> bool:
    """Whether a response is no failure."""
    return response.rcode in (NOERROR, NXDOMAIN)


def is_fresh(response: Response) -> bool:
    """Whether a response says something, so that a stale one is not needed (RFC 8767 section 4)."""
    if is_answer(response):
        return True
    return any(int.from_bytes(ede[:2], "big") in _DNSSEC for ede in response.ede)


def told(response: Response) -> tuple[int, str]:
    """The EDE of a stale answer."""
    return EDE_STALE_NXDOMAIN if response.rcode == NXDOMAIN else EDE_STALE, ""
