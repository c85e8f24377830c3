"""Asking the ledger: entries by kind, order and time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from geodns.ledger.entry import Entry
from geodns.ledger.file import COLUMNS, open_to_read, read_row, told


class Ledger:
    """One ledger, to be read while it grows. Takes the entries as they are: see verify.py."""

    def __init__(self, path: Path) -> None:
        """Raises LedgerError if there is no ledger."""
        self.path = path
        self._connection = open_to_read(path)

    def entries(
        self,
        kinds: Iterable[str] | None = None,
        order: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[Entry]:
        """The entries in the order they were written.

        kinds, order: only those. since: from this instant on; until: before this one (epoch
        seconds). Raises LedgerError where the file cannot be read.
        """
        wanted: list[str] = []
        values: list[object] = []
        if kinds is not None:
            chosen = sorted(set(kinds))
            wanted.append(f"kind IN ({', '.join('?' * len(chosen))})")
            values += chosen
        for column, value in (("order_id =", order), ("at >=", since), ("at <", until)):
            if value is not None:
                wanted.append(f"{column} ?")
                values.append(value)
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        with told(self.path):
            rows = self._connection.execute(
                f"SELECT {COLUMNS} FROM entry{where} ORDER BY seq", values
            )
            yield from map(read_row, rows)

    def last(self) -> Entry | None:
        """The newest entry."""
        with told(self.path):
            row = self._connection.execute(
                f"SELECT {COLUMNS} FROM entry ORDER BY seq DESC LIMIT 1"
            ).fetchone()
        return None if row is None else read_row(row)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
