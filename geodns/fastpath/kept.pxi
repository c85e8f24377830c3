# Answers that may go to every client alike, and their replies. Included by native.pyx.

cdef const uint8_t[::1] PLAIN_OPT = b"\0\0\x29" + (1232).to_bytes(2, "big") + bytes(6)


cdef inline uint32_t _mix(uint32_t crc, uint32_t qtype, uint32_t bits) noexcept nogil:
    cdef uint32_t mixed = crc ^ (qtype * 0x9E3779B1u) ^ (bits * 0x85EBCA6Bu)
    return (mixed ^ (mixed >> 15)) | 0x80000000u


cdef object _zeros(str code, Py_ssize_t count):
    """An array of zeros in anonymous memory, which costs nothing until it is written to."""
    return memoryview(mmap.mmap(-1, count * array(code).itemsize)).cast(code)


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

    cdef bint put(self, const uint8_t[::1] key, kept) except -1:
        """Keep an answer under its cache key; whether it fits (see tables.fits)."""
        cdef const uint8_t[::1] packet = kept.packet
        cdef Py_ssize_t size = key.shape[0]
        cdef Py_ssize_t slot, chosen = -1, count, at
        cdef uint32_t hashed
        if not self.keeps or size < 6 or size + packet.shape[0] > KEPT_OCTETS \
                or packet.shape[0] < 11 + size \
                or len(kept.ttl_offsets) > KEPT_TTLS:
            return False
        for at in kept.ttl_offsets:
            if not 0 <= at <= packet.shape[0] - 4:
                return False
        hashed = self._hash(key)
        cdef Py_ssize_t first = (hashed & (self.sets - 1)) * WAYS
        for slot in range(first, first + WAYS):
            if self.hashed_[slot] == hashed and self._is_key(slot, key):
                chosen = slot
                break
        if chosen < 0:
            # The one that expires first goes: an expired or empty one, if there is any.
            chosen = first
            for slot in range(first, first + WAYS):
                if self.expires_[slot] < self.expires_[chosen]:
                    chosen = slot
            self.used += self.key_[chosen] == 0
        cdef Py_ssize_t base = chosen * KEPT_OCTETS
        _copy(self.data_, base, key, 0, size)
        _copy(self.data_, base + size, packet, 0, packet.shape[0])
        self.hashed_[chosen] = hashed
        self.generation_[chosen] = self.generation
        self.stored_[chosen] = kept.stored
        self.expires_[chosen] = kept.expires
        self.key_[chosen] = size
        self.packet_[chosen] = packet.shape[0]
        count = 0
        for at in kept.ttl_offsets:
            self.ttl_[chosen * KEPT_TTLS + count] = at
            count += 1
        self.ttls_[chosen] = count
        self.bits_[chosen] = kept.authentic | kept.aliases << 1 | kept.addresses << 2
        return True

    cdef int forget(self) except -1:
        self.expires_[:] = 0
        self.key_[:] = 0
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

    cdef Py_ssize_t find(self, const uint8_t[::1] folded, Py_ssize_t size, uint32_t crc,
                         uint32_t qtype, uint8_t bits, double now) except -2:
        """The slot of a question's answer, -1 if there is none that may be given out now.

        size, crc: of the folded name. bits: DO and CD as cache keys have them.
        """
        cdef uint32_t hashed = _mix(crc, qtype, bits)
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
        if self.generation_[slot] != self.generation:
            if self.bits_[slot] & 2 or (self.bits_[slot] & 4 and self.networks):
                return -1
        return slot

    cdef Py_ssize_t write(self, Py_ssize_t slot, const uint8_t[::1] packet, uint8_t[::1] out,
                          const Asked* asked, double now) except -2:
        """The size of the reply, its TTLs counted down, or UP if it is too large for the client."""
        cdef Py_ssize_t size = self.packet_[slot], at, count, additional
        cdef uint64_t elapsed
        cdef uint32_t ttl
        if size + (11 + asked.extra + asked.baked if asked.edns else 0) > asked.limit:
            return UP
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
