# Cookies and response rate limiting: the twin of guard.py, cookie.py and rate.py. Included by
# native.pyx.

GUARD_COUNTS = guard.COUNTS

cdef double BURST = rate.BURST
cdef double DEEP = rate.DEEP

cdef enum:
    COOKIE = 10
    CLIENT_COOKIE = 8
    FULL_COOKIE = 24
    BAKED = 4 + FULL_COOKIE
    MOST_SECRETS = 4
    ABSENT = 0
    NEW = 1
    VALID = 2
    BAD = 3
    OLDEST = 3600
    NEWEST = -300
    RENEWED = 1800
    CHARGED = 0
    HOLD = 1
    SLIP = 2
    ACCOUNT_WAYS = 8
    BADCOOKIE = 23

if (COOKIE, CLIENT_COOKIE, BAKED, MOST_SECRETS, ABSENT, NEW, VALID, BAD, OLDEST, NEWEST, RENEWED) != (
    cookie.OPTION_COOKIE, cookie.CLIENT_SIZE, cookie.ENCODED, cookie.MOST_SECRETS, cookie.ABSENT,
    cookie.NEW, cookie.VALID, cookie.BAD, cookie.OLDEST, cookie.NEWEST, cookie.RENEWED,
) or (CHARGED, HOLD, SLIP) != (rate.PASS, rate.HOLD, rate.SLIP):
    raise ImportError("geodns.fastpath.native was built for other guards; build it anew")


cdef inline uint64_t _rotate(uint64_t value, int bits) noexcept nogil:
    return value << bits | value >> (64 - bits)


cdef void _sip_rounds(int count, uint64_t* v) noexcept nogil:
    cdef int step
    for step in range(count):
        v[0] += v[1]
        v[2] += v[3]
        v[1] = _rotate(v[1], 13) ^ v[0]
        v[3] = _rotate(v[3], 16) ^ v[2]
        v[0] = _rotate(v[0], 32)
        v[2] += v[1]
        v[0] += v[3]
        v[1] = _rotate(v[1], 17) ^ v[2]
        v[3] = _rotate(v[3], 21) ^ v[0]
        v[2] = _rotate(v[2], 32)


