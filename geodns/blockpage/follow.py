"""Where a name leads that no order names: the resolver blocked it by its aliases or addresses.

The page asks the upstreams what the resolver asked them, so that a mirror which is an alias of
a blocked name gets the page of the order, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from geodns.model.message import IN
from geodns.model.response import Response
from geodns.serve.local import local_zone
from geodns.upstream.cache import Cache, cache_key
from geodns.upstream.forward import Forwarder, TooManyMisses, UpstreamFailure

BOUND = 5.0
"""Seconds that a visitor waits for upstreams at most."""
CACHE_SIZE = 4 << 20
"""Octets of the page's own cache."""
MISSES = 64
"""Questions to upstreams at once."""
_TYPES = (1, 28)


class Follower:
    """Asks upstreams for the addresses of names, and keeps what they say."""

    def __init__(self, forwarder: Forwarder) -> None:
        """forwarder: it is this object's from now on."""
        self._forwarder = forwarder
        self._cache = Cache(CACHE_SIZE)

    async def answers(self, name: bytes) -> AsyncIterator[Response]:
        """What upstreams say of a name (folded wire format): of A, then of AAAA.

        One that fails is left out. Local names are nobody's business and give nothing.
        """
        if local_zone(name) is not None:
            return
        for qtype in _TYPES:
            try:
                async with asyncio.timeout(BOUND):
                    response = await self._ask(name, qtype)
            except (UpstreamFailure, TooManyMisses, TimeoutError):
                continue
            yield response

    async def _ask(self, name: bytes, qtype: int) -> Response:
        key = cache_key(name, qtype, IN, False, False)
        entry = self._cache.get(key, monotonic())
        if entry is None:
            question = name + qtype.to_bytes(2) + IN.to_bytes(2)
            response = await self._forwarder.resolve(
                question, dnssec_ok=False, checking_disabled=False
            )
            entry = self._cache.put(key, response, monotonic())
        return entry.response

    def close(self) -> None:
        """Let go of the upstream sockets."""
        self._forwarder.close()
