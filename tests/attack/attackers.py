"""Those who attack: each a function that runs in a process of its own until it is ended.

Addresses of 127.0.0.0/8 stand for networks; nothing leaves the loopback interface. Each
adds what it sends to a shared array: packets or connections, octets out, octets back.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from tests.scenarios.asking import build

Tally = Any
SENT, OUT, BACK = range(3)


def _socket(source: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def _send(sock: socket.socket, packet: bytes, tally: Tally) -> None:
    with contextlib.suppress(OSError):
        sock.send(packet)
        tally[SENT] += 1
        tally[OUT] += len(packet)
    with contextlib.suppress(OSError):
        while True:
            tally[BACK] += len(sock.recv(65535))


def amplification(port: int, tally: Tally) -> None:
    """Ask for a wide answer with the source addresses of one network: the victim's."""
    victims = [_socket(f"127.66.0.{host}", port) for host in range(1, 33)]
    packet = build("wide.example", edns=4096)
    while True:
        for victim in victims:
            _send(victim, packet, tally)


def random_names(port: int, tally: Tally) -> None:
    """Ask for names that nobody has asked for, whose servers are dead."""
    sock = _socket("127.67.0.1", port)
    number = 0
    while True:
        number += 1
        _send(sock, build(f"{number}-{os.getpid()}.dead.example", ident=number & 0xFFFF), tally)


def slow_connections(port: int, tally: Tally) -> None:
    """Hold connections from many addresses with a message that never ends, and open ever more."""
    held: list[socket.socket] = []
    while True:
        for _ in range(20):
            sock = socket.socket()
            with contextlib.suppress(OSError):
                sock.bind((f"127.68.{random.randrange(8)}.{random.randrange(1, 250)}", 0))
                sock.settimeout(0.2)
                sock.connect(("127.0.0.1", port))
                sock.setblocking(False)
                sock.send(b"\x3f\xff")
                tally[SENT] += 1
                held.append(sock)
                continue
            sock.close()
        for sock in list(held):
            try:
                tally[OUT] += sock.send(b"x")
            except BlockingIOError:
                pass
            except OSError:
                sock.close()
                held.remove(sock)
        for sock in held[:-1500]:
            sock.close()
        held = held[-1500:]
        time.sleep(0.02)


def malformed(port: int, tally: Tally) -> None:
    """Send packets with wrong octets, cuts and additions, as fast as it can."""
    roll = random.Random(1)
    sock = _socket("127.69.0.1", port)
    kinds = ("A", "ANY", "HTTPS")
    models = [build("www.good.example", kind, edns=edns) for kind in kinds for edns in (None, 1232)]
    while True:
        packet = bytearray(roll.choice(models))
        for _ in range(roll.randrange(1, 5)):
            packet[roll.randrange(len(packet))] = roll.randrange(256)
        if roll.random() < 0.3:
            del packet[roll.randrange(len(packet)) :]
        if roll.random() < 0.3:
            packet += roll.randbytes(roll.randrange(200))
        _send(sock, bytes(packet), tally)


def poison(port: int, tally: Tally) -> None:
    """Ask for names for which the upstream has forged replies; ``tally[BACK]`` counts successes."""
    sock = _socket("127.70.0.1", port)
    sock.setblocking(True)
    sock.settimeout(1)
    number = 0
    while True:
        number += 1
        for name in (f"{number}.poison.example", "bank.example"):
            packet = build(name, ident=number & 0xFFFF, edns=1232)
            with contextlib.suppress(OSError):
                sock.send(packet)
                tally[SENT] += 1
                tally[OUT] += len(packet)
                tally[BACK] += is_poisoned(sock.recv(65535))


def is_poisoned(reply: bytes) -> bool:
    """Whether the answer section holds an address of the attacker's."""
    at = reply.index(0, 12) + 5
    for _ in range(int.from_bytes(reply[6:8])):
        at = at + 2 if reply[at] >= 0xC0 else reply.index(0, at) + 1
        size = struct.unpack_from("!HHIH", reply, at)[3]
        at += 10 + size
        if reply[at - size : at] == b"\x06\x06\x06\x06":
            return True
    return False


def huge(port: int, tally: Tally) -> None:
    """Ask for answers of 60,000 octets on many connections, and read next to nothing of them."""
    query = build("huge.example", "TXT")
    framed = (len(query).to_bytes(2) + query) * 20
    held: list[socket.socket] = []
    while True:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):
            sock.bind((f"127.71.0.{random.randrange(1, 250)}", 0))
            sock.settimeout(0.2)
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            sock.send(framed)
            tally[SENT] += 1
            tally[OUT] += len(framed)
        held.append(sock)
        for each in held[-50:]:
            with contextlib.suppress(OSError):
                tally[BACK] += len(each.recv(64))
        for each in held[:-300]:
            each.close()
        held = held[-300:]
        time.sleep(0.005)


ATTACKS: dict[str, Callable[[int, Tally], None]] = {
    "forged sources": amplification,
    "random names": random_names,
    "slow connections": slow_connections,
    "malformed packets": malformed,
    "forged replies": poison,
    "huge answers, unread": huge,
}
