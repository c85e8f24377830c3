"""Place tables on disk: written whole or not at all, and cleaned up."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import tempfile
import time
from array import array
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from geodns.locate.merge import Locations
from geodns.locate.table import ENTRY, FORMAT, HEADER, MAGIC, SECTIONS, Source

KEEP = 4
"""How many tables of each sort stay, besides those that a process has mapped."""

_HOUR = 3600.0


def write_table(
    path: Path,
    edition: str,
    sources: Sequence[Source],
    locations: Locations,
    has_asn: bool,
    arrays: Sequence[array[int] | memoryview],
) -> None:
    """Write a place table and put it in place by renaming.

    arrays: the sections after the first, in the order of ``table.SECTIONS``; arrays of this
    machine's byte order, or octets as they are in a file. Raises OSError.
    """
    meta = {
        "edition": edition,
        "has_asn": has_asn,
        "sources": [asdict(source) for source in sources],
        "locations": [
            [location.country, location.subdivisions, location.source, location.why]
            for location in locations.all
        ],
        "parts": list(locations.parts.items()),
    }
    parts: list[bytes | memoryview] = [json.dumps(meta).encode()]
    parts += [_octets(column) for column in arrays]
    offset = HEADER.size + ENTRY.size * len(SECTIONS)
    directory = b""
    body: list[bytes | memoryview] = []
    for part in parts:
        padding = -offset % 8
        offset += padding
        directory += ENTRY.pack(offset, len(part))
        body += [bytes(padding), part]
        offset += len(part)
    digest = hashlib.sha256(directory)
    for part in body:
        digest.update(part)
    header = HEADER.pack(MAGIC, FORMAT, len(SECTIONS), digest.digest())
    _write(path, [header, directory, *body])


def _octets(column: array[int] | memoryview) -> memoryview:
    if isinstance(column, array) and sys.byteorder == "big":
        column = array(column.typecode, column)
        column.byteswap()
    return memoryview(column).cast("B")


def _write(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".making-", suffix=".places")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
            # Whoever may read the directory may read the table: there is nothing secret in it.
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def clean(directory: Path, keep: Collection[Path]) -> None:
    """Remove old place tables, and what interrupted builders left.

    Stays: ``keep``, the newest few of each sort, and every table that some process has
    mapped (it holds a shared lock).
    """
    for pattern in ("base-*.places", "places-*.places"):
        found = sorted(directory.glob(pattern), key=_changed, reverse=True)
        for path in found[KEEP:]:
            if path not in keep:
                _remove_unused(path)
    for path in directory.glob(".making-*.places"):
        if time.time() - _changed(path) > _HOUR:
            path.unlink(missing_ok=True)


def newest(directory: Path) -> Path | None:
    """The place table that was made last; None where none is kept."""
    # Without geofeeds the table of the databases is the whole of it.
    found = [*directory.glob("base-*.places"), *directory.glob("places-*.places")]
    return max(found, key=_changed, default=None)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove_unused(path: Path) -> None:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:
        pass
