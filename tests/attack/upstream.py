"""The upstream of an attacked server: answers, stays silent, and tries to poison, by name.

*.good.example    an address, at once         *.dead.example    nothing, ever
wide.example      1,100 octets of addresses   huge.example      60,000 octets, over TCP
*.poison.example  forged replies first: another ID, another question, another port; then the
                  true one, with records about bank.example that are none of its business
anything else     an address
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys

TRUE, EVIL = b"\xc0\x00\x02\x07", b"\x06\x06\x06\x06"
WIDE = b"\x04wide\x07example\0"
HUGE = b"\x04huge\x07example\0"
BANK = b"\x04bank\x07example\0"
FORGED = 6
"""Forged replies to each question below poison.example."""


def record(owner: bytes, kind: int, data: bytes, ttl: int = 60) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def message(ident: bytes, question: bytes, answers: list[bytes], more: list[bytes]) -> bytes:
    head = struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, len(more))
    return ident + head + question + b"".join((*answers, *more))


def replies(packet: bytes, *, stream: bool) -> list[tuple[bytes, bool]]:
    """What is sent for a query, in this order: (message, whether from another port)."""
    end = packet.index(0, 12) + 5
    ident, question = packet[:2], packet[12:end]
    name = question[:-4]
    address = record(b"\xc0\x0c", 1, TRUE)
    if name.endswith(b"\x04dead\x07example\0"):
        return []
    if name == WIDE:
        wide = [record(b"\xc0\x0c", 1, bytes((192, 0, 2, host))) for host in range(66)]
        return [(message(ident, question, wide, []), False)]
    if name == HUGE:
        if not stream:
            return [(ident + b"\x83\x80\0\1" + bytes(6) + question, False)]
        texts = [record(b"\xc0\x0c", 16, (b"\xff" + b"x" * 255) * 10) for _ in range(23)]
        return [(message(ident, question, texts, []), False)]
    if not name.endswith(b"\x06poison\x07example\0"):
        return [(message(ident, question, [address], []), False)]
    evil = record(b"\xc0\x0c", 1, EVIL)
    other = bytes((ident[0] ^ 1, ident[1] ^ 1))
    bank = [record(BANK, 1, EVIL, 3600), record(b"\x07example\0", 2, BANK, 3600)]
    forged = [
        (message(other, question, [evil], []), False),
        (message(ident, BANK + question[-4:], [record(b"\xc0\x0c", 1, EVIL)], []), False),
        (message(ident, question, [evil], []), True),
    ] * (FORGED // 3)
    return [*forged, (message(ident, question, [address], bank), False)]


def serve(port: int) -> None:
    """Answer for ever."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    udp.bind(("127.0.0.1", port))
    tcp = socket.create_server(("127.0.0.1", port), backlog=500)
    elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    elsewhere.bind(("127.0.0.1", 0))
    waiting = selectors.DefaultSelector()
    for each in (udp, tcp):
        waiting.register(each, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is udp:
                packet, peer = udp.recvfrom(65535)
                for told, foreign in replies(packet, stream=False):
                    (elsewhere if foreign else udp).sendto(told, peer)
            else:
                connection, _ = tcp.accept()
                with connection:
                    connection.settimeout(2)
                    try:
                        size = connection.recv(2, socket.MSG_WAITALL)
                        packet = connection.recv(int.from_bytes(size), socket.MSG_WAITALL)
                        for told, _ in replies(packet, stream=True):
                            connection.sendall(len(told).to_bytes(2) + told)
                    except OSError:
                        continue


if __name__ == "__main__":
    serve(int(sys.argv[1]))
