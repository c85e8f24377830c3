"""The plain Python baselines: one dict of names, an answer made up, no cache and no upstream.

``python -m bench.plain socket|uvloop PORT NAMES``, where each line of NAMES is the second
octet of a client's address and a name that is blocked for it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

_ANSWER = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"
Blocked = set[tuple[str, bytes]]


def read(path: Path) -> Blocked:
    """The blocked names as (second octet of the client, name in wire format)."""
    found: Blocked = set()
    for line in path.read_text().splitlines():
        octet, name = line.split()
        labels = name.encode().split(b".")
        found.add((octet, b"".join(bytes([len(label)]) + label for label in labels)))
    return found


def answer(packet: bytes, host: str, blocked: Blocked) -> bytes:
    """The reply to a well-formed query."""
    end = packet.index(b"\0", 12)
    question = packet[12 : end + 5]
    if (host.split(".", 2)[1], packet[12:end].lower()) in blocked:
        return packet[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + question
    return packet[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + _ANSWER


class Protocol(asyncio.DatagramProtocol):
    """The same on an event loop."""

    def __init__(self, blocked: Blocked) -> None:
        self._blocked = blocked

    def connection_made(self, transport: Any) -> None:
        """Keep what replies leave by."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer."""
        self._transport.sendto(answer(data, addr[0], self._blocked), addr)


async def _serve(port: int, blocked: Blocked) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Protocol(blocked), local_addr=("127.0.0.1", port))
    await loop.create_future()


def main(kind: str, port: int, names: Path) -> None:
    """Serve until killed."""
    blocked = read(names)
    if kind == "uvloop":
        import uvloop

        uvloop.run(_serve(port, blocked))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    while True:
        packet, peer = sock.recvfrom(4096)
        sock.sendto(answer(packet, peer[0], blocked), peer)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
