"""RFC 9520 and RFC 8914 4.14: a failure is kept, and says so."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.asking import build
from tests.scenarios.world import Loop, running


def test_a_kept_failure_says_so(loop: Loop, tmp_path: Path) -> None:
    with running(
        loop,
        tmp_path,
        orders={},
        geofeed="127.33.0.0/16,FR\n",
        manners={"lame.example": {"rcode": 2}},
    ) as world:
        first = world.ask(build("lame.example"), "127.33.0.1")
        second = world.ask(build("lame.example"), "127.33.0.1")
        assert [first.rcode, second.rcode] == ["SERVFAIL", "SERVFAIL"]
        assert [code for code, _ in first.ede + second.ede] == [13]
        assert world.pipeline.counters()["upstream/spared"] == 1
