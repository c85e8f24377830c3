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
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from geodns.fastpath.guard import CROWDED
from geodns.fastpath.pure import FastPath
from geodns.fastpath.rate import RateLimits
from geodns.locate.client import (
    Client,
    Ecs,
    Networks,
    client_from_ecs,
    client_from_peer,
    client_from_proxy,
    read_ecs,
)
from geodns.model.message import (
    ANY,
    AXFR,
    CD,
    CH,
    FORMERR,
    HEADER,
    IN,
    IXFR,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    OPTION_ECS,
    REFUSED,
    SERVFAIL,
    Dropped,
    Malformed,
    Query,
    read_query,
)
from geodns.model.name import from_labels
from geodns.model.proxy import SIGNATURE, BadHeader, NoHeader, read_header
from geodns.model.response import Response, read_response
from geodns.model.ruling import Ruling
from geodns.policy.rule import Exemption, Named, Recorder
from geodns.serve import counts, reply, stale
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
from geodns.serve.inforce import InForce, Located
from geodns.serve.local import TTL, local_answer, local_zone
from geodns.serve.resinfo import RESINFO, RESOLVER_ARPA, resinfo_data
from geodns.serve.rulings import RulingLog
from geodns.upstream.cache import Cache, Entry, cache_key
from geodns.upstream.forward import Forwarder, TooManyMisses, UpstreamFailure

log = logging.getLogger("geodns.serve")

EDE_OTHER, EDE_CACHED, EDE_PROHIBITED = 0, 13, 18
FAILED = 300.0
"""Seconds in which a question that has failed takes the forwarder's way, who knows when to ask
again (RFC 9520)."""
_META_TYPES = frozenset((0, 41, *range(128, 251), 253, 254))
_TXT = 16
_VERSION = frozenset((from_labels([b"version", b"bind"]), from_labels([b"version", b"server"])))
_IDENTITY = frozenset((from_labels([b"id", b"server"]), from_labels([b"hostname", b"bind"])))


@dataclass(slots=True)
class Asked:
    """One query on its way: what each step found, for the steps after it.

    ecs: the client's subnet option, if its peer is trusted; None otherwise.
    """

    query: Query
    limit: int
    client: Client
    ecs: Ecs | None
    in_force: InForce
    located: Located
    ruling: Ruling
    exemption: Exemption
    transport: str


