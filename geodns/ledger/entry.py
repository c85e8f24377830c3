"""One entry of the ledger, and the octets whose hash chains it to the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from geodns.errors import LedgerError

GENESIS = bytes(32)
"""The hash before the first entry."""
KINDS = (
    *("received", "loaded", "held", "acknowledged", "approved", "enforced", "verified"),
    *("lifted", "refused", "feed", "counts", "checkpoint", "started", "stopped", "gap"),
)
"""What an entry can be about; docs/ledger.md says what each one's facts are."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    seq: from 1, without gaps. at: epoch seconds, to the millisecond. order: an order's id, None
    where the entry is about none. digest: content digest (hex) of the snapshot in force then,
    None before the first. facts: JSON-ready. previous: hash of the entry before (32 octets).
    """

    seq: int
    at: float
    kind: str
    order: str | None
    digest: str | None
    facts: dict[str, Any]
    previous: bytes
    hash: bytes

    def as_json(self) -> dict[str, Any]:
        """The entry as a JSON-ready mapping; hashes in hexadecimal."""
        return {
            "seq": self.seq,
            "at": self.at,
            "kind": self.kind,
            "order": self.order,
            "digest": self.digest,
            "facts": self.facts,
            "previous": self.previous.hex(),
            "hash": self.hash.hex(),
        }


def canonical(value: object) -> str:
    """The one JSON text of a value: sorted keys, no blanks, no escapes that are not needed.

    Raises LedgerError where it has none (a NaN, a key or a value that is not of JSON).
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise LedgerError(f"the facts of an entry are not JSON: {error}") from None


def link(
    seq: int,
    at: float,
    kind: str,
    order: str | None,
    digest: str | None,
    facts: Mapping[str, Any],
    previous: bytes,
) -> bytes:
    """The hash of an entry: SHA-256 over the canonical JSON of all that it says and of
    ``previous``; ``at`` counts in whole milliseconds."""
    said = [seq, milliseconds(at), kind, order, digest, facts, previous.hex()]
    return sha256(canonical(said).encode("utf-8", "surrogatepass")).digest()


def milliseconds(at: float) -> int:
    """Epoch seconds as whole milliseconds."""
    return round(at * 1000)
