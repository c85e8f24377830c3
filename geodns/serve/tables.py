"""Place tables for the server: built by a child process, kept until better ones are there."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from geodns.errors import DatabaseError
from geodns.locate.table import PlaceTable
from geodns.serve.children import child_environment

Progress = Callable[[int, int], None]
Bar = Callable[[str], AbstractContextManager[Progress]]
"""Shows how far something is: a description in, a function of (done, total) out."""

Signature = tuple[tuple[str, int, int, int] | tuple[str], ...]
"""Path, mtime in nanoseconds, size and inode of each file; the path alone if it is not there."""


@contextmanager
def no_bar(description: str) -> Iterator[Progress]:
    """Show nothing."""
    del description
    yield lambda done, total: None


def signature(paths: Sequence[Path]) -> Signature:
    """What can be seen of files without reading them; it changes when one of them does."""
    found: list[tuple[str, int, int, int] | tuple[str]] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append((str(path),))
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


async def build_tables(
    databases: Sequence[Path],
    geofeeds: Sequence[Path],
    directory: Path,
    progress: Progress | None = None,
) -> PlaceTable:
    """Build the place table of these files, or find it kept in ``directory``, and open it.

    progress gets (done, total). Raises DatabaseError with the reason (each faulty line of a
    geofeed on a line) where they cannot be used.
    """
    request = {
        "databases": [str(path) for path in databases],
        "geofeeds": [str(path) for path in geofeeds],
        "directory": str(directory),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "geodns.locate.build",
        stdin=PIPE,
        stdout=PIPE,
        env=child_environment(),
        limit=1 << 26,
    )
    try:
        answer = await _converse(child, request, progress)
        code = await child.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        raise
    if error := answer.get("error"):
        raise DatabaseError(str(error))
    if "path" not in answer:
        raise DatabaseError(f"the place tables could not be built (exit code {code})")
    return await asyncio.to_thread(PlaceTable.open, str(answer["path"]))


async def _converse(
    child: Process, request: Mapping[str, object], progress: Progress | None
) -> dict[str, object]:
    assert child.stdin is not None and child.stdout is not None
    with suppress(ConnectionError):
        child.stdin.write(json.dumps(request).encode() + b"\n")
        await child.stdin.drain()
        child.stdin.close()
    answer: dict[str, object] = {}
    while line := await child.stdout.readline():
        with suppress(ValueError):
            message = json.loads(line)
            if "done" in message:
                if progress is not None:
                    progress(message["done"], message["total"])
            else:
                answer = message
    return answer
