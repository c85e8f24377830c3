"""The lookups of the hot path in plain Python: the specification of the native twin.

Everything here works on flat buffers (memory-mapped sections of a snapshot), knows names as
folded wire format and places as scope classes, and knows nothing of orders.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from zlib import crc32

from geodns.fastpath.tables import (
    HAND_UP,
    NO_ORDER,
    UNSET,
    Kept,
    Load,
    OrderReplies,
    Peers,
    check,
    fits,
    unset_verdicts,
)

OUR_SIZE = 1232
"""Our EDNS buffer and the largest UDP reply, octets."""
COUNTERS = ("queries", "blocked", "allowed", "unlocated", "dropped")
_LOW64 = 0xFFFFFFFFFFFFFFFF
_PLAIN_OPT = b"\0\0\x29" + OUR_SIZE.to_bytes(2, "big") + bytes(6)


def find_names(
    name: bytes,
    buckets: Sequence[int],
    name_at: Sequence[int],
    rule_of: Sequence[int],
    blob: memoryview,
    filter_: Sequence[int],
) -> list[tuple[int, int]]:
    """Find every indexed name that equals ``name`` or lies above it, longest first.

    name: folded wire format. buckets: a power of two of bucket starts plus one end; the
    bucket of a name is its hash modulo their count. name_at, rule_of: per entry, the
    offset of its name in blob and its rule. filter_: octets whose bits say which hashes,
    modulo their count (a power of two), are indexed at all. A hash hit is verified against
    the name itself, so a collision can only cost time. The hash is the CRC-32 of the octets
    from the last to the first: one pass from the right gives it for all suffixes.

    Returns (offset of the suffix in ``name``, rule) pairs.
    """
    mask = len(buckets) - 2
    bits = len(filter_) * 8 - 1
    found: list[tuple[int, int]] = []
    at = 0
    last = len(name) - 1
    while at < last:
        suffix = name[at:]
        hashed = crc32(suffix[::-1])
        bit = hashed & bits
        if filter_[bit >> 3] >> (bit & 7) & 1:
            bucket = hashed & mask
            for entry in range(buckets[bucket], buckets[bucket + 1]):
                start = name_at[entry]
                if blob[start : start + len(suffix)] == suffix:
                    found.append((at, rule_of[entry]))
                    break
        at += 1 + name[at]
    return found


def find_network4(address: int, starts: Sequence[int], rules: Sequence[int]) -> int:
    """Return the rule of the segment that holds an IPv4 address, 0 = none.

    starts: first addresses of disjoint segments, ascending; a segment ends before the next.
    """
    at = bisect_right(starts, address) - 1
    return rules[at] if at >= 0 else 0


def find_network6(
    address: int, high: Sequence[int], low: Sequence[int], rules: Sequence[int]
) -> int:
    """The same for IPv6; starts are split into their upper and lower 64 bits."""
    upper, lower = address >> 64, address & 0xFFFFFFFFFFFFFFFF
    end = bisect_right(high, upper)
    at = end - 1
    if at >= 0 and high[at] == upper and low[at] > lower:
        begin = end - 1
        while begin > 0 and high[begin - 1] == upper:
            begin -= 1
        at = bisect_right(low, lower, begin, end) - 1
    return rules[at] if at >= 0 else 0


class FastPath:
    """Answers what needs no thought: blocks by one order, and answers kept for everybody.

    Whatever is out of the ordinary (other opcodes and classes, ECS, EDNS versions, exemptions,
    malformed packets, misses) is handed up to the pipeline, which stays the one authority:
    where this answers, it answers with the octets that the pipeline would give.
    """

    def __init__(self, slots: int) -> None:
        """slots: how many answers are kept at most."""
        self._slots = slots
        self._kept: dict[bytes, tuple[Kept, int]] = {}
        self._generation = 0
        self._load: Load | None = None
        self._peers: Peers | None = None
        self._verdicts: array[int] = array("i")
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._order_counts: array[int] = array("Q")
        self._place_counts: array[int] = array("Q")

    def serve(self, peers: Peers) -> None:
        """Serve these peers from now on; all others are handed up."""
        self._peers = peers

    def load(self, load: Load | None) -> None:
        """Put a load in force; None hands every packet up.

        Counts of orders and places start anew: take them first. ValueError if the tables
        contradict each other; what was in force stays.
        """
        if load is not None:
            check(load)
        self._load = load
        if load is None:
            self._order_counts = self._place_counts = array("Q")
            return
        self._verdicts = unset_verdicts(load)
        self._order_counts = array("Q", bytes(8 * len(load.orders)))
        self._place_counts = array("Q", bytes(8 * len(load.places.unknown)))
        self._generation += 1

    def keep(self, key: bytes, kept: Kept) -> bool:
        """Keep an answer under its cache key (name, type, class, DO and CD); whether it fits."""
        if not fits(key, kept):
            return False
        if key not in self._kept and len(self._kept) >= self._slots:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept, self._generation
        return True

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
        limit, dnssec_ok, edns = 512, 0, packet[11]
        if edns:
            told = _read_opt(packet, end)
            if told is None:
                return None
            limit = max(512, min(told[0], OUR_SIZE))
            dnssec_ok = told[1]
        elif end != size:
            return None
        # Admit
        address = int.from_bytes(peer, "big")
        if not (_served4 if len(peer) == 4 else _served6)(peers, address):
            return None
        # Locate
        places = load.places
        if len(peer) == 4:
            location = find_network4(address, places.start4, places.place4)
        elif _embeds(address):
            return None
        else:
            location = find_network6(address, places.upper6, places.lower6, places.place6)
        unlocated = places.unknown[location]
        # Rule on the question
        folded = packet[12 : end - 4].lower()
        order, target = self._rule(load, folded, location, len(peer), address)
        if order == HAND_UP:
            return None
        if order >= 0:
            replies = load.orders[order]
            reply = _block(packet, end, edns, dnssec_ok, limit, qtype, target, replies)
            if reply is not None:
                counts["blocked"] += 1
                self._order_counts[order] += 1
        else:
            flags = dnssec_ok >> 6 | packet[3] >> 4 & 1
            found = self._kept.get(folded + packet[end - 4 : end] + flags.to_bytes(1, "big"))
            if found is None or not self._fresh(*found, load, now):
                return None
            reply = _pass(packet, end, edns, dnssec_ok, limit, found[0], now)
            if reply is not None:
                counts["allowed"] += 1
        if reply is not None:
            counts["queries"] += 1
            counts["unlocated"] += unlocated
            self._place_counts[location] += 1
        return reply

    def _rule(
        self, load: Load, folded: bytes, location: int, width: int, address: int
    ) -> tuple[int, int]:
        """The order that blocks a name, and where its target begins in the name."""
        hits: list[tuple[int, int]] = []
        for number, layer in enumerate(load.layers):
            base, rules = (load.rules[0] if number else 0), load.rules[number]
            for at, rule in find_names(
                folded, layer.buckets, layer.name_at, layer.rule, layer.names, layer.filter
            ):
                if rule >= rules:
                    return HAND_UP, 0
                hits.append((at, base + rule))
        if not hits:
            return NO_ORDER, 0
        places = load.places
        scope_class = places.classes[location * places.width + self._column(width, address)]
        if scope_class >= load.class_count:
            return HAND_UP, 0
        won, target = NO_ORDER, 0
        hits.sort()
        for number, (at, rule) in enumerate(hits):
            # A suffix that both layers name is a matter of precedence between orders.
            if number and hits[number - 1][0] == at:
                return HAND_UP, 0
            slot = (rule * load.class_count + scope_class) * 2 + (at == 0)
            verdict = self._verdicts[slot]
            if verdict == UNSET:
                verdict = self._verdicts[slot] = load.decide(rule, scope_class, at == 0)
            if verdict == HAND_UP:
                return HAND_UP, 0
            if won < 0 and verdict >= 0:
                won, target = verdict, at
        return won, target

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


def _read_opt(packet: bytes, at: int) -> tuple[int, int] | None:
    """UDP size and DO (0x80 or 0) of an OPT that ends the packet; None if it wants thought."""
    size = len(packet)
    if at + 11 > size or packet[at : at + 3] != b"\0\0\x29" or packet[at + 6]:
        return None
    told = packet[at + 3] << 8 | packet[at + 4]
    dnssec_ok = packet[at + 7] & 0x80
    if at + 11 + (packet[at + 9] << 8 | packet[at + 10]) != size:
        return None
    at += 11
    while at < size:
        if at + 4 > size or (packet[at] == 0 and packet[at + 1] == 8):
            return None
        at += 4 + (packet[at + 2] << 8 | packet[at + 3])
    return (told, dnssec_ok) if at == size else None


def _served4(peers: Peers, address: int) -> bool:
    at = bisect_right(peers.first4, address) - 1
    return at >= 0 and address <= peers.last4[at]


def _served6(peers: Peers, address: int) -> bool:
    upper, lower = address >> 64, address & _LOW64
    for at in range(len(peers.first6_upper)):
        first = peers.first6_upper[at], peers.first6_lower[at]
        last = peers.last6_upper[at], peers.last6_lower[at]
        if first <= (upper, lower) <= last:
            return True
    return False


def _embeds(address: int) -> bool:
    """Whether an IPv6 address carries an IPv4 address, which locate/client.py takes out."""
    upper = address >> 64
    return (
        address >> 32 in (0xFFFF, 0x0064FF9B << 64)
        or upper >> 48 == 0x2002
        or upper >> 32 == 0x20010000
    )


def _opt(replies_opt: bytes, dnssec_ok: int) -> bytes:
    return replies_opt[:7] + bytes((dnssec_ok,)) + replies_opt[8:]


def _block(
    packet: bytes,
    end: int,
    edns: int,
    dnssec_ok: int,
    limit: int,
    qtype: int,
    target: int,
    replies: OrderReplies,
) -> bytes | None:
    variant = 0 if qtype == 1 else 1 if qtype == 28 else 2
    template = replies.templates[variant]
    records = template.records
    if template.owner:
        records = (0xC00C + target).to_bytes(2, "big") + records[2:]
    opt = b""
    if edns:
        opt = replies.opt
        if end + len(records) + len(opt) > limit:
            opt = replies.short
        opt = _opt(opt, dnssec_ok)
    if end + len(records) + len(opt) > limit:
        return None
    head = bytes(
        (
            *packet[:2],
            0x80 | packet[2] & 1,
            0x80 | packet[3] & 0x10 | template.rcode,
            *(0, 1, 0, template.answers, 0, template.authorities, 0, 1 if edns else 0),
        )
    )
    return head + packet[12:end] + records + opt


def _pass(
    packet: bytes, end: int, edns: int, dnssec_ok: int, limit: int, kept: Kept, now: float
) -> bytes | None:
    opt = _opt(_PLAIN_OPT, dnssec_ok) if edns else b""
    if len(kept.packet) + len(opt) > limit:
        return None
    out = bytearray(kept.packet)
    asked = packet[3] & 0x20 or dnssec_ok
    out[0:2] = packet[:2]
    out[2] = 0x80 | packet[2] & 1
    out[3] = 0x80 | packet[3] & 0x10 | out[3] & 0xF | (0x20 if kept.authentic and asked else 0)
    out[12 : end - 4] = packet[12 : end - 4]
    elapsed = int(now - kept.stored)
    if elapsed > 0:
        for at in kept.ttl_offsets:
            ttl = int.from_bytes(out[at : at + 4], "big")
            left = ttl - elapsed if elapsed < ttl <= 0x7FFFFFFF else 0
            out[at : at + 4] = left.to_bytes(4, "big")
    if opt:
        additional = (out[10] << 8 | out[11]) + 1
        out[10], out[11] = additional >> 8, additional & 0xFF
        out += opt
    return bytes(out)
