# Blocks by order and location, without a cell for each pair. Included by native.pyx.


cdef class Tally:
    """Counts by pairs of numbers: a hash table with open addressing, at most half full."""

    # order << 32 | location, plus one: zero is an empty slot.
    cdef uint64_t[::1] keys, counts
    cdef Py_ssize_t used
    cdef uint64_t mask

    def __init__(self):
        self._empty(64)

    cdef int _empty(self, Py_ssize_t slots) except -1:
        self.keys = array("Q", bytes(8 * slots))
        self.counts = array("Q", bytes(8 * slots))
        self.used = 0
        self.mask = <uint64_t>slots - 1
        return 0

    cdef int add(self, uint32_t order, uint32_t location, uint64_t count) except -1:
        cdef uint64_t key = (<uint64_t>order << 32 | location) + 1
        cdef uint64_t slot = ((key * 0x9E3779B97F4A7C15ull) >> 32) & self.mask
        while self.keys[slot] != key:
            if self.keys[slot] == 0:
                if 2 * (self.used + 1) > self.keys.shape[0]:
                    self._grow()
                    return self.add(order, location, count)
                self.keys[slot] = key
                self.used += 1
                break
            slot = (slot + 1) & self.mask
        self.counts[slot] += count
        return 0

    cdef int _grow(self) except -1:
        cdef uint64_t[::1] keys = self.keys, counts = self.counts
        cdef Py_ssize_t slot
        cdef uint64_t key
        self._empty(2 * keys.shape[0])
        for slot in range(keys.shape[0]):
            if keys[slot]:
                key = keys[slot] - 1
                self.add(<uint32_t>(key >> 32), <uint32_t>(key & 0xFFFFFFFFu), counts[slot])
        return 0

    cdef list all(self):
        cdef Py_ssize_t slot
        return [(self.keys[slot] - 1 >> 32, self.keys[slot] - 1 & 0xFFFFFFFFu, self.counts[slot])
                for slot in range(self.keys.shape[0]) if self.keys[slot]]
