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

    cdef bint names(self, const uint8_t[::1] name) except -1:
        """Whether any order names a folded name or one above it."""
        cdef Py_ssize_t[MAX_LABELS] starts
        cdef Py_ssize_t size = name.shape[0], at = 0, label, labels = 0, lower, upper
        cdef uint32_t crc = CRC[0xFF] ^ 0x00FFFFFFu
        while name[at]:
            if labels == MAX_LABELS:
                raise IndexError
            starts[labels] = at
            labels += 1
            at += 1 + name[at]
        for label in range(labels - 1, -1, -1):
            while at > starts[label]:
                at -= 1
                crc = CRC[(crc ^ name[at]) & 0xFF] ^ (crc >> 8)
            if self.find(~crc, name, at, size, &lower, &upper):
                return True
        return False


@cython.final
cdef class NamedNetworks:
    """The networks that orders name, of both layers: tables.Networks, typed."""

    cdef list layers

    def __init__(self, layers):
        self.layers = [NetworkLayer(layer) for layer in layers]

    cdef bint hold(self, int family, uint64_t upper, uint64_t lower) except -1:
        """Whether an order names an address, or might: one that embeds an IPv4 address."""
        cdef NetworkLayer layer
        if not self.layers:
            return False
        if family == 16 and _embeds(upper, lower):
            return True
        for layer in self.layers:
            if layer.hold(family, upper, lower):
                return True
        return False


@cython.final
cdef class NetworkLayer:
    cdef const uint32_t[::1] start4, rule4, rule6
    cdef const uint64_t[::1] upper6, lower6

    def __init__(self, networks):
        self.start4, self.rule4 = _aligned32(networks.start4), _aligned32(networks.rule4)
        self.upper6, self.lower6 = _aligned64(networks.upper6), _aligned64(networks.lower6)
        self.rule6 = _aligned32(networks.rule6)

    cdef bint hold(self, int family, uint64_t upper, uint64_t lower) except -1:
        cdef Py_ssize_t at
        if family == 4:
            at = _last_at_most32(self.start4, <uint32_t>lower, 0, self.start4.shape[0])
            return at >= 0 and self.rule4[at] != 0
        at = _last_at_most128(self.upper6, self.lower6, upper, lower, 0, self.upper6.shape[0])
        return at >= 0 and self.rule6[at] != 0
