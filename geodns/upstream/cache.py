"""The cache of upstream truth: one for all places, bounded in octets.

It holds what upstreams said and nothing else. It has never heard of clients, places or orders,
so that no ruling can leak through it. All times are monotonic seconds, given by the caller.
"""

from __future__ import annotations

from collections import deque
from struct import Struct

from geodns.model.response import Response

_KEY = Struct("!HHB")
_TTL = Struct("!I")
_TTL_TOP = 0x7FFFFFFF

# What CPython holds for an entry besides the octets of its packet and key, measured: the entry's
# objects; a record's offsets and its share of the tuples; an alias or address.
_ENTRY_COST = 520
_RECORD_COST = 110
_NAME_COST = 60


def cache_key(
    folded: bytes, qtype: int, qclass: int, dnssec_ok: bool, checking_disabled: bool
) -> bytes:
    """Make the key of a question: answers with other DO or CD bits are other answers.

    folded: the name in folded wire format.
    """
    return folded + _KEY.pack(qtype, qclass, dnssec_ok << 1 | checking_disabled)


class Entry:
    """A response and how long it may be used.

    stored, expires: monotonic seconds. note: whatever the owner of the cache wants to keep with
    the response, None at first; the cache does not look at it, nor count its octets.
    """

    __slots__ = ("asked", "cost", "expires", "note", "response", "stored")

    def __init__(self, response: Response, stored: float, expires: float, cost: int) -> None:
        self.response = response
        self.stored = stored
        self.expires = expires
        self.note: object | None = None
        self.cost = cost
        self.asked = False

    def aged(self, now: float) -> bytes:
        """Return the packet with all its TTLs counted down to ``now``, never below 0."""
        packet = self.response.packet
        elapsed = int(now - self.stored)
        if elapsed <= 0:
            return packet
        out = bytearray(packet)
        for at in self.response.ttl_offsets:
            ttl = _TTL.unpack_from(packet, at)[0]
            _TTL.pack_into(out, at, ttl - elapsed if elapsed < ttl <= _TTL_TOP else 0)
        return bytes(out)

    def lasting(self, ttl: int) -> bytes:
        """Return the packet with all its TTLs set to ``ttl`` seconds."""
        out = bytearray(self.response.packet)
        for at in self.response.ttl_offsets:
            _TTL.pack_into(out, at, ttl)
        return bytes(out)


class Cache:
    """Responses by key, until they expire or room is needed.

    size: octets, all that an entry costs in memory counted. min_ttl, max_ttl: seconds; TTLs
    below or above are raised or lowered, in the packets as well. serve_stale: seconds that an
    entry is kept after it has expired. All four may be changed at any
    time; ``trim`` makes a smaller size true at once. evictions: entries put out while they were
    still good.

    Room is made in the order of arrival, but an entry that was asked for since it was last looked
    at gets another round (the CLOCK algorithm): a name that nobody asks for twice cannot
    push out one that everybody asks for, and a hit costs no more than a flag.
    """

    def __init__(
        self, size: int, min_ttl: int = 0, max_ttl: int = 86400, serve_stale: int = 0
    ) -> None:
        self.size = size
        self.min_ttl = min_ttl
        self.max_ttl = max_ttl
        self.serve_stale = serve_stale
        self.octets = 0
        self.evictions = 0
        self._entries: dict[bytes, Entry] = {}
        self._queue: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> Entry | None:
        """Return the entry if it is there and has not expired."""
        entry = self._entries.get(key)
        if entry is None or now >= entry.expires:
            return None
        entry.asked = True
        return entry

    def stale(self, key: bytes, now: float) -> Entry | None:
        """Return the entry if it has expired, but not longer than ``serve_stale`` ago."""
        entry = self._entries.get(key) if self.serve_stale else None
        if entry is None or not entry.expires <= now < entry.expires + self.serve_stale:
            return None
        entry.asked = True
        return entry

    def put(self, key: bytes, response: Response, now: float) -> Entry:
        """Make an entry of a response and keep it, unless its lifetime is 0 or it is too big.

        The entry's response has its TTLs within min_ttl and max_ttl where it may be kept.
        """
        lifetime = response.lifetime
        if lifetime > 0:
            lifetime = min(max(lifetime, self.min_ttl), self.max_ttl)
            response = self._bounded(response, lifetime)
        cost = (
            _ENTRY_COST
            + len(key)
            + len(response.packet)
            + _RECORD_COST * len(response.ttl_offsets)
            + _NAME_COST * (len(response.aliases) + len(response.addresses) + len(response.ede))
        )
        entry = Entry(response, now, now + lifetime, cost)
        if lifetime <= 0 or cost > self.size:
            return entry
        before = self._entries.get(key)
        if before is None:
            self._queue.append(key)
        else:
            self.octets -= before.cost
        self._entries[key] = entry
        self.octets += cost
        if self.octets > self.size:
            self.trim(now)
        return entry

    def trim(self, now: float) -> None:
        """Put entries out until the cache is within its size."""
        while self.octets > self.size:
            key = self._queue.popleft()
            entry = self._entries[key]
            if now >= entry.expires + self.serve_stale:
                pass
            elif entry.asked:
                entry.asked = False
                self._queue.append(key)
                continue
            else:
                self.evictions += 1
            del self._entries[key]
            self.octets -= entry.cost

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._queue.clear()
        self.octets = 0

    def _bounded(self, response: Response, lifetime: int) -> Response:
        low, high = self.min_ttl, self.max_ttl
        out: bytearray | None = None
        for at in response.ttl_offsets:
            ttl = _TTL.unpack_from(response.packet, at)[0]
            if ttl < low or ttl > high:
                out = out or bytearray(response.packet)
                _TTL.pack_into(out, at, min(max(ttl, low), high))
        if out is None and lifetime == response.lifetime:
            return response
        packet = response.packet if out is None else bytes(out)
        return response._replace(packet=packet, lifetime=lifetime)
