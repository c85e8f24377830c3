# The way of a packet to its reply; the specification is pure.py. Included by native.pyx.


cdef class Answering:
    """The tables in force, and the query at hand."""

    cdef object _load
    cdef bint _ready
    cdef PeerRanges served, trusted, proxies
    cdef PlaceTables places
    cdef RunTables runs
    cdef Rulings rulings
    cdef BlockReplies blocks
    cdef KeptAnswers kept
    cdef NamedNetworks networks
    cdef Inbox inbox
    cdef Outbox outbox
    # The way of a miss; None where the pipeline goes it.
    cdef Misses misses
    cdef Scan scan
    cdef Crowds crowds
    # Where the packet at hand came from; NULL if it may not wait here.
    cdef msghdr* message
    cdef int fd
    # The packet at hand with the PROXY header that was taken off it.
    cdef const uint8_t[::1] datagram
    cdef readonly Guard guard
    cdef uint64_t[::1] order_counts_, place_counts_, place_blocks_
    cdef Tally tally
    cdef uint32_t heeded
    cdef uint64_t queries, blocked, allowed, unlocated, dropped, missed_, crowded_
    # The queried name in lower case, and the hash of each of its suffixes.
    cdef uint8_t[::1] folded
    cdef uint32_t[MAX_LABELS] hashes

    cdef int _reply(self, Py_ssize_t size, msghdr* message) except -1:
        """Put what was written into the outbox, to whom a packet came from."""
        return self.outbox.add(size, message.msg_name, message.msg_namelen, message.msg_control,
                               message.msg_controllen)

    cdef Py_ssize_t _answer(self, const uint8_t[::1] packet, uint8_t[::1] out, int family,
                            uint64_t upper, uint64_t lower, double now) except -2:
        """Length of the reply written to ``out``, DROP or UP. The steps are those of pure.py.

        family, upper, lower: the socket's peer.
        """
        cdef Py_ssize_t header
        if not self._ready or self.served is None:
            return UP
        # Unwrap
        if self.proxies is not None and self.proxies.hold(family, upper, lower):
            header = _unwrap(packet, &family, &upper, &lower)
            if header == UP:
                return UP
            self.datagram = packet
            return self._answer_to(packet[header:], out, family, upper, lower, True, now)
        return self._answer_to(packet, out, family, upper, lower, False, now)

    cdef Py_ssize_t _answer_to(self, const uint8_t[::1] packet, uint8_t[::1] out, int family,
                               uint64_t upper, uint64_t lower, bint proxied,
                               double now) except -2:
        """The same for a message, and for whom a proxy asks where one does."""
        cdef Asked asked
        cdef Py_ssize_t made, target = 0
        cdef int32_t order
        asked.proxied = proxied
        # Read
        asked.heeded = self.heeded
        made = _read(packet, &asked)
        if made == DROP:
            self.dropped += 1
        if made <= 0:
            return made
        # Admit
        if not proxied and not self.served.hold(family, upper, lower):
            return UP
        # Identify. Options that change what the reply owes are known from here on.
        asked.family, asked.upper, asked.lower = family, upper, lower
        asked.peer_family, asked.peer_upper, asked.peer_lower = family, upper, lower
        if asked.cookie:
            if self.guard.secrets and not _owe_cookie(packet, &asked):
                return UP
        # Hold back at once who asks far too much.
        if self.guard.accounts is not None:
            made = self._hold_flood(packet, out, &asked, now)
            if made != UP:
                return made
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
                self.tally.add(order, asked.location, 1)
        else:
            made = self._pass(packet, out, &asked, now)
            if made > 0 and asked.crowded:
                self.crowded_ += 1
            elif made > 0:
                self.allowed += 1
        if made > 0:
            self.queries += 1
            self.unlocated += self.places.unknown[asked.location]
            self.place_counts_[asked.location] += 1
            # Hold back. Last, since what is charged is the reply.
            if asked.baked or self.guard.accounts is not None:
                return self._hold_back(packet, out, &asked, made, now)
        return made

    cdef Py_ssize_t _hold_flood(self, const uint8_t[::1] packet, uint8_t[::1] out,
                                const Asked* asked, double now) except -2:
        """UP for who asks in measure or has a valid cookie; else DROP, or the size of a slip."""
        cdef int judged = ABSENT, rcode
        cdef uint32_t stamp = self.guard.stamp(now)
        cdef Py_ssize_t made = asked.end + 11 + asked.baked
        rcode = self.guard.flooded(asked.peer_family, asked.peer_upper, asked.peer_lower, now)
        if rcode < 0:
            return UP
        if asked.baked:
            judged = self.guard.worth(packet, asked.cookie + 4, asked.cookie_size,
                                      asked.peer_family, asked.peer_upper, asked.peer_lower, stamp)
            if judged == VALID:
                return UP
        if self.guard.weigh(asked.peer_family, asked.peer_upper, asked.peer_lower, rcode,
                            now) != SLIP:
            return DROP
        if asked.baked:
            self.guard.write(out, made - BAKED, packet, asked.cookie + 4, judged,
                             asked.peer_family, asked.peer_upper, asked.peer_lower, stamp)
        return _slip(packet, out, asked, made)

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
        """The kept answer to an allowed name; DROP if its sender waits for one now; or UP."""
        cdef uint8_t bits = asked.dnssec_ok >> 6 | ((packet[3] >> 4) & 1)
        cdef uint32_t hashed = _mix(self.hashes[0], asked.qtype, bits)
        cdef Py_ssize_t slot = self.kept.find(self.folded, asked.end - 16, hashed, asked.qtype,
                                              bits, now)
        if slot >= 0:
            return self.kept.write(slot, packet, out, asked, now)
        # Only what is not known at all; what the pipeline has is not asked for again.
        if slot == -1 and self.misses is not None and self.message != NULL and not asked.extra \
                and not self.misses.is_apart(self.folded, asked, self.hashes):
            if self.crowds.waiting[self.crowds.of(asked.peer_family, asked.peer_upper,
                                                  asked.peer_lower)] >= self.crowds.most:
                asked.crowded = True
                return _crowded(packet, out, asked)
            if self.misses.enrol(self.datagram if asked.proxied else packet, asked,
                                 self.folded, hashed, bits, self.message, self.fd, now):
                return DROP
        return UP
