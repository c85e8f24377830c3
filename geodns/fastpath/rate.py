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

    def charge(self, width: int, address: int, rcode: int, now: float) -> int:
        """Charge a reply to the account of the one it is for: PASS, HOLD or SLIP.

        width: octets of the address, 4 or 16. now: monotonic seconds.
        """
        limits = self.limits
        kind = kind_of(rcode)
        rate = limits.per_second[kind]
        if rate <= 0 or within(limits.exempt, width, address):
            return PASS
        prefix = limits.prefix4 if width == 4 else limits.prefix6
        network = address >> 8 * width - prefix
        # Octets and no integer: their hash is keyed, so nobody can choose networks that collide.
        key = bytes((width, kind)) + network.to_bytes(8, "big")
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
