"""The parent's side of the workers: start them, hand them loads, replace the dead and the silent.

A load names all that a worker needs to answer: snapshot, place tables, settings. It is in
force when every worker has acknowledged it; the supervisor knows the current one and gives it
to each new worker first. Messages are JSON, one a line, on a socket pair a worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from geodns.errors import ServerError
from geodns.serve.children import Spares, ending, worker_command
from geodns.serve.sockets import Listener
from geodns.serve.spared import Spared
from geodns.serve.upstreams import Upstreams

ACK_BOUND = 5.0
"""Seconds that a worker may take to acknowledge a load."""
START_BOUND = 30.0
"""Seconds that a new worker may take to come up and acknowledge its first load."""
DISTRIBUTE_BOUND = 20.0
"""Seconds that a reload waits for all workers before it goes on without the missing."""
SILENCE_BOUND = 10.0
"""Seconds without a sign of life after which a worker is replaced."""
DRAIN_BOUND = 8.0
"""Seconds that workers may take to drain."""
STEADY = 5.0
"""Seconds that a worker must have lived for its death not to slow down its replacement."""
SLOWEST = 2.0
"""Seconds between the death of a worker that dies again and again and its replacement."""
GAUGES = frozenset(("tcp/open", "cache/entries", "cache/octets", "fast/kept"))
"""Counters that say how many there are now; they end with their worker."""
_TICK = 0.25

log = logging.getLogger("geodns.supervisor")


@dataclass(frozen=True, slots=True)
class Load:
    """What workers are to put in force.

    snapshot, places: paths of the files. digest: the snapshot's. stale: indexes of place
    sources that are too old. settings: JSON form of the operator's settings.
    """

    snapshot: str
    digest: str
    places: str
    stale: tuple[int, ...]
    settings: dict[str, Any]


@dataclass(slots=True)
class Slot:
    """One worker's place: it outlives the processes that fill it."""

    index: int
    process: subprocess.Popen[bytes] | None = None
    writer: asyncio.StreamWriter | None = None
    digest: str | None = None
    generation: int = 0
    refused: str | None = None
    refused_generation: int = 0
    restarts: int = 0
    quick_deaths: int = 0
    born: float = 0.0
    heard: float = 0.0
    owes_since: float | None = None
    loaded_once: bool = False
    scope_classes: int | None = None
    fast_path: str | None = None
    counters: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)
    upstreams: dict[str, dict[str, Any]] = field(default_factory=dict)
    leaving_since: float | None = None


