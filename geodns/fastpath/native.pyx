# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True
"""The native twin of pure.py: the same lookups and replies, and a batched UDP drain.

pure.py says what is right; tests drive both with the same packets and demand the same
octets. Packets are only touched through bounds-checked memoryviews and through ``_copy``,
which checks both ranges first; an index out of range is an IndexError and hands the packet up.
"""

import mmap
import socket
from array import array
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int32_t
from libc.string cimport memcpy, memcmp, memset

from geodns.fastpath import tables

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    int recvmmsg(int fd, mmsghdr* vector, unsigned int count, int flags, void* timeout)
    int sendmmsg(int fd, mmsghdr* vector, unsigned int count, int flags)
    int MSG_DONTWAIT
    int MSG_TRUNC
    int AF_INET
    int AF_INET6

cdef extern from *:
    """
    #include <stdint.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #include <string.h>
    #include <sys/socket.h>
    #ifndef IPV6_PKTINFO
    #define IPV6_PKTINFO 50
    #endif

    /* Bounded: every caller passes the length that the kernel gave, and it is checked here. */
    static int gd_peer(const void *name, unsigned len, uint64_t *upper, uint64_t *lower,
                       unsigned *port) {
        const struct sockaddr *sa = (const struct sockaddr *)name;
        if (len >= sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
            const struct sockaddr_in *v4 = (const struct sockaddr_in *)name;
            *upper = 0; *lower = ntohl(v4->sin_addr.s_addr); *port = ntohs(v4->sin_port);
            return 4;
        }
        if (len >= sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)name;
            uint64_t u = 0, l = 0;
            for (int i = 0; i < 8; i++) {
                u = u << 8 | v6->sin6_addr.s6_addr[i];
                l = l << 8 | v6->sin6_addr.s6_addr[i + 8];
            }
            *upper = u; *lower = l; *port = ntohs(v6->sin6_port);
            return 16;
        }
        return 0;
    }
    /* Turn what the kernel said of the destination into what makes the reply leave from there.
       Returns the control length to send with, 0 for none. */
    static size_t gd_from_destination(struct msghdr *message) {
        struct cmsghdr *c = CMSG_FIRSTHDR(message);
        if (c == NULL || (message->msg_flags & MSG_CTRUNC)) return 0;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO
            && c->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            info.ipi_ifindex = 0;
            info.ipi_addr.s_addr = 0;
            memcpy(CMSG_DATA(c), &info, sizeof info);
            return CMSG_SPACE(sizeof info);
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO
            && c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
            memcpy(CMSG_DATA(c), &info, sizeof info);
            return CMSG_SPACE(sizeof info);
        }
        return 0;
    }
    static void gd_control(const struct msghdr *message, int *level, int *type,
                           const unsigned char **data, size_t *len) {
        struct cmsghdr *c = message->msg_controllen ? CMSG_FIRSTHDR(message) : NULL;
        *len = 0;
        if (c == NULL || c->cmsg_len < CMSG_LEN(0)) return;
        *level = c->cmsg_level; *type = c->cmsg_type; *data = CMSG_DATA(c);
        *len = c->cmsg_len - CMSG_LEN(0);
    }
    typedef unsigned __int128 gd_address;
    #define GD_JOIN(upper, lower) ((gd_address)(upper) << 64 | (lower))
    /* Prefix length of the largest block of 2**bits addresses around one that lies in a run. */
    static int gd_uniform(int bits, uint64_t upper, uint64_t lower, uint64_t first_upper,
                          uint64_t first_lower, uint64_t last_upper, uint64_t last_lower) {
        gd_address address = GD_JOIN(upper, lower), first, size;
        gd_address low = GD_JOIN(first_upper, first_lower), high = GD_JOIN(last_upper, last_lower);
        int length = bits;
        while (length > 0) {
            int wide = bits - length + 1;
            if (wide >= 128) return low == 0 && ~high == 0 ? 0 : length;
            size = (gd_address)1 << wide;
            first = address & ~(size - 1);
            if (first < low || first + (size - 1) > high) break;
            length--;
        }
        return length;
    }
    /* Whether a prefix of ``known`` bits reaches beyond the last address of a run. */
    static int gd_spans(int bits, int known, uint64_t upper, uint64_t lower,
                        uint64_t last_upper, uint64_t last_lower) {
        int wide = bits - known;
        gd_address mask = wide >= 128 ? ~(gd_address)0 : ((gd_address)1 << wide) - 1;
        return (GD_JOIN(upper, lower) | mask) > GD_JOIN(last_upper, last_lower);
    }
    static unsigned gd_scope(const void *name) {
        return ((const struct sockaddr_in6 *)name)->sin6_scope_id;
    }
    """
    int gd_peer(const void* name, unsigned length, uint64_t* upper, uint64_t* lower, unsigned* port) nogil
    size_t gd_from_destination(msghdr* message) nogil
    void gd_control(const msghdr* message, int* level, int* type, const unsigned char** data, size_t* length) nogil
    int gd_uniform(int bits, uint64_t upper, uint64_t lower, uint64_t first_upper, uint64_t first_lower, uint64_t last_upper, uint64_t last_lower) nogil
    int gd_spans(int bits, int known, uint64_t upper, uint64_t lower, uint64_t last_upper, uint64_t last_lower) nogil
    unsigned gd_scope(const void* name) nogil


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

