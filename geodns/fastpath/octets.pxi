# Octets and integers: checked copies, the hash of names, bisection. Included by native.pyx.

cdef uint32_t[256] CRC


cdef void _make_crc() noexcept:
    cdef uint32_t value
    cdef int octet, bit
    for octet in range(256):
        value = octet
        for bit in range(8):
            value = (value >> 1) ^ (0xEDB88320u if value & 1 else 0)
        CRC[octet] = value


_make_crc()


cdef inline int _copy(uint8_t[::1] out, Py_ssize_t at, const uint8_t[::1] source,
                      Py_ssize_t start, Py_ssize_t count) except -1:
    """Copy octets, after checking both ranges."""
    if count < 0 or at < 0 or start < 0 or at + count > out.shape[0] \
            or start + count > source.shape[0]:
        raise IndexError
    if count:
        memcpy(&out[at], &source[start], count)
    return 0


cdef inline uint32_t _u16(const uint8_t[::1] packet, Py_ssize_t at) except? 0xFFFFFFFF:
    return <uint32_t>packet[at] << 8 | packet[at + 1]


cdef inline uint32_t _u32(const uint8_t[::1] packet, Py_ssize_t at) except? 0xFFFFFFFF:
    return _u16(packet, at) << 16 | _u16(packet, at + 2)


cdef inline int _put32(uint8_t[::1] out, Py_ssize_t at, uint32_t value) except -1:
    out[at], out[at + 1] = value >> 24, (value >> 16) & 0xFF
    out[at + 2], out[at + 3] = (value >> 8) & 0xFF, value & 0xFF
    return 0


cdef inline uint8_t _lower(uint8_t octet) noexcept nogil:
    return octet + 32 if 65 <= octet <= 90 else octet


cdef inline Py_ssize_t _last_at_most32(const uint32_t[::1] starts, uint32_t value,
                                       Py_ssize_t low, Py_ssize_t high) except -2:
    """Index of the last start that is <= value in [low, high), low - 1 if none is."""
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if starts[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low - 1


cdef inline Py_ssize_t _last_at_most128(const uint64_t[::1] upper, const uint64_t[::1] lower,
                                        uint64_t high_half, uint64_t low_half,
                                        Py_ssize_t low, Py_ssize_t high) except -2:
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if upper[middle] < high_half or (upper[middle] == high_half and lower[middle] <= low_half):
            low = middle + 1
        else:
            high = middle
    return low - 1


cdef const uint32_t[::1] _aligned32(const uint32_t[::1] view):
    """The view, if its items stand where the machine wants them; ValueError otherwise."""
    if view.shape[0] and <size_t>&view[0] % sizeof(uint32_t):
        raise ValueError("a table is not aligned")
    return view


cdef const uint64_t[::1] _aligned64(const uint64_t[::1] view):
    if view.shape[0] and <size_t>&view[0] % sizeof(uint64_t):
        raise ValueError("a table is not aligned")
    return view


cdef object _zeros(str code, Py_ssize_t count):
    """An array of zeros that costs no memory until it is written to."""
    room = mmap.mmap(-1, count * array(code).itemsize,
                     flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # One answer must not cost a page of two megabytes.
    room.madvise(mmap.MADV_NOHUGEPAGE)
    return memoryview(room).cast(code)
