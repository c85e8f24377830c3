"""Notices that files change: at once where the kernel tells, else by looking again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import awatch

DEBOUNCE_MS = 50
"""Changes are gathered for at most this long, measured from the first of them."""
STEP_MS = 20
_AGAIN = 5.0

log = logging.getLogger("geodns.watch")

Identity = tuple[tuple[str, int, int], ...]


class Watch:
    """Calls ``notify`` soon after something changes in the folders watched.

    It says only that something changed: what did is found by looking, because the kernel may
    drop events, and folders may be replaced under the same name.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._tasks: list[asyncio.Task[None]] = []
        self._identity: Identity = ()
        self._complained: set[str] = set()

    def look_at(self, trees: Iterable[Path], folders: Iterable[Path]) -> None:
        """Watch trees (with all below them) and folders (without).

        To be called again and again: a folder that came, went or was replaced is noticed.
        """
        wanted = [(path, True) for path in trees] + [(path, False) for path in folders]
        identity = _identify(wanted)
        if identity == self._identity and not any(task.done() for task in self._tasks):
            return
        self._identity = identity
        self._cancel()
        present = {path for path, _, _ in identity}
        for recursive in (True, False):
            paths = [path for path, deep in wanted if deep == recursive and str(path) in present]
            if paths:
                self._tasks.append(asyncio.create_task(self._run(paths, recursive)))
        # What changed before the new watch began was told to nobody.
        self._notify()

    async def _run(self, paths: list[Path], recursive: bool) -> None:
        try:
            async for _ in awatch(
                *paths,
                watch_filter=None,
                debounce=DEBOUNCE_MS,
                step=STEP_MS,
                recursive=recursive,
                ignore_permission_denied=True,
            ):
                self._notify()
        except (OSError, RuntimeError) as error:
            reason = str(error)
            if reason not in self._complained:
                self._complained.add(reason)
                log.warning(
                    "changes of files are noticed later, since they cannot be watched: %s", reason
                )
            await asyncio.sleep(_AGAIN)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def close(self) -> None:
        """Watch nothing more."""
        tasks = self._tasks
        self._cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _identify(wanted: list[tuple[Path, bool]]) -> Identity:
    found = []
    for path, _ in wanted:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_dev, status.st_ino))
    return tuple(found)
