# Questions that nobody has an answer to yet: asked of an upstream here, while those who asked wait.
# Included by native.pyx.

from libc.errno cimport errno, EAGAIN, EINTR

cdef enum:
    WAIT_OCTETS = 512
    WAIT_NAME_WORDS = 4
    WAIT_CONTROL_WORDS = 6
    KEY_ROOM = 264
    CALLERS = 10
    NOBODY = -1


cdef Py_ssize_t _power_of_two(Py_ssize_t least):
    cdef Py_ssize_t size = 1
    while size < least:
        size *= 2
    return size


@cython.final
cdef class Misses:
    """Flights (questions under way) and waiters (who asked), in tables of fixed size.

    Equal questions, which have the same cache key, share a flight. What is kept of a waiter is
    its packet and where it came from: when the response is there, the packet is answered as
    if it came only now.

    most: flights there may be now. wait: seconds after which a flight is overdue. on: whether new
    questions are taken. wake: called when there is something for Python to look at.
    """

    cdef Lanes lanes
    cdef Crowds crowds
    cdef object wake
    cdef Layer apart
    cdef bint on, watched
    cdef int most, flights, flight_room, waiting, waiter_room
    cdef double wait
    cdef uint32_t min_ttl, max_ttl
    # Flights: their cache key, the lane and ID of their query, and their waiters.
    cdef int32_t[::1] by_key, by_ident, next_key, next_ident, lane, first, last
    cdef uint32_t[::1] hashed
    cdef uint16_t[::1] ident, key_size
    cdef uint8_t[::1] keys, under_way
    cdef double[::1] sent_at
    cdef int32_t free_flight
    cdef uint32_t mask
    # Waiters: their packet, the socket it came through, and whom to reply to.
    cdef int32_t[::1] next_waiter, fd
    cdef uint32_t[::1] crowd
    cdef uint16_t[::1] size
    cdef uint8_t[::1] packets, family, name_size, control_size
    cdef uint64_t[::1] upper, lower, names, controls
    cdef int32_t free_waiter
    # The query or response at hand.
    cdef uint8_t[::1] query, response
    # Waiters of lanes that broke while a question was sent, for the pipeline.
    cdef list fallen
    cdef bint refused
    # Counts since they were last taken.
    cdef uint64_t sent, shared, mismatched, timeouts, errors
    # And those that say something of the server that is asked now.
    cdef uint64_t answers, silences
    cdef double seconds

    def __init__(self, open, wake, names, Py_ssize_t most, uint32_t min_ttl, uint32_t max_ttl,
                 Crowds crowds):
        """names: tables.Names of what is asked elsewhere, or answered without asking."""
        cdef Py_ssize_t callers = CALLERS * most, at
        self.lanes = Lanes(open)
        self.crowds = crowds
        self.wake = wake
        self.apart = Layer(names, 0, 1)
        self.most, self.flight_room, self.waiter_room = most, most, callers
        self.min_ttl, self.max_ttl = min_ttl, max_ttl
        self.wait = 1.0
        self.mask = <uint32_t>(_power_of_two(2 * most) - 1)
        self.by_key, self.by_ident = _zeros("i", self.mask + 1), _zeros("i", self.mask + 1)
        self.next_key, self.next_ident = _zeros("i", most), _zeros("i", most)
        self.lane, self.first, self.last = _zeros("i", most), _zeros("i", most), _zeros("i", most)
        self.hashed, self.sent_at = _zeros("I", most), _zeros("d", most)
        self.ident, self.key_size = _zeros("H", most), _zeros("H", most)
        self.keys, self.under_way = _zeros("B", most * KEY_ROOM), _zeros("B", most)
        self.next_waiter, self.fd = _zeros("i", callers), _zeros("i", callers)
        self.crowd = _zeros("I", callers)
        self.size, self.family = _zeros("H", callers), _zeros("B", callers)
        self.name_size, self.control_size = _zeros("B", callers), _zeros("B", callers)
        self.packets = _zeros("B", callers * WAIT_OCTETS)
        self.upper, self.lower = _zeros("Q", callers), _zeros("Q", callers)
        self.names = _zeros("Q", callers * WAIT_NAME_WORDS)
        self.controls = _zeros("Q", callers * WAIT_CONTROL_WORDS)
        self.query, self.response = bytearray(12 + KEY_ROOM + 11), _zeros("B", LARGEST)
        self.fallen = []
        # Chains hold the number after; 0 ends them. What was never used is at the end of the free
        # ones, so that memory is touched only as far as it is needed.
        self.free_flight = self.free_waiter = 0

    cdef int32_t _new_flight(self) except -2:
        """A free flight, or NOBODY."""
        cdef int32_t at
        if self.flights >= self.flight_room:
            return NOBODY
        at = self.free_flight
        # A free one that was used holds the next after it; one that never was holds 0.
        self.free_flight = self.next_key[at] - 1 if self.next_key[at] else at + 1
        self.flights += 1
        return at

    cdef int32_t _new_waiter(self) except -2:
        cdef int32_t at
        if self.waiting >= self.waiter_room:
            return NOBODY
        at = self.free_waiter
        self.free_waiter = self.next_waiter[at] - 1 if self.next_waiter[at] else at + 1
        self.waiting += 1
        return at

    cdef int drop_waiter(self, int32_t waiter) except -1:
        self.crowds.waiting[self.crowd[waiter]] -= 1
        self.next_waiter[waiter] = self.free_waiter + 1
        self.free_waiter = waiter
        self.waiting -= 1
        return 0

    cdef int32_t find(self, uint32_t hashed, const uint8_t[::1] folded, Py_ssize_t size,
                      uint32_t qtype, uint8_t bits) except -2:
        """The flight of a question, or NOBODY."""
        cdef int32_t at = self.by_key[hashed & self.mask] - 1
        cdef Py_ssize_t base
        while at >= 0:
            base = at * KEY_ROOM
            if self.hashed[at] == hashed and self.key_size[at] == size + 5 \
                    and size <= folded.shape[0] \
                    and memcmp(&self.keys[base], &folded[0], size) == 0 \
                    and (<uint32_t>self.keys[base + size] << 8
                         | self.keys[base + size + 1]) == qtype \
                    and self.keys[base + size + 4] == bits:
                return at
            at = self.next_key[at] - 1
        return NOBODY

    cdef bint is_apart(self, const uint8_t[::1] folded, const Asked* asked,
                       const uint32_t* hashes) except -1:
        """Whether a name is one that is not asked here."""
        cdef Py_ssize_t label, size = asked.end - 16
        for label in range(asked.labels):
            if self.apart.find(hashes[label], folded, asked.starts[label] - 12, size) >= 0:
                return True
        return False

    cdef bint enrol(self, const uint8_t[::1] packet, const Asked* asked,
                    const uint8_t[::1] folded, uint32_t hashed, uint8_t bits, msghdr* message,
                    int fd, double now) except -1:
        """Let the sender of a packet wait for the answer; False where only the pipeline can.

        packet: as it came, with its PROXY header if it has one.
        """
        cdef int32_t flight, waiter
        cdef unsigned port = 0
        cdef Py_ssize_t size = packet.shape[0]
        cdef size_t control = message.msg_controllen if message.msg_control != NULL else 0
        if size > WAIT_OCTETS or message.msg_namelen > 8 * WAIT_NAME_WORDS \
                or control > 8 * WAIT_CONTROL_WORDS or self.waiting >= self.waiter_room:
            return False
        flight = self.find(hashed, folded, asked.end - 16, asked.qtype, bits)
        if flight == NOBODY:
            if not self.watched:
                self.watched = True
                self.wake()
            if not self.on or self.flights >= self.most:
                return False
            flight = self._launch(folded, asked.end - 16, asked.qtype, bits, hashed, now)
            if flight == NOBODY:
                return False
        else:
            self.shared += 1
        waiter = self._new_waiter()
        if waiter == NOBODY:
            return False
        self.fd[waiter] = fd
        self.crowd[waiter] = self.crowds.of(asked.peer_family, asked.peer_upper, asked.peer_lower)
        self.crowds.waiting[self.crowd[waiter]] += 1
        self.size[waiter] = size
        _copy(self.packets, waiter * WAIT_OCTETS, packet, 0, size)
        self.family[waiter] = gd_peer(message.msg_name, message.msg_namelen, &self.upper[waiter],
                                      &self.lower[waiter], &port)
        self.name_size[waiter] = message.msg_namelen
        memcpy(&self.names[waiter * WAIT_NAME_WORDS], message.msg_name, message.msg_namelen)
        self.control_size[waiter] = control
        if control:
            memcpy(&self.controls[waiter * WAIT_CONTROL_WORDS], message.msg_control, control)
        self.next_waiter[waiter] = 0
        if self.first[flight]:
            self.next_waiter[self.last[flight] - 1] = waiter + 1
        else:
            self.first[flight] = waiter + 1
        self.last[flight] = waiter + 1
        return True

    cdef int32_t _launch(self, const uint8_t[::1] folded, Py_ssize_t size, uint32_t qtype,
                         uint8_t bits, uint32_t hashed, double now) except -2:
        """Ask the upstream; the flight, or NOBODY where that fails."""
        cdef Py_ssize_t end = 12 + size + 4
        cdef uint8_t[::1] query = self.query
        cdef int attempt, lane
        cdef uint16_t ident
        cdef int32_t flight
        if size + 5 > KEY_ROOM or self.flights >= self.flight_room:
            return NOBODY
        # RD and AD, which asks whether the answer was validated (RFC 6840 section 5.7); CD.
        query[2], query[3] = 0x01, 0x20 | (0x10 if bits & 1 else 0)
        query[4], query[5] = 0, 1
        query[6] = query[7] = query[8] = query[9] = query[10] = 0
        query[11] = 1
        _copy(query, 12, folded, 0, size)
        query[end - 4], query[end - 3] = qtype >> 8, qtype & 0xFF
        query[end - 2], query[end - 1] = 0, 1
        _copy(query, end, PLAIN_OPT, 0, 11)
        query[end + 7] = 0x80 if bits & 2 else 0
        for attempt in range(2):
            lane = self.lanes.pick(now)
            if lane < 0:
                break
            ident = self.lanes.number()
            while self.asked(lane, ident) != NOBODY:
                ident = self.lanes.number()
            query[0], query[1] = ident >> 8, ident & 0xFF
            if send(self.lanes.fds[lane], &query[0], end + 11, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 \
                    and errno != EAGAIN and errno != EINTR:
                # It may be the error of an earlier datagram that is told now: once more.
                self.fail(lane, self.fallen)
                continue
            flight = self._new_flight()
            _copy(self.keys, flight * KEY_ROOM, query, 12, size + 4)
            self.keys[flight * KEY_ROOM + size + 4] = bits
            self.key_size[flight] = size + 5
            self.hashed[flight] = hashed
            self.next_key[flight] = self.by_key[hashed & self.mask]
            self.by_key[hashed & self.mask] = flight + 1
            self.lane[flight], self.ident[flight] = lane, ident
            self.next_ident[flight] = self.by_ident[self._slot(lane, ident)]
            self.by_ident[self._slot(lane, ident)] = flight + 1
            self.first[flight] = self.last[flight] = 0
            self.sent_at[flight] = now
            self.under_way[flight] = 1
            self.lanes.uses[lane] += 1
            self.lanes.pending[lane] += 1
            self.sent += 1
            return flight
        self.refused = True
        self.wake()
        return NOBODY

    cdef uint32_t _slot(self, int lane, uint16_t ident) noexcept:
        return ((<uint32_t>lane << 16 | ident) * 0x9E3779B1u >> 7) & self.mask

    cdef int32_t asked(self, int lane, uint16_t ident) except -2:
        """The flight whose query went through a lane with an ID, or NOBODY."""
        cdef int32_t at = self.by_ident[self._slot(lane, ident)] - 1
        while at >= 0 and (self.lane[at] != lane or self.ident[at] != ident):
            at = self.next_ident[at] - 1
        return at if at >= 0 else NOBODY

    cdef int32_t match(self, int lane, const uint8_t[::1] packet) except -2:
        """The flight that a datagram is the response to, or NOBODY."""
        cdef int32_t flight
        cdef Py_ssize_t base, size, at
        if packet.shape[0] < 12 or packet[2] & 0xF8 != 0x80 or packet[4] or packet[5] != 1:
            return NOBODY
        flight = self.asked(lane, packet[0] << 8 | packet[1])
        if flight == NOBODY:
            return NOBODY
        base, size = flight * KEY_ROOM, self.key_size[flight] - 1
        if packet.shape[0] < 12 + size:
            return NOBODY
        for at in range(size - 4):
            if _lower(packet[12 + at]) != self.keys[base + at]:
                return NOBODY
        for at in range(size - 4, size):
            if packet[12 + at] != self.keys[base + at]:
                return NOBODY
        return flight

    cdef int32_t land(self, int32_t flight) except -2:
        """Forget a flight; its first waiter, counted from 1, or 0."""
        cdef int32_t at, before, slot, first = self.first[flight]
        slot = self.hashed[flight] & self.mask
        before, at = -1, self.by_key[slot] - 1
        while at != flight:
            before, at = at, self.next_key[at] - 1
        if before < 0:
            self.by_key[slot] = self.next_key[flight]
        else:
            self.next_key[before] = self.next_key[flight]
        slot = self._slot(self.lane[flight], self.ident[flight])
        before, at = -1, self.by_ident[slot] - 1
        while at != flight:
            before, at = at, self.next_ident[at] - 1
        if before < 0:
            self.by_ident[slot] = self.next_ident[flight]
        else:
            self.next_ident[before] = self.next_ident[flight]
        self.under_way[flight] = 0
        self.next_key[flight] = self.free_flight + 1
        self.free_flight = flight
        self.flights -= 1
        self.lanes.landed(self.lane[flight])
        return first

    cdef int give_up(self, int32_t flight, list left) except -1:
        """End a flight; its waiters are left for the pipeline."""
        cdef int32_t waiter = self.land(flight), following
        while waiter:
            following = self.next_waiter[waiter - 1]
            left.append(self.parcel(waiter - 1))
            self.drop_waiter(waiter - 1)
            waiter = following
        return 0

    cdef int fail(self, int lane, list left) except -1:
        """The network has refused a datagram of a lane. It does not say which."""
        cdef int32_t flight
        self.refused = self.refused or self.lanes.is_current(lane)
        # One pending more, so that the last flight does not close it under our hands.
        self.lanes.pending[lane] += 1
        for flight in range(self.flight_room):
            if self.lanes.pending[lane] == 1:
                break
            if self.under_way[flight] and self.lane[flight] == lane:
                self.errors += 1
                self.give_up(flight, left)
        self.lanes.pending[lane] -= 1
        self.lanes.shut(lane)
        return 0

    cdef int overdue(self, double before, list left) except -1:
        """Give up all flights that were sent before an instant."""
        cdef int32_t flight
        cdef int rest = self.flights
        for flight in range(self.flight_room):
            if rest == 0:
                break
            if self.under_way[flight]:
                rest -= 1
                if self.sent_at[flight] <= before:
                    self.timeouts += 1
                    self.silences += self.lanes.is_current(self.lane[flight])
                    self.give_up(flight, left)
        return 0

    cdef int address(self, int32_t waiter, msghdr* message) except -1:
        """Whom to reply to, in memory that lasts as long as the waiter."""
        memset(message, 0, sizeof(msghdr))
        message.msg_name = &self.names[waiter * WAIT_NAME_WORDS]
        message.msg_namelen = self.name_size[waiter]
        message.msg_controllen = self.control_size[waiter]
        if message.msg_controllen:
            message.msg_control = &self.controls[waiter * WAIT_CONTROL_WORDS]
        return 0

    cdef tuple parcel(self, int32_t waiter):
        """A packet for the pipeline: its socket, then as in drain."""
        cdef msghdr message
        cdef Py_ssize_t start = waiter * WAIT_OCTETS
        self.address(waiter, &message)
        return (self.fd[waiter], bytes(self.packets[start:start + self.size[waiter]]),
                _packed(self.family[waiter], self.upper[waiter], self.lower[waiter]),
                *_source(&message))
