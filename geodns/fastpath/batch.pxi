# A batch of datagrams: read with one call of the kernel, answered with another. Included by
# native.pyx.


@cython.final
cdef class Batch:
    """Room for BATCH packets and their replies, and where each came from."""

    cdef uint8_t[::1] inbox, outbox
    cdef mmsghdr[BATCH] received
    cdef mmsghdr[BATCH] replies
    cdef iovec[BATCH] in_vectors
    cdef iovec[BATCH] out_vectors
    # Of 64-bit items, so that the addresses and control messages in them are aligned.
    cdef uint64_t[BATCH * NAME_WORDS] peer_names
    cdef uint64_t[BATCH * CONTROL_WORDS] controls
    # Which packet each reply is to, and how many replies there are.
    cdef int[BATCH] origin
    cdef int sent

    def __init__(self):
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

    cdef int receive(self, int fd, bint ancillary) except -2:
        """Read what has come; how many packets, 0 or -1 for none."""
        cdef int at
        self.sent = 0
        for at in range(BATCH):
            self.received[at].msg_hdr.msg_namelen = NAME_SIZE
            self.received[at].msg_hdr.msg_control = \
                &self.controls[at * CONTROL_WORDS] if ancillary else NULL
            self.received[at].msg_hdr.msg_controllen = CONTROL_SIZE if ancillary else 0
        return recvmmsg(fd, self.received, BATCH, MSG_DONTWAIT, NULL)

    cdef int sender(self, int at, bint ancillary, uint64_t* upper, uint64_t* lower) except -1:
        """The family (4 or 16) and address of a packet's sender; 0 if it cannot be replied to."""
        cdef unsigned port = 0
        cdef int family = gd_peer(&self.peer_names[at * NAME_WORDS],
                                  self.received[at].msg_hdr.msg_namelen, upper, lower, &port)
        if family == 0 or port == 0 or self.received[at].msg_hdr.msg_flags & MSG_TRUNC \
                or self.received[at].msg_len > IN_SIZE:
            return 0
        if ancillary:
            self.received[at].msg_hdr.msg_controllen = \
                gd_from_destination(&self.received[at].msg_hdr)
        return family

    cdef const uint8_t[::1] packet(self, int at):
        return self.inbox[at * IN_STRIDE:at * IN_STRIDE + self.received[at].msg_len]

    cdef uint8_t[::1] room(self):
        """Where the next reply is to be written."""
        return self.outbox[self.sent * OUT_SIZE:(self.sent + 1) * OUT_SIZE]

    cdef int reply(self, int at, Py_ssize_t size) except -1:
        """What was written to ``room`` is the reply to a packet."""
        cdef int sent = self.sent
        self.out_vectors[sent].iov_base = &self.outbox[sent * OUT_SIZE]
        self.out_vectors[sent].iov_len = size
        self.replies[sent].msg_hdr = self.received[at].msg_hdr
        self.replies[sent].msg_hdr.msg_iov = &self.out_vectors[sent]
        self.replies[sent].msg_hdr.msg_iovlen = 1
        self.replies[sent].msg_hdr.msg_flags = 0
        if self.replies[sent].msg_hdr.msg_controllen == 0:
            self.replies[sent].msg_hdr.msg_control = NULL
        self.origin[sent] = at
        self.sent += 1
        return 0

    cdef list send(self, int fd):
        """Send the replies; those that the kernel does not take, as drain gives them back."""
        cdef int done = 0, step, at
        cdef Py_ssize_t size
        unsent = []
        while done < self.sent:
            step = sendmmsg(fd, &self.replies[done], self.sent - done, MSG_DONTWAIT)
            if step <= 0:
                break
            done += step
        for at in range(done, self.sent):
            size = self.out_vectors[at].iov_len
            address, control = self.source(self.origin[at])
            unsent.append((bytes(self.outbox[at * OUT_SIZE:at * OUT_SIZE + size]),
                           control, address))
        return unsent

    cdef tuple parcel(self, int at):
        """A packet for the pipeline, as drain gives it back."""
        cdef uint64_t upper = 0, lower = 0
        cdef unsigned port = 0
        cdef int family = gd_peer(&self.peer_names[at * NAME_WORDS],
                                  self.received[at].msg_hdr.msg_namelen, &upper, &lower, &port)
        return (bytes(self.packet(at)), _packed(family, upper, lower), *self.source(at))

    cdef tuple source(self, int at):
        """The address and control messages of a received packet, as sendmsg takes them."""
        return _source(&self.received[at].msg_hdr)


cdef bytes _packed(int family, uint64_t upper, uint64_t lower):
    if family == 4:
        return (<object>lower).to_bytes(4, "big")
    return (<object>upper).to_bytes(8, "big") + (<object>lower).to_bytes(8, "big")


cdef tuple _source(msghdr* message):
    cdef uint64_t upper = 0, lower = 0
    cdef unsigned port = 0
    cdef int level = 0, kind = 0
    cdef const unsigned char* data = NULL
    cdef size_t size = 0
    cdef int family = gd_peer(message.msg_name, message.msg_namelen, &upper, &lower, &port)
    packed = _packed(family, upper, lower)
    if family == 4:
        address = (socket.inet_ntop(socket.AF_INET, packed), port)
    else:
        address = (socket.inet_ntop(socket.AF_INET6, packed), port, 0, gd_scope(message.msg_name))
    gd_control(message, &level, &kind, &data, &size)
    if size == 0:
        return address, []
    return address, [(level, kind, data[:size])]
