# What an upstream's response leads to: the ordinary part of model/response.py, compiled. Included by
# native.pyx.

cdef enum:
    MOST_NAMES = 8
    NAME_ROOM = 256
    SOA_LEAST = 22
    FOREVER = 0x7FFFFFFF
    TYPE_A = 1
    TYPE_CNAME = 5
    TYPE_SOA = 6
    TYPE_AAAA = 28
    TYPE_DNAME = 39
    TYPE_OPT = 41
    TYPE_SVCB = 64
    TYPE_HTTPS = 65
    TYPE_ANY = 255


cdef Py_ssize_t _skip_name(const uint8_t[::1] packet, Py_ssize_t at) except -2:
    """The offset behind a possibly compressed name, -1 if it is none."""
    cdef Py_ssize_t start = at, size = packet.shape[0]
    while at < size and at - start < 255:
        if packet[at] == 0:
            return at + 1
        if packet[at] >= 0xC0:
            return at + 2 if at + 2 <= size else -1
        if packet[at] > 63:
            return -1
        at += 1 + packet[at]
    return -1


@cython.final
cdef class Scan:
    """One response. What is out of the ordinary is declined, and is for Python to read.

    end: offset behind what is kept of the message. additional: records of its additional section
    that are kept. lifetime: as in Response. ttls: offsets of TTL fields. names: the
    folded question name and the aliases, a row each. addresses: whether there are any.
    """

    cdef Py_ssize_t end
    cdef uint32_t additional, lifetime, qtype
    cdef uint16_t[KEPT_TTLS] ttls
    cdef int ttl_count, count
    cdef bint addresses
    cdef uint8_t[::1] names
    cdef int[MOST_NAMES] sizes
    # Addresses of the answer, IPv4 in the lower half alone: (upper, lower, family) each.
    cdef uint64_t[3 * KEPT_TTLS] held
    cdef int held_count

    def __init__(self):
        self.names = bytearray(MOST_NAMES * NAME_ROOM)

    cdef bint read(self, const uint8_t[::1] packet) except -1:
        """Scan a response; False if it is declined."""
        cdef Py_ssize_t size = packet.shape[0], at, start, data, end
        cdef uint32_t answers, before, total, index, rtype, ttl, length, minimum = 0
        cdef bint answered = False
        cdef int owner
        self.count = self.ttl_count = self.held_count = 0
        self.additional = 0
        self.addresses = False
        self.lifetime = FOREVER
        # A whole response to one question, NOERROR or NXDOMAIN.
        if size < 17 or packet[2] & 0xFA != 0x80 or _u16(packet, 4) != 1 \
                or (packet[3] & 0xF != 0 and packet[3] & 0xF != 3):
            return False
        at = self._question(packet)
        if at < 0 or at + 4 > size:
            return False
        self.qtype = _u16(packet, at)
        at += 4
        answers = _u16(packet, 6)
        before = answers + _u16(packet, 8)
        total = before + _u16(packet, 10)
        if before > KEPT_TTLS:
            return False
        for index in range(total):
            start = at
            at = _skip_name(packet, at)
            if at < 0 or at + 10 > size:
                return False
            rtype = _u16(packet, at)
            ttl = _u32(packet, at + 4)
            length = _u16(packet, at + 8)
            data = at + 10
            end = data + length
            if end > size:
                return False
            if rtype == TYPE_OPT:
                if packet[start] or index < before or ttl >> 24 \
                        or not self._plain_options(packet, data, end):
                    return False
                at = start
                break
            if self.ttl_count == KEPT_TTLS:
                return False
            self.ttls[self.ttl_count] = at + 4
            self.ttl_count += 1
            at = end
            # RFC 2181 section 8: a TTL with the top bit set is zero.
            if ttl > FOREVER:
                self.lifetime = 0
            elif ttl < self.lifetime:
                self.lifetime = ttl
            if index < answers:
                answered = answered or rtype == self.qtype or self.qtype == TYPE_ANY
                owner = self._owner(packet, start)
                if owner < 0 or not self._answer(packet, rtype, data, end):
                    return False
            elif index >= before:
                self.additional += 1
                # Clients of services take addresses from there (RFC 9460 section 4.2).
                if self.qtype == TYPE_SVCB or self.qtype == TYPE_HTTPS:
                    return False
            elif rtype == TYPE_SOA:
                if length < SOA_LEAST:
                    return False
                minimum = _u32(packet, end - 4)
        self.end = at
        if (packet[3] & 0xF == 3 or not answered) and minimum < self.lifetime:
            self.lifetime = minimum
        return True

    cdef Py_ssize_t _question(self, const uint8_t[::1] packet) except -2:
        """Fold the question's name, which is not compressed; the offset behind it, or -1."""
        cdef Py_ssize_t at = 12, size = packet.shape[0], place
        while at < size and at < 12 + 255:
            if packet[at] == 0:
                at += 1
                if at - 12 > 255:
                    return -1
                for place in range(at - 12):
                    self.names[place] = _lower(packet[12 + place])
                self.sizes[0] = at - 12
                self.count = 1
                return at
            if packet[at] > 63:
                return -1
            at += 1 + packet[at]
        return -1

    cdef int _answer(self, const uint8_t[::1] packet, uint32_t rtype, Py_ssize_t data,
                     Py_ssize_t end) except -1:
        """Note where a record of the answer leads; 0 to decline it."""
        cdef Py_ssize_t length = end - data
        if rtype == TYPE_A and length == 4:
            return self._hold(packet, data, 4)
        if rtype == TYPE_AAAA and length == 16:
            return self._hold(packet, data, 16)
        if rtype == TYPE_CNAME:
            return _skip_name(packet, data) == end and self._alias(packet, data)
        if rtype == TYPE_SVCB or rtype == TYPE_HTTPS:
            return self._service(packet, data, end)
        # What a DNAME makes of names depends on all of them: that is for Python.
        return rtype != TYPE_DNAME

    cdef int _hold(self, const uint8_t[::1] packet, Py_ssize_t at, int width) except -1:
        cdef uint64_t upper = 0
        if self.held_count == KEPT_TTLS:
            return 0
        if width == 16:
            upper = <uint64_t>_u32(packet, at) << 32 | _u32(packet, at + 4)
            at += 8
            self.held[3 * self.held_count + 1] = \
                <uint64_t>_u32(packet, at) << 32 | _u32(packet, at + 4)
        else:
            self.held[3 * self.held_count + 1] = _u32(packet, at)
        self.held[3 * self.held_count] = upper
        self.held[3 * self.held_count + 2] = width
        self.held_count += 1
        self.addresses = True
        return 1

    cdef int _service(self, const uint8_t[::1] packet, Py_ssize_t at, Py_ssize_t end) except -1:
        """Note the TargetName and the address hints of SVCB or HTTPS data; 0 to decline it."""
        cdef Py_ssize_t here
        cdef uint32_t key, length, width
        if end - at < 3:
            return 0
        at += 2
        here = _skip_name(packet, at)
        if here < 0 or here > end:
            return 0
        # The root stands for the owner, or for nothing at all.
        if packet[at] and not self._alias(packet, at):
            return 0
        at = here
        while at < end:
            if end - at < 4:
                return 0
            key, length = _u16(packet, at), _u16(packet, at + 2)
            at += 4
            if length > end - at:
                return 0
            width = 4 if key == 4 else 16 if key == 6 else 0
            if width:
                if length % width:
                    return 0
                for here in range(at, at + length, width):
                    if not self._hold(packet, here, width):
                        return 0
            at += length
        return 1

    cdef int _alias(self, const uint8_t[::1] packet, Py_ssize_t at) except -1:
        """Read the name of an alias into a row of its own; 0 if that cannot be done."""
        if self.count == MOST_NAMES or not self._expand(packet, at, self.count):
            return 0
        # A chain that comes back to a name it has left is for Python to judge.
        if self._known(self.count) >= 0:
            return 0
        self.count += 1
        return 1

    cdef int _owner(self, const uint8_t[::1] packet, Py_ssize_t at) except -2:
        """The number of the name that owns a record, -1 if it is none of those found so far."""
        if packet[at] == 0xC0 and packet[at + 1] == 12:
            return 0
        if not self._expand(packet, at, MOST_NAMES - 1 if self.count == MOST_NAMES else self.count):
            return -1
        if self.count == MOST_NAMES:
            return -1
        return self._known(self.count)

    cdef int _known(self, int row) except -2:
        """The number of the name that is the same as that of a row, -1 if there is none."""
        cdef int other
        cdef Py_ssize_t size = self.sizes[row]
        for other in range(self.count):
            if self.sizes[other] == size and size <= NAME_ROOM \
                    and memcmp(&self.names[other * NAME_ROOM], &self.names[row * NAME_ROOM],
                               size) == 0:
                return other
        return -1

    cdef int _expand(self, const uint8_t[::1] packet, Py_ssize_t at, int row) except -1:
        """Fold a possibly compressed name into a row; 0 if it is malformed (see read_name)."""
        cdef Py_ssize_t limit = at, out = 0, base = row * NAME_ROOM, size = packet.shape[0]
        cdef Py_ssize_t target, place
        cdef int hops = 0
        cdef uint8_t length
        while at < size:
            length = packet[at]
            if length >= 0xC0:
                if at + 2 > size:
                    return 0
                target = (length & 0x3F) << 8 | packet[at + 1]
                hops += 1
                if target < 12 or target >= limit or hops > 127:
                    return 0
                at = limit = target
                continue
            if length > 63 or at + 1 + length > size or out + 1 + length >= 256:
                return 0
            for place in range(1 + length):
                self.names[base + out + place] = _lower(packet[at + place])
            out += 1 + length
            if length == 0:
                self.sizes[row] = out
                return 1
            at += 1 + length
        return 0

    cdef bint _plain_options(self, const uint8_t[::1] packet, Py_ssize_t at,
                             Py_ssize_t end) except -1:
        """Whether options are well-formed and none is an EDE, which clients are to be told."""
        while at < end:
            if end - at < 4 or _u16(packet, at) == OPTION_EDE:
                return False
            at += 4 + _u16(packet, at + 2)
        return at == end

    cdef bint named(self, Rulings rulings, NamedNetworks networks) except -1:
        """Whether any order names an alias or an address of the answer, or might."""
        cdef int row, at
        for row in range(1, self.count):
            if rulings.names(self.names[row * NAME_ROOM:row * NAME_ROOM + self.sizes[row]]):
                return True
        for at in range(self.held_count):
            if networks.hold(<int>self.held[3 * at + 2], self.held[3 * at], self.held[3 * at + 1]):
                return True
        return False


def scan_response(bytes packet):
    """What ``Scan`` reads of a response, None where it declines: for tests beside read_response.

    Returns (message without its OPT, offsets of TTLs, lifetime, aliases, addresses).
    """
    cdef Scan scan = Scan()
    cdef int row, at
    if not scan.read(packet):
        return None
    kept = bytearray(packet[:scan.end])
    kept[0:2] = b"\0\0"
    kept[10:12] = (<object>scan.additional).to_bytes(2, "big")
    names = [bytes(scan.names[row * NAME_ROOM:row * NAME_ROOM + scan.sizes[row]])
             for row in range(1, scan.count)]
    held = [_packed(<int>scan.held[3 * at + 2], scan.held[3 * at], scan.held[3 * at + 1])
            for at in range(scan.held_count)]
    ttls = tuple([scan.ttls[at] for at in range(scan.ttl_count)])
    return bytes(kept), ttls, scan.lifetime, tuple(names), tuple(held)
