from __future__ import annotations

from typing import Any

from geodns.serve.upstreams import Upstreams, silent


def told(answers: int, seconds: float, rtt: float | None, away: bool = False) -> dict[str, Any]:
    return {"answers": answers, "seconds": seconds, "rtt": rtt, "away": away}


def test_workers_are_added_up_and_their_round_trips_averaged() -> None:
    workers = [
        {"a": told(2, 0.5, 0.1), "b": told(0, 0.0, None, True)},
        {"a": told(4, 0.5, 0.3), "b": told(0, 0.0, None, True)},
    ]
    assert Upstreams().summed(workers) == [
        {"server": "a", "answers": 6, "seconds": 1.0, "rtt": 0.2, "away": 0},
        {"server": "b", "answers": 0, "seconds": 0.0, "rtt": None, "away": 2},
    ]


def test_a_dead_worker_stays_in_the_sums_and_its_opinion_does_not() -> None:
    upstreams = Upstreams()
    upstreams.retire({"a": told(2, 0.5, 9.0, True)})
    upstreams.retire({"a": told(1, 0.25, 9.0)})
    (row,) = upstreams.summed([{"a": told(4, 0.25, 0.1)}])
    assert row == {"server": "a", "answers": 7, "seconds": 1.0, "rtt": 0.1, "away": 0}
    assert upstreams.summed([]) == []


def test_upstreams_are_silent_once_every_worker_avoids_every_one() -> None:
    for away, wanted in (((2, 2), True), ((2, 1), False), ((0, 2), False), ((), False)):
        assert silent([{"away": each} for each in away], 2) is wanted
    assert not silent([{"away": 0}], 0)
