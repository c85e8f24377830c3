"""Asks a server on loopback, over UDP and TCP, and reads what it says."""

from __future__ import annotations

import selectors
import socket
from contextlib import ExitStack

from tests.protocol.shown import Message, read
from tests.scenarios.asking import send_tcp

SOURCE = "127.33.0.1"
_AT_ONCE = 300, 100


class Client:
    """Asks from one address. patience: seconds that a reply is waited for."""

    def __init__(self, port: int, source: str = SOURCE, patience: float = 5.0) -> None:
        self.server = ("127.0.0.1", port)
        self.source = source
        self.patience = patience

    def send(self, packet: bytes, *, stream: bool = False) -> bytes | None:
        """Send a packet and return the reply's octets, None if none comes."""
        if stream:
            return send_tcp(self.server, self.source, packet, self.patience)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((self.source, 0))
            sock.connect(self.server)
            sock.settimeout(self.patience)
            sock.send(packet)
            try:
                return sock.recv(65535)
            except TimeoutError:
                return None

    def ask(self, packet: bytes, *, stream: bool = False) -> Message | None:
        """Send a packet and read the reply. Raises ValueError where that is not well formed."""
        reply = self.send(packet, stream=stream)
        if reply is None:
            return None
        assert reply[:2] == packet[:2], "the ID"
        return read(reply)


def send_all(
    client: Client, packets: list[bytes], quiet: float, *, again: bool = True
) -> list[bytes | None]:
    """Send packets over UDP, each from a port of its own; the reply to each, None for none.

    quiet: seconds without a reply after which no more are waited for. again: what has no
    reply is sent once more, since datagrams may be lost.
    """
    replies: list[bytes | None] = [None] * len(packets)
    for at_once in _AT_ONCE[: 1 + again]:
        left = [number for number, reply in enumerate(replies) if reply is None]
        for start in range(0, len(left), at_once):
            numbers = left[start : start + at_once]
            batch = _batch(client, [packets[number] for number in numbers], quiet)
            for number, reply in zip(numbers, batch, strict=True):
                replies[number] = reply
    return replies


def _batch(client: Client, packets: list[bytes], quiet: float) -> list[bytes | None]:
    found: dict[int, bytes] = {}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for number, packet in enumerate(packets):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((client.source, 0))
            sock.connect(client.server)
            selector.register(sock, selectors.EVENT_READ, (number, sock))
            sock.send(packet)
        while len(found) < len(packets) and (ready := selector.select(quiet)):
            for key, _ in ready:
                number, sock = key.data
                found[number] = sock.recv(65535)
                selector.unregister(sock)
    return [found.get(number) for number in range(len(packets))]
