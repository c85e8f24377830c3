"""Official lists for the running server: a child process fetches those that are due.

What it keeps is noticed like any other changed file (reload.py): nothing is told from here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from geodns.errors import Fault
from geodns.orders.feeds.due import Fed, fed
from geodns.orders.loaded import LoadedOrder
from geodns.serve.children import child_environment
from geodns.settings import Feeds

LOOK = 5.0
"""Seconds between two looks at what is due."""
BOUND = 1800.0
"""Seconds that a child may take for all that is due."""

log = logging.getLogger("geodns.feeds")


class Feeding:
    """Keeps the lists of orders up to date.

    directory: the folder of all feeds. orders, settings: what is in force when asked. tell: takes
    all that is wrong with feeds now.
    """

    def __init__(
        self,
        directory: Path,
        orders: Callable[[], Sequence[LoadedOrder]],
        settings: Callable[[], Feeds],
        tell: Callable[[Sequence[Fault]], None],
    ) -> None:
        self._directory = directory
        self._orders = orders
        self._settings = settings
        self._tell = tell
        self._seen: Sequence[LoadedOrder] | None = None
        self._next = 0.0

    async def run(self) -> None:
        """Fetch what is due, for ever."""
        while True:
            orders = self._orders()
            # The states on disk are read again where orders changed, or one of them is due.
            if orders is not self._seen or time.time() >= self._next:
                self._seen = orders
                await self._look(orders)
            await asyncio.sleep(LOOK)

    async def _look(self, orders: Sequence[LoadedOrder]) -> None:
        found = await asyncio.to_thread(lambda: list(fed(orders, self._directory)))
        due = [each for each in found if each.due <= time.time()]
        if due and self._settings().fetch:
            await self._fetch(due)
            found = await asyncio.to_thread(lambda: list(fed(orders, self._directory)))
        self._tell([_fault(each) for each in found if each.state.fault is not None])
        later = (each.due for each in found)
        self._next = max(min(later, default=time.time() + 3600), time.time() + LOOK)

    async def _fetch(self, due: Sequence[Fed]) -> None:
        settings = self._settings()
        command = [
            *(sys.executable, "-P", "-m", "geodns.orders.feeds.due"),
            *("--directory", str(self._directory)),
            *("--timeout", str(settings.timeout), "--attempts", str(settings.attempts)),
            *("--size", str(settings.size)),
            *dict.fromkeys(each.order.path for each in due),
        ]
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(),
            limit=1 << 20,
        )
        assert child.stdout is not None
        try:
            async with asyncio.timeout(BOUND):
                while line := await child.stdout.readline():
                    _say(json.loads(line))
                await child.wait()
        except (TimeoutError, ValueError) as error:
            log.error("fetching lists was broken off: %s", error or f"after {BOUND:g} s")
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


def _say(done: dict[str, Any]) -> None:
    if done["outcome"] == "unkept":
        log.error("lists that were fetched cannot be kept: %s", done["fault"])
    elif done["outcome"] == "failed":
        log.error("the list of %s (%s): %s", done["order"], done["source"], done["fault"])
    elif done["outcome"] == "new":
        rejected = sum(done["reasons"].values())
        log.info(
            "the list of %s has %d targets: %d new, %d gone, %d rows rejected",
            *(done["order"], done["taken"], done["added"], done["gone"], rejected),
        )


def _fault(each: Fed) -> Fault:
    used = "the former one stays" if each.state.fetched is not None else "nothing of it is in force"
    return Fault(f"the list {each.state.source}: {each.state.fault}; {used}", each.order.path)
