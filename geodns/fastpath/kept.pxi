# Answers that may go to every client alike, and their replies. Included by native.pyx.

cdef const uint8_t[::1] PLAIN_OPT = b"\0\0\x29" + (1232).to_bytes(2, "big") + bytes(6)


cdef inline uint32_t _mix(uint32_t crc, uint32_t qtype, uint32_t bits) noexcept nogil:
    cdef uint32_t mixed = crc ^ (qtype * 0x9E3779B1u) ^ (bits * 0x85EBCA6Bu)
    return (mixed ^ (mixed >> 15)) | 0x80000000u


@cython.final
cdef class KeptAnswers:
    """A table of answers: sets of WAYS slots, the set by the hash of the key.

    generation: counts the loads; an answer that was kept under an older one says so. networks:
    whether any order names networks, so that addresses of answers matter. used: slots that
    hold an answer, expired ones included.
    """

    cdef uint32_t sets, generation
    cdef bint keeps, networks
    cdef Py_ssize_t used
    cdef uint32_t[::1] hashed_, generation_
    cdef double[::1] stored_, expires_
    cdef uint16_t[::1] key_, packet_, ttl_
    cdef uint8_t[::1] ttls_, bits_
    cdef uint8_t[::1] data_

    def __init__(self, slots):
        """slots: how many answers are kept at most."""
        self.sets = 1
        self.used = 0
        self.keeps = slots >= WAYS
        while self.sets * 2 * WAYS <= min(slots, 1 << 28):
            self.sets *= 2
        cdef Py_ssize_t count = self.sets * WAYS
        self.hashed_, self.generation_ = _zeros("I", count), _zeros("I", count)
        self.stored_, self.expires_ = _zeros("d", count), _zeros("d", count)
        self.key_, self.packet_ = _zeros("H", count), _zeros("H", count)
        self.ttl_ = _zeros("H", count * KEPT_TTLS)
        self.ttls_, self.bits_ = _zeros("B", count), _zeros("B", count)
        self.data_ = _zeros("B", count * KEPT_OCTETS)

    cdef bint fits(self, Py_ssize_t key, Py_ssize_t packet, Py_ssize_t ttls) noexcept:
        """Whether an answer is small enough (see tables.fits); sizes in octets."""
        return self.keeps and key >= 6 and key + packet <= KEPT_OCTETS \
            and packet >= 11 + key and ttls <= KEPT_TTLS

    cdef bint put(self, const uint8_t[::1] key, kept) except -1:
        """Keep an answer under its cache key; whether it fits."""
        cdef const uint8_t[::1] packet = kept.packet
        cdef uint16_t[KEPT_TTLS] ttls
        cdef int count = 0
        cdef Py_ssize_t at
        if not self.fits(key.shape[0], packet.shape[0], len(kept.ttl_offsets)):
            return False
        for at in kept.ttl_offsets:
            if not 0 <= at <= packet.shape[0] - 4:
                return False
            ttls[count] = at
            count += 1
        self.store(key, self._hash(key), packet, ttls, count, kept.stored, kept.expires,
                   kept.authentic | kept.aliases << 1 | kept.addresses << 2)
        return True

    cdef Py_ssize_t store(self, const uint8_t[::1] key, uint32_t hashed,
                          const uint8_t[::1] packet, const uint16_t* ttls, int count,
                          double stored, double expires, uint8_t bits) except -1:
        """Keep what fits. bits: 1 the upstream set AD, 2 aliases, 4 addresses, 8 given out."""
        cdef Py_ssize_t size = key.shape[0], slot, chosen = -1, at
        cdef Py_ssize_t first = (hashed & (self.sets - 1)) * WAYS
        for slot in range(first, first + WAYS):
            if self.hashed_[slot] == hashed and self._is_key(slot, key):
                chosen = slot
                break
        if chosen < 0:
            chosen = self._worst(first, stored)
        cdef Py_ssize_t base = chosen * KEPT_OCTETS
        self.used += (packet.shape[0] > 0) - (self.packet_[chosen] > 0)
        _copy(self.data_, base, key, 0, size)
        _copy(self.data_, base + size, packet, 0, packet.shape[0])
        self.hashed_[chosen] = hashed
        self.generation_[chosen] = self.generation
        self.stored_[chosen] = stored
        self.expires_[chosen] = expires
        self.key_[chosen] = size
        self.packet_[chosen] = packet.shape[0]
        for at in range(count):
            self.ttl_[chosen * KEPT_TTLS + at] = ttls[at]
        self.ttls_[chosen] = count
        self.bits_[chosen] = bits
        return chosen

    cdef Py_ssize_t _worst(self, Py_ssize_t first, double now) except -1:
        """The slot of a set that is given up: an empty or expired one, if there is any.

        Else, of those that nobody has asked for since others were given up, the one that expires
        first: names that are asked for once cannot push out those that everybody asks for.
        """
        cdef Py_ssize_t slot, soonest = first, unasked = -1
        for slot in range(first, first + WAYS):
            if self.expires_[slot] < self.expires_[soonest]:
                soonest = slot
            if not self.bits_[slot] & 8 \
                    and (unasked < 0 or self.expires_[slot] < self.expires_[unasked]):
                unasked = slot
        if self.expires_[soonest] <= now:
            return soonest
        if unasked >= 0:
            return unasked
        for slot in range(first, first + WAYS):
            self.bits_[slot] &= 7
        return soonest

    cdef bint leave(self, const uint8_t[::1] key, double expires) except -1:
        """Note that the pipeline has the answer to a key, which is not for this table."""
        cdef const uint8_t[::1] nothing = b""
        if not self.keeps or not 6 <= key.shape[0] <= KEPT_OCTETS:
            return False
        self.store(key, self._hash(key), nothing, NULL, 0, 0, expires, 0)
        return True

    cdef object recall(self, const uint8_t[::1] key):
        """What is kept under a key, expired or not, as tables.Kept; None if nothing is."""
        cdef uint32_t hashed = self._hash(key)
        cdef Py_ssize_t slot, base, at, first = (hashed & (self.sets - 1)) * WAYS
        for slot in range(first, first + WAYS):
            if self.hashed_[slot] == hashed and self._is_key(slot, key):
                break
        else:
            return None
        if self.packet_[slot] == 0:
            return None
        base = slot * KEPT_OCTETS + self.key_[slot]
        offsets = tuple([self.ttl_[slot * KEPT_TTLS + at] for at in range(self.ttls_[slot])])
        return tables.Kept(
            bytes(self.data_[base:base + self.packet_[slot]]), offsets, self.stored_[slot],
            self.expires_[slot], bool(self.bits_[slot] & 1), bool(self.bits_[slot] & 2),
            bool(self.bits_[slot] & 4),
        )

    cdef int forget(self) except -1:
        self.expires_[:] = 0
        self.key_[:] = 0
        self.packet_[:] = 0
        self.hashed_[:] = 0
        self.used = 0
        return 0

    cdef uint32_t _hash(self, const uint8_t[::1] key) except? 0:
        """The hash of a cache key: that of its name, mixed with the type and the DO and CD bits."""
        cdef Py_ssize_t at, end = key.shape[0] - 5
        cdef uint32_t crc = 0xFFFFFFFFu
        for at in range(end - 1, -1, -1):
            crc = CRC[(crc ^ key[at]) & 0xFF] ^ (crc >> 8)
        return _mix(~crc, key[end] << 8 | key[end + 1], key[end + 4])

    cdef bint _is_key(self, Py_ssize_t slot, const uint8_t[::1] key) except -1:
        cdef Py_ssize_t base = slot * KEPT_OCTETS, size = key.shape[0]
        if self.key_[slot] != size or base + size > self.data_.shape[0]:
            return False
        return memcmp(&self.data_[base], &key[0], size) == 0

    cdef Py_ssize_t find(self, const uint8_t[::1] folded, Py_ssize_t size, uint32_t hashed,
                         uint32_t qtype, uint8_t bits, double now) except -3:
        """The slot of a question's answer; -1 if there is none, -2 if only the pipeline has it
        or may give it out.

        size: of the folded name. hashed: of the key. bits: DO and CD as cache keys have them.
        """
        cdef Py_ssize_t first = (hashed & (self.sets - 1)) * WAYS, slot, base
        for slot in range(first, first + WAYS):
            if self.hashed_[slot] == hashed and self.key_[slot] == size + 5:
                base = slot * KEPT_OCTETS
                if base + size + 5 <= self.data_.shape[0] and size <= folded.shape[0] \
                        and memcmp(&self.data_[base], &folded[0], size) == 0 \
                        and (<uint32_t>self.data_[base + size] << 8
                             | self.data_[base + size + 1]) == qtype \
                        and self.data_[base + size + 4] == bits:
                    break
        else:
            return -1
        if now >= self.expires_[slot]:
            return -1
        if self.packet_[slot] == 0:
            return -2
        if self.generation_[slot] != self.generation:
            if self.bits_[slot] & 2 or (self.bits_[slot] & 4 and self.networks):
                return -2
        return slot

    cdef Py_ssize_t write(self, Py_ssize_t slot, const uint8_t[::1] packet, uint8_t[::1] out,
                          const Asked* asked, double now) except -2:
        """The size of the reply, its TTLs counted down, or UP if it is too large for the client."""
        cdef Py_ssize_t size = self.packet_[slot], at, count, additional
        cdef uint64_t elapsed
        cdef uint32_t ttl
        if size + (11 + asked.extra + asked.baked if asked.edns else 0) > asked.limit:
            return UP
        if not self.bits_[slot] & 8:
            self.bits_[slot] |= 8
        _copy(out, 0, self.data_, slot * KEPT_OCTETS + self.key_[slot], size)
        out[0], out[1] = packet[0], packet[1]
        out[2] = 0x80 | (packet[2] & 1)
        out[3] = 0x80 | (packet[3] & 0x10) | (out[3] & 0xF)
        if self.bits_[slot] & 1 and (packet[3] & 0x20 or asked.dnssec_ok):
            out[3] |= 0x20
        _copy(out, 12, packet, 12, asked.end - 16)
        if now - self.stored_[slot] >= 1:
            elapsed = <uint64_t>min(now - self.stored_[slot], 4294967295.0)
            for count in range(self.ttls_[slot]):
                at = self.ttl_[slot * KEPT_TTLS + count]
                ttl = (<uint32_t>out[at] << 24 | <uint32_t>out[at + 1] << 16
                       | <uint32_t>out[at + 2] << 8 | out[at + 3])
                ttl = <uint32_t>(ttl - elapsed) if elapsed < ttl <= 0x7FFFFFFF else 0
                out[at] = ttl >> 24
                out[at + 1] = (ttl >> 16) & 0xFF
                out[at + 2] = (ttl >> 8) & 0xFF
                out[at + 3] = ttl & 0xFF
        if asked.edns:
            additional = (out[10] << 8 | out[11]) + 1
            out[10], out[11] = (additional >> 8) & 0xFF, additional & 0xFF
            _put_opt(out, size, packet, asked, PLAIN_OPT, 0, 11)
            size += 11 + asked.extra + asked.baked
        return size
