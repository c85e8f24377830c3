"""The SQLite file that holds a ledger: its table, and how it is opened."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from geodns.errors import LedgerError
from geodns.ledger.entry import Entry

LEDGER = "ledger.sqlite"
"""The ledger's file in the state folder, unless [ledger].path says another."""
COLUMNS = "seq, at, kind, order_id, digest, facts, previous, hash"
PATIENCE = 5.0
"""Seconds to wait for another process that writes."""
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS entry (
        seq INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        order_id TEXT,
        digest TEXT,
        facts TEXT NOT NULL,
        previous BLOB NOT NULL,
        hash BLOB NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS entry_kind ON entry (kind, seq)",
    "CREATE INDEX IF NOT EXISTS entry_order ON entry (order_id, seq)",
    """CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry
        BEGIN SELECT RAISE(ABORT, 'entries of a ledger are never changed'); END""",
    """CREATE TRIGGER IF NOT EXISTS entry_remains BEFORE DELETE ON entry
        BEGIN SELECT RAISE(ABORT, 'entries of a ledger are never removed'); END""",
)


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open a ledger, made if need be, for its owner only. Raises LedgerError."""
    with told(path):
        with suppress(FileExistsError):
            path.touch(mode=0o600, exist_ok=False)
        made = sqlite3.connect(
            path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            # What is committed is on the disk, whatever happens to the process or the machine.
            made.execute("PRAGMA journal_mode=WAL")
            made.execute("PRAGMA synchronous=FULL")
            with transaction(made):
                for statement in _SCHEMA:
                    made.execute(statement)
        except BaseException:
            made.close()
            raise
    return made


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a ledger that is there, also while a server writes it. Raises LedgerError."""
    if not path.is_file():
        raise LedgerError(f"{path}: there is no ledger; geodns serve makes it")
    with told(path):
        made = _connect(path, "mode=ro")
        try:
            made.execute("SELECT seq FROM entry LIMIT 1")
        except sqlite3.OperationalError:
            made.close()
            if path.with_name(path.name + "-wal").exists():
                raise
            # A copy in a folder where nothing can be written: nobody writes to it either.
            made = _connect(path, "immutable=1")
    return made


def _connect(path: Path, how: str) -> sqlite3.Connection:
    address = f"file:{quote(str(path.absolute()))}?{how}"
    return sqlite3.connect(address, uri=True, timeout=PATIENCE, check_same_thread=False)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; nobody else writes meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into a LedgerError that names the file."""
    try:
        yield
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror or error}") from None
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from None


def read_row(row: tuple[Any, ...]) -> Entry:
    """An entry out of its columns, as they are: whether it fits is for verify to say."""
    seq, at, kind, order, digest, facts, previous, chained = row
    try:
        return Entry(seq, at, kind, order, digest, json.loads(facts), previous, chained)
    except ValueError:
        raise LedgerError(f"entry {seq}: its facts are not JSON") from None
