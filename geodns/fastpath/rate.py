"""Response rate limiting: how much of it a client network may have, as an account of time.

Each network has an account for answers, one for denials of existence (NXDOMAIN) and one for
errors. A reply costs 1/rate seconds. An account that is more than a second ahead of the clock
is overdrawn: replies are held back, and go on costing, so that a flood stays held back until it
abates. How far an account can be overdrawn is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from geodns.fastpath.lookup import within
from geodns.fastpath.tables import Peers

PASS, HOLD, SLIP = range(3)
"""Send the reply; send nothing; send a truncated one, so that a real client asks over TCP."""
ANSWERS, DENIALS, ERRORS = range(3)
ACCOUNTS = 1 << 16
"""Accounts at most; then the one that matters least gives way."""
BURST = 1.000001
"""Seconds that an account may be ahead of the clock: one, and what sums of fractions may err."""
DEEP = 1.0
"""Seconds overdrawn from which on a network's queries are held back before they are looked at."""
RCODES = (0, 3, 2)
"""A response code of each kind."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """per_second: replies of each kind (answers, denials, errors), 0 for any number.

    window: seconds that an account can be overdrawn. slip: every how manieth reply that is held
    back leaves truncated instead, 0 for none. prefix4 (0 to 32), prefix6 (0 to 64): bits of an
    address that make a network. exempt: whose replies are not counted. only_count: nothing is
    held back.
    """

    per_second: tuple[float, float, float]
    window: float
    slip: int
    prefix4: int
    prefix6: int
    exempt: Peers
    only_count: bool


def kind_of(rcode: int) -> int:
    """Which account a reply is for, by its response code (the four bits of the header)."""
    return ANSWERS if rcode == 0 else DENIALS if rcode == 3 else ERRORS


class Accounts:
    """The accounts of all networks, for one set of limits."""

    def __init__(self, limits: RateLimits) -> None:
        self.limits = limits
        self._accounts: dict[bytes, tuple[float, int]] = {}

    def flood(self, width: int, address: int, now: float) -> int:
        """The kind of the first account of a client's network that is deep in debt, or -1.

        Arguments as of ``charge``.
        """
        limits = self.limits
        if limits.only_count or within(limits.exempt, width, address):
            return -1
        for kind in (ANSWERS, DENIALS, ERRORS):
            ahead, _ = self._accounts.get(self._key(width, address, kind), (0.0, 0))
            if limits.per_second[kind] > 0 and ahead > now + BURST + DEEP:
                return kind
        return -1

    def charge(self, width: int, address: int, rcode: int, now: float) -> int:
        """Charge a reply to the account of the one it is for: PASS, HOLD or SLIP.

        width: octets of the address, 4 or 16. now: monotonic seconds.
        """
        limits = self.limits
        kind = kind_of(rcode)
        rate = limits.per_second[kind]
        if rate <= 0 or within(limits.exempt, width, address):
            return PASS
        key = self._key(width, address, kind)
        ahead, held = self._accounts.get(key, (0.0, 0))
        ahead = max(ahead, now) + 1.0 / rate
        verdict = PASS
        if ahead > now + BURST:
            verdict = HOLD
            if limits.slip:
                held = (held + 1) % limits.slip
                verdict = HOLD if held else SLIP
        ahead = min(ahead, now + BURST + limits.window)
        if key not in self._accounts and len(self._accounts) >= ACCOUNTS:
            del self._accounts[next(iter(self._accounts))]
        self._accounts[key] = ahead, held
        return verdict

    def _key(self, width: int, address: int, kind: int) -> bytes:
        prefix = self.limits.prefix4 if width == 4 else self.limits.prefix6
        network = address >> 8 * width - prefix
        # Octets and no integer: their hash is keyed, so nobody can choose networks that collide.
        return bytes((width, kind)) + network.to_bytes(8, "big")
