"""One question from one client address, to see what a server says."""

from __future__ import annotations

import socket
from enum import Enum

from bench.workload import wire


class Said(Enum):
    """What came back."""

    BLOCKED = "blocked"
    RESOLVED = "resolved"
    OTHER = "neither blocked nor resolved"
    NOTHING = "no reply"


def ask(name: str, source: str, port: int, timeout: float = 1.0) -> Said:
    """Ask for the address of a name from a client address: NXDOMAIN is a block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(timeout)
        try:
            sock.connect(("127.0.0.1", port))
            sock.send(wire(name, 4711))
            reply = sock.recv(4096)
        except OSError:
            return Said.NOTHING
    if len(reply) < 12 or reply[:2] != (4711).to_bytes(2, "big"):
        return Said.OTHER
    rcode, answers = reply[3] & 15, int.from_bytes(reply[6:8], "big")
    if rcode == 3 and answers == 0:
        return Said.BLOCKED
    return Said.RESOLVED if rcode == 0 and b"\xc0\0\2\1" in reply else Said.OTHER
