# A query as octets: what is read of it, and the OPT record that its reply owes. Included by
# native.pyx.

cdef struct Asked:
    # The question ends at ``end``; ``starts`` are the offsets of its labels in the packet.
    Py_ssize_t end, labels
    Py_ssize_t[MAX_LABELS] starts
    uint32_t qtype
    # The code of an EDNS option that wants thought.
    uint32_t heeded
    # EDNS: DO is 0x80 or 0; where the ECS option begins, 0 for none; octets the client can take.
    bint edns
    uint8_t dnssec_ok
    Py_ssize_t ecs, limit
    # The ECS option that the reply owes to a trusted peer: where it stands, its size, its scope.
    Py_ssize_t extra_at, extra
    uint8_t extra_scope
    # The first COOKIE option: where it begins, 0 for none, and the size of its data; and the
    # octets that the reply owes for it at its end.
    Py_ssize_t cookie, cookie_size, baked
    # Whether the reply is that of a network which has its share of those who wait.
    bint crowded
    # Whether a PROXY header was in front.
    bint proxied
    # Whom the reply is for: whom a PROXY header named, else the socket's peer.
    int peer_family
    uint64_t peer_upper, peer_lower
    # The client who is judged; bits of the prefix that is known of an address given by ECS.
    int family, known
    uint64_t upper, lower
    Py_ssize_t location
    # The first and last address of its run, where ``known`` is not 0.
    uint64_t[4] run


cdef Py_ssize_t _read(const uint8_t[::1] packet, Asked* asked) except -2:
    """Read a packet: its size, DROP or UP."""
    cdef Py_ssize_t size = packet.shape[0], at = 12, end, labels = 0
    cdef uint8_t length
    asked.extra = asked.ecs = 0
    asked.cookie = asked.cookie_size = asked.baked = 0
    asked.crowded = False
    asked.extra_scope = asked.dnssec_ok = 0
    asked.known = 0
    asked.limit = 512
    if size < 12 or packet[2] & 0x80:
        return DROP
    if packet[2] & 0x78 or packet[4] or packet[5] != 1 or packet[6] or packet[7] \
            or packet[8] or packet[9] or packet[10] or packet[11] > 1:
        return UP
    asked.edns = packet[11] == 1
    while at < size:
        length = packet[at]
        if length == 0:
            break
        if length > 63 or labels == MAX_LABELS:
            return UP
        asked.starts[labels] = at
        labels += 1
        at += 1 + length
    end = at + 5
    if end > size or at - 11 > 255:
        return UP
    asked.labels = labels
    asked.end = end
    asked.qtype = packet[end - 4] << 8 | packet[end - 3]
    if packet[end - 2] or packet[end - 1] != 1 or asked.qtype == 0 or asked.qtype == 41 \
            or 128 <= asked.qtype <= 255:
        return UP
    if not asked.edns:
        return size if end == size else UP
    return _read_opt(packet, asked)


cdef Py_ssize_t _read_opt(const uint8_t[::1] packet, Asked* asked) except -2:
    """Read the OPT record that ends a packet: the packet's size, or UP."""
    cdef Py_ssize_t size = packet.shape[0], end = asked.end, at = end + 11
    cdef uint32_t code
    if at > size or packet[end] or packet[end + 1] or packet[end + 2] != 0x29 or packet[end + 6]:
        return UP
    asked.limit = packet[end + 3] << 8 | packet[end + 4]
    asked.limit = max(512, min(asked.limit, <Py_ssize_t>OUR_SIZE))
    asked.dnssec_ok = packet[end + 7] & 0x80
    if at + (packet[end + 9] << 8 | packet[end + 10]) != size:
        return UP
    while at + 4 <= size:
        code = packet[at] << 8 | packet[at + 1]
        if code == OPTION_EDE or code == asked.heeded:
            return UP
        if packet[at] == 0 and packet[at + 1] == 8:
            if asked.ecs:
                return UP
            asked.ecs = at
        elif packet[at] == 0 and packet[at + 1] == 10 and asked.cookie == 0:
            asked.cookie = at
            asked.cookie_size = packet[at + 2] << 8 | packet[at + 3]
        at += 4 + (packet[at + 2] << 8 | packet[at + 3])
    return size if at == size else UP


cdef bint _owe_cookie(const uint8_t[::1] packet, Asked* asked) except -1:
    """Owe the reply a cookie; False if that of the query is malformed (RFC 7873 section 4)."""
    if asked.cookie_size != 8 and not 16 <= asked.cookie_size <= 40:
        return False
    asked.baked = BAKED
    return True


cdef int _ecs_width(const uint8_t[::1] packet, Py_ssize_t at) except -1:
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


cdef int _believe_ecs(const uint8_t[::1] packet, Asked* asked, int width) except -1:
    """Let a trusted peer's ECS option name the client, and owe it one in the reply."""
    cdef Py_ssize_t at, ecs = asked.ecs
    asked.extra_at = ecs
    asked.extra = 4 + (packet[ecs + 2] << 8 | packet[ecs + 3])
    asked.known = packet[ecs + 6]
    if not asked.known:
        return 0
    asked.family = width
    asked.upper = asked.lower = 0
    for at in range(width):
        if width == 16 and at < 8:
            asked.upper = asked.upper << 8 | (packet[ecs + 8 + at] if 8 * at < asked.known else 0)
        else:
            asked.lower = asked.lower << 8 | (packet[ecs + 8 + at] if 8 * at < asked.known else 0)
    return 0


cdef int _put_opt(uint8_t[::1] out, Py_ssize_t at, const uint8_t[::1] packet, const Asked* asked,
                  const uint8_t[::1] opts, Py_ssize_t start, Py_ssize_t size) except -1:
    """Write an OPT record with the DO bit, the ECS option in front of its own, and room for the
    cookie behind them."""
    cdef Py_ssize_t length = size - 11 + asked.extra + asked.baked
    _copy(out, at, opts, start, 11)
    out[at + 7] = asked.dnssec_ok
    out[at + 9] = (length >> 8) & 0xFF
    out[at + 10] = length & 0xFF
    if asked.extra:
        _copy(out, at + 11, packet, asked.extra_at, asked.extra)
        out[at + 11 + 7] = asked.extra_scope
    _copy(out, at + 11 + asked.extra, opts, start + 11, size - 11)
    return 0
