# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True
"""The native twin of pure.py: the same lookups and replies, and a batched UDP drain.

pure.py says what is right; tests drive both with the same packets and demand the same
octets. Packets are only touched through bounds-checked memoryviews and through ``_copy``,
which checks both ranges first; an index out of range is an IndexError and hands the packet up.

This file is the way of a packet; each part of it is in a file of its own, included below.
"""

import mmap
import os
import socket
from array import array

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int32_t
from libc.string cimport memcpy, memcmp, memmove, memset

from geodns.fastpath import cookie, guard, rate, tables

cdef enum:
    BATCH = 64
    IN_SIZE = 65536
    IN_STRIDE = 65536 + 320
    OUT_SIZE = 1280
    NAME_WORDS = 16
    NAME_SIZE = 8 * NAME_WORDS
    CONTROL_WORDS = 16
    CONTROL_SIZE = 8 * CONTROL_WORDS
    MAX_LABELS = 128
    UP = -1
    DROP = 0
    OUR_SIZE = 1232
    KEPT_OCTETS = 768
    KEPT_TTLS = 24
    WAYS = 8
    VARIANTS = 3
    UNSET = -3
    HAND_UP = -2
    NO_ORDER = -1

if (KEPT_OCTETS, KEPT_TTLS, WAYS, VARIANTS, UNSET, HAND_UP, NO_ORDER) != (
    tables.KEPT_OCTETS, tables.KEPT_TTLS, tables.WAYS, tables.VARIANTS,
    tables.UNSET, tables.HAND_UP, tables.NO_ORDER,
):
    raise ImportError("geodns.fastpath.native was built for other tables; build it anew")

COUNTERS = ("queries", "blocked", "allowed", "unlocated", "dropped")

include "kernel.pxi"
include "octets.pxi"
include "query.pxi"
include "places.pxi"
include "rulings.pxi"
include "blocks.pxi"
include "kept.pxi"
include "guard.pxi"
include "batch.pxi"
include "index.pxi"


