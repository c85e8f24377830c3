# Names that orders name, and what that means for a scope class. Included by native.pyx.


@cython.final
cdef class Layer:
    """The buffers of one name layer, typed."""

    cdef const uint8_t[::1] filter
    cdef const uint32_t[::1] buckets
    cdef const uint32_t[::1] name_at
    cdef const uint32_t[::1] rule
    cdef const uint8_t[::1] names
    cdef uint32_t filter_mask
    cdef uint32_t bucket_mask
    cdef Py_ssize_t base, rules

    def __init__(self, names, Py_ssize_t base, Py_ssize_t rules):
        self.filter = names.filter
        self.buckets = _aligned32(names.buckets)
        self.name_at = _aligned32(names.name_at)
        self.rule = _aligned32(names.rule)
        self.names = names.names
        # tables.check has seen to it that the sizes are powers of two.
        self.filter_mask = <uint32_t>(self.filter.shape[0] * 8 - 1)
        self.bucket_mask = <uint32_t>(self.buckets.shape[0] - 2)
        self.base = base
        self.rules = rules

    cdef Py_ssize_t find(self, uint32_t hashed, const uint8_t[::1] name, Py_ssize_t at,
                         Py_ssize_t size) except -2:
        """The rule of the suffix that begins at ``at``, or -1."""
        cdef uint32_t bit = hashed & self.filter_mask
        cdef uint32_t bucket
        cdef Py_ssize_t entry, start, length, rule
        if not (self.filter[bit >> 3] >> (bit & 7)) & 1:
            return -1
        bucket = hashed & self.bucket_mask
        length = size - at
        for entry in range(self.buckets[bucket], self.buckets[bucket + 1]):
            start = self.name_at[entry]
            if start + length <= self.names.shape[0] and at + length <= name.shape[0] \
                    and memcmp(&self.names[start], &name[at], length) == 0:
                rule = self.rule[entry]
                if rule >= self.rules:
                    raise IndexError
                return self.base + rule
        return -1


@cython.final
cdef class Rulings:
    """The name layers of a load, and the verdicts on their rules as they become known."""

    cdef Layer layer0, layer1
    cdef object _decide, _local
    cdef int32_t[::1] verdicts
    cdef uint8_t[::1] locals
    cdef Py_ssize_t class_count

    def __init__(self, load):
        self.layer0 = Layer(load.layers[0], 0, load.rules[0])
        self.layer1 = None
        if len(load.layers) > 1:
            self.layer1 = Layer(load.layers[1], load.rules[0], load.rules[1])
        self.verdicts = tables.unset_verdicts(load)
        self.class_count = load.class_count
        self._decide, self._local = load.decide, load.local
        self.locals = bytearray(2 * sum(load.rules))

    cdef int find(self, uint32_t hashed, const uint8_t[::1] name, Py_ssize_t at, Py_ssize_t size,
                  Py_ssize_t* lower, Py_ssize_t* upper) except -1:
        """The rule of a suffix in each layer, -1 for none; whether there is any."""
        lower[0] = self.layer0.find(hashed, name, at, size)
        upper[0] = -1
        if self.layer1 is not None:
            upper[0] = self.layer1.find(hashed, name, at, size)
        return lower[0] >= 0 or upper[0] >= 0

    cdef int32_t verdict(self, Py_ssize_t rule, Py_ssize_t scope_class, bint full) except? -9:
        cdef Py_ssize_t slot = (rule * self.class_count + scope_class) * 2 + full
        if scope_class >= self.class_count:
            raise IndexError
        cdef int32_t verdict = self.verdicts[slot]
        if verdict == UNSET:
            verdict = self._decide(rule, scope_class, full)
            self.verdicts[slot] = verdict
        return verdict

    cdef bint is_local(self, Py_ssize_t rule, bint full) except -1:
        cdef uint8_t known = self.locals[2 * rule + full]
        if known == 0:
            known = 2 if self._local(rule, full) else 1
            self.locals[2 * rule + full] = known
        return known == 2
