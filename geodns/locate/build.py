"""Databases and geofeeds to a place table on disk, once per edition of them.

The databases become a base table, which is kept; a changed geofeed is spliced into it, so
that it is in force within a fraction of a second. Run as ``python -m geodns.locate.build``
in a child process, so that what building takes is given back: one JSON line on stdin
(``{"databases": [...], "geofeeds": [...], "directory": "..."}``), JSON lines on stdout:
``{"done": n, "total": m}`` while it works, then ``{"path": "..."}`` or ``{"error": "..."}``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from geodns.errors import DatabaseError, Fault, GeodnsError, InputFaults
from geodns.locate.geofeed import Geofeed, read_geofeed
from geodns.locate.merge import Locations, splice
from geodns.locate.segments import Segments
from geodns.locate.store import clean, write_table
from geodns.locate.table import ASN4, ASN6, FORMAT, PLACES4, PLACES6, PlaceTable, Source

RULES = 3
"""Raised whenever the same files give another table, so that kept tables are made anew."""

Progress = Callable[[int, int], None]


class File(NamedTuple):
    """A source file read at one instant. changed: seconds since 1970."""

    path: Path
    data: bytes
    changed: float
    edition: str


def build_places(
    databases: Sequence[str | Path],
    geofeeds: Sequence[str | Path],
    directory: str | Path,
    progress: Progress | None = None,
) -> Path:
    """Return the path of the place table of these files, made if ``directory`` lacks it.

    progress gets (steps done, steps in all). Raises DatabaseError for a database that cannot
    be used (naming it), InputFaults with all faulty lines of all geofeeds; an older table
    stays as it is. Builders of one directory wait for each other.
    """
    if not databases and not geofeeds:
        raise DatabaseError("no database and no geofeed is configured, so nobody can be located")
    files = [_read_file(Path(path)) for path in databases]
    feeds = _read_feeds(geofeeds)
    directory = Path(directory)
    base_edition = _edition("base", [(file.path, file.edition, 0.0) for file in files])
    base_path = directory / f"base-{base_edition[:24]}.places"
    path, edition = base_path, base_edition
    if feeds:
        used = [(feed.path, feed.edition, feed.built) for feed in feeds]
        edition = _edition(base_edition, used)
        path = directory / f"places-{edition[:24]}.places"
    if _usable(path, edition) is not None:
        return path
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _lock(directory):
            # Another builder may have made it while we waited.
            if _usable(path, edition) is not None:
                return path
            base = _usable(base_path, base_edition)
            if base is None:
                _build_base(files, base_path, base_edition, progress)
                base = PlaceTable.open(base_path)
            if feeds:
                _splice_feeds(base, feeds, path, edition)
            clean(directory, keep={base_path, path})
    except OSError as error:
        raise DatabaseError(
            f"{directory}: the place table cannot be written ({error.strerror or error})"
        ) from None
    return path


def _edition(seed: str, used: Sequence[tuple[Path, str, float]]) -> str:
    parts = [seed, FORMAT, RULES, [[str(path), digest, built] for path, digest, built in used]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read_file(path: Path) -> File:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DatabaseError(f"{path}: this is no file")
            data = file.read()
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from None
    return File(path, data, status.st_mtime, hashlib.sha256(data).hexdigest())


def _read_feeds(paths: Sequence[str | Path]) -> list[Geofeed]:
    feeds: list[Geofeed] = []
    faults: list[Fault] = []
    for path in paths:
        file = _read_file(Path(path))
        try:
            feeds.append(read_geofeed(file.path, file.data, file.changed))
        except InputFaults as found:
            faults += found.faults
    if faults:
        raise InputFaults(faults)
    return feeds


def _usable(path: Path, edition: str) -> PlaceTable | None:
    """The kept table of an edition, or None if there is no whole one."""
    try:
        table = PlaceTable.open(path)
    except DatabaseError:
        return None
    if table.edition != edition:
        return None
    try:
        os.utime(path)  # the clean-up keeps what was used last
    except OSError:
        pass
    return table


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    with (directory / "places.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass  # no locks here: the builders only do the same work twice
        yield


def _build_base(files: Sequence[File], path: Path, edition: str, progress: Progress | None) -> None:
    # Only those who build need maxminddb.
    from geodns.locate.geoip import read_database
    from geodns.locate.merge import blank_special, merge_asn, merge_places

    report = progress or (lambda done, total: None)
    read = []
    # Steps: octets of the files, then as many again for merging and writing.
    octets = sum(len(file.data) for file in files) or 1
    before = 0
    for file in files:
        offset, size = before, len(file.data)

        def advance(done: int, total: int, offset: int = offset, size: int = size) -> None:
            report(offset + size * done // (total or 1), octets * 5 // 4)

        read.append(read_database(file.path, file.data, advance))
        before += size

    def merging(made: int) -> None:
        report(octets + min(made * 4, octets // 4), octets * 5 // 4)

    asn = {version: merge_asn(read, version) for version in (4, 6)}
    locations = Locations()
    places = {version: merge_places(read, version, locations, merging) for version in (4, 6)}
    if any(found.has_countries for found in read):
        places = {at: blank_special(table, locations) for at, table in places.items()}
    sources = [
        Source(
            name=found.path.name,
            kind=found.kind,
            path=str(found.path),
            built=found.built,
            networks=found.networks,
            edition=found.edition,
            without_country=found.without_country,
            places=found.places,
            database_type=found.database_type,
        )
        for found in read
    ]
    arrays = [*places[4].raw(), *places[6].raw(), *asn[4].raw()[:2], *asn[6].raw()[:3]]
    write_table(path, edition, sources, locations, any(found.has_asn for found in read), arrays)
    report(octets * 5 // 4, octets * 5 // 4)


def _splice_feeds(base: PlaceTable, feeds: Sequence[Geofeed], path: Path, edition: str) -> None:
    locations = Locations(base.locations, base.parts)
    tables = [
        Segments.from_sections(4, [base.section(at) for at in range(PLACES4, PLACES6)]),
        Segments.from_sections(6, [base.section(at) for at in range(PLACES6, ASN4)]),
    ]
    first = len(base.sources)
    # The first feed has the last word, so it is laid on top.
    for index in reversed(range(len(feeds))):
        tables = [splice(table, feeds[index], first + index, locations) for table in tables]
    sources = [*base.sources, *map(_feed_source, feeds)]
    asn = [base.section(at) for at in range(ASN4, ASN6 + 3)]
    write_table(
        path,
        edition,
        sources,
        locations,
        base.has_asn,
        [*tables[0].raw(), *tables[1].raw(), *asn],
    )


def _feed_source(feed: Geofeed) -> Source:
    countries = {row.country for row in feed.rows if row.country}
    parts = {part for row in feed.rows for part in row.subdivisions}
    return Source(
        name=feed.path.name,
        kind="geofeed",
        path=str(feed.path),
        built=feed.built,
        networks=len(feed.rows),
        edition=feed.edition,
        without_country=sum(not row.country for row in feed.rows),
        places=len(countries) + len(parts),
    )


def main() -> int:
    """Serve one request of a parent process; see the module's text."""
    shown = 0.0

    def say(document: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()

    def progress(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= 0.1 or done == total:
            shown = now
            say({"done": done, "total": total})

    try:
        request = json.loads(sys.stdin.readline())
        path = build_places(
            request["databases"], request["geofeeds"], request["directory"], progress
        )
    except GeodnsError as error:
        say({"error": str(error)})
        return 2
    except (ValueError, KeyError, TypeError) as error:
        say({"error": f"this is no request to build places: {error!r}"})
        return 2
    say({"path": str(path)})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
