"""Which order files there are, and whether they changed: no file is opened that did not."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from geodns.errors import Fault
from geodns.model.place import PlaceFault, kind, parse_place

SUFFIX = ".toml"
_TRIES = 4

Signature = tuple[int, int, int, int]
"""mtime and ctime in nanoseconds, size in octets, inode: changes whenever the content does,
but for two writes within one tick of the file system's clock."""


@dataclass(slots=True)
class Scan:
    """What stands in the directories.

    files: order file -> (signature, place), place None where the folder is no place.
    faults: of folders and files that cannot be looked at. broken: order files among them.
    blind: folders that could not be listed; what was in them is not gone, it is unknown.
    """

    files: dict[str, tuple[Signature, str | None]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    blind: list[str] = field(default_factory=list)

    def hides(self, path: str) -> bool:
        """Whether a file is in a folder that could not be listed."""
        return any(path.startswith(f"{folder}/") for folder in self.blind)


def scan(directories: Sequence[Path]) -> Scan:
    """Look through ``directory/<PLACE>/<id>.toml`` of each directory."""
    found = Scan()
    for directory in dict.fromkeys(str(directory) for directory in directories):
        for entry in _list(directory, found, "directory of orders"):
            if _is_order(entry.name):
                told = "is in no place's folder; move it into one, such as IT/"
                found.faults.append(Fault(told, entry.path))
                found.broken.add(entry.path)
            elif not _ignored(entry.name) and entry.is_dir():
                _folder(entry.path, entry.name, found)
    return found


def scan_path(path: Path) -> Scan:
    """Look at one order file, one place's folder, or one directory of places' folders."""
    if path.is_dir():
        if not any(_is_order(child.name) for child in path.iterdir()):
            return scan([path])
        found = Scan()
        _folder(str(path), path.absolute().name, found)
        return found
    found = Scan()
    if not path.name.endswith(SUFFIX):
        found.faults.append(
            Fault(f"is no order file: its name does not end in {SUFFIX}", str(path))
        )
        return found
    place = _place_of(str(path.parent), path.absolute().parent.name, found)
    _look(str(path), path.stat, place, found)
    return found


def signature(status: os.stat_result) -> Signature:
    """Return the signature of a file from its status."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def read_settled(path: str) -> tuple[bytes, Signature, bool]:
    """Read a regular file whose signature did not change meanwhile.

    Returns its bytes, its signature, and whether the file is settled: so old that a later
    write must show in the signature. Raises OSError, FileNotFoundError among them.
    """
    for attempt in range(_TRIES):
        now = time.time_ns()
        # Not blocking: to open a named pipe would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(0, "it is not a regular file")
            data = file.read()
            after = os.fstat(handle)
        if signature(before) == signature(after) and len(data) == after.st_size:
            break
        time.sleep(0.001 * (attempt + 1))
    # Two seconds is the coarsest clock of a file system in use (FAT).
    return data, signature(after), after.st_mtime_ns < now - 2_000_000_000


@lru_cache(maxsize=1024)
def _place(name: str) -> str:
    place = parse_place(name)
    if kind(place) == "asn":
        raise PlaceFault(f"{name!r} is a network, not an authority's place")
    return place


def _folder(path: str, name: str, found: Scan) -> None:
    place = _place_of(path, name, found)
    for entry in _list(path, found, "folder of orders"):
        if not _is_order(entry.name):
            if not _ignored(entry.name) and entry.is_dir():
                _nested(entry.path, found)
            continue
        _look(entry.path, entry.stat, place, found)


def _look(
    path: str, status_of: Callable[[], os.stat_result], place: str | None, found: Scan
) -> None:
    """Take in one order file; one that vanished meanwhile is none."""
    told = None
    try:
        status = status_of()
        if stat.S_ISREG(status.st_mode):
            found.files[path] = (signature(status), place)
        else:
            told = "is not a regular file"
    except FileNotFoundError:
        if Path(path).is_symlink():
            told = "is a link to a file that does not exist"
    except OSError as error:
        told = f"cannot be read: {error.strerror or error}"
    if told is not None:
        found.faults.append(Fault(told, path))
        found.broken.add(path)


def _place_of(path: str, name: str, found: Scan) -> str | None:
    try:
        return _place(name)
    except PlaceFault as fault:
        told = f"a folder of orders has the name of the authority's place: {fault}"
        found.faults.append(Fault(told, path))
        return None


def _nested(path: str, found: Scan) -> None:
    for folder, _, names in os.walk(path):
        for name in filter(_is_order, names):
            file = f"{folder}/{name}"
            found.faults.append(Fault("is in a folder within a place's folder; move it up", file))
            found.broken.add(file)


def _list(path: str, found: Scan, what: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError as error:
        told = f"the {what} cannot be listed: {error.strerror or error}"
        found.faults.append(Fault(told, path))
        found.blind.append(path)


def _ignored(name: str) -> bool:
    """Whether a name is hidden or an editor's temporary file."""
    return name.startswith((".", "#", "~$")) or name.endswith(("~", ".swp", ".tmp"))


def _is_order(name: str) -> bool:
    return name.endswith(SUFFIX) and not _ignored(name)


def stat_list(path: str) -> Signature | None:
    """Return the signature of a list file, None where it cannot be looked at."""
    with suppress(OSError, ValueError):
        return signature(os.stat(path))  # noqa: PTH116 - asked for every list at every scan
    return None
