"""Approval of an order by several people: each signs the very edition that is to have force.

Approvals stand beside the order file, in ``<id>.approvals``, a TOML file with a table
``[[approval]]`` for each person. What only ends an order needs none: to lift a block must be as
easy as it can be.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from geodns.errors import Fault
from geodns.model.signature import holds
from geodns.orders.feeds.kept import MARK
from geodns.orders.fields import FIRST_YEAR, LAST_YEAR
from geodns.orders.loaded import Approval, LoadedOrder
from geodns.orders.read import edition_of

SUFFIX = ".approvals"
MOST = 65536
"""Octets of an approvals file at most."""
HEAD = (
    "# Who approved this order, and which edition of it (docs/approvals.md).\n"
    "# Written by: geodns orders approve\n"
)

Fetch = Callable[[str], bytes]
"""Takes a file's path relative to the order's folder, returns its bytes or raises OSError."""


@dataclass(frozen=True, slots=True)
class Approved:
    """approvals: those that count. lacking: why they are too few, or None."""

    approvals: tuple[Approval, ...]
    lacking: str | None


@dataclass(frozen=True, slots=True)
class Approvers:
    """Whose signatures count, and how many of them an edition needs.

    needed: 0 where orders need none. keys: public Ed25519 keys (base64, 32 octets) by name.
    """

    needed: int
    keys: Mapping[str, str]

    def look(
        self, loaded: LoadedOrder, data: bytes, lists: Mapping[str, bytes], fetch: Fetch
    ) -> Approved:
        """What of the approvals beside an order holds for this edition of it.

        data, lists: the bytes of the order file and of what was read with it. fetch: reads the
        approvals.
        """
        digest = signed_edition(data, lists)
        file = loaded.order.id + SUFFIX
        told = ""
        try:
            rows = read_approvals(fetch(file))
        except FileNotFoundError:
            rows = []
        except (OSError, ValueError) as error:
            rows, told = [], f"; {file}: {getattr(error, 'strerror', None) or error}"
        good: dict[str, Approval] = {}
        strangers = 0
        for row in rows:
            key = self.keys.get(row.by)
            if key is None:
                strangers += 1
            elif row.edition != digest:
                told += f"; that of {row.by} is of another edition"
            elif not holds(key, row.signature, message(loaded, digest, row.by, row.at)):
                told += f"; that of {row.by} has a signature that does not hold"
            else:
                good.setdefault(row.by, row)
        if strangers:
            told += f"; {strangers} of nobody whom the settings name count for nothing"
        approvals = tuple(good.values())
        if len(approvals) >= self.needed:
            return Approved(approvals, None)
        by = f" ({', '.join(sorted(good))})" if good else ""
        count = f"{self.needed} approval{'s' * (self.needed != 1)}"
        needs = f"needs {count} and has {len(approvals)}{by}"
        return Approved(approvals, f"{needs}{told}; see: geodns orders approve")


def signed_edition(data: bytes, lists: Mapping[str, bytes]) -> str:
    """What is signed of an edition: SHA-256 (hex) over the order file and what lies beside it.

    lists: what was read with it. What feeds fetch is left out: the file names where from, and whose
    signature lists must have. Without such feeds it is the edition that the ledger names.
    """
    beside = {name: content for name, content in lists.items() if not name.startswith(MARK)}
    return edition_of(data, beside)


def message(loaded: LoadedOrder, digest: str, by: str, at: datetime) -> bytes:
    """What an approver signs: this edition, in the folder of this place. at: aware."""
    said = "geodns approval 1", loaded.place, loaded.order.id, digest, by, _moment(at)
    return "".join(f"{line}\n" for line in said).encode()


def read_approvals(data: bytes) -> list[Approval]:
    """The rows of an approvals file. Raises ValueError that says what is wrong."""
    if len(data) > MOST:
        raise ValueError(f"is larger than {MOST:,} octets")
    try:
        found = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no TOML: {error}") from None
    rows = found.pop("approval", [])
    if found or not isinstance(rows, list):
        raise ValueError("holds something else than [[approval]] tables")
    return [_row(number, row) for number, row in enumerate(rows, 1)]


def write_approvals(rows: Sequence[Approval]) -> str:
    """The text of an approvals file."""
    return HEAD + "".join(_lines(rows))


def _lines(rows: Sequence[Approval]) -> Iterator[str]:
    for row in rows:
        yield f"\n[[approval]]\nby        = {_quoted(row.by)}\nat        = {_moment(row.at)}\n"
        yield f"edition   = {_quoted(row.edition)}\nsignature = {_quoted(row.signature)}\n"


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's, but for one character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _row(number: int, row: Any) -> Approval:
    keys = {"by": str, "at": datetime, "edition": str, "signature": str}
    if not isinstance(row, dict) or row.keys() != keys.keys():
        raise ValueError(f"approval {number} must have {', '.join(keys)}, and nothing else")
    for key, kind in keys.items():
        if not isinstance(row[key], kind):
            raise ValueError(f"approval {number}: {key} is no {kind.__name__}")
    at = row["at"]
    if at.tzinfo is None or at.microsecond or not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"approval {number}: at is no instant in whole seconds with an offset")
    return Approval(row["by"], at.astimezone(UTC), row["edition"], row["signature"])


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unapproved(loaded: LoadedOrder, lacking: str, before: LoadedOrder | None) -> Fault:
    """The fault of an edition that is not in force for want of approvals."""
    instead = "this edition has no force"
    instead += "" if before is None else ", the former one stays in force"
    return Fault(f"{lacking}; {instead}", loaded.path, None, "approvals")
