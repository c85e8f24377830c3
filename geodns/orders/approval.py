"""Approval of an order by several people: each signs the very edition that is to have force.

Approvals stand beside the order file, in ``<id>.approvals``, a TOML file with a table
``[[approval]]`` for each person. What only ends an order needs none: to lift a block must be as
easy as it can be.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from geodns.errors import Fault
from geodns.orders.loaded import Approval, LoadedOrder

SUFFIX = ".approvals"
HEAD = (
    "# Who approved this order, and which edition of it (docs/approvals.md).\n"
    "# Written by: geodns orders approve\n"
)

Fetch = Callable[[str], bytes]
"""Takes a file's path relative to the order's folder, returns its bytes or raises OSError."""


@dataclass(frozen=True, slots=True)
class Approvers:
    """Whose signatures count, and how many of them an edition needs.

    needed: 0 where orders need none. keys: public Ed25519 keys (base64, 32 octets) by name.
    """

    needed: int
    keys: Mapping[str, str]

    def look(self, loaded: LoadedOrder, data: bytes, fetch: Fetch) -> Approved:
        """What of the approvals beside an order holds for this edition of it."""
        text = content_digest(loaded, data, fetch)
        file = loaded.order.id + SUFFIX
        try:
            rows, told = read_approvals(fetch(file)), ""
        except FileNotFoundError:
            rows, told = [], ""
        except (OSError, ValueError) as error:
            rows, told = [], f"; {file}: {getattr(error, 'strerror', None) or error}"
        good: dict[str, Approval] = {}
        for row in rows:
            why = self._wrong(loaded.order.id, text, row)
            if why is None:
                good.setdefault(row.by, row)
            else:
                told += f"; that of {row.by} {why}"
        approvals = tuple(good.values())
        if len(approvals) >= self.needed or not loaded.may_have_force:
            return Approved(approvals, None)
        by = f" ({', '.join(sorted(good))})" if good else ""
        needs = f"needs {self.needed} approvals and has {len(approvals)}{by}"
        return Approved(approvals, f"{needs}{told}; see: geodns orders approve")

    def _wrong(self, order: str, digest: str, row: Approval) -> str | None:
        from geodns.ledger.seal import holds

        key = self.keys.get(row.by)
        if key is None:
            return "counts for nothing: no approver of the settings has this name"
        if row.edition != digest:
            return "is of another edition"
        if not holds(key, row.signature, message(order, digest, row.by, row.at)):
            return "has a signature that does not hold"
        return None


@dataclass(frozen=True, slots=True)
class Approved:
    """approvals: those that count. lacking: why the edition has no force yet, or None."""

    approvals: tuple[Approval, ...]
    lacking: str | None


def content_digest(loaded: LoadedOrder, data: bytes, fetch: Fetch) -> str:
    """What is signed of an edition: SHA-256 (hex) over the order file and the files it names.

    Not of what feeds fetch: the file names where from, and whose signature lists must have.
    Raises OSError where a file is gone.
    """
    targets, feeds = loaded.order.targets, loaded.order.feeds
    beside = [*targets.files, *(feed.path for feed in feeds), *(feed.openpgp for feed in feeds)]
    digest = sha256(b"%d\n" % len(data) + data)
    for name in dict.fromkeys(beside):
        if name is not None:
            content = fetch(name)
            digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def message(order: str, digest: str, by: str, at: datetime) -> bytes:
    """What an approver signs. at: aware."""
    return f"geodns approval\n{order}\n{digest}\n{by}\n{_moment(at)}\n".encode()


def read_approvals(data: bytes) -> list[Approval]:
    """The rows of an approvals file. Raises ValueError that says what is wrong."""
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
        name = row.by.replace("\\", "\\\\").replace('"', '\\"')
        yield f'\n[[approval]]\nby        = "{name}"\nat        = {_moment(row.at)}\n'
        yield f'edition   = "{row.edition}"\nsignature = "{row.signature}"\n'


def _row(number: int, row: Any) -> Approval:
    keys = {"by": str, "at": datetime, "edition": str, "signature": str}
    if not isinstance(row, dict) or row.keys() != keys.keys():
        raise ValueError(f"approval {number} must have {', '.join(keys)}, and nothing else")
    for key, kind in keys.items():
        if not isinstance(row[key], kind):
            raise ValueError(f"approval {number}: {key} is no {kind.__name__}")
    if row["at"].tzinfo is None:
        raise ValueError(f"approval {number}: at has no offset from UTC")
    return Approval(row["by"], row["at"].astimezone(UTC), row["edition"], row["signature"])


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unapproved(loaded: LoadedOrder, lacking: str, before: LoadedOrder | None) -> Fault:
    """The fault of an edition that is not in force for want of approvals."""
    instead = "it has no force" if before is None else "the former edition stays in force"
    return Fault(f"{lacking}; {instead}", loaded.path, None, "approvals")
