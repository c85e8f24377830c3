# Names in bulk: reading list files and packing name indexes. The specification of both is
# index.py; this file is included by native.pyx.

from libc.stdlib cimport calloc, free, malloc


cdef inline int _put_plain(const uint8_t[::1] data, Py_ssize_t start, Py_ssize_t end,
                           uint8_t[::1] out, Py_ssize_t at) except -1:
    """Write a plain name (see index.PLAIN) as folded wire format at ``at``; 1 if it is plain."""
    cdef Py_ssize_t head = at, here = at + 1, labels = 0, size
    cdef Py_ssize_t place
    cdef uint8_t octet, first = 0
    if end - start < 3 or end - start > 253 or at + (end - start) + 2 > out.shape[0]:
        return 0
    for place in range(start, end + 1):
        octet = _lower(data[place]) if place < end else 46
        if octet == 46:
            size = here - head - 1
            if size < 1 or size > 63:
                return 0
            if size >= 4 and out[head + 1] == 120 and out[head + 2] == 110 \
                    and out[head + 3] == 45 and out[head + 4] == 45:
                return 0
            first = out[head + 1]
            if first == 45:
                return 0
            out[head] = size
            labels += 1
            head = here
            here += 1
            continue
        if not (97 <= octet <= 122 or 48 <= octet <= 57 or octet == 95 or octet == 45):
            return 0
        out[here] = octet
        here += 1
    if labels < 2 or not 97 <= first <= 122:
        return 0
    out[head] = 0
    return 1


def plain_names(bytes data):
    """See index.plain_names."""
    cdef const uint8_t[::1] source = data
    cdef Py_ssize_t size = source.shape[0], at = 0, start, end, line = 0, begun, length
    cdef Py_ssize_t count = 0, written = 0, slots = 64, slot
    cdef Py_ssize_t lines = data.count(b"\n") + 1
    # A line of n octets becomes n + 2 octets at most.
    room = bytearray(size + 2 * lines + 2)
    cdef uint8_t[::1] out = room
    starts_ = array("I", bytes(4 * (lines + 1)))
    cdef uint32_t[::1] starts = starts_
    odd, repeats = [], []
    while slots < 2 * lines:
        slots *= 2
    table_ = mmap.mmap(-1, 4 * slots)
    cdef uint32_t[::1] table = memoryview(table_).cast("I")
    cdef uint32_t crc, other
    cdef bint known
    if size >= 3 and source[0] == 0xEF and source[1] == 0xBB and source[2] == 0xBF:
        at = 3
    while at <= size:
        begun = at
        while at < size and source[at] != 10:
            at += 1
        start, end = begun, at
        at += 1
        line += 1
        while end > start and (source[end - 1] == 13 or source[end - 1] == 32
                               or source[end - 1] == 9):
            end -= 1
        while start < end and (source[start] == 32 or source[start] == 9 or source[start] == 13):
            start += 1
        if start == end:
            continue
        if not _put_plain(source, start, end, out, written):
            odd.append((line, data[begun:at - 1]))
            continue
        length = end - start + 2
        crc = 0xFFFFFFFFu
        for slot in range(written + length - 1, written - 1, -1):
            crc = CRC[(crc ^ out[slot]) & 0xFF] ^ (crc >> 8)
        slot = ~crc & (slots - 1)
        known = False
        while table[slot]:
            other = table[slot] - 1
            if starts[other + 1] - starts[other] == length \
                    and memcmp(&out[starts[other]], &out[written], length) == 0:
                known = True
                break
            slot = (slot + 1) & (slots - 1)
        if known:
            repeats.append((line, bytes(room[written:written + length])))
            continue
        table[slot] = count + 1
        count += 1
        written += length
        starts[count] = written
    return bytes(out[:written]), starts_[:count + 1], odd, repeats


