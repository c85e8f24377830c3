"""What can go wrong, as users meet it: every error says where and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with one place of the operator's input.

    file: path as the operator gave it, or None for arguments.
    line: 1-based line, or None where it is not known.
    field: dotted path inside the file (``targets.domains.3``), or None.
    message: what is wrong and what to do, quoting the value.
    """

    message: str
    file: str | None = None
    line: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if self.file and self.line is not None:
            place += f":{self.line}"
        return ": ".join(part for part in (place, self.field, self.message) if part)

    def as_json(self) -> dict[str, object]:
        """The fault as a JSON-ready mapping."""
        return {
            "file": self.file,
            "line": self.line,
            "field": self.field,
            "message": self.message,
        }


class GeodnsError(Exception):
    """Root of all errors that are shown to a user as one line, never as a traceback."""

    exit_code = 2


class InputFaults(GeodnsError):
    """All faults of some input at once (settings, order files, arguments)."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class SettingsError(InputFaults):
    """The operator's settings are wrong."""


class OrderError(InputFaults):
    """Order files are wrong, and no last good edition can stand in."""


class DatabaseError(GeodnsError):
    """An IP-to-place database or geofeed cannot be read or does not hold what it must."""


class SnapshotError(GeodnsError):
    """A snapshot or place table is damaged, foreign, or of another version."""


class ServerError(GeodnsError):
    """The server cannot start or cannot be reached."""


class LedgerError(GeodnsError):
    """The ledger cannot be written or read."""
