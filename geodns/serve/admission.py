"""Which TCP connections are held: in all, for each client, and how many of those that are clogged.

Where there is no room the connection that was of no use for the longest time makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

MOST_CLOGGED = 64
"""Connections at most whose clients leave replies unread; one more cuts the first of them."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits of one worker: connections in all and for each client, seconds a connection may be
    idle (or leave replies unread, or take for a message), queries outstanding on a connection;
    the leading bits of an IPv6 address that make a client."""

    connections: int = 500
    per_client: int = 50
    idle: float = 10.0
    pipeline: int = 100
    ipv6_prefix: int = 56


class Connection(Protocol):
    """What is asked of a connection."""

    client: bytes | None
    since: float

    @property
    def busy(self) -> bool:
        """Whether a reply is owed or still being sent."""

    def cut(self) -> None:
        """Close at once."""


class Admission:
    """The connections of one listener.

    ``limits`` may be replaced at any time. ``counters`` is written in place (``tcp/*``).
    """

    def __init__(self, limits: StreamLimits, counters: dict[str, int]) -> None:
        self.limits = limits
        self._counters = counters
        # In the order of their last use.
        self.connections: dict[Connection, None] = {}
        self._clients: dict[bytes, dict[Connection, None]] = {}
        self._clogged: dict[Connection, None] = {}
        for key in ("accepted", "refused", "displaced", "cut", "open"):
            counters.setdefault(f"tcp/{key}", 0)

    def admit(self, connection: Connection, peer: bytes | None) -> bool:
        """Make room for a new connection; whether there is any.

        peer: packed address of the client; None where it is not known yet, but will be given to
        ``assign``.
        """
        self._counters["tcp/accepted"] += 1
        client = None if peer is None else self._client(peer)
        if (client is not None and not self._has_share(client)) or (
            len(self.connections) >= self.limits.connections
            and not self._displace(self.connections)
        ):
            self._counters["tcp/refused"] += 1
            return False
        self.connections[connection] = None
        self._counters["tcp/open"] = len(self.connections)
        if client is not None:
            self._hold(connection, client)
        return True

    def assign(self, connection: Connection, peer: bytes) -> bool:
        """Count an admitted connection as a client's; whether the client may have one more."""
        client = self._client(peer)
        if not self._has_share(client):
            self._counters["tcp/refused"] += 1
            return False
        self._hold(connection, client)
        return True

    def used(self, connection: Connection) -> None:
        """Note that a connection was of use just now."""
        if connection in self.connections:
            del self.connections[connection]
            self.connections[connection] = None

    def clog(self, connection: Connection) -> None:
        """Note that a client does not read; where too many do not, the first of them is cut."""
        self._clogged[connection] = None
        if len(self._clogged) > MOST_CLOGGED:
            first = next(iter(self._clogged))
            self._counters["tcp/cut"] += 1
            self.forget(first)
            first.cut()

    def unclog(self, connection: Connection) -> None:
        """Note that a client has read."""
        self._clogged.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """Count a connection as gone."""
        self._clogged.pop(connection, None)
        if connection not in self.connections:
            return
        del self.connections[connection]
        client = connection.client
        mine = None if client is None else self._clients.get(client)
        if client is not None and mine is not None:
            mine.pop(connection, None)
            if not mine:
                del self._clients[client]
        self._counters["tcp/open"] = len(self.connections)

    def _client(self, peer: bytes) -> bytes:
        """Who has a share: an IPv4 address, or the network of an IPv6 address."""
        if len(peer) == 4:
            return peer
        bits = 128 - self.limits.ipv6_prefix
        return (int.from_bytes(peer, "big") >> bits << bits).to_bytes(16, "big")

    def _has_share(self, client: bytes) -> bool:
        mine = self._clients.get(client, {})
        if len(mine) < self.limits.per_client:
            return True
        return self._displace(dict.fromkeys(sorted(mine, key=lambda each: each.since)))

    def _hold(self, connection: Connection, client: bytes) -> None:
        connection.client = client
        self._clients.setdefault(client, {})[connection] = None

    def _displace(self, among: dict[Connection, None]) -> bool:
        """Close the first idle one of connections in the order of their last use."""
        for connection in among:
            if not connection.busy:
                self._counters["tcp/displaced"] += 1
                self.forget(connection)
                connection.cut()
                return True
        return False