def index_names(chunks, add, Py_ssize_t filter_bits):
    """See index.index_names."""
    cdef Py_ssize_t total = 0, count = 0, at, length, size = 1, slots = 64, slot, where, bits
    cdef Py_ssize_t room = 0
    cdef const uint8_t[::1] blob
    cdef const uint32_t[::1] starts
    cdef uint32_t crc, rule, fresh, bucket
    for blob_, starts_, _ in chunks:
        total += len(starts_) - 1
        room += len(blob_)
    while slots < 2 * total:
        slots *= 2
    if total >= 0xFFFFFFFF or room >= 0xFFFFFFFF:
        raise OverflowError("a snapshot holds at most 4 GiB of names")
    # Distinct names in the order in which they come; anonymous memory goes back at once.
    cdef uint8_t[::1] names = bytearray(room + 1)
    cdef uint32_t[::1] name_at = array("I", bytes(4 * (total + 1)))
    cdef uint32_t[::1] hashes = array("I", bytes(4 * (total + 1)))
    cdef uint32_t[::1] rules = array("I", bytes(4 * (total + 1)))
    table_ = mmap.mmap(-1, 4 * slots)
    cdef uint32_t[::1] table = memoryview(table_).cast("I")
    cdef Py_ssize_t written = 0, start
    for blob_, starts_, item in chunks:
        blob, starts = blob_, starts_
        fresh = add(0, item)
        memo = {}
        for at in range(starts.shape[0] - 1):
            start = starts[at]
            length = starts[at + 1] - start
            if start + length > blob.shape[0] or written + length > names.shape[0]:
                raise IndexError
            crc = 0xFFFFFFFFu
            for where in range(start + length - 1, start - 1, -1):
                crc = CRC[(crc ^ blob[where]) & 0xFF] ^ (crc >> 8)
            crc = ~crc
            slot = crc & (slots - 1)
            while table[slot]:
                where = table[slot] - 1
                if hashes[where] == crc and name_at[where + 1] - name_at[where] == length \
                        and memcmp(&names[name_at[where]], &blob[start], length) == 0:
                    break
                slot = (slot + 1) & (slots - 1)
            if table[slot]:
                rule = rules[where]
                if rule not in memo:
                    memo[rule] = add(rule, item)
                rules[where] = memo[rule]
                continue
            table[slot] = count + 1
            _copy(names, written, blob, start, length)
            hashes[count] = crc
            rules[count] = fresh
            written += length
            count += 1
            name_at[count] = written
    while size < count:
        size *= 2
    bits = max(64, size * filter_bits)
    filter_ = bytearray(bits // 8)
    cdef uint8_t[::1] flags = filter_
    buckets_ = array("I", bytes(4 * (size + 1)))
    cdef uint32_t[::1] buckets = buckets_
    for at in range(count):
        crc = hashes[at]
        flags[(crc & <uint32_t>(bits - 1)) >> 3] |= 1 << (crc & 7)
        buckets[(crc & <uint32_t>(size - 1)) + 1] += 1
    for at in range(size):
        buckets[at + 1] += buckets[at]
    # Entries bucket by bucket, those of one bucket in the order in which they came.
    places_ = array("I", bytes(4 * (count + 1)))
    cdef uint32_t[::1] places = places_
    next_ = array("I", buckets_)
    cdef uint32_t[::1] following = next_
    for at in range(count):
        bucket = hashes[at] & <uint32_t>(size - 1)
        places[following[bucket]] = at
        following[bucket] += 1
    out_at, out_rule = array("I", bytes(4 * count)), array("I", bytes(4 * count))
    cdef uint32_t[::1] to_at = out_at if count else array("I", [0])
    cdef uint32_t[::1] to_rule = out_rule if count else array("I", [0])
    packed = bytearray(written)
    cdef uint8_t[::1] to_names = packed if written else bytearray(1)
    written = 0
    for slot in range(count):
        at = places[slot]
        length = name_at[at + 1] - name_at[at]
        to_at[slot] = written
        to_rule[slot] = rules[at]
        _copy(to_names, written, names, name_at[at], length)
        written += length
    return count, bytes(filter_), buckets_, out_at, out_rule, bytes(packed)
