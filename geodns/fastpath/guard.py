"""What keeps replies from being a weapon: cookies, and response rate limiting.

One guard serves the fast path and the pipeline behind it, so that a client has one account
whoever answers. The native twin has one of its own that does the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from geodns.fastpath import cookie
from geodns.fastpath.rate import HOLD, PASS, RCODES, SLIP, Accounts, RateLimits

CROWDED = "too many queries are waiting"
"""What a client is told whose network has its share of those who wait for upstreams."""
COUNTS = (
    *("cookie/new", "cookie/valid", "cookie/bad"),
    *("rate/dropped", "rate/truncated", "rate/over"),
)


class Guard:
    """Judges cookies and charges replies; without secrets and limits it does neither."""

    def __init__(self) -> None:
        self._secrets: tuple[bytes, ...] = ()
        self._offset = 0.0
        self._accounts: Accounts | None = None
        self._counts = dict.fromkeys(COUNTS, 0)

    def take_secrets(self, secrets: Sequence[bytes], offset: float) -> None:
        """Use these secrets from now on, 16 octets each; without any, cookies are ignored.

        The first makes cookies, the others (three at most) are still good. offset: wall clock
        less monotonic clock, seconds. ValueError if a secret has another size.
        """
        cookie.check_secrets(secrets)
        self._secrets, self._offset = tuple(secrets), offset

    def take_rates(self, limits: RateLimits | None) -> None:
        """Limit replies from now on, with new accounts; None limits nothing."""
        self._accounts = Accounts(limits) if limits is not None else None

    @property
    def bakes(self) -> bool:
        """Whether cookies are given out."""
        return bool(self._secrets)

    @property
    def limits(self) -> bool:
        """Whether replies are charged for."""
        return self._accounts is not None

    def judge(self, data: bytes, peer: bytes, now: float) -> int:
        """What a COOKIE option's data is worth: cookie.NEW, VALID or BAD; ABSENT without secrets.

        data must be well-formed. peer: packed address. now: monotonic seconds.
        """
        if not self._secrets:
            return cookie.ABSENT
        return cookie.judge(self._secrets, data, peer, self._stamp(now))

    def bake(self, data: bytes, peer: bytes, now: float) -> tuple[bytes, int]:
        """The option that the reply carries back, encoded, and what ``judge`` says; it is counted.

        The option is empty if none are given out.
        """
        judged = self.judge(data, peer, now)
        if judged == cookie.ABSENT:
            return b"", judged
        self._counts[COUNTS[judged - cookie.NEW]] += 1
        return cookie.renew(self._secrets, data, peer, self._stamp(now), judged), judged

    def charge(self, peer: bytes, rcode: int, now: float) -> int:
        """Charge a reply (rcode: four bits) to its client: rate.PASS, HOLD or SLIP; count it."""
        if self._accounts is None:
            return PASS
        verdict = self._accounts.charge(len(peer), int.from_bytes(peer, "big"), rcode, now)
        if verdict != PASS and self._accounts.limits.only_count:
            self._counts["rate/over"] += 1
            return PASS
        self._counts["rate/dropped"] += verdict == HOLD
        self._counts["rate/truncated"] += verdict == SLIP
        return verdict

    def flood(self, peer: bytes, now: float) -> int:
        """The response code of which a peer's network gets far too many replies, or -1.

        Its queries are charged as such and held back before they are looked at, but for those
        with a valid cookie: a flood must not cost what its replies would.
        """
        if self._accounts is None:
            return -1
        kind = self._accounts.flood(len(peer), int.from_bytes(peer, "big"), now)
        return -1 if kind < 0 else RCODES[kind]

    def counts(self) -> dict[str, int]:
        """Cookies by what they were worth, and replies held back, since the start."""
        return dict(self._counts)

    def _stamp(self, now: float) -> int:
        return int(now + self._offset) & 0xFFFFFFFF
