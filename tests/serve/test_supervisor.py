from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from geodns.errors import ServerError
from geodns.serve import supervisor as module
from geodns.serve.children import Child
from geodns.serve.sockets import open_listeners
from geodns.serve.supervisor import Load, Supervisor
from tests.serve.answering import until

COMMAND = [sys.executable, str(Path(__file__).with_name("feigned_worker.py"))]


def load(digest: str, **settings: object) -> Load:
    return Load(digest, digest, "places", (), dict(settings))


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    listeners = open_listeners(["127.0.0.1:0", "[::1]:0"], 2)
    found = Supervisor(listeners, 2, COMMAND)
    yield found
    await found.kill()
    for listener in listeners:
        listener.close()


def digests(supervisor: Supervisor) -> list[str | None]:
    return [slot.digest for slot in supervisor.slots]


def processes(supervisor: Supervisor) -> list[int]:
    return [slot.process.pid for slot in supervisor.slots if slot.process is not None]


async def test_all_workers_have_the_load_when_it_is_distributed(supervisor: Supervisor) -> None:
    await supervisor.start(load("one"))
    assert digests(supervisor) == ["one", "one"]
    assert await supervisor.distribute(load("two"))
    assert digests(supervisor) == ["two", "two"]
    await supervisor.drain()
    assert [slot.process.returncode for slot in supervisor.slots if slot.process] == [0, 0]
    # What a worker counted stays, what it had open does not.
    assert supervisor.totals() == {"queries": 14}


@pytest.mark.parametrize(
    ("behaviour", "reason"), [("refuse", "no good"), ("die", "exited with code 5")]
)
async def test_a_start_that_fails_leaves_nobody_running(
    supervisor: Supervisor, behaviour: str, reason: str
) -> None:
    with pytest.raises(ServerError, match=reason):
        await supervisor.start(load("one", **{"1": behaviour}))
    assert all(slot.process and slot.process.poll() is not None for slot in supervisor.slots)


async def test_a_program_that_is_not_there() -> None:
    listeners = open_listeners(["127.0.0.1:0"], 1)
    try:
        with pytest.raises(ServerError, match="worker 0 No such file"):
            await Supervisor(listeners, 1, ["/nonexistent/worker"]).start(load("one"))
    finally:
        listeners[0].close()


async def test_a_killed_worker_comes_back_with_the_current_load(supervisor: Supervisor) -> None:
    await supervisor.start(load("one"))
    await supervisor.distribute(load("two"))
    before = processes(supervisor)
    os.kill(before[0], signal.SIGKILL)
    await until(lambda: supervisor.slots[0].restarts == 1 and digests(supervisor)[0] == "two")
    after = processes(supervisor)
    assert after[0] != before[0] and after[1] == before[1]
    assert supervisor.totals()["queries"] == 3


async def test_a_spare_worker_stands_by(supervisor: Supervisor) -> None:
    await supervisor.start(load("one"))
    spare = await standing_by(supervisor)
    os.kill(processes(supervisor)[1], signal.SIGKILL)
    await until(lambda: digests(supervisor) == ["one", "one"] and supervisor.slots[1].restarts)
    assert processes(supervisor)[1] == spare.process.pid
    # There is another one, and if that is dead when it is needed, a new one is started.
    dead = await standing_by(supervisor)
    assert dead.process.pid != spare.process.pid
    dead.process.kill()
    dead.process.wait()
    os.kill(processes(supervisor)[0], signal.SIGKILL)
    await until(lambda: digests(supervisor)[0] == "one" and supervisor.slots[0].restarts == 1)
    last = await standing_by(supervisor)
    await supervisor.drain()
    assert last.process.returncode == -signal.SIGKILL


async def standing_by(supervisor: Supervisor) -> Child:
    await until(lambda: supervisor._spares._spare is not None)
    spare = supervisor._spares._spare
    assert spare is not None
    return await asyncio.shield(spare)


async def test_a_worker_killed_again_and_again_comes_back(supervisor: Supervisor) -> None:
    await supervisor.start(load("one"))
    for number in range(1, 4):
        os.kill(processes(supervisor)[1], signal.SIGKILL)
        await until(
            lambda number=number: (
                supervisor.slots[1].restarts == number and digests(supervisor)[1] == "one"
            )
        )


async def test_a_silent_worker_is_replaced(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await supervisor.start(load("one"))
    monkeypatch.setattr(module, "ACK_BOUND", 0.4)
    before = processes(supervisor)
    silent = load("two", **{"0": "hang once", "marker": str(tmp_path / "marker")})
    assert await supervisor.distribute(silent)
    assert digests(supervisor) == ["two", "two"]
    after = processes(supervisor)
    assert after[0] != before[0] and after[1] == before[1]
    assert [slot.restarts for slot in supervisor.slots] == [1, 0]


async def test_a_refused_load_leaves_the_former_one_in_force(supervisor: Supervisor) -> None:
    await supervisor.start(load("one"))
    with pytest.raises(ServerError, match="no good"):
        await supervisor.distribute(load("bad", **{"1": "refuse"}))
    assert digests(supervisor) == ["one", "one"]
    assert supervisor.current == load("one")
    assert [slot.restarts for slot in supervisor.slots] == [0, 0]
    assert await supervisor.distribute(load("three"))
    assert digests(supervisor) == ["three", "three"]


async def test_rolling_replaces_each_worker_once(supervisor: Supervisor) -> None:
    await supervisor.start(load("one"))
    before = processes(supervisor)
    await supervisor.roll()
    after = processes(supervisor)
    assert not set(before) & set(after)
    assert digests(supervisor) == ["one", "one"]
    assert [slot.restarts for slot in supervisor.slots] == [0, 0]


async def test_a_successor_does_not_wait_for_what_its_predecessor_has_under_way(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await supervisor.start(load("one", **{"0": "drain slowly"}))
    before = [slot.process for slot in supervisor.slots]
    await supervisor.roll()
    assert digests(supervisor) == ["one", "one"]
    assert supervisor.slots[0].process is not before[0]
    assert before[0] is not None
    assert before[0].poll() is None, "it still drains"
    assert supervisor.totals()["queries"] == 1 + 1 + 1 + 7, "what it has counted still counts"
    monkeypatch.setattr(module, "DRAIN_BOUND", 0.0)
    await until(lambda: before[0] is not None and before[0].poll() == -signal.SIGKILL)
    await until(lambda: supervisor.totals()["queries"] == 1 + 1 + 1 + 7)


async def test_a_worker_that_does_not_drain_is_killed(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await supervisor.start(load("one"))
    monkeypatch.setattr(module, "DRAIN_BOUND", 0.3)
    os.kill(processes(supervisor)[0], signal.SIGSTOP)
    await supervisor.drain()
    codes = [slot.process.returncode for slot in supervisor.slots if slot.process]
    assert codes == [-signal.SIGKILL, 0]
