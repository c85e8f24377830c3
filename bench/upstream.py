"""An upstream for machines without NSD: answers any A query with 192.0.2.1."""

from __future__ import annotations

import socket
import sys

_ANSWER = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"


def main(port: int) -> None:
    """Serve on a loopback port until killed."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    while True:
        packet, peer = sock.recvfrom(4096)
        end = packet.index(b"\x00", 12) + 5
        head = packet[:2] + b"\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00"
        sock.sendto(head + packet[12:end] + _ANSWER, peer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
