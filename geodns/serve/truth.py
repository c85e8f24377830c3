"""Upstream truth for the pipeline: remembered where it is, else asked for. No places, no orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from geodns.fastpath.guard import CROWDED
from geodns.fastpath.pure import FastPath
from geodns.model.message import CD, Query
from geodns.model.response import Response, read_response
from geodns.serve import stale
from geodns.upstream.cache import Cache, Entry, cache_key
from geodns.upstream.forward import Forwarder, TooManyMisses, UpstreamFailure

EDE_OTHER, EDE_CACHED = 0, 13


class Told(NamedTuple):
    """What came of asking. now: monotonic seconds of it. ede: why there is no entry."""

    entry: Entry | None
    now: float
    ede: tuple[tuple[int, str], ...] = ()


class Truth:
    """The cache, what the fast path has kept, and the forwarder behind them.

    counted: the pipeline's counters. clock: monotonic seconds.
    """

    def __init__(
        self,
        forwarder: Forwarder,
        cache: Cache,
        fast: FastPath,
        counted: Counter[str],
        clock: Callable[[], float],
    ) -> None:
        self.forwarder = forwarder
        self.cache = cache
        self._fast = fast
        self._counts = counted
        self._clock = clock
        self._learnt: dict[bytes, Entry] = {}
        self._refreshes = stale.Refreshes()

    @staticmethod
    def key(query: Query) -> bytes:
        """The cache key of a question: answers with other DO or CD bits are other answers."""
        return cache_key(
            query.folded, query.qtype, query.qclass, query.dnssec_ok, bool(query.flags & CD)
        )

    def find(self, key: bytes, now: float) -> Entry | None:
        """The answer that is remembered, if it has not expired."""
        if self._learnt and (entry := self._learnt.get(key)) is not None:
            self._counts["cache/misses"] += 1
            return entry
        found = self.cache.get(key, now) or self._recall(key, now)
        self._counts["cache/misses" if found is None else "cache/hits"] += 1
        return found

    async def ask(self, query: Query, key: bytes, old: Entry | None, *, crowded: bool) -> Told:
        """Ask upstream, or wait for who asks already.

        old: an answer that has expired; with it, waiting is short. crowded: too many questions of
        this client's network are under way.
        """
        entry = None
        ede: tuple[tuple[int, str], ...] = ()
        now = self._clock()
        try:
            if crowded:
                raise TooManyMisses
            response = await self._response(query, key, old)
        except stale.Late:
            ede = ((EDE_OTHER, "the answer is late"),)
        except TooManyMisses:
            self._counts["overload/client" if crowded else "overload"] += 1
            ede = ((EDE_OTHER, CROWDED),)
        except UpstreamFailure as failure:
            self._counts["upstream/failed"] += 1
            ede = ((failure.ede_code, failure.text),)
            if failure.cached:
                ede = ((EDE_CACHED, ""), *ede)
        else:
            now = self._clock()
            # Others may have waited for the same response and have put it there already.
            entry = self.cache.get(key, now) or self.cache.put(key, response, now)
        if entry is None or not stale.is_answer(entry.response):
            self._rest(key, query)
        return Told(entry, now, ede)

    async def _response(self, query: Query, key: bytes, old: Entry | None) -> Response:
        if old is None:
            return await self._resolve(query)
        response = await self._refreshes.in_time(
            key,
            lambda: self._resolve(query),
            lambda late: self.cache.put(key, late, self._clock()),
        )
        if not stale.is_fresh(response):
            raise stale.Late
        return response

    async def _resolve(self, query: Query) -> Response:
        return await self.forwarder.resolve(
            query.folded + query.question[-4:],
            dnssec_ok=query.dnssec_ok,
            checking_disabled=bool(query.flags & CD),
        )

    def _rest(self, key: bytes, query: Query) -> None:
        """A question that failed is not asked by the fast path either, for as long (RFC 9520)."""
        now = self._clock()
        until = self.forwarder.rests_until(
            query.folded + query.question[-4:],
            dnssec_ok=query.dnssec_ok,
            checking_disabled=bool(query.flags & CD),
            now=now,
        )
        if until > now:
            self._fast.leave(key, until)

    def _recall(self, key: bytes, now: float) -> Entry | None:
        """The answer that only the fast path has kept, put in the cache."""
        kept = self._fast.recall(key)
        if kept is None:
            return None
        self.cache.put(key, read_response(kept.packet), kept.stored)
        return self.cache.get(key, now)

    def learn(self, key: bytes, message: bytes) -> None:
        """Take a response that the fast path asked for, and that is not for it to give out.

        It answers the packets that are handed up until ``forget_learnt``, even if it must not be
        cached. What is no answer is left to the forwarder, who then asks again.
        """
        try:
            response = read_response(message)
        except ValueError:
            self.forwarder.counters["malformed"] += 1
            return
        if stale.is_answer(response):
            self._learnt[key] = self.cache.put(key, response, self._clock())

    def forget_learnt(self) -> None:
        """Learn that those who waited for what was learnt have been answered."""
        self._learnt.clear()
