"""Notices that files change: at once where the kernel tells, else by looking again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterable
from pathlib import Path

from watchfiles import awatch

DEBOUNCE_MS = 50
"""Changes are gathered for at most this long, measured from the first of them."""
STEP_MS = 20
_AGAIN = 5.0

log = logging.getLogger("geodns.watch")

# It logs every change, and our own log may lie in a folder that is watched.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

Identity = tuple[tuple[str, int, int], ...]
"""Path, device and inode of each folder that is there."""


class Watch:
    """Calls ``notify`` soon after something changes in the folders watched.

    It says only that something changed: what did is found by looking, because the kernel may
    drop events, and folders may be replaced under the same name.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._tasks: list[asyncio.Task[None]] = []
        self._identity: tuple[Identity, Identity, tuple[str, ...]] = ((), (), ())
        self._complained: set[str] = set()

    def look_at(self, trees: Iterable[Path], files: Iterable[Path]) -> None:
        """Watch trees (with all below them) and single files (in whatever folder).

        To be called again and again: a folder that came, went or was replaced is noticed.
        """
        single = {str(path) for path in files}
        folders = sorted({Path(path).parent for path in single})
        identity = (_identify(trees), _identify(folders), tuple(sorted(single)))
        if identity == self._identity and not any(task.done() for task in self._tasks):
            return
        self._identity = identity
        self._cancel()
        if identity[0]:
            self._start([path for path, _, _ in identity[0]], True, None)
        if identity[1]:
            # Folders are watched since a file that is replaced is another one; what else
            # happens there (our own log, perhaps) is no business of ours.
            self._start([path for path, _, _ in identity[1]], False, single)
        # What changed before the new watch began was told to nobody.
        self._notify()

    def _start(self, paths: list[str], recursive: bool, only: Container[str] | None) -> None:
        self._tasks.append(asyncio.create_task(self._run(paths, recursive, only)))

    async def _run(self, paths: list[str], recursive: bool, only: Container[str] | None) -> None:
        try:
            async for _ in awatch(
                *paths,
                watch_filter=None if only is None else lambda _, path: path in only,
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


def _identify(folders: Iterable[Path]) -> Identity:
    found = []
    for path in folders:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_dev, status.st_ino))
    return tuple(found)
