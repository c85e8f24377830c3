# PROXY headers: the twin of model/proxy.py. Included by native.pyx.

from geodns.model import proxy

cdef enum:
    PROXY_FIXED = 16
    PROXY_LARGEST = 4096
    PROXY_LOCAL = 0x20
    PROXY_NAMES = 0x21

cdef const uint8_t[::1] PROXY_SIGNATURE = proxy.SIGNATURE

if PROXY_LARGEST != proxy.LARGEST or len(proxy.SIGNATURE) != 12:
    raise ImportError("geodns.fastpath.native was built for other PROXY headers; build it anew")


cdef Py_ssize_t _unwrap(const uint8_t[::1] datagram, int* family, uint64_t* upper,
                        uint64_t* lower) except -2:
    """Octets of the PROXY header of a datagram, whose client replaces the address; UP for none."""
    cdef Py_ssize_t at, size = datagram.shape[0], width
    cdef int kind, transport
    if size < PROXY_FIXED:
        return UP
    for at in range(12):
        if datagram[at] != PROXY_SIGNATURE[at]:
            return UP
    size = PROXY_FIXED + (datagram[14] << 8 | datagram[15])
    if size > PROXY_LARGEST or size > datagram.shape[0]:
        return UP
    if datagram[12] == PROXY_LOCAL:
        return size
    kind, transport = datagram[13] >> 4, datagram[13] & 15
    if datagram[12] != PROXY_NAMES or kind > 3 or transport > 2:
        return UP
    # Of IPv4, IPv6, and the paths of UNIX sockets: source and destination, and ports.
    width = 4 if kind == 1 else 16 if kind == 2 else 0
    if size - PROXY_FIXED < (2 * width + 4 if width else 216 if kind == 3 else 0):
        return UP
    if width == 0 or transport == 0:
        return size
    family[0] = width
    upper[0] = lower[0] = 0
    for at in range(PROXY_FIXED, PROXY_FIXED + width):
        if width == 16 and at < PROXY_FIXED + 8:
            upper[0] = upper[0] << 8 | datagram[at]
        else:
            lower[0] = lower[0] << 8 | datagram[at]
    return size