cdef class FastPath:
    """See pure.FastPath; ``drain`` is this twin's own."""

    cdef object _load
    cdef bint _ready
    cdef PeerRanges served, trusted
    cdef PlaceTables places
    cdef RunTables runs
    cdef Rulings rulings
    cdef BlockReplies blocks
    cdef KeptAnswers kept
    cdef Batch batch
    cdef readonly Guard guard
    cdef uint64_t[::1] order_counts_, place_counts_, place_blocks_
    cdef uint64_t queries, blocked, allowed, unlocated, dropped
    # The queried name in lower case, and the hash of each of its suffixes.
    cdef uint8_t[::1] folded
    cdef uint32_t[MAX_LABELS] hashes

    def __init__(self, slots):
        """slots: how many answers are kept at most."""
        self.kept = KeptAnswers(slots)
        self.batch = Batch()
        self.guard = Guard()
        self.folded = bytearray(256)

    def serve(self, peers, trusted=None):
        """Serve these peers from now on; all others are handed up.

        trusted: whose ECS option names the client; it is read over and ignored from others.
        """
        self.served = PeerRanges(peers)
        self.trusted = PeerRanges(trusted) if trusted is not None else None

    def load(self, load):
        """Put a load in force; None hands every packet up.

        Counts of orders and places start anew: take them first.
        """
        if load is not None:
            tables.check(load)
        self._ready = False
        self.runs = None
        if load is None:
            return
        before, self._load = self._load, None
        same = before is not None and before.places.start4 is load.places.start4 \
            and before.places.upper6 is load.places.upper6
        self.places = PlaceTables(load.places, self.places, same)
        self.rulings = Rulings(load)
        self.blocks = BlockReplies(load)
        self.order_counts_ = array("Q", bytes(8 * len(load.orders)))
        self.place_counts_ = array("Q", bytes(8 * len(load.places.unknown)))
        self.place_blocks_ = array("Q", bytes(8 * len(load.places.unknown)))
        self.kept.generation += 1
        self.kept.networks = load.networks
        self._load = load
        self._ready = True

    def take_runs(self, runs):
        """Take the runs of the load in force. Until then ECS of trusted peers is handed up.

        ValueError if they contradict themselves.
        """
        tables.check_runs(runs)
        self.runs = RunTables(runs) if self._ready else None

    def keep(self, bytes key, kept):
        """Keep an answer under its cache key (name, type, class, DO and CD); whether it fits."""
        return self.kept.put(key, kept)

    def forget(self):
        """Drop all kept answers."""
        self.kept.forget()

    def counters(self):
        """Counts since the start: queries answered here, by outcome."""
        return {
            "queries": self.queries, "blocked": self.blocked, "allowed": self.allowed,
            "unlocated": self.unlocated, "dropped": self.dropped,
        }

    def order_counts(self):
        """Blocks by order number, since the last load."""
        return list(self.order_counts_) if self._ready else []

    def place_counts(self):
        """Queries answered here by location id, since the last load."""
        return list(self.place_counts_) if self._ready else []

    def place_blocks(self):
        """Those of them that were blocked."""
        return list(self.place_blocks_) if self._ready else []

    def kept_answers(self):
        """How many answers are kept, expired ones included."""
        return self.kept.used

    def answer(self, bytes packet, bytes peer, double now):
        """Answer one UDP packet: the reply, empty for none at all, or None to hand it up."""
        cdef uint64_t upper = 0, lower = 0
        cdef Py_ssize_t made
        cdef int family = _unpacked(peer, &upper, &lower)
        self.batch.sent = 0
        cdef uint8_t[::1] out = self.batch.room()
        try:
            made = self._answer(packet, out, family, upper, lower, now)
        except Exception:
            # A table that lies, or a fault in ``decide``: the pipeline meets it again and says so.
            return None
        return None if made == UP else bytes(out[:made])

    def drain(self, int fd, double now, bint ancillary):
        """Read a batch from a non-blocking UDP socket and answer what can be answered here.

        ancillary: the socket says which address was asked (IP_PKTINFO). Returns (left, more,
        unsent): packets for the pipeline as (packet, packed peer, address, control messages),
        whether there may be more to read, and replies the kernel did not take as
        (reply, control messages, address).
        """
        cdef int at, family, count
        cdef uint64_t upper = 0, lower = 0
        cdef Py_ssize_t made
        left = []
        count = self.batch.receive(fd, ancillary)
        if count <= 0:
            return left, False, []
        for at in range(count):
            # ``upper`` and ``lower`` are the socket's peer. What names another client in front of
            # the message (a PROXY header) is to be taken off here.
            family = self.batch.sender(at, ancillary, &upper, &lower)
            if family == 0:
                self.dropped += 1
                continue
            try:
                made = self._answer(self.batch.packet(at), self.batch.room(), family, upper,
                                    lower, now)
            except Exception:
                made = UP
            if made > 0:
                self.batch.reply(at, made)
            elif made == UP:
                left.append(self.batch.parcel(at))
        return left, count == BATCH, self.batch.send(fd)

    cdef Py_ssize_t _answer(self, const uint8_t[::1] packet, uint8_t[::1] out, int family,
                            uint64_t upper, uint64_t lower, double now) except -2:
        """Length of the reply written to ``out``, DROP or UP. The steps are those of pure.py."""
        cdef Asked asked
        cdef Py_ssize_t made, target = 0
        cdef int32_t order
        if not self._ready or self.served is None:
            return UP
        # Read
        made = _read(packet, &asked)
        if made == DROP:
            self.dropped += 1
        if made <= 0:
            return made
        # Admit
        if not self.served.hold(family, upper, lower):
            return UP
        # Identify. Options that change what the reply owes are known from here on.
        asked.family, asked.upper, asked.lower = family, upper, lower
        asked.peer_family, asked.peer_upper, asked.peer_lower = family, upper, lower
        if asked.cookie:
            if self.guard.secrets and not _owe_cookie(packet, &asked):
                return UP
        if asked.ecs:
            family = _ecs_width(packet, asked.ecs)
            if family == 0:
                return UP
            if self.trusted is not None and self.trusted.hold(asked.family, upper, lower):
                _believe_ecs(packet, &asked, family)
        # Locate
        if not self._locate(&asked):
            return UP
        # Rule on the question
        self._fold(packet, &asked)
        order = self._rule(&asked, &target)
        if order == HAND_UP:
            return UP
        # Block, or pass
        if order >= 0:
            made = self.blocks.write(packet, out, &asked, target, order)
            if made > 0:
                self.blocked += 1
                self.order_counts_[order] += 1
                self.place_blocks_[asked.location] += 1
        else:
            made = self._pass(packet, out, &asked, now)
            if made > 0:
                self.allowed += 1
        if made > 0:
            self.queries += 1
            self.unlocated += self.places.unknown[asked.location]
            self.place_counts_[asked.location] += 1
            # Hold back. Last, since what is charged is the reply.
            if asked.baked or self.guard.accounts is not None:
                return self._hold_back(packet, out, &asked, made, now)
        return made

    cdef Py_ssize_t _hold_back(self, const uint8_t[::1] packet, uint8_t[::1] out,
                               const Asked* asked, Py_ssize_t made, double now) except -2:
        """Write the cookie that ends a reply and charge for it: its size, a slip's, or DROP."""
        cdef int judged = ABSENT, verdict
        cdef uint32_t stamp
        if asked.baked:
            stamp = self.guard.stamp(now)
            judged = self.guard.worth(packet, asked.cookie + 4, asked.cookie_size,
                                      asked.peer_family, asked.peer_upper, asked.peer_lower, stamp)
            self.guard.write(out, made - BAKED, packet, asked.cookie + 4, judged,
                             asked.peer_family, asked.peer_upper, asked.peer_lower, stamp)
        if judged == VALID:
            return made
        verdict = self.guard.weigh(asked.peer_family, asked.peer_upper, asked.peer_lower,
                                   out[3] & 0xF, now)
        if verdict == SLIP:
            return _slip(packet, out, asked, made)
        return made if verdict == CHARGED else DROP

    cdef bint _locate(self, Asked* asked) except -1:
        """Find the client's location; False where only the pipeline can."""
        asked.location = self.places.locate(asked.family, asked.upper, asked.lower)
        if asked.location < 0 or asked.location >= self.places.unknown.shape[0]:
            return False
        if asked.known:
            if self.runs is None or self.places.width > 1:
                return False
            self.runs.find(asked.family, asked.upper, asked.lower, asked.run)
            return not gd_spans(128 if asked.family == 16 else 32, asked.known, asked.upper,
                                asked.lower, asked.run[2], asked.run[3])
        return True

    cdef int _fold(self, const uint8_t[::1] packet, const Asked* asked) except -1:
        """Fold the queried name. One pass from the right hashes every suffix."""
        cdef Py_ssize_t size = asked.end - 16, at, label
        cdef uint32_t crc = CRC[0xFF] ^ 0x00FFFFFFu
        for at in range(size):
            self.folded[at] = _lower(packet[12 + at])
        at = size - 2
        self.hashes[0] = ~crc
        for label in range(asked.labels - 1, -1, -1):
            while at >= asked.starts[label] - 12:
                crc = CRC[(crc ^ self.folded[at]) & 0xFF] ^ (crc >> 8)
                at -= 1
            self.hashes[label] = ~crc
        return 0

    cdef int32_t _rule(self, Asked* asked, Py_ssize_t* target) except? -9:
        """The order that blocks the folded name and where its suffix begins, NO_ORDER or HAND_UP."""
        cdef int32_t won = NO_ORDER, verdict, above
        cdef Py_ssize_t label, at, rule = -1, other = -1, scope_class = -1, size = asked.end - 16
        cdef bint local = False
        for label in range(asked.labels):
            at = asked.starts[label] - 12
            if not self.rulings.find(self.hashes[label], self.folded, at, size, &rule, &other):
                continue
            if scope_class < 0:
                scope_class = self.places.scope_class(asked.location, asked.family, asked.upper,
                                                      asked.lower)
            verdict = above = NO_ORDER
            if rule >= 0:
                verdict = self.rulings.verdict(rule, scope_class, at == 0)
                local = local or self.rulings.is_local(rule, at == 0)
            if other >= 0:
                above = self.rulings.verdict(other, scope_class, at == 0)
                local = local or self.rulings.is_local(other, at == 0)
            # Where both layers block the same suffix, it is for the orders' precedence to say.
            if verdict == HAND_UP or above == HAND_UP or (verdict >= 0 and above >= 0):
                return HAND_UP
            verdict = max(verdict, above)
            if won < 0 and verdict >= 0:
                won = verdict
                target[0] = at
        if asked.known and local:
            asked.extra_scope = gd_uniform(128 if asked.family == 16 else 32, asked.upper,
                                           asked.lower, asked.run[0], asked.run[1], asked.run[2],
                                           asked.run[3])
        return won

    cdef Py_ssize_t _pass(self, const uint8_t[::1] packet, uint8_t[::1] out, Asked* asked,
                          double now) except -2:
        """The kept answer to an allowed name, or UP."""
        cdef uint8_t bits = asked.dnssec_ok >> 6 | ((packet[3] >> 4) & 1)
        cdef Py_ssize_t slot = self.kept.find(self.folded, asked.end - 16, self.hashes[0],
                                              asked.qtype, bits, now)
        if slot < 0:
            return UP
        return self.kept.write(slot, packet, out, asked, now)
