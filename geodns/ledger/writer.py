"""Appending to the ledger: what is acknowledged is on the disk."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodns.errors import LedgerError
from geodns.ledger.entry import GENESIS, KINDS, Entry, canonical, link, milliseconds
from geodns.ledger.file import COLUMNS, open_to_write, read_row, told, transaction
from geodns.ledger.seal import Seal

_INSERT = f"INSERT INTO entry ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to become an entry; see Entry. at: epoch seconds."""

    kind: str
    facts: Mapping[str, Any]
    order: str | None
    digest: str | None
    at: float


class Writer:
    """Appends entries to one ledger; safe beside other writers, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open a ledger, made if need be. Raises LedgerError, also where its end is broken."""
        self.path = path
        self._connection: sqlite3.Connection | None = open_to_write(path)
        try:
            self._inode = path.stat().st_ino
            with told(path):
                self._head()
        except BaseException:
            self.close()
            raise

    def append(
        self,
        kind: str,
        facts: Mapping[str, Any],
        order: str | None = None,
        digest: str | None = None,
        at: float | None = None,
    ) -> Entry:
        """Append one entry and return it once it is on the disk. Raises LedgerError.

        kind: one of KINDS. at: epoch seconds, now if left out.
        """
        draft = Draft(kind, facts, order, digest, time.time() if at is None else at)
        return self.append_all([draft])[0]

    def append_all(self, drafts: Sequence[Draft]) -> list[Entry]:
        """Append some entries, all of them or none, and return them once they are on the disk.

        Raises LedgerError; then none of them is in the ledger.
        """
        entries: list[Entry] = []
        with self._turn() as (connection, (seq, previous)):
            for draft in drafts:
                seq += 1
                entry = _chain(draft, seq, previous)
                previous = entry.hash
                entries.append(entry)
            connection.executemany(_INSERT, map(_row, entries))
        return entries

    def checkpoint(self, seal: Seal, digest: str | None = None) -> Entry | None:
        """Append a checkpoint of all that is there; None if the last entry is one already.

        Raises LedgerError.
        """
        with self._turn() as (connection, (seq, previous)):
            last = connection.execute("SELECT kind FROM entry WHERE seq = ?", (seq,)).fetchone()
            if last is None or last[0] == "checkpoint":
                return None
            facts = seal.checkpoint(seq, previous)
            draft = Draft("checkpoint", facts, None, digest, time.time())
            entry = _chain(draft, seq + 1, previous)
            connection.execute(_INSERT, _row(entry))
        return entry

    @contextmanager
    def _turn(self) -> Iterator[tuple[sqlite3.Connection, tuple[int, bytes]]]:
        """A transaction of our own, and the end of the chain in it."""
        if self._connection is None:
            raise LedgerError(f"{self.path}: the ledger is closed")
        with told(self.path):
            if self.path.stat().st_ino != self._inode:
                raise LedgerError(f"{self.path}: another file is in its place now")
            with transaction(self._connection):
                yield self._connection, self._head()

    def last(self) -> tuple[int, bytes]:
        """Number and hash of the last entry; 0 and zeros where there is none."""
        with told(self.path):
            return self._head()

    def _head(self) -> tuple[int, bytes]:
        assert self._connection is not None
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM entry ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return 0, GENESIS
        last = read_row(row)
        said = link(
            last.seq, last.at, last.kind, last.order, last.digest, last.facts, last.previous
        )
        if said != last.hash:
            raise LedgerError(
                f"{self.path}: the last entry ({last.seq}) was changed, so nothing can follow it;"
                " see geodns verify, and move the file away to begin a new ledger"
            )
        return last.seq, last.hash

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _row(entry: Entry) -> tuple[object, ...]:
    said = entry.seq, entry.at, entry.kind, entry.order, entry.digest
    return *said, canonical(entry.facts), entry.previous, entry.hash


def _chain(draft: Draft, seq: int, previous: bytes) -> Entry:
    if draft.kind not in KINDS:
        raise LedgerError(f"{draft.kind!r} is no kind of entry")
    facts: dict[str, Any] = _readable(dict(draft.facts))
    at = milliseconds(draft.at) / 1000
    chained = link(seq, at, draft.kind, draft.order, draft.digest, facts, previous)
    return Entry(seq, at, draft.kind, draft.order, draft.digest, facts, previous, chained)


def _readable(value: Any) -> Any:
    """The value with text that UTF-8 can hold: file names need not be text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(key): _readable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(inner) for inner in value]
    return value
