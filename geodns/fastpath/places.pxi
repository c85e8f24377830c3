# Who is served, and where a client is: addresses to location ids, scope classes and runs. Included
# by native.pyx.


@cython.final
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


cdef inline bint _embeds(uint64_t upper, uint64_t lower) noexcept nogil:
    """Whether an IPv6 address carries an IPv4 address (mapped, 6to4, Teredo, NAT64)."""
    return (upper == 0 and lower >> 32 == 0xFFFF) or upper >> 48 == 0x2002 \
        or upper >> 32 == 0x20010000u or (upper == 0x0064FF9B00000000ull and lower >> 32 == 0)


@cython.final
cdef class PlaceTables:
    """The buffers of tables.Places, typed, and where the segments of leading bits begin."""

    cdef const uint32_t[::1] start4, place4, place6
    cdef const uint64_t[::1] upper6, lower6
    cdef const uint32_t[::1] asn_start4, asn4, asn6, asns
    cdef const uint64_t[::1] asn_upper6, asn_lower6
    cdef const uint32_t[::1] classes
    cdef const uint8_t[::1] unknown
    cdef Py_ssize_t width
    cdef uint32_t[::1] index4, index6

    def __init__(self, places, PlaceTables before, bint same):
        """before: the tables until now, or None. same: whether the prefixes are theirs still."""
        self.start4, self.place4 = _aligned32(places.start4), _aligned32(places.place4)
        self.upper6, self.lower6 = _aligned64(places.upper6), _aligned64(places.lower6)
        self.place6 = _aligned32(places.place6)
        self.asn_start4, self.asn4 = _aligned32(places.asn_start4), _aligned32(places.asn4)
        self.asn_upper6 = _aligned64(places.asn_upper6)
        self.asn_lower6 = _aligned64(places.asn_lower6)
        self.asn6, self.asns = _aligned32(places.asn6), _aligned32(places.asns)
        self.classes, self.unknown = _aligned32(places.classes), places.unknown
        self.width = places.width
        if same:
            self.index4, self.index6 = before.index4, before.index6
        else:
            self._index()

    cdef int _index(self) except -1:
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
        return 0

    cdef Py_ssize_t locate(self, int family, uint64_t upper, uint64_t lower) except -2:
        """The location id, or -1 where the address embeds an IPv4 address."""
        cdef Py_ssize_t at
        cdef uint32_t head
        if family == 4:
            head = <uint32_t>lower >> 16
            at = _last_at_most32(self.start4, <uint32_t>lower, self.index4[head],
                                 self.index4[head + 1])
            return self.place4[at] if at >= 0 else 0
        if _embeds(upper, lower):
            return -1
        head = <uint32_t>(upper >> 48)
        at = _last_at_most128(self.upper6, self.lower6, upper, lower, self.index6[head],
                              self.index6[head + 1])
        return self.place6[at] if at >= 0 else 0

    cdef uint32_t scope_class(self, Py_ssize_t location, int family, uint64_t upper,
                              uint64_t lower) except? 0xFFFFFFFF:
        return self.classes[location * self.width + self._column(family, upper, lower)]

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


@cython.final
cdef class RunTables:
    """The buffers of tables.Runs, typed."""

    cdef const uint32_t[::1] start4
    cdef const uint64_t[::1] upper6, lower6

    def __init__(self, runs):
        self.start4 = _aligned32(runs.start4)
        self.upper6, self.lower6 = _aligned64(runs.upper6), _aligned64(runs.lower6)

    cdef int find(self, int family, uint64_t upper, uint64_t lower, uint64_t* run) except -1:
        """First and last address of the run that holds an address, as two halves each."""
        cdef Py_ssize_t at
        run[0] = run[1] = 0
        run[2] = 0 if family == 4 else 0xFFFFFFFFFFFFFFFFull
        run[3] = 0xFFFFFFFFull if family == 4 else 0xFFFFFFFFFFFFFFFFull
        if family == 4:
            at = _last_at_most32(self.start4, <uint32_t>lower, 0, self.start4.shape[0])
            run[1] = self.start4[at]
            if at + 1 < self.start4.shape[0]:
                run[3] = <uint64_t>self.start4[at + 1] - 1
            return 0
        at = _last_at_most128(self.upper6, self.lower6, upper, lower, 0, self.upper6.shape[0])
        run[0], run[1] = self.upper6[at], self.lower6[at]
        if at + 1 < self.upper6.shape[0]:
            run[3] = self.lower6[at + 1] - 1
            run[2] = self.upper6[at + 1] - (1 if self.lower6[at + 1] == 0 else 0)
        return 0
