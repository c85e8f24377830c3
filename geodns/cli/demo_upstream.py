"""The demo's upstream: a resolver on loopback that knows a few names and nothing of orders."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from dnslib import CNAME, QTYPE, RCODE, RR, SOA, A, DNSError, DNSRecord

TTL = 300


class ZoneServer:
    """Answers A queries over UDP out of a small zone; all other names do not exist.

    zone: names as text, without a trailing dot, to an IPv4 address or to another name (an
    alias). Runs in a thread from ``with`` to its end. asked: how many queries came.
    """

    def __init__(self, zone: Mapping[str, str]) -> None:
        self._zone = {name.lower(): value for name, value in zone.items()}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.asked = 0

    @property
    def address(self) -> str:
        """Where it can be asked: ``127.0.0.1:PORT``."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        # An empty packet to itself wakes the thread, which then ends.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._socket.getsockname())
        self._thread.join(timeout=5)
        self._socket.close()

    def _run(self) -> None:
        while True:
            packet, peer = self._socket.recvfrom(4096)
            if not packet:
                return
            try:
                query = DNSRecord.parse(packet)
            except (DNSError, ValueError, IndexError):
                continue
            self.asked += 1
            self._socket.sendto(self._answer(query), peer)

    def _answer(self, query: DNSRecord) -> bytes:
        reply = query.reply(aa=False, ra=True)
        name = str(query.q.qname).rstrip(".").lower()
        if name not in self._zone:
            reply.header.rcode = RCODE.NXDOMAIN
        while name in self._zone:
            value = self._zone[name]
            if value.replace(".", "").isdigit():
                if query.q.qtype == QTYPE.A:
                    reply.add_answer(RR(name, QTYPE.A, rdata=A(value), ttl=TTL))
                break
            reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(value), ttl=TTL))
            name = value
        if not reply.rr:
            soa = SOA("demo.invalid", "demo.invalid", (1, 3600, 600, 86400, 60))
            reply.add_auth(RR("demo.invalid", QTYPE.SOA, rdata=soa, ttl=60))
        return bytes(reply.pack())
