# Sockets to the upstream server that is asked now: few queries each, picked at random. The
# specification is upstream/transport.py. Included by native.pyx.

cdef enum:
    LANES = 128
    WIDTH = 16
    USES = 32
    LARGEST = 4096

cdef double LANE_AGE = 5.0


@cython.final
cdef class Lanes:
    """Up to LANES connected sockets, of which WIDTH are in use for new queries.

    ``open`` makes a connected socket and gives its descriptor, which is closed here. All of them are
    watched by one epoll descriptor. epoch: counts the servers that were asked, so that what comes
    late of one is not held against the next.
    """

    cdef object open
    cdef readonly int epoll
    cdef int[LANES] fds, uses, pending
    cdef bint[LANES] retired
    cdef double[LANES] opened
    cdef int[WIDTH] row
    cdef int count, epoch
    cdef int[LANES] epochs
    cdef uint16_t[1024] numbers
    cdef int number_at

    def __cinit__(self):
        self.epoll = -1

    def __init__(self, open):
        cdef int at
        self.open = open
        self.number_at = 1024
        for at in range(LANES):
            self.fds[at] = -1
        for at in range(WIDTH):
            self.row[at] = -1
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError("no epoll descriptor")

    def __dealloc__(self):
        cdef int at
        if self.epoll >= 0:
            for at in range(LANES):
                if self.fds[at] >= 0:
                    close(self.fds[at])
            close(self.epoll)

    cdef uint16_t number(self) except? 0xFFFF:
        """A number that nobody can foresee; the system's generator is read in bulk."""
        if self.number_at == 1024:
            if getrandom(self.numbers, sizeof(self.numbers), 0) != sizeof(self.numbers):
                raise OSError("the system has no random numbers")
            self.number_at = 0
        self.number_at += 1
        return self.numbers[self.number_at - 1]

    cdef int pick(self, double now) except -2:
        """A lane for a query, -1 if there is none to be had."""
        cdef int at = self.number() % WIDTH, lane = self.row[at], fresh
        if lane >= 0 and self.uses[lane] < USES and now - self.opened[lane] < LANE_AGE:
            return lane
        fresh = self._open(now)
        if fresh < 0:
            # Rather a lane that is used for longer than it should be than none.
            if lane < 0:
                for at in range(WIDTH):
                    if self.row[at] >= 0:
                        return self.row[at]
            return lane
        self.row[at] = fresh
        if lane >= 0:
            self.retire(lane)
        return fresh

    cdef int _open(self, double now) except -2:
        cdef int lane, fd
        cdef epoll_event event
        for lane in range(LANES):
            if self.fds[lane] < 0:
                break
        else:
            return -1
        fd = self.open()
        if fd < 0:
            return -1
        event.events = EPOLLIN
        event.data.u64 = lane
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) < 0:
            close(fd)
            return -1
        self.fds[lane] = fd
        self.uses[lane] = self.pending[lane] = 0
        self.retired[lane] = False
        self.epochs[lane] = self.epoch
        self.opened[lane] = now
        self.count += 1
        return lane

    cdef int retire(self, int lane) except -1:
        """Ask no more through a lane; it is closed when nothing is waited for on it."""
        self.retired[lane] = True
        if self.pending[lane] == 0:
            self.shut(lane)
        return 0

    cdef bint is_current(self, int lane) noexcept:
        """Whether a lane leads to the server that is asked now."""
        return self.epochs[lane] == self.epoch

    cdef int retire_all(self) except -1:
        """Another server is asked from now on."""
        cdef int at, lane
        self.epoch += 1
        for at in range(WIDTH):
            lane = self.row[at]
            self.row[at] = -1
            if lane >= 0:
                self.retire(lane)
        return 0

    cdef int landed(self, int lane) except -1:
        """One query less is waited for on a lane."""
        self.pending[lane] -= 1
        if self.retired[lane] and self.pending[lane] == 0:
            self.shut(lane)
        return 0

    cdef int shut(self, int lane) except -1:
        """Close a lane now."""
        cdef int at
        if self.fds[lane] < 0:
            return 0
        close(self.fds[lane])
        self.fds[lane] = -1
        self.count -= 1
        for at in range(WIDTH):
            if self.row[at] == lane:
                self.row[at] = -1
        return 0
