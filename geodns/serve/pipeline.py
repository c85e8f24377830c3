"""The way of a query through the house, in one straight function: start reading here.

    packet -> unwrap -> read -> admit -> identify -> locate -> rule on the question
           -> block: reply
           -> allow: local names, cache or forward -> rule on aliases and addresses -> reply

The order of the steps is law; each says what breaks if it moves. There is no plugin chain.
What a name resolves to is cached once for all places; what the law says about it is decided
here, per client, above the cache.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from time import monotonic
from typing import Any

from geodns.fastpath.pure import FastPath
from geodns.fastpath.rate import RateLimits
from geodns.locate.client import Networks
from geodns.model.message import (
    ANY,
    AXFR,
    FORMERR,
    HEADER,
    IN,
    IXFR,
    NOTIMP,
    REFUSED,
    SERVFAIL,
    Dropped,
    Malformed,
    read_query,
)
from geodns.model.proxy import SIGNATURE, BadHeader
from geodns.model.ruling import Ruling
from geodns.serve import counts, figures, reply, stale
from geodns.serve.asked import Asked, identify, unwrap
from geodns.serve.chaos import chaos
from geodns.serve.explained import asks_for_structure, structured_texts, structured_ttl
from geodns.serve.fast import ECS_BLOCK_TTL, kept_of, load_of, peers_of
from geodns.serve.guard import (
    enter,
    hold_back,
    hold_back_later,
    hold_flood,
    owe_cookie,
    owe_keepalive,
    rates_of,
    share_out,
)
from geodns.serve.inforce import InForce
from geodns.serve.judge import Judge, named_in
from geodns.serve.local import TTL, local_answer, local_zone
from geodns.serve.resinfo import RESINFO, RESOLVER_ARPA, resinfo_data
from geodns.serve.rulings import RulingLog
from geodns.serve.truth import Truth
from geodns.upstream.cache import Cache, Entry
from geodns.upstream.forward import Forwarder

log = logging.getLogger("geodns.serve")

EDE_PROHIBITED = 18
_META_TYPES = frozenset((0, 41, *range(128, 251), 253, 254))


class Pipeline:
    """Answers packets. One a worker; everything in it belongs to one event loop."""

    def __init__(
        self, forwarder: Forwarder, cache: Cache, fast: FastPath, settings: dict[str, Any]
    ) -> None:
        """settings: the JSON form of config.Settings. fast: answers in front of this, on UDP."""
        self.fast = fast
        self._counts: Counter[str] = Counter()
        self._judge = Judge(self._counts)
        self._truth = Truth(forwarder, cache, fast, self._counts, lambda: monotonic())
        self._serving = False
        self._rates: RateLimits | None = None
        self._in_force: InForce
        self.apply(settings)

    def apply(self, settings: dict[str, Any]) -> None:
        """Take over the settings that can change while the server runs."""
        trusted, proxies = settings["trust"]["ecs"], settings["trust"]["proxy"]
        self._clients = Networks([*settings["server"]["clients"], *trusted, *proxies])
        self._trusted, self._proxies = Networks(trusted), Networks(proxies)
        self.fast.serve(
            peers_of(self._clients, self._proxies),
            peers_of(self._trusted),
            peers_of(self._proxies) if self._proxies else None,
        )
        share_out(self.fast, settings["limits"])
        self._idle: float = settings["limits"]["tcp_idle"]
        rates = rates_of(settings["limits"])
        if rates != self._rates:
            self._rates = rates
            self.fast.guard.take_rates(rates)
        self._version = settings["server"].get("version")
        self._identity = settings["server"].get("identity")
        self._resinfo = resinfo_data(settings)
        self._explains = settings["errors"]["structured_transports"] == "any"
        self._structured = settings["errors"]["structured_option"]
        self.fast.heed(self._structured or 0)
        self.rulings.turn(settings["log"]["rulings"])

    def enforce(self, in_force: InForce) -> None:
        """Put a snapshot and place tables in force, for every answer from now on."""
        self._counts.update(self._fast_counts())
        self._judge.placed = self.blocks()
        # The fast path keeps no log, so with one the blocks come up one by one.
        load = load_of(in_force, blocks=not self.rulings.on)
        if load is None:
            log.warning("too many jurisdictions for the fast path: every query takes the long way")
        self.fast.load(load)
        self._in_force = in_force
        self._serving = True

    def warm(self, in_force: InForce) -> None:
        """Give the fast path where scope classes begin, which in_force.warm has made."""
        if in_force is self._in_force and (runs := in_force.flat_runs()) is not None:
            self.fast.take_runs(runs)

    @property
    def forwarder(self) -> Forwarder:
        """Who asks upstreams."""
        return self._truth.forwarder

    @property
    def rulings(self) -> RulingLog:
        """The log of rulings, which is off unless the operator asks for it."""
        return self._judge.log

    def serves(self, peer: bytes) -> bool:
        """Whether a peer (packed address) is admitted."""
        return peer in self._clients

    def wraps(self, peer: bytes) -> bool:
        """Whether a peer (packed address) has to put a PROXY header before what it sends."""
        return bool(self._proxies) and peer in self._proxies

    def answer(
        self, packet: bytes, peer: bytes, *, stream: bool, source: bytes | None = None
    ) -> bytes | Awaitable[bytes | None] | None:
        """Answer one packet: a reply, None for none, or an awaitable where an upstream is asked.

        peer: packed address (4 or 16 octets) of the socket's peer. stream: TCP. source: the
        client's address, where the PROXY header of a stream told one; a datagram has its own
        before the query. Never raises.
        """
        # 0. Unwrap, by the socket's peer: only listed proxies may say for whom they ask. First,
        #    since what they put in front is no part of the query.
        bare = False
        if not stream and self.wraps(peer):
            try:
                packet, source, bare = unwrap(packet)
            except BadHeader:
                self._counts.update(("queries/udp", "dropped", "proxy/malformed"))
                return None
            self._counts["proxy/missing"] += bare
        limited = not stream and self.fast.guard.limits
        if limited:
            held = hold_flood(self.fast.guard, packet, source or peer, monotonic())
            if held is not None:
                return held or None
        try:
            told = self._answer(packet, peer, stream, source, bare)
        except Exception as fault:
            told = self._broken(packet, fault)
        # 11. Hold back. Behind everything, since what is charged is the reply; a TCP client has
        #     proved where it is.
        if told is None or not limited:
            return told
        if isinstance(told, bytes):
            return hold_back(self.fast.guard, packet, source or peer, told, monotonic())
        return hold_back_later(self.fast.guard, packet, source or peer, told, monotonic)

    def _answer(
        self, packet: bytes, peer: bytes, stream: bool, source: bytes | None, bare: bool
    ) -> bytes | Awaitable[bytes | None] | None:
        count = self._counts
        transport = "tcp" if stream else "udp"
        count[f"queries/{transport}"] += 1

        # 1. Read. Before all that follows: nothing may be believed of a packet that is no query.
        try:
            query = read_query(packet)
        except Dropped:
            count["dropped"] += 1
            return None
        except Malformed as fault:
            count["malformed"] += 1
            count["proxy/unexpected"] += packet.startswith(SIGNATURE)
            return reply.error(packet, fault)
        limit = reply.size_limit(query, stream=stream)
        try:
            query = owe_cookie(query, self.fast.guard, source or peer, monotonic())
        except ValueError:
            count["malformed"] += 1
            return reply.status(query, FORMERR, limit)
        if stream:
            query = owe_keepalive(query, self._idle)

        # 2. Admit, by the socket's peer. Before identify: an address that somebody claims
        #    must never open the door.
        if bare or peer not in self._clients:
            count["refused"] += 1
            why = "a PROXY header is missing" if bare else "this server does not serve you"
            options = reply.Options(ede=((EDE_PROHIBITED, why),))
            return reply.status(query, REFUSED, limit, options)

        # 3. Identify. Before locate, and once: from here on `client` is who is judged.
        try:
            client, ecs = identify(query, peer, source, self._trusted)
        except ValueError:
            count["malformed"] += 1
            return reply.status(query, FORMERR, limit)

        # 4. What no resolver answers. Before ruling: orders are about names of class IN.
        if query.qclass != IN or query.qtype in (AXFR, IXFR):
            told = chaos(query, self._version, self._identity, limit)
            count["refused"] += told is None
            return told or reply.status(query, REFUSED, limit)

        # 5. Locate and rule on the question. Above the cache and before any upstream: a
        #    blocked name is blocked even if its servers are lame, and is never asked for.
        in_force = self._in_force
        judged = self._judge.on_question(in_force, client, query, transport)
        asked = Asked(query, limit, client, ecs, in_force, *judged, transport)
        country = asked.located.location.country
        count[f"place/{country}"] += 1
        if country is None:
            count["unlocated"] += 1
        if asked.ruling.block:
            return self._block(asked, asked.ruling, None)

        # Types that ask for no data: behind the ruling, which covers every type.
        if query.qtype in _META_TYPES:
            count["refused"] += 1
            return reply.status(query, NOTIMP, limit)

        # 6. Local names. Above the cache and the upstreams, which must never hear of them.
        zone = local_zone(query.folded)
        if zone is not None and not self.forwarder.is_apart(query.folded, zone):
            return self._local(asked, zone)

        # 7. Cache. Below the ruling: it holds upstream truth for all places alike.
        key, now = self._truth.key(query), monotonic()
        entry = self._truth.find(key, now)
        if entry is not None:
            return self._settle(asked, key, entry, now)

        # 8. Forward. The rest of the way is walked when the response is there.
        return self._forward(asked, key, self._truth.cache.stale(key, now))

    async def _forward(self, asked: Asked, key: bytes, old: Entry | None) -> bytes | None:
        query = asked.query
        place = enter(self.fast, asked.client)
        try:
            told = await self._truth.ask(query, key, old, crowded=place < 0)
            # Orders may have changed while the upstream was asked: what is in force now rules.
            if asked.in_force is not self._in_force:
                asked = self._judged_again(asked)
                if asked.ruling.block:
                    return self._block(asked, asked.ruling, None)
            if told.entry is not None:
                return self._settle(asked, key, told.entry, told.now)
            if old is not None:
                self._counts["cache/stale"] += 1
                return self._settle(asked, key, old, None)
            return reply.status(query, SERVFAIL, asked.limit, reply.Options(ede=told.ede))
        except Exception as fault:
            return self._broken(HEADER.pack(query.id, query.flags, 1, 0, 0, 0), fault)
        finally:
            if place >= 0:
                self.fast.depart(place)

    def _judged_again(self, asked: Asked) -> Asked:
        in_force = self._in_force
        located, ruling, exemption = self._judge.on_question(
            in_force, asked.client, asked.query, asked.transport
        )
        return replace(
            asked, in_force=in_force, located=located, ruling=ruling, exemption=exemption
        )

    def _settle(self, asked: Asked, key: bytes, entry: Entry, now: float | None) -> bytes:
        """The end of the way of an allowed name: rule on the answer, reply, record.

        now: monotonic seconds, or None where the entry has expired and is given nevertheless.
        """
        # 9. Rule on aliases and addresses, for this client. After cache and forward alike: an
        #    answer that a Frenchman fetched is judged again for an Italian, and the reverse.
        response, ruling = entry.response, asked.ruling
        if response.rcode == SERVFAIL:
            # A failure is no answer that could be ruled on; what it carries goes to nobody.
            owed = asked.ecs_option(named=ruling.named)
            told = reply.Options(ede_raw=response.ede, ecs=owed)
            self._counts["allowed"] += 1
            return reply.status(asked.query, SERVFAIL, asked.limit, told)
        named = named_in(asked.in_force, entry)
        if named is not None:
            self.fast.leave(key, entry.expires)
            ruling = self._judge.on_answer(asked, named)
            if ruling.block:
                return self._block(asked, ruling, entry)

        # 10. Reply. Last, since only now is it known whether the answer may differ by place.
        packet = entry.lasting(stale.TTL) if now is None else entry.aged(now)
        if now is not None and named is None and asked.ecs is None:
            # For everybody alike until orders change: from now on the fast path has it.
            kept = kept_of(entry)
            if kept is None or not self.fast.keep(key, kept):
                self.fast.leave(key, entry.expires)
        cut = asked.query.qtype == ANY and response.rcode == 0
        if cut:
            packet = reply.minimal_any(response, packet)
        options = reply.Options(
            ede=(stale.told(response),) if now is None else (),
            ede_raw=response.ede,
            ecs=asked.ecs_option(named=asked.ruling.named or ruling.named),
        )
        self._counts["allowed"] += 1
        # Signatures may have expired meanwhile, so that a stale answer is not authentic.
        whole = not cut and now is not None
        return reply.passed(asked.query, response, packet, options, asked.limit, whole=whole)

    def learn(self, key: bytes, message: bytes) -> None:
        """Take a response that the fast path asked for; see truth.Truth.learn."""
        self._truth.learn(key, message)

    def forget_learnt(self) -> None:
        """Learn that those who waited for what was learnt have been answered."""
        self._truth.forget_learnt()

    def _local(self, asked: Asked, zone: bytes) -> bytes:
        self._counts["local"] += 1
        said = local_answer(asked.query, zone)
        options = reply.Options(ecs=asked.ecs_option(named=asked.ruling.named))
        if asked.query.qtype == RESINFO and asked.query.folded == RESOLVER_ARPA:
            return reply.record(asked.query, self._resinfo, TTL, options, asked.limit)
        return reply.local(asked.query, *said, options, asked.limit)

    def _block(self, asked: Asked, ruling: Ruling, through: Entry | None) -> bytes:
        order = asked.in_force.snapshot.orders[ruling.order]
        self._judge.blocked(asked, ruling)
        explains = self._explains and asks_for_structure(asked.query.edns, self._structured)
        ttl = structured_ttl(order.ttl) if explains else order.ttl
        ttl = ttl if asked.ecs is None else min(ttl, ECS_BLOCK_TTL)
        chain = None
        if through is not None and order.action == "sinkhole":
            chain = reply.chain_to(through.response, ruling.alias, ttl)
        options = reply.Options(
            ede=((order.ede, order.text),) if not explains else (),
            structured=(order.ede, structured_texts(order)) if explains else None,
            ecs=asked.ecs_option(named=asked.ruling.named or ruling.named),
        )
        query, target, limit = asked.query, ruling.target, asked.limit
        return reply.block(query, order.action, ttl, target, order.addresses, options, limit, chain)

    def _fast_counts(self) -> Counter[str]:
        return counts.of_fast_path(self.fast, self._in_force) if self._serving else Counter()

    def _broken(self, packet: bytes, fault: Exception) -> bytes | None:
        """A fault of ours costs this query only; it is counted, and each kind is logged once."""
        kind = f"internal/{type(fault).__name__}"
        self._counts[kind] += 1
        if self._counts[kind] == 1:
            shown = os.environ.get("GEODNS_TRACEBACK") == "1"
            told = "a query could not be answered: %s (GEODNS_TRACEBACK=1 shows more)"
            log.error(told, type(fault).__name__, exc_info=fault if shown else None)
        if len(packet) < HEADER.size:
            return None
        return reply.error(packet, Malformed(SERVFAIL))

    def counters(self) -> dict[str, int]:
        """Counts since the start: by outcome, by order (``order/ID``), by place
        (``place/IT``; ``place/None`` is unknown), of the upstreams."""
        return figures.of_pipeline(
            self._counts + self._fast_counts(),
            self.fast,
            self.forwarder,
            self._truth.cache,
            self.rulings,
        )

    def blocks(self) -> Counter[str]:
        """Blocks since the start by order and place: ``block/ORDER/IT``, and ``shadow/ORDER/IT``
        of orders in shadow; the place is ``unknown`` where the country is."""
        fast = counts.by_place(self.fast, self._in_force) if self._serving else Counter()
        return self._judge.placed + fast

    def upstreams(self) -> dict[str, dict[str, Any]]:
        """What is known of each upstream: see figures.of_upstreams."""
        return figures.of_upstreams(self.forwarder)

    async def close(self) -> None:
        """Let go of the upstream sockets."""
        self.forwarder.close()