class Pipeline:
    """Answers packets. One a worker; everything in it belongs to one event loop."""

    def __init__(
        self, forwarder: Forwarder, cache: Cache, fast: FastPath, settings: dict[str, Any]
    ) -> None:
        """settings: the JSON form of config.Settings. fast: answers in front of this, on UDP."""
        self.fast = fast
        self._forwarder = forwarder
        self._cache = cache
        self._counts: Counter[str] = Counter()
        self._placed: Counter[str] = Counter()
        self.rulings = RulingLog()
        self._learnt: dict[bytes, Entry] = {}
        self._refreshes = stale.Refreshes()
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
        self._placed = self.blocks()
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
        return self._forwarder

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
            unwrapped = self._unwrap(packet)
            if unwrapped is None:
                return None
            packet, source, bare = unwrapped
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

    def _unwrap(self, datagram: bytes) -> tuple[bytes, bytes | None, bool] | None:
        """What follows a PROXY header, whom it names, and whether it is missing; None if it is
        there and is none."""
        try:
            header = read_header(datagram)
        except NoHeader:
            self._counts["proxy/missing"] += 1
            return datagram, None, True
        except BadHeader:
            header = None
        if header is None:
            self._counts.update(("queries/udp", "dropped", "proxy/malformed"))
            return None
        return datagram[header.size :], header.source, False

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
            client, ecs = self._identify(query, peer, source)
        except ValueError:
            count["malformed"] += 1
            return reply.status(query, FORMERR, limit)

        # 4. What no resolver answers. Before ruling: orders are about names of class IN.
        refused = self._not_ours(query, limit)
        if refused is not None:
            return refused

        # 5. Locate and rule on the question. Above the cache and before any upstream: a
        #    blocked name is blocked even if its servers are lame, and is never asked for.
        in_force = self._in_force
        judged = self._judge(in_force, client, query, transport)
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
        if zone is not None and not self._forwarder.is_apart(query.folded, zone):
            return self._local(asked, zone)

        # 7. Cache. Below the ruling: it holds upstream truth for all places alike.
        key = cache_key(
            query.folded, query.qtype, query.qclass, query.dnssec_ok, bool(query.flags & CD)
        )
        now = monotonic()
        if self._learnt and (entry := self._learnt.get(key)) is not None:
            count["cache/misses"] += 1
            return self._settle(asked, key, entry, now)
        entry = self._cache.get(key, now) or self._recall(key, now)
        if entry is not None:
            count["cache/hits"] += 1
            return self._settle(asked, key, entry, now)

        # 8. Forward. The rest of the way is walked when the response is there.
        count["cache/misses"] += 1
        return self._forward(asked, key, self._cache.stale(key, now))

    async def _forward(self, asked: Asked, key: bytes, old: Entry | None) -> bytes | None:
        query = asked.query
        place = enter(self.fast, asked.client)
        try:
            entry = failed = None
            cached = False
            try:
                if place < 0:
                    raise TooManyMisses
                if old is None:
                    response = await self._resolve(query)
                else:
                    response = await self._refreshes.in_time(
                        key,
                        lambda: self._resolve(query),
                        lambda late: self._cache.put(key, late, monotonic()),
                    )
                    if not stale.is_fresh(response):
                        raise stale.Late
            except stale.Late:
                failed = EDE_OTHER, "the answer is late"
            except TooManyMisses:
                self._counts["overload" if place >= 0 else "overload/client"] += 1
                failed = EDE_OTHER, CROWDED
            except UpstreamFailure as failure:
                self._counts["upstream/failed"] += 1
                failed = failure.ede_code, failure.text
                cached = failure.cached
                self.fast.leave(key, monotonic() + FAILED)
            else:
                now = monotonic()
                # Others may have waited for the same response and have put it there already.
                entry = self._cache.get(key, now) or self._cache.put(key, response, now)
            # Orders may have changed while the upstream was asked: what is in force now rules.
            if asked.in_force is not self._in_force:
                in_force = self._in_force
                located, ruling, exemption = self._judge(
                    in_force, asked.client, query, asked.transport
                )
                asked = replace(
                    asked, in_force=in_force, located=located, ruling=ruling, exemption=exemption
                )
                if asked.ruling.block:
                    return self._block(asked, asked.ruling, None)
            if failed is not None or entry is not None and not stale.is_answer(entry.response):
                self._rest(key, query)
            if failed is not None and old is not None:
                self._counts["cache/stale"] += 1
                return self._settle(asked, key, old, None)
            if failed is not None:
                told = ((EDE_CACHED, ""), failed) if cached else (failed,)
                return reply.status(query, SERVFAIL, asked.limit, reply.Options(ede=told))
            assert entry is not None
            return self._settle(asked, key, entry, now)
        except Exception as fault:
            return self._broken(HEADER.pack(query.id, query.flags, 1, 0, 0, 0), fault)
        finally:
            if place >= 0:
                self.fast.depart(place)

    def _rest(self, key: bytes, query: Query) -> None:
        """A question that failed is not asked by the fast path either, for as long (RFC 9520)."""
        now = monotonic()
        until = self._forwarder.rests_until(
            query.folded + query.question[-4:],
            dnssec_ok=query.dnssec_ok,
            checking_disabled=bool(query.flags & CD),
            now=now,
        )
        if until > now:
            self.fast.leave(key, until)

    async def _resolve(self, query: Query) -> Response:
        return await self._forwarder.resolve(
            query.folded + query.question[-4:],
            dnssec_ok=query.dnssec_ok,
            checking_disabled=bool(query.flags & CD),
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
            owed = self._ecs_option(asked, named=ruling.named)
            told = reply.Options(ede_raw=response.ede, ecs=owed)
            self.fast.leave(key, monotonic() + FAILED)
            self._counts["allowed"] += 1
            return reply.status(asked.query, SERVFAIL, asked.limit, told)
        named = self._named_in(asked.in_force, entry)
        if named is not None:
            self.fast.leave(key, entry.expires)
            ruling = self._rule_answer(asked, named)
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
            ecs=self._ecs_option(asked, named=asked.ruling.named or ruling.named),
        )
        self._counts["allowed"] += 1
        # Signatures may have expired meanwhile, so that a stale answer is not authentic.
        whole = not cut and now is not None
        return reply.passed(asked.query, response, packet, options, asked.limit, whole=whole)

    def _recall(self, key: bytes, now: float) -> Entry | None:
        """The answer that only the fast path has kept, put in the cache."""
        kept = self.fast.recall(key)
        if kept is None:
            return None
        self._cache.put(key, read_response(kept.packet), kept.stored)
        return self._cache.get(key, now)

    def learn(self, key: bytes, message: bytes) -> None:
        """Take a response that the fast path asked for, and that is not for it to give out.

        It answers the packets that are handed up until ``forget_learnt``, even if it must not be
        cached. What is no answer is left to the forwarder, who then asks again.
        """
        try:
            response = read_response(message)
        except ValueError:
            self._forwarder.counters["malformed"] += 1
            return
        if response.rcode in (NOERROR, NXDOMAIN):
            self._learnt[key] = self._cache.put(key, response, monotonic())

    def forget_learnt(self) -> None:
        """Learn that those who waited for what was learnt have been answered."""
        self._learnt.clear()

    def _identify(
        self, query: Query, peer: bytes, source: bytes | None
    ) -> tuple[Client, Ecs | None]:
        """Who is judged: whom a proxy names, else the socket's peer; and where that one is
        trusted with ECS, whom its option names. Malformed ECS is ValueError for anybody."""
        client = client_from_peer(peer) if source is None else client_from_proxy(source)
        if query.edns is None or not query.edns.options:
            return client, None
        found = [data for code, data in query.edns.options if code == OPTION_ECS]
        if not found:
            return client, None
        if len(found) > 1:
            raise ValueError("two ECS options")
        ecs = read_ecs(found[0])
        # A proxy's own trust in ECS is not lent to the clients for whom it speaks.
        if (peer if source is None else source) not in self._trusted:
            return client, None
        return (client_from_ecs(ecs) if ecs.source else client), ecs

    def _not_ours(self, query: Query, limit: int) -> bytes | None:
        if query.qclass == IN and query.qtype not in (AXFR, IXFR):
            return None
        if query.qclass == CH and query.qtype in (_TXT, ANY):
            for names, text in ((_VERSION, self._version), (_IDENTITY, self._identity)):
                if text and query.folded in names:
                    return reply.text_answer(query, text, limit)
        self._counts["refused"] += 1
        return reply.status(query, REFUSED, limit)

    def _local(self, asked: Asked, zone: bytes) -> bytes:
        self._counts["local"] += 1
        said = local_answer(asked.query, zone)
        options = reply.Options(ecs=self._ecs_option(asked, named=asked.ruling.named))
        if asked.query.qtype == RESINFO and asked.query.folded == RESOLVER_ARPA:
            return reply.record(asked.query, self._resinfo, TTL, options, asked.limit)
        return reply.local(asked.query, *said, options, asked.limit)

    def _judge(
        self, in_force: InForce, client: Client, query: Query, transport: str
    ) -> tuple[Located, Ruling, Exemption]:
        located = in_force.locate(client)
        rules = in_force.rules
        recorder = Recorder([], set()) if rules.has_shadow else None
        ruling, exemption = rules.rule_question(query.folded, located.scope_class, recorder)
        if exemption.never_block:
            # Only now it is worth the grounds: once more, to know which orders were stopped.
            recorder = Recorder([], set())
            rules.rule_question(query.folded, located.scope_class, recorder)
        if recorder is not None:
            self._unblocked(recorder, in_force, located, query, transport, [])
        return located, ruling, exemption

    def _rule_answer(self, asked: Asked, named: Named) -> Ruling:
        rules = asked.in_force.rules
        watched = rules.has_shadow or asked.in_force.snapshot.never
        recorder = Recorder([], set()) if watched else None
        ruling = rules.rule_answer(named, asked.located.scope_class, asked.exemption, recorder)
        if recorder is not None:
            aliases = [alias for alias, _ in named.aliases]
            self._unblocked(
                recorder, asked.in_force, asked.located, asked.query, asked.transport, aliases
            )
        return ruling

    def _named_in(self, in_force: InForce, entry: Entry) -> Named | None:
        """What orders name in an answer; kept beside it for as long as the snapshot lasts."""
        response = entry.response
        if not response.aliases and not response.addresses:
            return None
        note = entry.note
        token = in_force.rules.token
        if isinstance(note, tuple) and note[0] is token:
            kept: Named | None = note[1]
            return kept
        named = in_force.rules.names_in(response.aliases, response.addresses)
        # Rules are numbered anew in each of them. A token and not the rules: an idle entry must
        # not keep an old snapshot mapped.
        entry.note = token, named
        return named

    def _block(self, asked: Asked, ruling: Ruling, through: Entry | None) -> bytes:
        order = asked.in_force.snapshot.orders[ruling.order]
        self._counts["blocked"] += 1
        self._counts[f"order/{order.id}"] += 1
        self._counts[f"blocked_in/{asked.located.location.country}"] += 1
        self._placed[counts.placed("block", order.id, asked.located.location)] += 1
        if self.rulings.on:
            self.rulings.block(asked, ruling)
        explains = self._explains and asks_for_structure(asked.query.edns, self._structured)
        ttl = structured_ttl(order.ttl) if explains else order.ttl
        ttl = ttl if asked.ecs is None else min(ttl, ECS_BLOCK_TTL)
        chain = None
        if through is not None and order.action == "sinkhole":
            chain = reply.chain_to(through.response, ruling.alias, ttl)
        options = reply.Options(
            ede=((order.ede, order.text),) if not explains else (),
            structured=(order.ede, structured_texts(order)) if explains else None,
            ecs=self._ecs_option(asked, named=asked.ruling.named or ruling.named),
        )
        query, target, limit = asked.query, ruling.target, asked.limit
        return reply.block(query, order.action, ttl, target, order.addresses, options, limit, chain)

    def _ecs_option(self, asked: Asked, *, named: bool) -> tuple[Ecs, int] | None:
        """The ECS option owed to a trusted peer (RFC 7871 section 7.2.1); None to others."""
        if asked.ecs is None:
            return None
        if not named or asked.ecs.source == 0:
            return asked.ecs, 0
        return asked.ecs, asked.in_force.ecs_scope(asked.client)

    def _unblocked(
        self,
        found: Recorder,
        in_force: InForce,
        located: Located,
        query: Query,
        transport: str,
        aliases: list[bytes],
    ) -> None:
        """Count, and log by choice, what ``shadow`` or the emergency list kept from a block."""
        self._counts.update(counts.shadows(in_force, found))
        for order in found.shadows:
            ident = in_force.snapshot.orders[order].id
            self._placed[counts.placed("shadow", ident, located.location)] += 1
        self._counts.update(counts.never_block(in_force, found, [query.folded, *aliases]))
        if self.rulings.on:
            self.rulings.unblocked(found, in_force, located, query, transport)

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
        fast = self.fast.counters()
        dropped = Counter(dict.fromkeys(("queries/udp", "dropped"), fast["dropped"]))
        return {
            **(self._counts + self._fast_counts() + dropped),
            "fast/queries": fast["queries"],
            "fast/dropped": fast["dropped"],
            "fast/kept": self.fast.kept_answers(),
            **{f"upstream/{name}": value for name, value in self._forwarder.counters.items()},
            "cache/entries": len(self._cache),
            "cache/octets": self._cache.octets,
            "cache/evictions": self._cache.evictions,
            "log/rulings": self.rulings.written,
            "log/lost": self.rulings.lost,
            **self.fast.guard.counts(),
        }

    def blocks(self) -> Counter[str]:
        """Blocks since the start by order and place: ``block/ORDER/IT``, and ``shadow/ORDER/IT``
        of orders in shadow; the place is ``unknown`` where the country is."""
        fast = counts.by_place(self.fast, self._in_force) if self._serving else Counter()
        return self._placed + fast

    def upstreams(self) -> dict[str, dict[str, Any]]:
        """What is known of each upstream: answers, the seconds they took in all, the smoothed
        round trip time (None before the first answer), and whether it is avoided now."""
        return {
            # The path of a DoH server often is the key to an account.
            "://".join(part.partition("/")[0] for part in server.split("://", 1)): {
                "answers": health.answers,
                "seconds": round(health.seconds, 6),
                "rtt": health.rtt,
                "away": health.away_until > 0,
            }
            for server, health in self._forwarder.known.items()
        }

    async def close(self) -> None:
        """Let go of the upstream sockets."""
        self._forwarder.close()
