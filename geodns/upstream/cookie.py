"""DNS cookies towards upstream servers (RFC 7873, RFC 9018): who has not seen the query cannot
answer it."""

from __future__ import annotations

import os
from struct import error as _StructError

from geodns.model.message import HEADER, OPT, TAIL, option, read_opt, skip_name

BADCOOKIE = 23
_COOKIE = 10
_CLIENT = 8
_LIFETIME = 86400.0  # seconds a client cookie is used (RFC 7873 section 5.4 wants days at most)


class Jar:
    """The cookies of one server: ours for it, and what it gave for ours.

    knows: whether it has sent one; then a reply without is doubtful.
    """

    def __init__(self) -> None:
        self._client = os.urandom(_CLIENT)
        self._before = self._client
        self._server = b""
        self._made: float | None = None

    @property
    def knows(self) -> bool:
        """Whether the server has sent a cookie lately."""
        return bool(self._server)

    def option(self, now: float) -> bytes:
        """The option for a query, encoded. now: seconds of loop time."""
        if self._made is None:
            self._made = now
        elif now - self._made >= _LIFETIME:
            self._before, self._client = self._client, os.urandom(_CLIENT)
            self._server, self._made = b"", now
        return option(_COOKIE, self._client + self._server)

    def take(self, cookie: bytes) -> bool:
        """Take the cookie of a reply; return whether it is for a query of ours."""
        client, server = cookie[:_CLIENT], cookie[_CLIENT:]
        if client == self._client:
            if 8 <= len(server) <= 32:
                self._server = server
            return True
        return client == self._before

    def forget(self) -> None:
        """Learn that the server surely sent none."""
        self._server = b""


def cookie_in(packet: bytes) -> bytes | None:
    """The COOKIE option of a response, None if it has none. ValueError if it cannot be read."""
    at = HEADER.size
    try:
        _, _, qdcount, *counts = HEADER.unpack_from(packet)
        for _ in range(qdcount):
            at = skip_name(packet, at) + 4
        for _ in range(sum(counts)):
            start, at = at, skip_name(packet, at)
            kind, _, _, length = TAIL.unpack_from(packet, at)
            at += TAIL.size + length
            if at > len(packet):
                raise IndexError
            if kind == OPT:
                found = (
                    value for code, value in read_opt(packet, start).options if code == _COOKIE
                )
                return next(found, None)
    except (IndexError, _StructError):
        raise ValueError("the response is cut or malformed") from None
    return None
