"""A client network that has its share of those who wait, before a running server of either kind."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.scenarios.asking import build, option
from tests.serve.running import FR, IT, running, write_settings

SHARE, ASKED = 5, 20
LIMITS = f"[limits]\nclient_misses = {SHARE}\n"


class Silent:
    """An upstream that answers for one name only, and nothing else ever."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]

    def answer(self, name: bytes) -> None:
        self.sock.settimeout(10)
        while True:
            packet, peer = self.sock.recvfrom(4096)
            if name in packet:
                end = packet.index(0, 12) + 5
                record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x07"
                head = packet[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0"
                self.sock.sendto(head + packet[12:end] + record, peer)
                return


def crowd(folder: Path) -> list[bytes]:
    """The replies at once to ASKED queries of one network, whose names nobody answers for."""
    upstream = Silent()
    with upstream.sock, running(write_settings(folder, upstream.port, LIMITS, workers=1)) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
            flood.bind((IT, 0))
            flood.connect(("127.0.0.1", server.port))
            for number in range(ASKED):
                options = option(10, b"") if number == 0 else b""
                edns = None if number % 2 else 1232
                flood.send(build(f"r{number}.example", ident=number, edns=edns, options=options))
            flood.settimeout(10)
            told = [flood.recv(4096) for _ in range(ASKED - SHARE)]
            flood.setblocking(False)
            with pytest.raises(BlockingIOError):
                told.append(flood.recv(4096))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((FR, 0))
            other.connect(("127.0.0.1", server.port))
            other.settimeout(10)
            other.send(build("fine.example", ident=99))
            upstream.answer(b"\x04fine")
            reply = other.recv(4096)
            assert (reply[:2], reply[3] & 15, reply[6:8]) == (b"\0\x63", 0, b"\0\1")
        time.sleep(1.2)  # the counters come every second
        counters = server.status()["counters"]
        # One was malformed: its cookie has no octet.
        assert counters["overload/client"] == ASKED - SHARE - 1
        assert counters["malformed"] == 1
        assert counters["queries/udp"] == ASKED + 1
        assert counters["allowed"] <= SHARE + 1
        assert counters["cache/misses"] >= ASKED - SHARE
    return sorted(told)


def test_both_ways_tell_the_crowd_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("geodns.fastpath.native")
    monkeypatch.delenv("GEODNS_REQUIRE_NATIVE", raising=False)
    (tmp_path / "native").mkdir()
    (tmp_path / "pure").mkdir()
    native = crowd(tmp_path / "native")
    monkeypatch.setenv("GEODNS_PURE", "1")
    pure = crowd(tmp_path / "pure")
    assert native == pure
    assert {reply[3] & 15 for reply in native} == {1, 2}
    assert sum(b"too many queries" in reply for reply in native) >= 5
