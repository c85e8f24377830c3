from __future__ import annotations

from geodns.metrics.health import Health, Worker

GOOD, OLD, GONE = Worker(True, True), Worker(True, False), Worker(False, False)


def test_ready_is_who_has_everything_in_force_everywhere() -> None:
    ready, told = Health("serving", [GOOD, GOOD]).ready()
    assert ready
    assert told == {"status": "ready", "phase": "serving", "workers": 2, "current": 2}
    ready, told = Health("serving", [GOOD, OLD, GONE]).ready()
    assert not ready
    assert told["reason"] == "worker 1, 2 does not have in force what it should"


def test_who_starts_or_drains_is_alive_and_not_ready() -> None:
    for phase in ("starting", "draining"):
        health = Health(phase, [GONE])
        assert health.alive()[0]
        ready, told = health.ready()
        assert not ready
        assert told["reason"] == f"the server is {phase}"


def test_alive_is_who_still_answers_on_one_worker() -> None:
    assert Health("serving", [GONE, OLD]).alive()[0]
    alive, told = Health("serving", [GONE, GONE]).alive()
    assert not alive
    assert told["reason"] == "no worker serves"
