"""The fast path in plain Python: the specification of the native twin.

It works on flat buffers (tables.py), knows names as folded wire format and places as scope
classes, and knows nothing of orders.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter

from geodns.fastpath import cookie
from geodns.fastpath.guard import Guard
from geodns.fastpath.lookup import (
    find_names,
    find_network4,
    find_network6,
    last_at_most,
    within,
)
from geodns.fastpath.packet import (
    OPTION_EDE,
    OUR_SIZE,
    read_ecs,
    read_opt,
    write_block,
    write_kept,
    write_slip,
)
from geodns.fastpath.rate import PASS, SLIP
from geodns.fastpath.tables import (
    HAND_UP,
    NO_ORDER,
    UNSET,
    WAYS,
    Kept,
    Load,
    Peers,
    Runs,
    check,
    check_runs,
    fits,
    unset_verdicts,
)
from geodns.model.proxy import read_header

COUNTERS = ("queries", "blocked", "allowed", "unlocated", "dropped")


class FastPath:
    """Answers what needs no thought: blocks by one order, and answers kept for everybody.

    Whatever is out of the ordinary (other opcodes and classes, EDNS versions, exemptions,
    malformed packets, misses) is handed up to the pipeline, which stays the one authority:
    where this answers, it answers with the octets that the pipeline would give.
    """

    def __init__(self, slots: int) -> None:
        """slots: how many answers are kept at most."""
        self.guard = Guard()
        self._share = 1 << 32, 24, 56
        self._crowds: dict[int, int] = {}
        self._slots = slots
        self._kept: dict[bytes, tuple[Kept, int]] = {}
        self._generation = 0
        self._load: Load | None = None
        self._peers: Peers | None = None
        self._trusted: Peers | None = None
        self._proxies: Peers | None = None
        self._runs: Runs | None = None
        self._heeded = OPTION_EDE
        self._verdicts: array[int] = array("i")
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._order_counts: array[int] = array("Q")
        self._place_counts: array[int] = array("Q")
        self._place_blocks: array[int] = array("Q")
        self._blocks: Counter[tuple[int, int]] = Counter()

    def serve(
        self, peers: Peers, trusted: Peers | None = None, proxies: Peers | None = None
    ) -> None:
        """Serve these peers from now on; all others are handed up.

        trusted: whose ECS option names the client; it is read over and ignored from others.
        proxies: who are served too, and put a PROXY header in front that names the client.
        """
        self._peers, self._trusted, self._proxies = peers, trusted, proxies

    def heed(self, option: int) -> None:
        """Hand up queries with this EDNS option, besides those with EDE: their blocks explain
        themselves otherwise. option: its code, 0 for none."""
        self._heeded = option or OPTION_EDE

    def load(self, load: Load | None) -> None:
        """Put a load in force; None hands every packet up.

        Counts of orders and places start anew: take them first. ValueError if the tables
        contradict each other; what was in force stays.
        """
        if load is not None:
            check(load)
        self._load = load
        self._runs = None
        self._blocks = Counter()
        if load is None:
            self._order_counts = self._place_counts = self._place_blocks = array("Q")
            return
        self._verdicts = unset_verdicts(load)
        self._order_counts = array("Q", bytes(8 * len(load.orders)))
        self._place_counts = array("Q", bytes(8 * len(load.places.unknown)))
        self._place_blocks = array("Q", bytes(8 * len(load.places.unknown)))
        self._generation += 1

    def take_runs(self, runs: Runs) -> None:
        """Take the runs of the load in force. Until then ECS of trusted peers is handed up.

        ValueError if they contradict themselves.
        """
        check_runs(runs)
        self._runs = runs

    def keep(self, key: bytes, kept: Kept) -> bool:
        """Keep an answer under its cache key (name, type, class, DO and CD); whether it fits."""
        if self._slots < WAYS or not fits(key, kept):
            return False
        if key not in self._kept and len(self._kept) >= self._slots:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept, self._generation
        return True

    def leave(self, key: bytes, expires: float) -> None:
        """Hand a question up until then (monotonic seconds): the pipeline has its answer.

        Here every question that is not kept is handed up.
        """
        self._kept.pop(key, None)

    def recall(self, key: bytes) -> Kept | None:
        """What is kept under a cache key, expired or not; None if nothing is."""
        found = self._kept.get(key)
        return found[0] if found is not None else None

    def crowded(self) -> int:
        """How many of them got SERVFAIL, since their network had its share of those who wait."""
        return 0

    def share(self, most: int, prefix4: int, prefix6: int) -> None:
        """Let so many of a client network (prefix lengths) wait for upstreams at most."""
        self._share = most, prefix4, prefix6

    def enter(self, peer: bytes) -> int:
        """Take a place among those of a peer's network who wait: its number, or -1 for none."""
        most, prefix4, prefix6 = self._share
        width = len(peer)
        network = int.from_bytes(peer, "big") >> (32 - prefix4 if width == 4 else 128 - prefix6)
        crowd = network << 1 | (width == 4)
        waiting = self._crowds.get(crowd, 0)
        if waiting >= most:
            return -1
        self._crowds[crowd] = waiting + 1
        return crowd

    def depart(self, crowd: int) -> None:
        """Give a place back that ``enter`` gave."""
        left = self._crowds[crowd] - 1
        if left:
            self._crowds[crowd] = left
        else:
            del self._crowds[crowd]

    def missed(self) -> int:
        """How many of the queries answered here had to wait for an upstream, since the last load.

        Here none of them has.
        """
        return 0

    def forget(self) -> None:
        """Drop all kept answers."""
        self._kept.clear()

    def counters(self) -> dict[str, int]:
        """Counts since the start: queries answered here, by outcome."""
        return dict(self._counts)

    def order_counts(self) -> list[int]:
        """Blocks by order number, since the last load."""
        return list(self._order_counts)

    def place_counts(self) -> list[int]:
        """Queries answered here by location id, since the last load."""
        return list(self._place_counts)

    def place_blocks(self) -> list[int]:
        """Those of them that were blocked."""
        return list(self._place_blocks)

    def order_place_blocks(self) -> list[tuple[int, int, int]]:
        """Blocks since the last load: order number, location id, how many; sorted."""
        return sorted((*key, count) for key, count in self._blocks.items())

    def kept_answers(self) -> int:
        """How many answers are kept, expired ones included."""
        return len(self._kept)

    def answer(self, packet: bytes, peer: bytes, now: float) -> bytes | None:
        """Answer one UDP packet: the reply, empty for none at all, or None to hand it up.

        peer: packed address of the sender, 4 or 16 octets. now: monotonic seconds.
        """
        try:
            return self._answer(packet, peer, now)
        except Exception:
            # A table that lies, or a fault in ``decide``: the pipeline meets it again and says so.
            return None

    def _answer(self, packet: bytes, peer: bytes, now: float) -> bytes | None:
        load, peers, counts = self._load, self._peers, self._counts
        if load is None or peers is None:
            return None
        # Unwrap
        proxied = within(self._proxies, len(peer), int.from_bytes(peer, "big"))
        if proxied:
            try:
                header = read_header(packet)
            except ValueError:
                return None
            if header is None:
                return None
            packet, peer = packet[header.size :], header.source or peer
        # Read
        size = len(packet)
        if size < 12 or packet[2] & 0x80:
            counts["dropped"] += 1
            return b""
        if packet[2] & 0x78 or packet[4:10] != b"\0\1\0\0\0\0" or packet[10] or packet[11] > 1:
            return None
        at = 12
        while at < size and (length := packet[at]):
            if length > 63:
                return None
            at += 1 + length
        end = at + 5
        if end > size or at - 11 > 255:
            return None
        qtype = packet[end - 4] << 8 | packet[end - 3]
        if packet[end - 2 : end] != b"\0\1" or qtype in (0, 41) or 128 <= qtype <= 255:
            return None
        limit, dnssec_ok, edns, option, baked = 512, 0, packet[11], None, None
        if edns:
            told = read_opt(packet, end, self._heeded)
            if told is None:
                return None
            limit = max(512, min(told.size, OUR_SIZE))
            dnssec_ok, option = told.dnssec_ok, told.ecs
            if told.cookie is not None and self.guard.bakes:
                if not cookie.well_formed(told.cookie[1]):
                    return None
                baked = packet[told.cookie[0] : sum(told.cookie)]
        elif end != size:
            return None
        # Admit
        width, address = len(peer), int.from_bytes(peer, "big")
        if not proxied and not within(peers, width, address):
            return None
        # Hold back at once who asks far too much.
        guard = self.guard
        rcode = guard.flood(peer, now) if guard.limits else -1
        if rcode >= 0 and (baked is None or guard.judge(baked, peer, now) != cookie.VALID):
            if guard.charge(peer, rcode, now) != SLIP:
                return b""
            given = b"" if baked is None else guard.bake(baked, peer, now)[0]
            return write_slip(packet, end, edns, dnssec_ok, given)
        # Identify
        ecs = None
        if option is not None:
            claimed = read_ecs(packet, *option)
            if claimed is None:
                return None
            if within(self._trusted, width, address):
                ecs = claimed
                if ecs.source:
                    width, address = ecs.width, ecs.address
        # Locate
        places = load.places
        if width == 4:
            location = find_network4(address, places.start4, places.place4)
        elif _embeds(address):
            return None
        else:
            location = find_network6(address, places.upper6, places.lower6, places.place6)
        unlocated = places.unknown[location]
        run = 0, 0
        if ecs is not None and ecs.source:
            if self._runs is None or places.width > 1:
                return None
            run = _run(self._runs, width, address)
            if address + (1 << 8 * width - ecs.source) - 1 > run[1]:
                return None
        # Rule on the question
        folded = packet[12 : end - 4].lower()
        order, target, local = self._rule(load, folded, location, width, address)
        if order == HAND_UP:
            return None
        extra, room = b"", bytes(cookie.ENCODED if baked is not None else 0)
        if ecs is not None:
            scope = _uniform(width, address, run) if local and ecs.source else 0
            extra = ecs.option[:7] + bytes((scope,)) + ecs.option[8:]
        if order >= 0:
            replies = (load.orders if ecs is None else load.ecs_orders)[order]
            reply = write_block(
                packet, end, edns, dnssec_ok, extra, room, limit, qtype, target, replies
            )
            if reply is not None:
                counts["blocked"] += 1
                self._order_counts[order] += 1
                self._place_blocks[location] += 1
                self._blocks[order, location] += 1
        else:
            flags = dnssec_ok >> 6 | packet[3] >> 4 & 1
            found = self._kept.get(folded + packet[end - 4 : end] + flags.to_bytes(1, "big"))
            if found is None or not self._fresh(*found, load, now):
                return None
            reply = write_kept(packet, end, edns, dnssec_ok, extra, room, limit, found[0], now)
            if reply is not None:
                counts["allowed"] += 1
        if reply is None:
            return None
        counts["queries"] += 1
        counts["unlocated"] += unlocated
        self._place_counts[location] += 1
        # Hold back. Last, since what is charged is the reply.
        given, judged = b"", cookie.ABSENT
        if baked is not None:
            given, judged = self.guard.bake(baked, peer, now)
            reply = reply[: -len(given)] + given
        if judged != cookie.VALID and self.guard.limits:
            verdict = self.guard.charge(peer, reply[3] & 0xF, now)
            if verdict == SLIP:
                return write_slip(packet, end, edns, dnssec_ok, given)
            if verdict != PASS:
                return b""
        return reply

    def _rule(
        self, load: Load, folded: bytes, location: int, width: int, address: int
    ) -> tuple[int, int, bool]:
        """The order that blocks a name, where its target begins in the name, and whether an
        order that depends on the place names it."""
        hits: list[tuple[int, int]] = []
        for number, layer in enumerate(load.layers):
            base, rules = (load.rules[0] if number else 0), load.rules[number]
            for at, rule in find_names(
                folded, layer.buckets, layer.name_at, layer.rule, layer.names, layer.filter
            ):
                if rule >= rules:
                    return HAND_UP, 0, False
                hits.append((at, base + rule))
        if not hits:
            return NO_ORDER, 0, False
        places = load.places
        scope_class = places.classes[location * places.width + self._column(width, address)]
        if scope_class >= load.class_count:
            return HAND_UP, 0, False
        won, target, local, before = NO_ORDER, 0, False, (-1, NO_ORDER)
        hits.sort()
        for at, rule in hits:
            slot = (rule * load.class_count + scope_class) * 2 + (at == 0)
            verdict = self._verdicts[slot]
            if verdict == UNSET:
                verdict = self._verdicts[slot] = load.decide(rule, scope_class, at == 0)
            # Where both layers block the same suffix, it is for the orders' precedence to say.
            if verdict == HAND_UP or (verdict >= 0 and before[0] == at and before[1] >= 0):
                return HAND_UP, 0, False
            before = at, verdict
            if won < 0 and verdict >= 0:
                won, target = verdict, at
            local = local or load.local(rule, at == 0)
        return won, target, local

    def _column(self, width: int, address: int) -> int:
        """The column of an address's AS number in the class table."""
        places = self._load.places if self._load is not None else None
        if places is None or places.width == 1:
            return 0
        if width == 4:
            asn = find_network4(address, places.asn_start4, places.asn4)
        else:
            asn = find_network6(address, places.asn_upper6, places.asn_lower6, places.asn6)
        if asn == 0:
            return 1
        at = bisect_right(places.asns, asn) - 1
        return at + 2 if at >= 0 and places.asns[at] == asn else 0

    def _fresh(self, kept: Kept, generation: int, load: Load, now: float) -> bool:
        """Whether a kept answer may still go to everybody under the orders in force now."""
        if now >= kept.expires:
            return False
        if generation == self._generation:
            return True
        return not kept.aliases and not (kept.addresses and load.networks)


