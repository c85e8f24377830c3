"""What is known of a server: how quick it is, and whether it answers at all.

The round trip time is smoothed as TCP does it (RFC 6298 section 2), with one sample an answer. A
silence counts as an answer that took as long as was waited for it, so that a server that loses
every third query is asked less than one that does not. All times are seconds of loop time.
"""

from __future__ import annotations

_FIRST_WAIT = 1.0  # while nothing has been measured (RFC 6298 section 2.1)
_SHORTEST = 0.3  # a resolver that has to look further takes longer than its usual time
_LONGEST = 60.0
_GAIN, _SPREAD = 1 / 8, 1 / 4

_FAILURES = 3  # silences in a row after which others are asked first
_AWAY = 1.0  # the first pause; each next is twice as long, up to
_LONGEST_AWAY = 30.0


class Health:
    """How a server has been lately.

    rtt: smoothed round trip time, None before the first answer. wait: how long to wait for an
    answer before another server is asked. away_until: up to when others are asked first, 0.0
    if it is well. answers, seconds: how many answers were timed, and what they took in all.
    returns: how often it has come back.
    """

    __slots__ = (
        "_failures",
        "_pause",
        "_shortest",
        "_variance",
        "answers",
        "away_until",
        "returns",
        "rtt",
        "seconds",
        "wait",
    )

    def __init__(self, shortest: float = _SHORTEST) -> None:
        """shortest: seconds that ``wait`` is at the least."""
        self.wait = _FIRST_WAIT
        self._shortest = shortest
        self.rtt: float | None = None
        self.away_until = 0.0
        self.answers = 0
        self.seconds = 0.0
        self.returns = 0
        self._variance = 0.0
        self._failures = 0
        self._pause = 0.0

    def took(self, seconds: float, answers: int = 1) -> None:
        """Learn how long a good answer took, or some on average: it is well."""
        self.answers += answers
        self.seconds += seconds * answers
        if self.away_until:
            # It has come back: what it was like before it went says nothing.
            self.rtt = None
            self.returns += 1
            self.away_until = self._pause = 0.0
        self._failures = 0
        self._sample(seconds)

    def timed_out(self, now: float) -> None:
        """Learn that it was silent until ``now``."""
        # Not the variance: it would multiply with each question that was under way.
        if not self.away_until:
            self.rtt = self.wait if self.rtt is None else self.rtt + _GAIN * (self.wait - self.rtt)
        self._fail(now, 1)

    def unreachable(self, now: float) -> None:
        """Learn that the network said it cannot be reached."""
        self._fail(now, _FAILURES)

    def worse(self, now: float) -> None:
        """Learn that it had no answer to a question that another server could answer."""
        self._fail(now, 1)

    def _fail(self, now: float, count: int) -> None:
        self._failures += count
        # What was under way when the pause began says nothing new.
        if self._failures >= _FAILURES and now >= self.away_until:
            self._pause = min(max(2 * self._pause, _AWAY), _LONGEST_AWAY)
            self.away_until = now + self._pause

    def _sample(self, seconds: float) -> None:
        rtt = self.rtt
        if rtt is None:
            rtt, variance = seconds, seconds / 2
        else:
            variance = self._variance + _SPREAD * (abs(rtt - seconds) - self._variance)
            rtt += _GAIN * (seconds - rtt)
        self.rtt, self._variance = rtt, variance
        wait = rtt + 4 * variance
        self.wait = self._shortest if wait < self._shortest else min(wait, _LONGEST)
