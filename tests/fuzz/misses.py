"""What upstreams send to the native fast path, which asked them by itself."""

from __future__ import annotations

import random
import socket
from array import array
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any

from geodns.fastpath.tables import Networks
from tests.fastpath import twins
from tests.fastpath.handmade import EVERYBODY, roll_load
from tests.policy.making import wire
from tests.scenarios.asking import build

THEN = 1000.0
QUESTION = wire("x.y") + b"\0\1\0\1"


class Asking:
    """A native fast path between a client and an upstream, on sockets of this process."""

    def __init__(self) -> None:
        self.fast: Any = import_module("geodns.fastpath.native").FastPath(64)
        self.fast.serve(EVERYBODY)
        load = roll_load(random.Random(1))
        named = twins.index_names({wire("named"): 0})
        networks = Networks(
            array("I", [0, 0xC0000200, 0xC0000300]), array("I", [0, 1, 0]),
            array("Q", [0]), array("Q", [0]), array("I", [0]),
        )  # fmt: skip
        self.fast.load(
            replace(
                load, layers=(named,), rules=(1,), networks=True, named_networks=(networks,),
                decide=lambda *_: -1, local=lambda *_: False,
            )
        )  # fmt: skip
        self.listener, self.upstream, self.client = (_bound() for _ in range(3))
        self.client.connect(self.listener.getsockname())
        self.fast.engage(self._open, lambda: None, twins.index_names({wire("apart"): 0}), 8, 0, 900)
        self.fast.aim(True, False, 1.0, 8)
        self.query = build("x.Y", edns=None, ident=77)

    def _open(self) -> int:
        with _bound() as lane:
            lane.connect(self.upstream.getsockname())
            return lane.detach()

    def say(self, data: bytes) -> None:
        """One query, these octets back, and then a good reply if it is still waited for."""
        fast = self.fast
        self.client.send(self.query)
        left, _, unsent = fast.drain(self.listener.fileno(), THEN, False)
        assert not left and not unsent
        assert fast.under_way() == (1, 1)
        packet, lane = self.upstream.recvfrom(4096)
        if data[:1] and data[0] & 1:
            hostile = packet[:2] + b"\x81\x80\0\1" + data[1:7].ljust(6, b"\0") + QUESTION + data[7:]
        else:
            hostile = packet[:2] + data[1:]
        good = packet[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + QUESTION + twins.row(1, 60, bytes(4))
        told = 0
        for reply in (hostile, good, good):
            self.upstream.sendto(reply, lane)
            left, heard, unsent, _ = fast.collect(THEN)
            assert not unsent
            told += len(left)
            for key, message in heard:
                assert key == QUESTION + b"\0" and message == reply[:4096]
            while (answer := self._answer()) is not None:
                told += 1
                assert answer[:2] == b"\0\x4d" and answer[2] & 0xF8 == 0x80
                assert answer[12:17] == b"\1x\1Y\0"
        assert told == 1
        assert fast.under_way() == (0, 0)
        fast.forget()

    def _answer(self) -> bytes | None:
        try:
            return self.client.recv(4096)
        except BlockingIOError:
            return None


def _bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind(("127.0.0.1", 0))
    return made


@cache
def _asking() -> Asking:
    return Asking()


def flight(data: bytes) -> None:
    """A reply to a question under way: the first octet says whether its question is right."""
    _asking().say(data)
