# Replies to blocked queries, from the templates of their orders. Included by native.pyx.


@cython.final
cdef class BlockReplies:
    """The templates of all orders, end to end: first those for clients, then for ECS peers."""

    cdef const uint8_t[::1] records, opts, shapes
    cdef const uint32_t[::1] record_at, opt_at
    cdef Py_ssize_t order_total

    def __init__(self, load):
        records, opts = bytearray(), bytearray()
        record_at, opt_at = array("I", [0]), array("I", [0])
        shapes = bytearray()
        for order in (*load.orders, *load.ecs_orders):
            for template in order.templates:
                records += template.records
                record_at.append(len(records))
                # 256 records and more never fit in a packet: such a reply is handed up.
                shapes += bytes((template.rcode, min(template.answers, 255),
                                 template.authorities, template.owner))
            for opt in (order.opt, order.short):
                opts += opt
                opt_at.append(len(opts))
        self.records, self.opts = bytes(records), bytes(opts)
        self.record_at, self.opt_at, self.shapes = record_at, opt_at, bytes(shapes)
        self.order_total = len(load.orders)

    cdef Py_ssize_t write(self, const uint8_t[::1] packet, uint8_t[::1] out, const Asked* asked,
                          Py_ssize_t target, Py_ssize_t order) except -2:
        """The size of the block reply, or UP if it does not fit in the client's limit."""
        cdef Py_ssize_t template, start, records, opt_start = 0, opt = 0, size, end = asked.end
        if asked.extra:
            order += self.order_total
        template = order * VARIANTS + (0 if asked.qtype == 1 else 1 if asked.qtype == 28 else 2)
        start = self.record_at[template]
        records = self.record_at[template + 1] - start
        if asked.edns:
            opt_start = self.opt_at[2 * order]
            opt = self.opt_at[2 * order + 1] - opt_start
            if end + records + opt + asked.extra + asked.baked > asked.limit:
                opt_start = self.opt_at[2 * order + 1]
                opt = self.opt_at[2 * order + 2] - opt_start
        size = end + records + opt + (asked.extra + asked.baked if asked.edns else 0)
        if size > asked.limit:
            return UP
        _copy(out, 0, packet, 0, end)
        out[2] = 0x80 | (packet[2] & 1)
        out[3] = 0x80 | (packet[3] & 0x10) | self.shapes[4 * template]
        out[7] = self.shapes[4 * template + 1]
        out[9] = self.shapes[4 * template + 2]
        out[11] = asked.edns
        _copy(out, end, self.records, start, records)
        if self.shapes[4 * template + 3]:
            out[end] = (0xC00C + target) >> 8
            out[end + 1] = (0xC00C + target) & 0xFF
        if asked.edns:
            _put_opt(out, end + records, packet, asked, self.opts, opt_start, opt)
        return size
