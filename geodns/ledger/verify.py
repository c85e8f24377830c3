"""Whether a ledger is whole: every hash, every link, every signature, and where not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodns.errors import LedgerError
from geodns.ledger.entry import GENESIS, KINDS, Entry, canonical, link
from geodns.ledger.file import COLUMNS, open_to_read, read_row
from geodns.ledger.seal import checkpoint_message
from geodns.model.signature import holds

MOST = 100
"""Breaks that are told; a ledger with more is not worth counting them."""


@dataclass(frozen=True, slots=True)
class Break:
    """One place where a ledger does not hold. seq: of the entry, None for the file itself."""

    seq: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.seq is None else f"entry {self.seq}: {self.what}"


@dataclass(slots=True)
class Verdict:
    """What was found.

    entries: how many there are. head: seq and hash (hex) of the last one. sealed: the last
    entry that a good checkpoint covers, 0 for none; what comes after it can be cut off or
    written anew unnoticed. checkpoints: how many are good. keys: public keys (base64) of
    good checkpoints. first, last: epoch seconds of the first and the last entry.
    """

    path: Path
    entries: int = 0
    head: tuple[int, str] = (0, GENESIS.hex())
    sealed: int = 0
    checkpoints: int = 0
    keys: list[str] = field(default_factory=list)
    first: float | None = None
    last: float | None = None
    breaks: list[Break] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is broken."""
        return not self.breaks

    def as_json(self) -> dict[str, Any]:
        """The verdict as a JSON-ready mapping."""
        return {
            "ledger": str(self.path),
            "whole": self.whole,
            "entries": self.entries,
            "head": {"seq": self.head[0], "hash": self.head[1]},
            "sealed": self.sealed,
            "checkpoints": self.checkpoints,
            "keys": self.keys,
            "first": self.first,
            "last": self.last,
            "breaks": [{"seq": each.seq, "what": each.what} for each in self.breaks],
        }


def verify(path: Path, key: str | None = None, heads: Mapping[int, str] | None = None) -> Verdict:
    """Check a whole ledger.

    key: the public key (base64) that all checkpoints must be signed with; without it any key
    will do, and ``keys`` says which. heads: hashes (hex) by seq that are known from elsewhere,
    as from a receipt: they show where a chain was cut off or written anew. Raises LedgerError
    where there is no ledger at all.
    """
    connection = open_to_read(path)
    verdict = Verdict(path)
    try:
        for told in _breaks(connection, verdict, key, heads or {}):
            verdict.breaks.append(told)
            if len(verdict.breaks) >= MOST:
                break
    finally:
        connection.close()
    return verdict


def _breaks(
    connection: sqlite3.Connection, verdict: Verdict, key: str | None, heads: Mapping[int, str]
) -> Iterator[Break]:
    try:
        for row in connection.execute("PRAGMA quick_check(1)"):
            if row[0] != "ok":
                yield Break(None, f"the file is damaged: {row[0]}")
        seq, previous = 0, GENESIS
        query = f"SELECT {COLUMNS} FROM entry ORDER BY seq"
        for row in connection.execute(query):
            verdict.entries += 1
            if row[0] != seq + 1:
                missing = row[0] - seq - 1
                which = f"entry {seq + 1} is" if missing == 1 else f"{missing} entries are"
                yield Break(row[0], f"{which} missing before it")
            elif bytes(row[6]) != previous:
                yield Break(row[0], "does not follow the entry before it (its `previous` differs)")
            previous = bytes(row[7])
            seq, verdict.head = row[0], (row[0], previous.hex())
            yield from _entry(row, verdict, key)
            if heads.get(seq, previous.hex()) != previous.hex():
                yield Break(seq, f"has another hash than it had: {heads[seq]}")
    except (sqlite3.Error, TypeError, ValueError) as error:
        yield Break(None, f"the file is damaged at entry {verdict.head[0] + 1}: {error}")
        return
    for known in sorted(heads):
        if known > seq:
            yield Break(None, f"is cut off: entry {known} was there once, {seq} is the last now")


def _entry(row: tuple[Any, ...], verdict: Verdict, key: str | None) -> Iterator[Break]:
    try:
        entry = read_row(row)
        seq, at, kind, order, digest, _, previous, chained = row
        said = link(seq, at, kind, order, digest, entry.facts, bytes(previous))
        same = said == bytes(chained) and canonical(entry.facts) == row[5]
    except (LedgerError, TypeError, ValueError) as error:
        yield Break(row[0], f"was changed: {error}")
        return
    if not same:
        yield Break(row[0], f"was changed: what it says ({entry.kind}) does not have its hash")
        return
    if entry.kind not in KINDS:
        yield Break(row[0], f"is of an unknown kind: {entry.kind}")
    verdict.first = entry.at if verdict.first is None else verdict.first
    verdict.last = entry.at
    if entry.kind == "checkpoint":
        yield from _checkpoint(entry, verdict, key)


def _checkpoint(entry: Entry, verdict: Verdict, key: str | None) -> Iterator[Break]:
    facts = entry.facts
    if facts.get("seq") != entry.seq - 1 or facts.get("head") != entry.previous.hex():
        yield Break(entry.seq, "is a checkpoint of another entry than the one before it")
        return
    message = checkpoint_message(facts["seq"], facts["head"])
    if not holds(facts.get("key"), facts.get("signature"), message):
        yield Break(entry.seq, "is a checkpoint whose signature does not hold")
        return
    if key is not None and facts["key"] != key:
        yield Break(entry.seq, f"is a checkpoint signed with another key: {facts['key']}")
        return
    verdict.checkpoints += 1
    verdict.sealed = entry.seq - 1
    if facts["key"] not in verdict.keys:
        verdict.keys.append(facts["key"])
