# A batch of datagrams: read with one call of the kernel, answered with another. Included by
# native.pyx.


@cython.final
cdef class Inbox:
    """Room for BATCH packets, and where each came from."""

    cdef uint8_t[::1] data
    cdef mmsghdr[BATCH] received
    cdef iovec[BATCH] vectors
    # Of 64-bit items, so that the addresses and control messages in them are aligned.
    cdef uint64_t[BATCH * NAME_WORDS] names
    cdef uint64_t[BATCH * CONTROL_WORDS] controls

    def __init__(self):
        # Room for the largest packets; memory only for the pages that packets fill. The stride is
        # no power of two, so that the heads of a batch do not fight for the same cache lines.
        self.data = mmap.mmap(-1, BATCH * IN_STRIDE)
        cdef int at
        memset(self.received, 0, sizeof(self.received))
        for at in range(BATCH):
            self.vectors[at].iov_base = &self.data[at * IN_STRIDE]
            self.vectors[at].iov_len = IN_SIZE
            self.received[at].msg_hdr.msg_iov = &self.vectors[at]
            self.received[at].msg_hdr.msg_iovlen = 1
            self.received[at].msg_hdr.msg_name = &self.names[at * NAME_WORDS]

    cdef int receive(self, int fd, bint ancillary) except -2:
        """Read what has come; how many packets, 0 or -1 for none."""
        cdef int at
        for at in range(BATCH):
            self.received[at].msg_hdr.msg_namelen = NAME_SIZE
            self.received[at].msg_hdr.msg_control = \
                &self.controls[at * CONTROL_WORDS] if ancillary else NULL
            self.received[at].msg_hdr.msg_controllen = CONTROL_SIZE if ancillary else 0
        return recvmmsg(fd, self.received, BATCH, MSG_DONTWAIT, NULL)

    cdef int sender(self, int at, bint ancillary, uint64_t* upper, uint64_t* lower) except -1:
        """The family (4 or 16) and address of a packet's sender; 0 if it cannot be replied to."""
        cdef unsigned port = 0
        cdef int family = gd_peer(&self.names[at * NAME_WORDS],
                                  self.received[at].msg_hdr.msg_namelen, upper, lower, &port)
        if family == 0 or port == 0 or self.received[at].msg_hdr.msg_flags & MSG_TRUNC \
                or self.received[at].msg_len > IN_SIZE:
            return 0
        if ancillary:
            self.received[at].msg_hdr.msg_controllen = \
                gd_from_destination(&self.received[at].msg_hdr)
        return family

    cdef const uint8_t[::1] packet(self, int at):
        return self.data[at * IN_STRIDE:at * IN_STRIDE + self.received[at].msg_len]

    cdef tuple parcel(self, int at):
        """A packet for the pipeline, as drain gives it back."""
        cdef uint64_t upper = 0, lower = 0
        cdef unsigned port = 0
        cdef int family = gd_peer(&self.names[at * NAME_WORDS],
                                  self.received[at].msg_hdr.msg_namelen, &upper, &lower, &port)
        return (bytes(self.packet(at)), _packed(family, upper, lower),
                *_source(&self.received[at].msg_hdr))


@cython.final
cdef class Outbox:
    """Replies on their way: up to BATCH of them are sent through one socket at once.

    Addresses and control messages are where the caller has them, and must stay there until
    ``send`` was called.
    """

    cdef uint8_t[::1] data
    cdef mmsghdr[BATCH] replies
    cdef iovec[BATCH] vectors
    cdef int count

    def __init__(self):
        self.data = bytearray(BATCH * OUT_SIZE)
        memset(self.replies, 0, sizeof(self.replies))

    cdef uint8_t[::1] room(self):
        """Where the next reply is to be written."""
        return self.data[self.count * OUT_SIZE:(self.count + 1) * OUT_SIZE]

    cdef int add(self, size_t size, void* name, unsigned int name_size, void* control,
                 size_t control_size) except -1:
        """What was written to ``room`` is a reply to this address."""
        cdef int at = self.count
        self.vectors[at].iov_base = &self.data[at * OUT_SIZE]
        self.vectors[at].iov_len = size
        self.replies[at].msg_hdr.msg_name = name
        self.replies[at].msg_hdr.msg_namelen = name_size
        self.replies[at].msg_hdr.msg_iov = &self.vectors[at]
        self.replies[at].msg_hdr.msg_iovlen = 1
        self.replies[at].msg_hdr.msg_control = control if control_size else NULL
        self.replies[at].msg_hdr.msg_controllen = control_size
        self.replies[at].msg_hdr.msg_flags = 0
        self.count += 1
        return 0

    cdef list send(self, int fd):
        """Send all; those that the kernel does not take, as drain gives them back."""
        cdef int done = 0, step, at
        cdef Py_ssize_t size
        unsent = []
        while done < self.count:
            step = sendmmsg(fd, &self.replies[done], self.count - done, MSG_DONTWAIT)
            if step <= 0:
                break
            done += step
        for at in range(done, self.count):
            size = self.vectors[at].iov_len
            address, control = _source(&self.replies[at].msg_hdr)
            unsent.append((bytes(self.data[at * OUT_SIZE:at * OUT_SIZE + size]),
                           control, address))
        self.count = 0
        return unsent


cdef bytes _packed(int family, uint64_t upper, uint64_t lower):
    if family == 4:
        return (<object>lower).to_bytes(4, "big")
    return (<object>upper).to_bytes(8, "big") + (<object>lower).to_bytes(8, "big")


cdef tuple _source(msghdr* message):
    """The address and control messages of a message, as sendmsg takes them."""
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