def _run(runs: Runs, width: int, address: int) -> tuple[int, int]:
    """The first and last address of the run that holds an address."""
    if width == 4:
        at = bisect_right(runs.start4, address) - 1
        last = runs.start4[at + 1] - 1 if at + 1 < len(runs.start4) else 0xFFFFFFFF
        return runs.start4[at], last
    at = last_at_most(runs.upper6, runs.lower6, address)
    first = runs.upper6[at] << 64 | runs.lower6[at]
    if at + 1 == len(runs.upper6):
        return first, (1 << 128) - 1
    return first, (runs.upper6[at + 1] << 64 | runs.lower6[at + 1]) - 1


def _uniform(width: int, address: int, run: tuple[int, int]) -> int:
    """Prefix length of the largest block around an address that lies within a run."""
    bits = length = 8 * width
    while length:
        size = 1 << bits - length + 1
        first = address & -size
        if first < run[0] or first + size - 1 > run[1]:
            break
        length -= 1
    return length


def _embeds(address: int) -> bool:
    """Whether an IPv6 address carries an IPv4 address, which locate/client.py takes out."""
    upper = address >> 64
    return (
        address >> 32 in (0xFFFF, 0x0064FF9B << 64)
        or upper >> 48 == 0x2002
        or upper >> 32 == 0x20010000
    )
