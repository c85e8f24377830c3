"""What a question needs of the way by which it is asked, and the reverse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import unpack
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from geodns.upstream.server import Server


class Channel(Protocol):
    """A socket or connection to a server, on which questions wait for replies by number."""

    server: Server
    stream: bool
    """Whether what comes is surely from the server: TCP, TLS, HTTP."""

    def forget(self, ident: int) -> None:
        """Wait no longer for a reply to the question of this number."""
        ...


class Asker(Protocol):
    """Who has sent a query and waits."""

    def heard(self, channel: Channel, ident: int, packet: bytes) -> bool:
        """Take a message of 12 octets or more for a query; return whether it was the reply."""
        ...

    def failed(self, channel: Channel, *, again: bool) -> None:
        """Learn that no reply will come: it cannot be reached, or the connection has ended.

        again: the connection had served before, so that another one may do.
        """
        ...


def random_numbers() -> Iterator[int]:
    """Yield numbers from 0 to 65535 that nobody can foresee, at a fraction of the usual price.

    They come from the system's generator, which is read in bulk. Make one in each process: a
    copy made by fork yields the same numbers.
    """
    while True:
        yield from unpack("!1024H", os.urandom(2048))
