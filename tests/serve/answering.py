"""A stand-in for the pipeline: what it does with a packet is written in the packet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class Answering:
    """``now...`` is answered at once, ``later...`` when released, ``none`` never, ``raise`` not."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes, bool]] = []
        self.sources: list[bytes | None] = []
        self.waiting: dict[bytes, asyncio.Future[bytes | None]] = {}
        self.reply_size = 0
        self.strangers: set[bytes] = set()
        self.proxies: set[bytes] = set()

    def serves(self, peer: bytes) -> bool:
        return peer not in self.strangers

    def wraps(self, peer: bytes) -> bool:
        return peer in self.proxies

    def answer(
        self, packet: bytes, peer: bytes, *, stream: bool, source: bytes | None = None
    ) -> bytes | Awaitable[bytes | None] | None:
        self.seen.append((packet, peer, stream))
        self.sources.append(source)
        word = packet.strip(b".")
        if word.startswith(b"now"):
            return b"re:" + packet + bytes(self.reply_size)
        if word.startswith(b"later"):
            future = asyncio.get_running_loop().create_future()
            self.waiting[word] = future
            return future
        if word.startswith(b"raise"):
            raise RuntimeError("a bug")
        return None


async def until(condition: object) -> None:
    """Let the loop run until a condition (a function) holds."""
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
