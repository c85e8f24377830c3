"""One who asks normally meanwhile: over UDP with a cookie, known and new names, and over TCP."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass

from tests.scenarios.asking import build, option

SOURCE = "127.33.0.1"
IN_TIME = 1.0
"""Seconds after which an answer is too late."""
PAUSE = 0.02


@dataclass
class Share:
    """How many were asked, and how many answered in time."""

    asked: int = 0
    answered: int = 0

    def __str__(self) -> str:
        return f"{self.answered} of {self.asked}"


class Bystander:
    """Asks in a thread while ``with`` lasts; ``known``, ``new`` and ``tcp`` say how it went."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._cookie = b"bystandr"
        self._number = 0
        self.known, self.new, self.tcp = Share(), Share(), Share()
        self._threads = [threading.Thread(target=each) for each in (self._udp, self._tcp)]

    def __enter__(self) -> Bystander:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _udp(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((SOURCE, 0))
            sock.connect(("127.0.0.1", self._port))
            while not self._stop.is_set():
                self._number += 1
                new = self._number % 2 == 0
                share = self.new if new else self.known
                name = f"n{self._number}-{time.monotonic_ns()}.good.example"
                share.asked += 1
                share.answered += self._ask(sock, name if new else "www.good.example")
                time.sleep(PAUSE)

    def _ask(self, sock: socket.socket, name: str) -> bool:
        ident = self._number & 0xFFFF
        sock.send(build(name, ident=ident, options=option(10, self._cookie)))
        end = time.monotonic() + IN_TIME
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            with contextlib.suppress(OSError):
                reply = sock.recv(4096)
                if int.from_bytes(reply[:2]) != ident:
                    continue
                if reply[-28:-24] == b"\0\x0a\0\x18":
                    self._cookie = reply[-24:]
                if reply[3] & 15 == 7:  # BADCOOKIE: once more, with the cookie that came with it
                    sock.send(build(name, ident=ident, options=option(10, self._cookie)))
                    continue
                return reply[3] & 15 == 0 and reply[6:8] == b"\0\1"
        return False

    def _tcp(self) -> None:
        while not self._stop.is_set():
            self.tcp.asked += 1
            with contextlib.suppress(OSError):
                packet = build("www.good.example", ident=7)
                with socket.create_connection(
                    ("127.0.0.1", self._port), IN_TIME, (SOURCE, 0)
                ) as sock:
                    sock.sendall(len(packet).to_bytes(2) + packet)
                    size = int.from_bytes(sock.recv(2, socket.MSG_WAITALL))
                    reply = sock.recv(size, socket.MSG_WAITALL)
                    self.tcp.answered += reply[3] & 15 == 0 and reply[6:8] == b"\0\1"
            time.sleep(5 * PAUSE)
