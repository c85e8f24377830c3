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
    OPTION_EDE = 15
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
include "proxy.pxi"
include "places.pxi"
include "rulings.pxi"
include "blocks.pxi"
include "kept.pxi"
include "guard.pxi"
include "batch.pxi"
include "crowds.pxi"
include "scan.pxi"
include "lanes.pxi"
include "misses.pxi"
include "tally.pxi"
include "answer.pxi"
include "privileges.pxi"
include "index.pxi"


cdef class FastPath(Answering):
    """See pure.FastPath; ``drain`` and the way of a miss are this twin's own."""

    def __init__(self, slots):
        """slots: how many answers are kept at most."""
        self.kept = KeptAnswers(slots)
        self.guard = Guard()
        self.inbox, self.outbox = Inbox(), Outbox()
        self.scan = Scan()
        self.crowds = Crowds()
        self.folded = bytearray(256)
        self.heeded = OPTION_EDE

    def serve(self, peers, trusted=None, proxies=None):
        """Serve these peers from now on; all others are handed up.

        trusted: whose ECS option names the client; it is read over and ignored from others.
        proxies: who are served too, and put a PROXY header in front that names the client.
        """
        self.served = PeerRanges(peers)
        self.trusted = PeerRanges(trusted) if trusted is not None else None
        self.proxies = PeerRanges(proxies) if proxies is not None else None

    def heed(self, option):
        """Hand up queries with this EDNS option, besides those with EDE; 0 for none."""
        self.heeded = option or OPTION_EDE

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
        self.networks = NamedNetworks(load.named_networks)
        self.order_counts_ = array("Q", bytes(8 * len(load.orders)))
        self.place_counts_ = array("Q", bytes(8 * len(load.places.unknown)))
        self.place_blocks_ = array("Q", bytes(8 * len(load.places.unknown)))
        self.tally = Tally()
        self.missed_ = self.crowded_ = 0
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

    def leave(self, bytes key, double expires):
        """Hand a question up until then (monotonic seconds): the pipeline has its answer."""
        self.kept.leave(key, expires)

    def recall(self, bytes key):
        """What is kept under a cache key, expired or not; None if nothing is."""
        return self.kept.recall(key)

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

    def order_place_blocks(self):
        """Blocks since the last load: order number, location id, how many."""
        return sorted(self.tally.all()) if self._ready else []

    def kept_answers(self):
        """How many answers are kept, expired ones included."""
        return self.kept.used

    def missed(self):
        """How many of the queries answered here had to wait for an upstream, since the last load."""
        return self.missed_ if self._ready else 0

    def crowded(self):
        """How many of them got SERVFAIL, since their network had its share of those who wait."""
        return self.crowded_ if self._ready else 0

    def share(self, most, prefix4, prefix6):
        """Let so many of a client network (prefix lengths) wait for upstreams at most."""
        self.crowds.most = most
        self.crowds.prefix4, self.crowds.prefix6 = prefix4, prefix6

    def enter(self, bytes peer):
        """Take a place among those of a peer's network who wait: its number, -1 if there is none."""
        cdef uint64_t upper = 0, lower = 0
        cdef int family = _unpacked(peer, &upper, &lower)
        cdef uint32_t crowd = self.crowds.of(family, upper, lower)
        if self.crowds.waiting[crowd] >= self.crowds.most:
            return -1
        self.crowds.waiting[crowd] += 1
        return crowd

    def depart(self, uint32_t crowd):
        """Give a place back that ``enter`` gave."""
        self.crowds.waiting[crowd] -= 1

    def answer(self, bytes packet, bytes peer, double now):
        """Answer one UDP packet: the reply, empty for none at all, or None to hand it up."""
        cdef uint64_t upper = 0, lower = 0
        cdef Py_ssize_t made
        cdef int family = _unpacked(peer, &upper, &lower)
        cdef uint8_t[::1] out = self.outbox.room()
        self.message = NULL
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
        count = self.inbox.receive(fd, ancillary)
        if count <= 0:
            return left, False, []
        self.fd = fd
        for at in range(count):
            family = self.inbox.sender(at, ancillary, &upper, &lower)
            if family == 0:
                self.dropped += 1
                continue
            self.message = &self.inbox.received[at].msg_hdr
            try:
                made = self._answer(self.inbox.packet(at), self.outbox.room(), family, upper,
                                    lower, now)
            except Exception:
                made = UP
            if made > 0:
                self._reply(made, self.message)
            elif made == UP:
                left.append(self.inbox.parcel(at))
        self.message = NULL
        return left, count == BATCH, self.outbox.send(fd)

    def engage(self, open, wake, apart, misses, min_ttl, max_ttl):
        """Ask an upstream for what is not kept, from the first ``aim`` on.

        open: makes a UDP socket connected to the server, and gives its descriptor, which is
        closed here; -1 if it cannot. wake: called before the first question, and the first
        after ``rest``, and when the network refused a datagram. apart:
        tables.Names of what is not asked here. misses: questions under way at most. min_ttl,
        max_ttl: seconds, as of the cache. Returns a descriptor that is readable when there is
        something to ``collect``. Raises OSError.
        """
        self.misses = Misses(open, wake, apart, misses, min_ttl, max_ttl, self.crowds)
        return self.misses.lanes.epoll

    def aim(self, bint on, bint fresh, double wait, int most):
        """Say how questions are to be asked from now on.

        on: whether any are to be asked here. fresh: through new sockets, to another server. wait:
        seconds until they are overdue. most: that may be under way.
        """
        cdef Misses misses = self.misses
        misses.on, misses.wait, misses.watched = on, wait, True
        misses.most = min(most, misses.flight_room)
        if fresh:
            misses.lanes.retire_all()

    def rest(self):
        """Learn that nobody looks at what is overdue until ``wake`` is called."""
        self.misses.watched = False

    def collect(self, double now):
        """Read a batch of upstream replies and answer those who wait for them.

        Returns (left, heard, unsent, more): packets for the pipeline and replies that the kernel
        did not take, each as in ``drain`` but with the descriptor of its socket in front;
        responses to put in the cache before that, as (cache key, message); whether there may be
        more to read.
        """
        cdef Misses misses = self.misses
        cdef epoll_event[BATCH] events
        cdef int count, at, lane
        cdef ssize_t size
        cdef int32_t flight
        left, heard, unsent = misses.fallen, [], []
        misses.fallen = []
        self.message = NULL
        count = epoll_wait(misses.lanes.epoll, events, BATCH, 0)
        for at in range(count):
            lane = <int>events[at].data.u64
            if misses.lanes.fds[lane] < 0:
                continue
            size = recv(misses.lanes.fds[lane], &misses.response[0], LARGEST, MSG_DONTWAIT)
            if size < 0:
                if errno != EAGAIN and errno != EINTR:
                    misses.fail(lane, left)
                continue
            flight = misses.match(lane, misses.response[:size])
            if flight == NOBODY:
                misses.mismatched += 1
                continue
            if misses.lanes.is_current(lane):
                misses.answers += 1
                misses.seconds += now - misses.sent_at[flight]
            if self._take(flight, size, now, heard):
                self._answer_all(misses.land(flight), now, left, unsent)
            else:
                misses.give_up(flight, left)
        self._send_all(unsent)
        return left, heard, unsent, count == BATCH

    def overdue(self, double now):
        """Packets whose question has been under way for too long, as ``collect`` gives them."""
        left, self.misses.fallen = self.misses.fallen, []
        self.misses.overdue(now - self.misses.wait, left)
        return left

    def miss_counts(self):
        """What has happened since this was last asked, and what it says of the server asked now.

        Returns (counts by name, answers, seconds they took in all, silences, whether the network
        refused anything).
        """
        cdef Misses misses = self.misses
        told = {
            "sent": misses.sent, "shared": misses.shared, "mismatched": misses.mismatched,
            "timeouts": misses.timeouts, "errors": misses.errors,
        }
        found = told, misses.answers, misses.seconds, misses.silences, misses.refused
        misses.sent = misses.shared = misses.mismatched = misses.timeouts = misses.errors = 0
        misses.answers = misses.silences = 0
        misses.seconds = 0
        misses.refused = False
        return found

    def under_way(self):
        """How many questions are under way, and how many packets wait for them."""
        if self.misses is None:
            return 0, 0
        return self.misses.flights, self.misses.waiting

    cdef bint _take(self, int32_t flight, Py_ssize_t size, double now, list heard) except -1:
        """Keep the response to a flight, if it is an ordinary one that is for everybody alike.

        Else it is ``heard`` of for the pipeline, if it is an answer at all.
        """
        cdef Misses misses = self.misses
        cdef uint8_t[::1] packet = misses.response[:size]
        cdef Py_ssize_t key = flight * KEY_ROOM, at
        cdef uint32_t ttl, lifetime
        cdef bint ordinary = False
        # Truncated, or another rcode: the forwarder asks again, by other means.
        if packet[2] & 2 or (packet[3] & 0xF != 0 and packet[3] & 0xF != 3):
            return False
        cdef Py_ssize_t key_size = misses.key_size[flight]
        try:
            ordinary = self._ready and self.scan.read(packet) and self.scan.lifetime > 0 \
                and self.kept.fits(key_size, self.scan.end, self.scan.ttl_count) \
                and not self.scan.named(self.rulings, self.networks)
        except Exception:
            # A table that lies: the pipeline meets it again and says so.
            ordinary = False
        if not ordinary:
            heard.append((bytes(misses.keys[key:key + key_size]), bytes(packet)))
            return False
        lifetime = min(max(self.scan.lifetime, misses.min_ttl), misses.max_ttl)
        for at in range(self.scan.ttl_count):
            ttl = _u32(packet, self.scan.ttls[at])
            if ttl < misses.min_ttl or ttl > misses.max_ttl:
                _put32(packet, self.scan.ttls[at], min(max(ttl, misses.min_ttl), misses.max_ttl))
        packet[0] = packet[1] = 0
        packet[10], packet[11] = self.scan.additional >> 8, self.scan.additional & 0xFF
        self.kept.store(misses.keys[key:key + key_size], misses.hashed[flight],
                        packet[:self.scan.end], self.scan.ttls, self.scan.ttl_count, now,
                        now + lifetime, ((packet[3] >> 5) & 1) | (self.scan.count > 1) << 1
                        | self.scan.addresses << 2)
        return True

    cdef int _answer_all(self, int32_t waiter, double now, list left, list unsent) except -1:
        """Answer those who waited, as if their packets came only now; ``waiter`` counts from 1."""
        cdef Misses misses = self.misses
        cdef msghdr message
        cdef int32_t at
        cdef Py_ssize_t made, start
        cdef uint64_t allowed
        while waiter:
            at = waiter - 1
            waiter = misses.next_waiter[at]
            if self.outbox.count and (misses.fd[at] != self.fd or self.outbox.count == BATCH):
                self._send_all(unsent)
            self.fd = misses.fd[at]
            start = at * WAIT_OCTETS
            allowed = self.allowed
            try:
                made = self._answer(misses.packets[start:start + misses.size[at]],
                                    self.outbox.room(), misses.family[at], misses.upper[at],
                                    misses.lower[at], now)
            except Exception:
                made = UP
            self.missed_ += self.allowed - allowed
            if made > 0:
                misses.address(at, &message)
                self._reply(made, &message)
            elif made == UP:
                left.append(misses.parcel(at))
            # Nobody takes its place before the replies are sent.
            misses.drop_waiter(at)
        return 0

    cdef int _send_all(self, list unsent) except -1:
        for reply, control, address in self.outbox.send(self.fd):
            unsent.append((self.fd, reply, control, address))
        return 0