class Supervisor:
    """Runs one worker process for each socket of the listeners."""

    def __init__(
        self, listeners: Sequence[Listener], workers: int, command: Sequence[str] | None = None
    ) -> None:
        """command: starts a worker; ``--control``, ``--udp`` and ``--tcp`` follow."""
        udp = [[listener.udp[index].fileno() for listener in listeners] for index in range(workers)]
        tcp = [[listener.tcp[index].fileno() for listener in listeners] for index in range(workers)]
        self._spares = Spares(command or worker_command(), udp, tcp)
        self.slots = [Slot(index) for index in range(workers)]
        self.current: Load | None = None
        self.generation = 0
        self.retired: dict[str, int] = {}
        self._blocks: Counter[str] = Counter()
        self._upstreams = Upstreams()
        self._spared = Spared()
        self._draining = asyncio.Event()
        self._starting = True
        self._failure: str | None = None
        self._changed = asyncio.Condition()
        self._leaving: list[Slot] = []
        self._fillers: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start(self, load: Load) -> None:
        """Start all workers and wait until each has the load in force.

        Raises ServerError if one refuses it or dies, with no worker left running.
        """
        self.current = load
        self.generation = 1
        for slot in self.slots:
            self._begin(slot)
        self._watcher = asyncio.create_task(self._watch())
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._failure is not None or self._agreed(1))
            if self._failure is not None:
                raise ServerError(self._failure)
        except BaseException:
            await self.kill()
            raise
        self._starting = False
        self._spares.refill()

    async def distribute(self, load: Load) -> bool:
        """Hand a load to all workers and wait until all have it in force.

        A worker that does not acknowledge in time is replaced, and its successor starts with
        this load. Returns whether all have it; False where one has not come back in time (it
        will start with it). Raises ServerError if a worker refuses the load: then the former
        one is in force everywhere again.
        """
        async with self._one_at_a_time:
            former = self.current
            generation = self._send_all(load)
            done = await self._settled(generation)
            reason = self._refusal(generation)
            if reason is None:
                return done
            if former is not None:
                await self._settled(self._send_all(former))
            raise ServerError(f"the workers refuse what they were to load: {reason}")

    async def _settled(self, generation: int) -> bool:
        """Wait until all workers have accepted a generation, or one has refused it."""
        try:
            async with asyncio.timeout(DISTRIBUTE_BOUND), self._changed:
                await self._changed.wait_for(
                    lambda: (
                        self._draining.is_set()
                        or self._agreed(generation)
                        or self._refusal(generation) is not None
                    )
                )
        except TimeoutError:
            return False
        return self._agreed(generation)

    async def roll(self) -> None:
        """Replace the workers one by one, for settings that a worker takes at its start only.

        Each finishes what is under way and reads no more; its successor does not wait for that.
        """
        async with self._one_at_a_time:
            for index, slot in enumerate(self.slots):
                if slot.writer is None:
                    continue
                slot.leaving_since = time.monotonic()
                slot.writer.write(b'{"drain": true}\n')
                self._leaving.append(slot)
                self.slots[index] = Slot(index, restarts=slot.restarts)
                self._begin(self.slots[index])
                await self._settled(self.generation)

    def _begin(self, slot: Slot) -> None:
        task = asyncio.create_task(self._fill(slot))
        self._fillers.add(task)
        task.add_done_callback(self._fillers.discard)

    def totals(self) -> dict[str, int]:
        """The counters of all workers, past ones included, added up."""
        totals = dict(self.retired)
        for slot in (*self.slots, *self._leaving):
            for name, value in slot.counters.items():
                totals[name] = totals.get(name, 0) + value
        return totals

    def blocks(self) -> Counter[str]:
        """Blocks by order and place, ``block/ORDER/PLACE`` and ``shadow/ORDER/PLACE``, added up."""
        found = Counter(self._blocks)
        for slot in (*self.slots, *self._leaving):
            found.update(slot.blocks)
        return found

    def everywhere(self, digest: str) -> bool:
        """Whether every worker lives and has this snapshot in force, and has said so."""
        return all(
            slot.writer is not None and slot.digest == digest and slot.generation >= self.generation
            for slot in self.slots
        )

    def upstreams(self) -> list[dict[str, Any]]:
        """What the workers know of each upstream server, added up (see upstreams.Upstreams)."""
        return self._upstreams.summed(slot.upstreams for slot in (*self.slots, *self._leaving))

    def _send_all(self, load: Load) -> int:
        self.current = load
        self.generation += 1
        for slot in self.slots:
            self._send(slot)
        return self.generation

    def _send(self, slot: Slot) -> None:
        if slot.writer is None or self.current is None:
            return
        load = self.current
        message = {
            "load": {
                "worker": slot.index,
                "generation": self.generation,
                "snapshot": load.snapshot,
                "places": load.places,
                "stale": list(load.stale),
                "settings": load.settings,
            }
        }
        if slot.owes_since is None:
            slot.owes_since = time.monotonic()
        slot.writer.write(json.dumps(message).encode() + b"\n")

    def _agreed(self, generation: int) -> bool:
        return all(slot.generation >= generation for slot in self.slots)

    def _refusal(self, generation: int) -> str | None:
        for slot in self.slots:
            if slot.refused is not None and slot.refused_generation >= generation:
                return slot.refused
        return None

    async def drain(self) -> None:
        """Let all workers finish what is under way and exit; kill those that do not."""
        self._draining.set()
        await self._notify()
        for slot in self.slots:
            if slot.writer is not None:
                slot.writer.write(b'{"drain": true}\n')
        if self._fillers:
            await asyncio.wait(self._fillers, timeout=DRAIN_BOUND)
        await self.kill()

    async def kill(self) -> None:
        """End all workers at once."""
        self._draining.set()
        for slot in (*self.slots, *self._leaving):
            if slot.process is not None:
                slot.process.kill()
        await self._spares.close()
        if self._fillers:
            await asyncio.wait(self._fillers, timeout=2)
        tasks = [*self._fillers, *([self._watcher] if self._watcher is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._spared.look(self.totals(), time.monotonic(), last=True)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _fill(self, slot: Slot) -> None:
        """Keep one slot filled until the end."""
        while True:
            try:
                code = await self._live(slot)
            except OSError as error:
                code = error.strerror or str(error)
            if self._draining.is_set():
                return
            lived = time.monotonic() - slot.born
            if self._starting:
                reason = slot.refused or f"worker {slot.index} {code} before it was ready"
                self._failure = self._failure or reason
                await self._notify()
                return
            if slot.leaving_since is not None:
                self._leaving.remove(slot)
                return
            slot.restarts += 1
            slot.quick_deaths = 0 if lived > STEADY else slot.quick_deaths + 1
            delay = 0.0
            if slot.quick_deaths > 1:
                delay = min(0.1 * 2 ** (slot.quick_deaths - 2), SLOWEST)
            log.warning(
                "worker %d %s; it is replaced", slot.index, code, extra={"worker": slot.index}
            )
            await self._notify()
            await asyncio.sleep(delay)
            if self._draining.is_set():
                return

    async def _live(self, slot: Slot) -> str:
        """One worker process from start to end; returns how it ended."""
        slot.born = slot.heard = time.monotonic()
        slot.owes_since = None
        slot.loaded_once = False
        child = await self._spares.take()
        slot.process = child.process
        try:
            reader, slot.writer = child.reader, child.writer
            if self._draining.is_set():
                slot.process.kill()
            self._send(slot)
            with contextlib.suppress(OSError, ValueError):
                while line := await reader.readline():
                    await self._hear(slot, json.loads(line))
        finally:
            await self._bury(slot)
        return ending(slot.process.returncode)

    async def _bury(self, slot: Slot) -> None:
        if slot.writer is not None:
            slot.writer.close()
            slot.writer = None
        process = slot.process
        assert process is not None
        try:
            await asyncio.to_thread(process.wait, 1)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        for name, value in slot.counters.items():
            if name in GAUGES:
                continue
            self.retired[name] = self.retired.get(name, 0) + value
        self._upstreams.retire(slot.upstreams)
        self._blocks.update(slot.blocks)
        slot.counters, slot.upstreams, slot.blocks = {}, {}, {}
        slot.digest = None
        slot.generation = 0

    async def _hear(self, slot: Slot, message: dict[str, Any]) -> None:
        slot.heard = time.monotonic()
        if "counters" in message:
            slot.counters = message["counters"]
            slot.upstreams = message.get("upstreams", {})
            slot.blocks = message.get("blocks", slot.blocks)
            return
        generation = message.get("generation", 0)
        if generation >= self.generation:
            slot.owes_since = None
        if "loaded" in message:
            slot.digest = message["loaded"]
            slot.generation = generation
            slot.scope_classes = message.get("scope_classes")
            slot.fast_path = message.get("fast_path")
            slot.refused = None
            slot.loaded_once = True
            if not self._starting and not self._draining.is_set():
                self._spares.refill()
        elif "refused" in message:
            slot.refused = message["refused"]
            slot.refused_generation = generation
            if not slot.loaded_once and slot.process is not None:
                # It has nothing to serve with; a fresh start is all that can help.
                slot.process.kill()
        await self._notify()

    async def _watch(self) -> None:
        """Replace workers that owe an acknowledgement, or give no sign of life, for too long."""
        before = looked = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            if now - looked >= 1:
                looked = now
                self._spared.look(self.totals(), now)
            paused, before = now - before > 1, now
            for slot in self._leaving:
                late = slot.leaving_since is not None and now - slot.leaving_since > DRAIN_BOUND
                if late and slot.process is not None:
                    slot.process.kill()
            for slot in self.slots:
                if paused:
                    # It was this process that stood still; what workers said is not read yet.
                    slot.heard = now
                    slot.owes_since = None if slot.owes_since is None else now
                if slot.process is None or slot.writer is None or self._draining.is_set():
                    continue
                if not slot.loaded_once:
                    late = now - slot.born > START_BOUND
                else:
                    late = now - slot.heard > SILENCE_BOUND or (
                        slot.owes_since is not None and now - slot.owes_since > ACK_BOUND
                    )
                if late:
                    log.error("worker %d is silent", slot.index, extra={"worker": slot.index})
                    slot.process.kill()
