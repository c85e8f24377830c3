# How many of each client network wait for upstreams, and the reply to those beyond their share.
# Included by native.pyx.

cdef enum:
    CROWDS = 1 << 16

# An OPT record with EDE 0 (Other) and its text; the length of its data is set with the rest.
cdef const uint8_t[::1] CROWDED_OPT = bytes(PLAIN_OPT) + b"\0\x0f" \
    + (2 + len(guard.CROWDED)).to_bytes(2, "big") + b"\0\0" + guard.CROWDED.encode()


@cython.final
cdef class Crowds:
    """A count for each network, found by a keyed hash.

    Two networks that share a count share what they may have of it; nobody can choose to.
    """

    cdef uint32_t[::1] waiting
    cdef uint64_t k0, k1
    cdef uint32_t most
    cdef int prefix4, prefix6

    def __init__(self):
        cdef const uint8_t[::1] key = os.urandom(16)
        self.k0, self.k1 = _word(key, 0), _word(key, 8)
        self.waiting = _zeros("I", CROWDS)
        self.most = 0xFFFFFFFF
        self.prefix4, self.prefix6 = 24, 56

    cdef uint32_t of(self, int family, uint64_t upper, uint64_t lower) noexcept:
        """The number of an address's network."""
        cdef uint64_t network = lower >> (32 - self.prefix4) if family == 4 \
            else upper >> (64 - self.prefix6)
        return <uint32_t>(_siphash(self.k0, self.k1, &network, 1, family | 9ull << 56) % CROWDS)


cdef Py_ssize_t _crowded(const uint8_t[::1] packet, uint8_t[::1] out, const Asked* asked) except -1:
    """Write the SERVFAIL of a network that has its share; its size."""
    cdef Py_ssize_t size = CROWDED_OPT.shape[0]
    _copy(out, 0, packet, 0, asked.end)
    out[2] = 0x80 | (packet[2] & 1)
    out[3] = 0x80 | (packet[3] & 0x10) | 2
    out[11] = asked.edns
    if not asked.edns:
        return asked.end
    _put_opt(out, asked.end, packet, asked, CROWDED_OPT, 0, size)
    return asked.end + size + asked.baked
