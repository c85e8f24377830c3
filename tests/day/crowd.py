"""Clients of all countries who ask all day long, and what they may get."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence

from tests.serve.running import Load

NOERROR, NXDOMAIN = 0, 3
PACE = 0.05
"""Seconds between two rounds; in each, every country asks for one name."""


class Crowd:
    """Asks from a thread until it is told to stop.

    clients: an address by place. names: by place, names that are blocked there all day, and
    nowhere else.
    """

    def __init__(
        self, port: int, clients: Mapping[str, str], names: Mapping[str, Sequence[str]]
    ) -> None:
        self._loads = {place: Load(address, port) for place, address in clients.items()}
        self._names = [(place, name) for place, some in names.items() for name in some]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), daemon=True)
        self._thread.start()

    async def _ask(self) -> None:
        for load in self._loads.values():
            await load.open(4)
        turn = 0
        while not self._stop.is_set():
            for shift, (place, load) in enumerate(self._loads.items()):
                where, name = self._names[(turn + shift) % len(self._names)]
                load.ask(name, NXDOMAIN if where == place else NOERROR)
                load.repeat()
            turn += 1
            await asyncio.sleep(PACE)
        for _ in range(60):
            if not any(load.missing for load in self._loads.values()):
                break
            for load in self._loads.values():
                load.repeat()
            await asyncio.sleep(0.1)
        for load in self._loads.values():
            load.close()

    def end(self) -> None:
        """Stop asking, and wait for replies that are still to come."""
        self._stop.set()
        self._thread.join(30)

    @property
    def answered(self) -> int:
        """Queries that were answered."""
        return sum(load.answered for load in self._loads.values())

    @property
    def wrong(self) -> list[tuple[str, str, int]]:
        """Place, name and response code of each reply that was another than it had to be."""
        return [(place, *each) for place, load in self._loads.items() for each in load.wrong]

    @property
    def unanswered(self) -> int:
        """Queries without any reply, however often they were sent."""
        return sum(len(load.missing) for load in self._loads.values())

    @property
    def again(self) -> int:
        """Queries that a client had to send twice."""
        return sum(load.again for load in self._loads.values())
