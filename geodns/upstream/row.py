"""Which server is asked first: the quickest that answers, and in doubt the one named first."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from geodns.upstream.server import Server

_EVERY = 0.5  # seconds between two looks at who is quickest
_RECHECK = 5.0  # seconds between two questions that only find out how another server is
_NEAR, _NEARLY = 1.3, 0.010  # this much slower than the quickest (factor, seconds) is as quick

_by_rtt = attrgetter("rtt")
_by_away = attrgetter("away_until")


class Row:
    """The servers that are asked about the same names.

    Servers nearly as quick as the quickest, and those of which nothing is known yet, come in the
    order in which the operator named them; then the slower ones, then those that are away.
    probe_at: loop time from which a question that was answered should be put to another
    server as well, so that what is known of it does not grow old; inf with one server.
    """

    __slots__ = ("_again_at", "_order", "probe_at", "servers")

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = tuple(servers)
        self.probe_at = 0.0 if len(self.servers) > 1 else float("inf")
        self._order = self.servers
        self._again_at = 0.0

    @property
    def returns(self) -> int:
        """How often one of the servers has come back."""
        return sum(server.returns for server in self.servers)

    def order(self, now: float) -> tuple[Server, ...]:
        """The servers as they should be asked at ``now`` (seconds of loop time)."""
        if len(self.servers) < 2:
            return self.servers
        if now >= self._again_at or self._order[0].away_until:
            self._again_at = now + _EVERY
            self._order = self._sorted(now)
        return self._order

    def first(self, now: float) -> Server | None:
        """The server to ask first, or None if there is none or none that is well."""
        order = self.order(now)
        return order[0] if order and not order[0].away_until else None

    def probes(self, now: float) -> list[Server]:
        """The servers that should be asked only to find out how they are; sets ``probe_at``."""
        if not self.probe_at:
            # The first question ever: whoever was named first has had no time to disappoint.
            self.probe_at = now + _RECHECK
            return []
        self.probe_at = now + _RECHECK
        first = self._sorted(now)[0]
        return [one for one in self.servers if one is not first and one.away_until <= now]

    def _sorted(self, now: float) -> tuple[Server, ...]:
        well = [server for server in self.servers if not server.away_until]
        away = sorted((one for one in self.servers if one.away_until), key=_by_away)
        self.probe_at = min([self.probe_at, *(o.away_until for o in away if o.away_until > now)])
        known = [server.rtt for server in well if server.rtt is not None]
        if not known:
            return (*well, *away)
        bound = min(known) * _NEAR + _NEARLY
        quick = [one for one in well if one.rtt is None or one.rtt <= bound]
        slow = sorted((one for one in well if one not in quick), key=_by_rtt)
        return (*quick, *slow, *away)
