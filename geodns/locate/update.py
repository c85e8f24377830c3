"""A newer database in the place of an older one: checked first, then swapped whole."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from geodns.errors import DatabaseError
from geodns.locate.geoip import Database, read_database

Progress = Callable[[int, int], None]

_DAY = 86400.0
_RANK = {"flat": 1, "country": 1, "city": 2}


@dataclass(frozen=True, slots=True)
class Update:
    """What an update did. new: the database fetched; old: the one before, None if there was
    none that could be read. changed: whether the file was replaced."""

    path: Path
    new: Database
    old: Database | None
    changed: bool


def install(
    path: Path, data: bytes, *, force: bool = False, progress: Progress | None = None
) -> Update:
    """Check a database's octets against the one at ``path`` and put them in its place.

    Refused with DatabaseError: what cannot be read whole; and unless ``force``: what is
    older than the present one, has less than half of its networks, is of another kind, or
    has a build date that is still to come.
    """
    new = read_database(path, data, progress)
    old = _present(path)
    if old is not None and old.edition == new.edition:
        return Update(path, new, old, changed=False)
    if not force:
        _compare(path, new, old)
    _swap(path, data)
    return Update(path, new, old, changed=True)


def _present(path: Path) -> Database | None:
    try:
        return read_database(path, path.read_bytes())
    except (OSError, DatabaseError):
        return None


def _compare(path: Path, new: Database, old: Database | None) -> None:
    if new.built > time.time() + _DAY:
        raise DatabaseError(
            f"{path}: the new database says it was built on {_date(new.built)}, which is still to"
            " come; the old one stays (--force takes it)"
        )
    if old is None:
        return
    if new.built < old.built:
        raise DatabaseError(
            f"{path}: the new database is of {_date(new.built)}, older than the present one of"
            f" {_date(old.built)}, which stays (--force takes it)"
        )
    if new.networks * 2 < old.networks:
        raise DatabaseError(
            f"{path}: the new database has {new.networks} networks, less than half of the present"
            f" {old.networks}; the old one stays (--force takes it)"
        )
    if _RANK.get(new.kind, 0) < _RANK.get(old.kind, 0) or (old.has_asn and not new.has_asn):
        raise DatabaseError(
            f"{path}: the new database is of kind {new.kind}, the present one of kind {old.kind},"
            " which knows more; the old one stays (--force takes it, --to puts it elsewhere)"
        )


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "an impossible date"


def _swap(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A configured link stays a link: what it points to is replaced.
        path = path.resolve()
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DatabaseError(
            f"{path}: cannot be written ({error.strerror}); --to FILE puts it elsewhere"
        ) from None
