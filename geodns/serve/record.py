"""What one reload did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One reload. at: epoch seconds when it was done; took: seconds since it was begun.

    trigger: ``start``, ``files``, ``clock`` or ``SIGHUP``. parsed: order files parsed.
    changed: whether anything new was put in force. everywhere: whether every worker has it.
    """

    at: float
    took: float
    trigger: str
    parsed: int
    changed: bool
    everywhere: bool
