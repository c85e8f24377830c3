"""Questions that could not be answered lately, and are not asked again for a while (RFC 9520).

A failure is kept for a second; one that follows it for twice as long, and so on up to a minute
(section 3.2 wants 1 s to 5 min). All times are seconds of loop time.
"""

from __future__ import annotations

from typing import NamedTuple

from geodns.model.response import Response

_MOST = 10_000  # questions
_FIRST, _LONGEST = 1.0, 60.0
_REMEMBERED = 2.0  # times its pause that a failure is remembered, so that the next one lasts longer


class Silence(NamedTuple):
    """No server has answered. ede_code, text: what to tell the client (RFC 8914)."""

    ede_code: int
    text: str


class _Kept(NamedTuple):
    outcome: Response | Silence
    until: float
    pause: float
    returns: int


class Failures:
    """The last failure of each question, by its key. kept: what is looked at to see if there are
    any, since a call would cost more than all the rest."""

    def __init__(self, most: int = _MOST) -> None:
        self.kept: dict[bytes, _Kept] = {}
        self._most = most

    def __len__(self) -> int:
        return len(self.kept)

    def find(self, key: bytes, now: float, returns: int) -> Response | Silence | None:
        """What a question that is not to be asked again yet ended with.

        returns: how often its servers have come back: when one has, silence is no reason any more.
        """
        kept = self.kept.get(key)
        if kept is None or now >= kept.until:
            return None
        if isinstance(kept.outcome, Silence) and returns != kept.returns:
            return None
        return kept.outcome

    def until(self, key: bytes, now: float) -> float:
        """Up to when a question is not to be asked again, 0.0 if it may be."""
        kept = self.kept.get(key)
        return kept.until if kept is not None and now < kept.until else 0.0

    def keep(self, key: bytes, outcome: Response | Silence, now: float, returns: int) -> None:
        """Keep a failure."""
        before = self.kept.pop(key, None)
        pause = _FIRST
        if before is not None and now < before.until + (_REMEMBERED - 1) * before.pause:
            pause = min(2 * before.pause, _LONGEST)
        while len(self.kept) >= self._most:
            del self.kept[next(iter(self.kept))]
        self.kept[key] = _Kept(outcome, now + pause, pause, returns)

    def forget(self, key: bytes) -> None:
        """Learn that the question was answered."""
        self.kept.pop(key, None)