cdef uint64_t _siphash(uint64_t k0, uint64_t k1, const uint64_t* words, int count,
                       uint64_t last) noexcept nogil:
    """SipHash-2-4 of little-endian words and a last one, which has the length on top."""
    cdef uint64_t[4] v
    cdef int at
    cdef uint64_t word
    v[0] = k0 ^ 0x736F6D6570736575ull
    v[1] = k1 ^ 0x646F72616E646F6Dull
    v[2] = k0 ^ 0x6C7967656E657261ull
    v[3] = k1 ^ 0x7465646279746573ull
    for at in range(count + 1):
        word = words[at] if at < count else last
        v[3] ^= word
        _sip_rounds(2, v)
        v[0] ^= word
    v[2] ^= 0xFF
    _sip_rounds(4, v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


cdef uint64_t _word(const uint8_t[::1] octets, Py_ssize_t at) except? 7:
    """Eight octets as a little-endian integer."""
    cdef uint64_t word = 0
    cdef Py_ssize_t step
    if at < 0 or at + 8 > octets.shape[0]:
        raise IndexError
    for step in range(7, -1, -1):
        word = word << 8 | octets[at + step]
    return word


cdef inline uint64_t _swapped(uint64_t value) noexcept nogil:
    """The octets of an integer the other way round."""
    cdef uint64_t swapped = 0
    cdef int step
    for step in range(8):
        swapped = swapped << 8 | (value >> 8 * step & 0xFF)
    return swapped


@cython.final
cdef class Accounts:
    """See rate.Accounts: a table of sets of ACCOUNT_WAYS slots, the set by a keyed hash."""

    cdef PeerRanges exempt
    cdef double[3] per_second
    cdef double window
    cdef int slip, prefix4, prefix6
    cdef bint only_count
    cdef uint64_t k0, k1
    cdef uint32_t sets
    cdef uint64_t[::1] network_
    cdef uint8_t[::1] kind_, held_
    cdef double[::1] ahead_

    def __init__(self, limits):
        cdef int at
        cdef const uint8_t[::1] key = os.urandom(16)
        self.exempt = PeerRanges(limits.exempt)
        for at in range(3):
            self.per_second[at] = limits.per_second[at]
        self.window, self.slip = limits.window, limits.slip
        if not 0 <= limits.prefix4 <= 32 or not 0 <= limits.prefix6 <= 64 or not 0 <= self.slip <= 255:
            raise ValueError("prefixes have 32 and 64 bits at most, slips are 255 at most")
        self.prefix4, self.prefix6 = limits.prefix4, limits.prefix6
        self.only_count = limits.only_count
        self.k0, self.k1 = _word(key, 0), _word(key, 8)
        self.sets = rate.ACCOUNTS // ACCOUNT_WAYS
        self.network_, self.ahead_ = _zeros("Q", rate.ACCOUNTS), _zeros("d", rate.ACCOUNTS)
        self.kind_, self.held_ = _zeros("B", rate.ACCOUNTS), _zeros("B", rate.ACCOUNTS)

    cdef int flood(self, int family, uint64_t upper, uint64_t lower, double now) except -2:
        """The kind of the first account that is deep in debt, or -1."""
        cdef int kind
        cdef Py_ssize_t slot
        if self.only_count or self.exempt.hold(family, upper, lower):
            return -1
        for kind in range(3):
            if self.per_second[kind] > 0:
                slot = self.find(family, upper, lower, kind)
                if slot >= 0 and self.ahead_[slot] > now + BURST + DEEP:
                    return kind
        return -1

    cdef uint64_t network(self, int family, uint64_t upper, uint64_t lower) noexcept:
        if family == 4:
            return lower >> (32 - self.prefix4)
        return upper >> (64 - self.prefix6) if self.prefix6 else 0

    cdef Py_ssize_t first(self, uint64_t network, int kind) noexcept:
        """Where the set of an account begins."""
        return (_siphash(self.k0, self.k1, &network, 1, kind | 9ull << 56) % self.sets) \
            * ACCOUNT_WAYS

    cdef Py_ssize_t find(self, int family, uint64_t upper, uint64_t lower, int kind) except -2:
        """The slot of an account, or -1."""
        cdef uint64_t network = self.network(family, upper, lower)
        cdef Py_ssize_t slot, first
        # 1 and more, so that no account looks like an empty slot.
        kind += 1 if family == 4 else 4
        first = self.first(network, kind)
        for slot in range(first, first + ACCOUNT_WAYS):
            if self.network_[slot] == network and self.kind_[slot] == kind:
                return slot
        return -1

    cdef int charge(self, int family, uint64_t upper, uint64_t lower, int rcode,
                    double now) except -1:
        """CHARGED, HOLD or SLIP."""
        cdef int kind = 0 if rcode == 0 else 1 if rcode == 3 else 2
        cdef double ahead, before = 0, latest
        cdef uint64_t network
        cdef Py_ssize_t first, slot, chosen = -1
        cdef int verdict = CHARGED
        if self.per_second[kind] <= 0 or self.exempt.hold(family, upper, lower):
            return CHARGED
        chosen = self.find(family, upper, lower, kind)
        if chosen >= 0:
            before = self.ahead_[chosen]
        network = self.network(family, upper, lower)
        kind += 1 if family == 4 else 4
        first = self.first(network, kind)
        if chosen < 0:
            # The one that is least ahead goes.
            chosen = first
            for slot in range(first, first + ACCOUNT_WAYS):
                if self.ahead_[slot] < self.ahead_[chosen]:
                    chosen = slot
            self.network_[chosen], self.kind_[chosen], self.held_[chosen] = network, kind, 0
        ahead = max(before, now) + 1.0 / self.per_second[(kind - 1) % 3]
        latest = now + BURST
        if ahead > latest:
            verdict = HOLD
            if self.slip:
                self.held_[chosen] = (self.held_[chosen] + 1) % self.slip
                if self.held_[chosen] == 0:
                    verdict = SLIP
        self.ahead_[chosen] = min(ahead, latest + self.window)
        return verdict


@cython.final
cdef class Guard:
    """See guard.Guard."""

    cdef int secrets
    cdef uint64_t[2 * MOST_SECRETS] keys
    cdef double offset
    cdef Accounts accounts
    cdef uint64_t[4] judged_
    cdef uint64_t held, slipped, over

    def take_secrets(self, secrets, double offset):
        """Use these secrets from now on; without any, cookies are ignored. ValueError."""
        cdef int at
        cookie.check_secrets(secrets)
        for at in range(len(secrets)):
            self.keys[2 * at], self.keys[2 * at + 1] = _word(secrets[at], 0), _word(secrets[at], 8)
        self.secrets = len(secrets)
        self.offset = offset

    def take_rates(self, limits):
        """Limit replies from now on, with new accounts; None limits nothing."""
        self.accounts = Accounts(limits) if limits is not None else None

    @property
    def bakes(self):
        """Whether cookies are given out."""
        return self.secrets > 0

    @property
    def limits(self):
        """Whether replies are charged for."""
        return self.accounts is not None

    def judge(self, bytes data, bytes peer, double now):
        """What a COOKIE option's data is worth."""
        cdef uint64_t upper = 0, lower = 0
        cdef int family = _unpacked(peer, &upper, &lower)
        return self.worth(data, 0, len(data), family, upper, lower, self.stamp(now))

    def bake(self, bytes data, bytes peer, double now):
        """The option that the reply carries back, encoded, and what ``judge`` says."""
        cdef uint64_t upper = 0, lower = 0
        cdef int judged, family = _unpacked(peer, &upper, &lower)
        cdef uint32_t stamp = self.stamp(now)
        cdef uint8_t[::1] out
        judged = self.worth(data, 0, len(data), family, upper, lower, stamp)
        if judged == ABSENT:
            return b"", judged
        out = bytearray(BAKED)
        self.write(out, 0, data, 0, judged, family, upper, lower, stamp)
        return bytes(out), judged

    def charge(self, bytes peer, int rcode, double now):
        """Charge a reply to its client: rate.PASS, HOLD or SLIP; count it."""
        cdef uint64_t upper = 0, lower = 0
        cdef int family = _unpacked(peer, &upper, &lower)
        return self.weigh(family, upper, lower, rcode, now)

    def flood(self, bytes peer, double now):
        """The response code of which a peer's network gets far too many replies, or -1."""
        cdef uint64_t upper = 0, lower = 0
        cdef int family = _unpacked(peer, &upper, &lower)
        return self.flooded(family, upper, lower, now)

    def counts(self):
        """Cookies by what they were worth, and replies held back, since the start."""
        found = (self.judged_[NEW], self.judged_[VALID], self.judged_[BAD],
                 self.held, self.slipped, self.over)
        return dict(zip(GUARD_COUNTS, found, strict=True))

    cdef int flooded(self, int family, uint64_t upper, uint64_t lower, double now) except -2:
        cdef int kind
        if self.accounts is None:
            return -1
        kind = self.accounts.flood(family, upper, lower, now)
        return -1 if kind < 0 else 0 if kind == 0 else 3 if kind == 1 else 2

    cdef uint32_t stamp(self, double now) noexcept:
        return <uint32_t><uint64_t>(now + self.offset)

    cdef int weigh(self, int family, uint64_t upper, uint64_t lower, int rcode,
                   double now) except -1:
        cdef int verdict
        if self.accounts is None:
            return CHARGED
        verdict = self.accounts.charge(family, upper, lower, rcode, now)
        if verdict == CHARGED:
            return CHARGED
        if self.accounts.only_count:
            self.over += 1
            return CHARGED
        if verdict == HOLD:
            self.held += 1
        else:
            self.slipped += 1
        return verdict

    cdef int worth(self, const uint8_t[::1] data, Py_ssize_t at, Py_ssize_t size, int family,
                   uint64_t upper, uint64_t lower, uint32_t stamp) except -1:
        """ABSENT, NEW, VALID or BAD, of well-formed option data that begins at ``at``."""
        cdef int32_t age
        cdef int number
        cdef uint64_t[4] words
        cdef uint64_t claimed
        if self.secrets == 0:
            return ABSENT
        if size == CLIENT_COOKIE:
            return NEW
        if size != FULL_COOKIE or data[at + 8] != 1:
            return BAD
        age = self.age(data, at, stamp)
        if age < NEWEST or age > OLDEST:
            return BAD
        words[0], words[1] = _word(data, at), _word(data, at + 8)
        claimed = _word(data, at + 16)
        for number in range(self.secrets):
            if self.seal(number, words, family, upper, lower) == claimed:
                return VALID
        return BAD

    cdef int32_t age(self, const uint8_t[::1] data, Py_ssize_t at, uint32_t stamp) except? -9:
        return <int32_t>(stamp - (<uint32_t>data[at + 12] << 24 | <uint32_t>data[at + 13] << 16
                                  | <uint32_t>data[at + 14] << 8 | data[at + 15]))

    cdef uint64_t seal(self, int number, uint64_t* words, int family, uint64_t upper,
                       uint64_t lower) noexcept:
        """The hash of a cookie (its first two words) and an address, under a secret."""
        if family == 4:
            return _siphash(self.keys[2 * number], self.keys[2 * number + 1], words, 2,
                            _swapped(lower) >> 32 | 20ull << 56)
        words[2], words[3] = _swapped(upper), _swapped(lower)
        return _siphash(self.keys[2 * number], self.keys[2 * number + 1], words, 4, 32ull << 56)

    cdef int write(self, uint8_t[::1] out, Py_ssize_t to, const uint8_t[::1] data, Py_ssize_t at,
                   int judged, int family, uint64_t upper, uint64_t lower,
                   uint32_t stamp) except -1:
        """Write the option that the reply carries back, BAKED octets; count what it answers."""
        cdef uint64_t[4] words
        cdef uint64_t sealed
        cdef int step
        self.judged_[judged] += 1
        if to < 0 or to + BAKED > out.shape[0]:
            raise IndexError
        out[to], out[to + 1], out[to + 2], out[to + 3] = 0, COOKIE, 0, FULL_COOKIE
        if judged == VALID and self.age(data, at, stamp) < RENEWED:
            return _copy(out, to + 4, data, at, FULL_COOKIE)
        _copy(out, to + 4, data, at, CLIENT_COOKIE)
        out[to + 12], out[to + 13], out[to + 14], out[to + 15] = 1, 0, 0, 0
        for step in range(4):
            out[to + 16 + step] = stamp >> (24 - 8 * step) & 0xFF
        words[0], words[1] = _word(out, to + 4), _word(out, to + 12)
        sealed = self.seal(0, words, family, upper, lower)
        for step in range(8):
            out[to + 20 + step] = sealed >> 8 * step & 0xFF
        return 0


cdef int _unpacked(bytes peer, uint64_t* upper, uint64_t* lower) except -1:
    """The family (octets) and address of a packed address. ValueError if it is none."""
    if len(peer) == 4:
        lower[0] = int.from_bytes(peer, "big")
    elif len(peer) == 16:
        upper[0] = int.from_bytes(peer[:8], "big")
        lower[0] = int.from_bytes(peer[8:], "big")
    else:
        raise ValueError("an address has 4 or 16 octets")
    return len(peer)


cdef Py_ssize_t _slip(const uint8_t[::1] packet, uint8_t[::1] out, const Asked* asked,
                      Py_ssize_t made) except -1:
    """Cut a reply of ``made`` octets, which ends with the cookie if it has one, to a slip."""
    cdef Py_ssize_t end = asked.end, at
    cdef int rcode = BADCOOKIE if asked.baked else 0
    _copy(out, 0, packet, 0, end)
    out[2] = 0x80 | (0 if asked.baked else 0x02) | (packet[2] & 1)
    out[3] = 0x80 | (packet[3] & 0x10) | (rcode & 0xF)
    for at in range(4, 12):
        out[at] = 0
    out[5], out[11] = 1, asked.edns
    if not asked.edns:
        return end
    if asked.baked:
        # The room of the cookie and the OPT record may overlap.
        if made < BAKED or made > out.shape[0] or end + 11 + BAKED > out.shape[0]:
            raise IndexError
        memmove(&out[end + 11], &out[made - BAKED], BAKED)
    _copy(out, end, PLAIN_OPT, 0, 11)
    out[end + 5] = rcode >> 4
    out[end + 7] = asked.dnssec_ok
    out[end + 10] = asked.baked
    return end + 11 + asked.baked