cdef uint32_t[256] CRC
cdef const uint8_t[::1] PLAIN_OPT = b"\0\0\x29" + (1232).to_bytes(2, "big") + bytes(6)


cdef void _make_crc() noexcept:
    cdef uint32_t value
    cdef int octet, bit
    for octet in range(256):
        value = octet
        for bit in range(8):
            value = (value >> 1) ^ (0xEDB88320u if value & 1 else 0)
        CRC[octet] = value


_make_crc()


cdef inline int _copy(uint8_t[::1] out, Py_ssize_t at, const uint8_t[::1] source,
                      Py_ssize_t start, Py_ssize_t count) except -1:
    """Copy octets, after checking both ranges."""
    if count < 0 or at < 0 or start < 0 or at + count > out.shape[0] \
            or start + count > source.shape[0]:
        raise IndexError
    if count:
        memcpy(&out[at], &source[start], count)
    return 0


cdef inline uint8_t _lower(uint8_t octet) noexcept nogil:
    return octet + 32 if 65 <= octet <= 90 else octet


cdef inline Py_ssize_t _last_at_most32(const uint32_t[::1] starts, uint32_t value,
                                       Py_ssize_t low, Py_ssize_t high) except -2:
    """Index of the last start that is <= value in [low, high), low - 1 if none is."""
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if starts[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low - 1


cdef inline Py_ssize_t _last_at_most128(const uint64_t[::1] upper, const uint64_t[::1] lower,
                                        uint64_t high_half, uint64_t low_half,
                                        Py_ssize_t low, Py_ssize_t high) except -2:
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if upper[middle] < high_half or (upper[middle] == high_half and lower[middle] <= low_half):
            low = middle + 1
        else:
            high = middle
    return low - 1


cdef const uint32_t[::1] _aligned32(const uint32_t[::1] view):
    """The view, if its items stand where the machine wants them; ValueError otherwise."""
    if view.shape[0] and <size_t>&view[0] % sizeof(uint32_t):
        raise ValueError("a table is not aligned")
    return view


cdef const uint64_t[::1] _aligned64(const uint64_t[::1] view):
    if view.shape[0] and <size_t>&view[0] % sizeof(uint64_t):
        raise ValueError("a table is not aligned")
    return view


cdef class Layer:
    """The buffers of one name layer, typed."""

    cdef const uint8_t[::1] filter
    cdef const uint32_t[::1] buckets
    cdef const uint32_t[::1] name_at
    cdef const uint32_t[::1] rule
    cdef const uint8_t[::1] names
    cdef uint32_t filter_mask
    cdef uint32_t bucket_mask
    cdef Py_ssize_t base, rules

    def __init__(self, names, Py_ssize_t base, Py_ssize_t rules):
        self.filter = names.filter
        self.buckets = _aligned32(names.buckets)
        self.name_at = _aligned32(names.name_at)
        self.rule = _aligned32(names.rule)
        self.names = names.names
        # tables.check has seen to it that the sizes are powers of two.
        self.filter_mask = <uint32_t>(self.filter.shape[0] * 8 - 1)
        self.bucket_mask = <uint32_t>(self.buckets.shape[0] - 2)
        self.base = base
        self.rules = rules

    cdef Py_ssize_t find(self, uint32_t hashed, const uint8_t[::1] name, Py_ssize_t at,
                         Py_ssize_t size) except -2:
        """The rule of the suffix that begins at ``at``, or -1."""
        cdef uint32_t bit = hashed & self.filter_mask
        cdef uint32_t bucket
        cdef Py_ssize_t entry, start, length, rule
        if not (self.filter[bit >> 3] >> (bit & 7)) & 1:
            return -1
        bucket = hashed & self.bucket_mask
        length = size - at
        for entry in range(self.buckets[bucket], self.buckets[bucket + 1]):
            start = self.name_at[entry]
            if start + length <= self.names.shape[0] and at + length <= name.shape[0] \
                    and memcmp(&self.names[start], &name[at], length) == 0:
                rule = self.rule[entry]
                if rule >= self.rules:
                    raise IndexError
                return self.base + rule
        return -1


cdef class PeerRanges:
    """The buffers of tables.Peers, typed."""

    cdef const uint32_t[::1] first4, last4
    cdef const uint64_t[::1] first6u, first6l, last6u, last6l

    def __init__(self, peers):
        self.first4, self.last4 = _aligned32(peers.first4), _aligned32(peers.last4)
        self.first6u = _aligned64(peers.first6_upper)
        self.first6l = _aligned64(peers.first6_lower)
        self.last6u, self.last6l = _aligned64(peers.last6_upper), _aligned64(peers.last6_lower)

    cdef bint hold(self, int family, uint64_t upper, uint64_t lower) except -1:
        cdef Py_ssize_t at
        if family == 4:
            at = _last_at_most32(self.first4, <uint32_t>lower, 0, self.first4.shape[0])
            return at >= 0 and lower <= self.last4[at]
        at = _last_at_most128(self.first6u, self.first6l, upper, lower, 0, self.first6u.shape[0])
        if at < 0:
            return False
        return upper < self.last6u[at] or (upper == self.last6u[at] and lower <= self.last6l[at])


cdef class FastPath:
    """See pure.FastPath; ``drain`` is this twin's own."""

    cdef object _load
    cdef object _decide, _local
    cdef uint8_t[::1] locals
    cdef Py_ssize_t order_total
    cdef bint _ready, _networks
    cdef PeerRanges served, trusted
    # Runs, and the ECS option of the packet at hand: where it stands, and its scope
    cdef bint _runs
    cdef const uint32_t[::1] run_start4
    cdef const uint64_t[::1] run_upper6, run_lower6
    cdef Py_ssize_t extra_at, extra
    cdef uint8_t extra_scope
    # Places
    cdef const uint32_t[::1] start4, place4, place6
    cdef const uint64_t[::1] upper6, lower6
    cdef const uint32_t[::1] asn_start4, asn4, asn6, asns
    cdef const uint64_t[::1] asn_upper6, asn_lower6
    cdef const uint32_t[::1] classes
    cdef const uint8_t[::1] unknown
    cdef Py_ssize_t width
    cdef uint32_t[::1] index4, index6
    # Names and rulings
    cdef Layer layer0, layer1
    cdef int32_t[::1] verdicts
    cdef Py_ssize_t class_count
    # Replies
    cdef const uint8_t[::1] records, opts
    cdef const uint32_t[::1] record_at, opt_at
    cdef const uint8_t[::1] shapes
    cdef uint64_t[::1] order_counts_, place_counts_
    # Kept answers
    cdef object _data_map
    cdef uint32_t sets, generation
    cdef bint keeps
    cdef uint32_t[::1] kept_hash, kept_generation
    cdef double[::1] kept_stored, kept_expires
    cdef uint16_t[::1] kept_key, kept_packet, kept_ttl
    cdef uint8_t[::1] kept_ttls, kept_bits
    cdef uint8_t[::1] kept_data
    cdef Py_ssize_t kept_count
    # Scratch and buffers
    cdef uint8_t[::1] folded
    cdef uint8_t[::1] inbox, outbox
    cdef mmsghdr[BATCH] received
    cdef mmsghdr[BATCH] replies
    cdef iovec[BATCH] in_vectors
    cdef iovec[BATCH] out_vectors
    # Of 64-bit items, so that the addresses and control messages in them are aligned.
    cdef uint64_t[BATCH * NAME_WORDS] peer_names
    cdef uint64_t[BATCH * CONTROL_WORDS] controls
    cdef uint64_t queries, blocked, allowed, unlocated, dropped

    def __init__(self, slots):
        """slots: how many answers are kept at most."""
        self.sets = 1
        self.keeps = slots >= WAYS
        while self.sets * 2 * WAYS <= min(slots, 1 << 28):
            self.sets *= 2
        cdef Py_ssize_t count = self.sets * WAYS
        self.kept_hash = array("I", bytes(4 * count))
        self.kept_generation = array("I", bytes(4 * count))
        self.kept_stored = array("d", bytes(8 * count))
        self.kept_expires = array("d", bytes(8 * count))
        self.kept_key = array("H", bytes(2 * count))
        self.kept_packet = array("H", bytes(2 * count))
        self.kept_ttl = array("H", bytes(2 * count * KEPT_TTLS))
        self.kept_ttls = bytearray(count)
        self.kept_bits = bytearray(count)
        # Anonymous memory costs nothing until an answer is kept in it.
        self.kept_data = mmap.mmap(-1, count * KEPT_OCTETS)
        self.folded = bytearray(256)
        # Room for the largest packets; memory only for the pages that packets fill. The stride is
        # no power of two, so that the heads of a batch do not fight for the same cache lines.
        self.inbox = mmap.mmap(-1, BATCH * IN_STRIDE)
        self.outbox = bytearray(BATCH * OUT_SIZE)
        cdef int at
        memset(self.received, 0, sizeof(self.received))
        memset(self.replies, 0, sizeof(self.replies))
        for at in range(BATCH):
            self.in_vectors[at].iov_base = &self.inbox[at * IN_STRIDE]
            self.in_vectors[at].iov_len = IN_SIZE
            self.received[at].msg_hdr.msg_iov = &self.in_vectors[at]
            self.received[at].msg_hdr.msg_iovlen = 1
            self.received[at].msg_hdr.msg_name = &self.peer_names[at * NAME_WORDS]

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
        self._ready = self._runs = False
        if load is None:
            return
        places = load.places
        before, self._load = self._load, None
        self.start4, self.place4 = _aligned32(places.start4), _aligned32(places.place4)
        self.upper6, self.lower6 = _aligned64(places.upper6), _aligned64(places.lower6)
        self.place6 = _aligned32(places.place6)
        self.asn_start4, self.asn4 = _aligned32(places.asn_start4), _aligned32(places.asn4)
        self.asn_upper6 = _aligned64(places.asn_upper6)
        self.asn_lower6 = _aligned64(places.asn_lower6)
        self.asn6, self.asns = _aligned32(places.asn6), _aligned32(places.asns)
        self.classes, self.unknown = _aligned32(places.classes), places.unknown
        self.width = places.width
        if before is None or before.places.start4 is not places.start4 \
                or before.places.upper6 is not places.upper6:
            self._index_places()
        self.layer0 = Layer(load.layers[0], 0, load.rules[0])
        self.layer1 = None
        if len(load.layers) > 1:
            self.layer1 = Layer(load.layers[1], load.rules[0], load.rules[1])
        self.verdicts = tables.unset_verdicts(load)
        self.class_count = load.class_count
        self._decide = load.decide
        self._networks = load.networks
        self._take_replies((*load.orders, *load.ecs_orders))
        self.order_total = len(load.orders)
        self._local = load.local
        self.locals = bytearray(2 * sum(load.rules))
        self.order_counts_ = array("Q", bytes(8 * len(load.orders)))
        self.place_counts_ = array("Q", bytes(8 * len(places.unknown)))
        self.generation += 1
        self._load = load
        self._ready = True

    def take_runs(self, runs):
        """Take the runs of the load in force. Until then ECS of trusted peers is handed up.

        ValueError if they contradict themselves.
        """
        tables.check_runs(runs)
        self.run_start4 = _aligned32(runs.start4)
        self.run_upper6, self.run_lower6 = _aligned64(runs.upper6), _aligned64(runs.lower6)
        self._runs = self._ready

    def _index_places(self):
        """Where the segments of each 16 leading bits begin: leaves few steps to the search."""
        cdef uint32_t[::1] index4 = array("I", bytes(4 * 65538))
        cdef uint32_t[::1] index6 = array("I", bytes(4 * 65538))
        cdef Py_ssize_t at
        for at in range(self.start4.shape[0]):
            index4[(self.start4[at] >> 16) + 1] += 1
        for at in range(self.upper6.shape[0]):
            index6[(self.upper6[at] >> 48) + 1] += 1
        for at in range(1, 65538):
            index4[at] += index4[at - 1]
            index6[at] += index6[at - 1]
        self.index4, self.index6 = index4, index6

    def _take_replies(self, orders):
        records, opts = bytearray(), bytearray()
        record_at, opt_at = array("I", [0]), array("I", [0])
        shapes = bytearray()
        for order in orders:
            for template in order.templates:
                records += template.records
                record_at.append(len(records))
                # 256 records and more never fit in a packet: such a reply is handed up.
                shapes += bytes((template.rcode, min(template.answers, 255),
                                 template.authorities, template.owner))
            for opt in (order.opt, order.short):
                opts += opt
                opt_at.append(len(opts))
        self.records, self.opts = bytes(records), bytes(opts)
        self.record_at, self.opt_at, self.shapes = record_at, opt_at, bytes(shapes)

    def keep(self, bytes key, kept):
        """Keep an answer under its cache key (name, type, class, DO and CD); whether it fits."""
        cdef const uint8_t[::1] source = key
        cdef const uint8_t[::1] packet = kept.packet
        cdef Py_ssize_t size = source.shape[0]
        cdef Py_ssize_t slot, chosen = -1, count, at
        cdef uint32_t hashed
        # What tables.fits says.
        if not self.keeps or size < 6 or size + packet.shape[0] > KEPT_OCTETS \
                or packet.shape[0] < 11 + size \
                or len(kept.ttl_offsets) > KEPT_TTLS:
            return False
        for at in kept.ttl_offsets:
            if not 0 <= at <= packet.shape[0] - 4:
                return False
        hashed = self._key_hash(source)
        cdef Py_ssize_t first = (hashed & (self.sets - 1)) * WAYS
        for slot in range(first, first + WAYS):
            if self.kept_hash[slot] == hashed and self._same_key(slot, source):
                chosen = slot
                break
        if chosen < 0:
            # The one that expires first goes: an expired or empty one, if there is any.
            chosen = first
            for slot in range(first, first + WAYS):
                if self.kept_expires[slot] < self.kept_expires[chosen]:
                    chosen = slot
            if self.kept_key[chosen] == 0:
                self.kept_count += 1
        cdef Py_ssize_t base = chosen * KEPT_OCTETS
        _copy(self.kept_data, base, source, 0, size)
        _copy(self.kept_data, base + size, packet, 0, packet.shape[0])
        self.kept_hash[chosen] = hashed
        self.kept_generation[chosen] = self.generation
        self.kept_stored[chosen] = kept.stored
        self.kept_expires[chosen] = kept.expires
        self.kept_key[chosen] = size
        self.kept_packet[chosen] = packet.shape[0]
        count = 0
        for at in kept.ttl_offsets:
            self.kept_ttl[chosen * KEPT_TTLS + count] = at
            count += 1
        self.kept_ttls[chosen] = count
        self.kept_bits[chosen] = kept.authentic | kept.aliases << 1 | kept.addresses << 2
        return True

    def forget(self):
        """Drop all kept answers."""
        self.kept_expires[:] = 0
        self.kept_key[:] = 0
        self.kept_hash[:] = 0
        self.kept_count = 0

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

    def answer(self, bytes packet, bytes peer, double now):
        """Answer one UDP packet: the reply, empty for none at all, or None to hand it up."""
        cdef uint64_t upper = 0, lower = 0
        cdef Py_ssize_t made
        if len(peer) == 4:
            lower = int.from_bytes(peer, "big")
        else:
            upper = int.from_bytes(peer[:8], "big")
            lower = int.from_bytes(peer[8:], "big")
        try:
            made = self._answer(packet, self.outbox[:OUT_SIZE], len(peer), upper, lower, now)
        except Exception:
            # A table that lies, or a fault in ``decide``: the pipeline meets it again and says so.
            return None
        return None if made == UP else bytes(self.outbox[:made])

    def drain(self, int fd, double now, bint ancillary):
        """Read a batch from a non-blocking UDP socket and answer what can be answered here.

        ancillary: the socket says which address was asked (IP_PKTINFO). Returns (left, more,
        unsent): packets for the pipeline as (packet, packed peer, address, control messages),
        whether there may be more to read, and replies the kernel did not take as
        (reply, control messages, address).
        """
        cdef int count, at, family, sent = 0, done = 0, step
        cdef uint64_t upper = 0, lower = 0
        cdef unsigned port = 0
        cdef Py_ssize_t made, size
        cdef int[BATCH] origin
        left = []
        unsent = []
        for at in range(BATCH):
            self.received[at].msg_hdr.msg_namelen = NAME_SIZE
            self.received[at].msg_hdr.msg_control = \
                &self.controls[at * CONTROL_WORDS] if ancillary else NULL
            self.received[at].msg_hdr.msg_controllen = CONTROL_SIZE if ancillary else 0
        count = recvmmsg(fd, self.received, BATCH, MSG_DONTWAIT, NULL)
        if count <= 0:
            return left, False, unsent
        for at in range(count):
            size = self.received[at].msg_len
            family = gd_peer(&self.peer_names[at * NAME_WORDS],
                             self.received[at].msg_hdr.msg_namelen, &upper, &lower, &port)
            if family == 0 or port == 0 or self.received[at].msg_hdr.msg_flags & MSG_TRUNC \
                    or size > IN_SIZE:
                self.dropped += 1
                continue
            if ancillary:
                self.received[at].msg_hdr.msg_controllen = \
                    gd_from_destination(&self.received[at].msg_hdr)
            try:
                made = self._answer(self.inbox[at * IN_STRIDE:at * IN_STRIDE + size],
                                    self.outbox[sent * OUT_SIZE:(sent + 1) * OUT_SIZE],
                                    family, upper, lower, now)
            except Exception:
                made = UP
            if made > 0:
                self.out_vectors[sent].iov_base = &self.outbox[sent * OUT_SIZE]
                self.out_vectors[sent].iov_len = made
                self.replies[sent].msg_hdr = self.received[at].msg_hdr
                self.replies[sent].msg_hdr.msg_iov = &self.out_vectors[sent]
                self.replies[sent].msg_hdr.msg_iovlen = 1
                self.replies[sent].msg_hdr.msg_flags = 0
                if self.replies[sent].msg_hdr.msg_controllen == 0:
                    self.replies[sent].msg_hdr.msg_control = NULL
                origin[sent] = at
                sent += 1
            elif made == UP:
                left.append((bytes(self.inbox[at * IN_STRIDE:at * IN_STRIDE + size]),
                             self._packed(family, upper, lower), *self._origin(at)))
        while done < sent:
            step = sendmmsg(fd, &self.replies[done], sent - done, MSG_DONTWAIT)
            if step <= 0:
                break
            done += step
        for at in range(done, sent):
            size = self.out_vectors[at].iov_len
            address, control = self._origin(origin[at])
            unsent.append((bytes(self.outbox[at * OUT_SIZE:at * OUT_SIZE + size]),
                           control, address))
        return left, count == BATCH, unsent

    cdef bytes _packed(self, int family, uint64_t upper, uint64_t lower):
        if family == 4:
            return (<object>lower).to_bytes(4, "big")
        return (<object>upper).to_bytes(8, "big") + (<object>lower).to_bytes(8, "big")

    cdef tuple _origin(self, int at):
        """The address and control messages of a received packet, as sendmsg takes them."""
        cdef uint64_t upper = 0, lower = 0
        cdef unsigned port = 0
        cdef int level = 0, kind = 0
        cdef const unsigned char* data = NULL
        cdef size_t size = 0
        cdef int family = gd_peer(&self.peer_names[at * NAME_WORDS],
                                  self.received[at].msg_hdr.msg_namelen, &upper, &lower, &port)
        packed = self._packed(family, upper, lower)
        if family == 4:
            address = (socket.inet_ntop(socket.AF_INET, packed), port)
        else:
            address = (socket.inet_ntop(socket.AF_INET6, packed), port, 0,
                       gd_scope(&self.peer_names[at * NAME_WORDS]))
        gd_control(&self.received[at].msg_hdr, &level, &kind, &data, &size)
        if size == 0:
            return address, []
        return address, [(level, kind, data[:size])]

    cdef uint32_t _key_hash(self, const uint8_t[::1] key) except? 0:
        """The hash of a cache key: that of its name, mixed with the type and the DO and CD bits."""
        cdef Py_ssize_t at, end = key.shape[0] - 5
        cdef uint32_t crc = 0xFFFFFFFFu
        for at in range(end - 1, -1, -1):
            crc = CRC[(crc ^ key[at]) & 0xFF] ^ (crc >> 8)
        return _mix(~crc, key[end] << 8 | key[end + 1], key[end + 4])

    cdef bint _same_key(self, Py_ssize_t slot, const uint8_t[::1] key) except -1:
        cdef Py_ssize_t base = slot * KEPT_OCTETS, size = key.shape[0]
        if self.kept_key[slot] != size or base + size > self.kept_data.shape[0]:
            return False
        return memcmp(&self.kept_data[base], &key[0], size) == 0

    cdef Py_ssize_t _answer(self, const uint8_t[::1] packet, uint8_t[::1] out, int family,
                            uint64_t upper, uint64_t lower, double now) except -2:
        """Length of the reply written to ``out``, DROP or UP. The steps are those of pure.py."""
        cdef Py_ssize_t size = packet.shape[0], at = 12, end, labels = 0, label
        cdef Py_ssize_t[MAX_LABELS] starts
        cdef uint32_t[MAX_LABELS] hashes
        cdef uint32_t crc, qtype
        cdef uint8_t length, dnssec_ok = 0
        cdef Py_ssize_t limit = 512, ecs = 0
        cdef bint edns
        self.extra = 0
        if not self._ready or self.served is None:
            return UP
        # Read
        if size < 12 or packet[2] & 0x80:
            self.dropped += 1
            return DROP
        if packet[2] & 0x78 or packet[4] or packet[5] != 1 or packet[6] or packet[7] \
                or packet[8] or packet[9] or packet[10] or packet[11] > 1:
            return UP
        edns = packet[11] == 1
        while at < size:
            length = packet[at]
            if length == 0:
                break
            if length > 63 or labels == MAX_LABELS:
                return UP
            starts[labels] = at
            labels += 1
            at += 1 + length
        end = at + 5
        if end > size or at - 11 > 255:
            return UP
        qtype = packet[end - 4] << 8 | packet[end - 3]
        if packet[end - 2] or packet[end - 1] != 1 or qtype == 0 or qtype == 41 \
                or 128 <= qtype <= 255:
            return UP
        if edns:
            if end + 11 > size or packet[end] or packet[end + 1] or packet[end + 2] != 0x29 \
                    or packet[end + 6]:
                return UP
            limit = packet[end + 3] << 8 | packet[end + 4]
            limit = max(512, min(limit, <Py_ssize_t>OUR_SIZE))
            dnssec_ok = packet[end + 7] & 0x80
            at = end + 11
            if at + (packet[end + 9] << 8 | packet[end + 10]) != size:
                return UP
            while at + 4 <= size:
                if packet[at] == 0 and packet[at + 1] == 8:
                    if ecs:
                        return UP
                    ecs = at
                at += 4 + (packet[at + 2] << 8 | packet[at + 3])
            if at != size:
                return UP
        elif end != size:
            return UP
        # Admit
        if not self.served.hold(family, upper, lower):
            return UP
        # Identify
        cdef int known = 0, width
        if ecs:
            width = self._ecs_width(packet, ecs)
            if width == 0:
                return UP
            if self.trusted is not None and self.trusted.hold(family, upper, lower):
                self.extra_at = ecs
                self.extra = 4 + (packet[ecs + 2] << 8 | packet[ecs + 3])
                self.extra_scope = 0
                known = packet[ecs + 6]
                if known:
                    family = width
                    upper = lower = 0
                    for at in range(width):
                        if width == 16 and at < 8:
                            upper = upper << 8 | (packet[ecs + 8 + at] if 8 * at < known else 0)
                        else:
                            lower = lower << 8 | (packet[ecs + 8 + at] if 8 * at < known else 0)
        # Locate
        cdef Py_ssize_t location = self._locate(family, upper, lower)
        if location < 0 or location >= self.unknown.shape[0]:
            return UP
        cdef uint64_t[4] run
        if known:
            if not self._runs or self.width > 1:
                return UP
            self._find_run(family, upper, lower, run)
            if gd_spans(128 if family == 16 else 32, known, upper, lower, run[2], run[3]):
                return UP
        # Rule on the question. One pass from the right hashes every suffix.
        cdef Py_ssize_t name_size = end - 16
        for at in range(name_size):
            self.folded[at] = _lower(packet[12 + at])
        crc = 0xFFFFFFFFu
        crc = CRC[(crc ^ 0) & 0xFF] ^ (crc >> 8)
        at = name_size - 2
        for label in range(labels - 1, -1, -1):
            while at >= starts[label] - 12:
                crc = CRC[(crc ^ self.folded[at]) & 0xFF] ^ (crc >> 8)
                at -= 1
            hashes[label] = ~crc
        cdef int32_t won = NO_ORDER, verdict, above
        cdef Py_ssize_t target = 0, rule, other, scope_class = -1
        cdef bint local = False
        for label in range(labels):
            at = starts[label] - 12
            rule = self.layer0.find(hashes[label], self.folded, at, name_size)
            other = -1
            if self.layer1 is not None:
                other = self.layer1.find(hashes[label], self.folded, at, name_size)
            if rule < 0 and other < 0:
                continue
            if scope_class < 0:
                scope_class = self.classes[location * self.width
                                           + self._column(family, upper, lower)]
            verdict = above = NO_ORDER
            if rule >= 0:
                verdict = self._verdict(rule, scope_class, at == 0)
                local = local or self._is_local(rule, at == 0)
            if other >= 0:
                above = self._verdict(other, scope_class, at == 0)
                local = local or self._is_local(other, at == 0)
            # Where both layers block the same suffix, it is for the orders' precedence to say.
            if verdict == HAND_UP or above == HAND_UP or (verdict >= 0 and above >= 0):
                return UP
            verdict = max(verdict, above)
            if won < 0 and verdict >= 0:
                won = verdict
                target = at
        if known and local:
            self.extra_scope = gd_uniform(128 if family == 16 else 32, upper, lower,
                                          run[0], run[1], run[2], run[3])
        cdef Py_ssize_t made
        if won >= 0:
            made = self._block(packet, out, end, edns, dnssec_ok, limit, qtype, target,
                               won + self.order_total if self.extra else won)
            if made > 0:
                self.blocked += 1
                self.order_counts_[won] += 1
        else:
            crc = hashes[0] if labels else ~(CRC[0xFF] ^ 0x00FFFFFFu)
            made = self._pass(packet, out, end, edns, dnssec_ok, limit, qtype, crc, now)
            if made > 0:
                self.allowed += 1
        if made > 0:
            self.queries += 1
            self.unlocated += self.unknown[location]
            self.place_counts_[location] += 1
        return made

    cdef int _ecs_width(self, const uint8_t[::1] packet, Py_ssize_t at) except -1:
        """Octets of the address family of a valid ECS option (RFC 7871 section 6), else 0."""
        cdef Py_ssize_t length = packet[at + 2] << 8 | packet[at + 3]
        cdef int width, source
        if length < 4 or packet[at + 4] or packet[at + 7]:
            return 0
        width = 4 if packet[at + 5] == 1 else 16 if packet[at + 5] == 2 else 0
        source = packet[at + 6]
        if source > 8 * width or length != 4 + (source + 7) // 8:
            return 0
        if source % 8 and packet[at + 3 + length] & (0xFF >> (source % 8)):
            return 0
        return width

    cdef int _find_run(self, int family, uint64_t upper, uint64_t lower, uint64_t* run) except -1:
        """First and last address of the run that holds an address, as two halves each."""
        cdef Py_ssize_t at
        run[0] = run[1] = 0
        run[2] = 0 if family == 4 else 0xFFFFFFFFFFFFFFFFull
        run[3] = 0xFFFFFFFFull if family == 4 else 0xFFFFFFFFFFFFFFFFull
        if family == 4:
            at = _last_at_most32(self.run_start4, <uint32_t>lower, 0, self.run_start4.shape[0])
            run[1] = self.run_start4[at]
            if at + 1 < self.run_start4.shape[0]:
                run[3] = <uint64_t>self.run_start4[at + 1] - 1
            return 0
        at = _last_at_most128(self.run_upper6, self.run_lower6, upper, lower, 0,
                              self.run_upper6.shape[0])
        run[0], run[1] = self.run_upper6[at], self.run_lower6[at]
        if at + 1 < self.run_upper6.shape[0]:
            run[3] = self.run_lower6[at + 1] - 1
            run[2] = self.run_upper6[at + 1] - (1 if self.run_lower6[at + 1] == 0 else 0)
        return 0

    cdef bint _is_local(self, Py_ssize_t rule, bint full) except -1:
        cdef uint8_t known = self.locals[2 * rule + full]
        if known == 0:
            known = 2 if self._local(rule, full) else 1
            self.locals[2 * rule + full] = known
        return known == 2

    cdef int _put_opt(self, uint8_t[::1] out, Py_ssize_t at, const uint8_t[::1] packet,
                      const uint8_t[::1] opts, Py_ssize_t start, Py_ssize_t size,
                      uint8_t dnssec_ok) except -1:
        """Write an OPT record with the DO bit, and the ECS option in front of its own."""
        cdef Py_ssize_t length = size - 11 + self.extra
        _copy(out, at, opts, start, 11)
        out[at + 7] = dnssec_ok
        out[at + 9] = (length >> 8) & 0xFF
        out[at + 10] = length & 0xFF
        if self.extra:
            _copy(out, at + 11, packet, self.extra_at, self.extra)
            out[at + 11 + 7] = self.extra_scope
        _copy(out, at + 11 + self.extra, opts, start + 11, size - 11)
        return 0

    cdef Py_ssize_t _locate(self, int family, uint64_t upper, uint64_t lower) except -2:
        """The location id, or -1 where the address embeds an IPv4 address."""
        cdef Py_ssize_t at
        cdef uint32_t head
        if family == 4:
            head = <uint32_t>lower >> 16
            at = _last_at_most32(self.start4, <uint32_t>lower, self.index4[head],
                                 self.index4[head + 1])
            return self.place4[at] if at >= 0 else 0
        if (upper == 0 and lower >> 32 == 0xFFFF) or upper >> 48 == 0x2002 \
                or upper >> 32 == 0x20010000u \
                or (upper == 0x0064FF9B00000000ull and lower >> 32 == 0):
            return -1
        head = <uint32_t>(upper >> 48)
        at = _last_at_most128(self.upper6, self.lower6, upper, lower, self.index6[head],
                              self.index6[head + 1])
        return self.place6[at] if at >= 0 else 0

    cdef Py_ssize_t _column(self, int family, uint64_t upper, uint64_t lower) except -1:
        cdef Py_ssize_t at
        cdef uint32_t asn
        if self.width == 1:
            return 0
        if family == 4:
            at = _last_at_most32(self.asn_start4, <uint32_t>lower, 0, self.asn_start4.shape[0])
            asn = self.asn4[at] if at >= 0 else 0
        else:
            at = _last_at_most128(self.asn_upper6, self.asn_lower6, upper, lower, 0,
                                  self.asn_upper6.shape[0])
            asn = self.asn6[at] if at >= 0 else 0
        if asn == 0:
            return 1
        at = _last_at_most32(self.asns, asn, 0, self.asns.shape[0])
        return at + 2 if at >= 0 and self.asns[at] == asn else 0

    cdef int32_t _verdict(self, Py_ssize_t rule, Py_ssize_t scope_class, bint full) except? -9:
        cdef Py_ssize_t slot = (rule * self.class_count + scope_class) * 2 + full
        if scope_class >= self.class_count:
            raise IndexError
        cdef int32_t verdict = self.verdicts[slot]
        if verdict == UNSET:
            verdict = self._decide(rule, scope_class, full)
            self.verdicts[slot] = verdict
        return verdict

    cdef Py_ssize_t _block(self, const uint8_t[::1] packet, uint8_t[::1] out, Py_ssize_t end,
                           bint edns, uint8_t dnssec_ok, Py_ssize_t limit, uint32_t qtype,
                           Py_ssize_t target, Py_ssize_t order) except -2:
        cdef Py_ssize_t template = order * VARIANTS + (0 if qtype == 1 else 1 if qtype == 28 else 2)
        cdef Py_ssize_t start = self.record_at[template]
        cdef Py_ssize_t records = self.record_at[template + 1] - start
        cdef Py_ssize_t opt_start = 0, opt = 0, size
        if edns:
            opt_start = self.opt_at[2 * order]
            opt = self.opt_at[2 * order + 1] - opt_start
            if end + records + opt + self.extra > limit:
                opt_start = self.opt_at[2 * order + 1]
                opt = self.opt_at[2 * order + 2] - opt_start
        size = end + records + opt + (self.extra if edns else 0)
        if size > limit:
            return UP
        _copy(out, 0, packet, 0, end)
        out[2] = 0x80 | (packet[2] & 1)
        out[3] = 0x80 | (packet[3] & 0x10) | self.shapes[4 * template]
        out[7] = self.shapes[4 * template + 1]
        out[9] = self.shapes[4 * template + 2]
        out[11] = edns
        _copy(out, end, self.records, start, records)
        if self.shapes[4 * template + 3]:
            out[end] = (0xC00C + target) >> 8
            out[end + 1] = (0xC00C + target) & 0xFF
        if edns:
            self._put_opt(out, end + records, packet, self.opts, opt_start, opt, dnssec_ok)
        return size

    cdef Py_ssize_t _pass(self, const uint8_t[::1] packet, uint8_t[::1] out, Py_ssize_t end,
                          bint edns, uint8_t dnssec_ok, Py_ssize_t limit, uint32_t qtype,
                          uint32_t crc, double now) except -2:
        cdef uint8_t bits = dnssec_ok >> 6 | ((packet[3] >> 4) & 1)
        cdef uint32_t hashed = _mix(crc, qtype, bits)
        cdef Py_ssize_t first = (hashed & (self.sets - 1)) * WAYS, slot, base, size, at, count
        cdef Py_ssize_t name_size = end - 16, additional
        cdef uint64_t elapsed
        cdef uint32_t ttl
        for slot in range(first, first + WAYS):
            if self.kept_hash[slot] == hashed and self.kept_key[slot] == name_size + 5:
                base = slot * KEPT_OCTETS
                if base + name_size + 5 <= self.kept_data.shape[0] \
                        and name_size <= self.folded.shape[0] \
                        and memcmp(&self.kept_data[base], &self.folded[0], name_size) == 0 \
                        and (self.kept_data[base + name_size] << 8
                             | self.kept_data[base + name_size + 1]) == qtype \
                        and self.kept_data[base + name_size + 4] == bits:
                    break
        else:
            return UP
        if now >= self.kept_expires[slot]:
            return UP
        if self.kept_generation[slot] != self.generation:
            if self.kept_bits[slot] & 2 or (self.kept_bits[slot] & 4 and self._networks):
                return UP
        size = self.kept_packet[slot]
        if size + (11 + self.extra if edns else 0) > limit:
            return UP
        base += name_size + 5
        _copy(out, 0, self.kept_data, base, size)
        out[0], out[1] = packet[0], packet[1]
        out[2] = 0x80 | (packet[2] & 1)
        out[3] = 0x80 | (packet[3] & 0x10) | (out[3] & 0xF)
        if self.kept_bits[slot] & 1 and (packet[3] & 0x20 or dnssec_ok):
            out[3] |= 0x20
        _copy(out, 12, packet, 12, name_size)
        if now - self.kept_stored[slot] >= 1:
            elapsed = <uint64_t>min(now - self.kept_stored[slot], 4294967295.0)
            for count in range(self.kept_ttls[slot]):
                at = self.kept_ttl[slot * KEPT_TTLS + count]
                ttl = (<uint32_t>out[at] << 24 | <uint32_t>out[at + 1] << 16
                       | <uint32_t>out[at + 2] << 8 | out[at + 3])
                ttl = <uint32_t>(ttl - elapsed) if elapsed < ttl <= 0x7FFFFFFF else 0
                out[at] = ttl >> 24
                out[at + 1] = (ttl >> 16) & 0xFF
                out[at + 2] = (ttl >> 8) & 0xFF
                out[at + 3] = ttl & 0xFF
        if edns:
            additional = (out[10] << 8 | out[11]) + 1
            out[10], out[11] = (additional >> 8) & 0xFF, additional & 0xFF
            self._put_opt(out, size, packet, PLAIN_OPT, 0, 11, dnssec_ok)
            size += 11 + self.extra
        return size


cdef inline uint32_t _mix(uint32_t crc, uint32_t qtype, uint32_t bits) noexcept nogil:
    cdef uint32_t mixed = crc ^ (qtype * 0x9E3779B1u) ^ (bits * 0x85EBCA6Bu)
    return (mixed ^ (mixed >> 15)) | 0x80000000u
include "index.pxi"
