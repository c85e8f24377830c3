"""The running server's hold on its ledger: what cannot be written waits, and serving goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from geodns.errors import LedgerError
from geodns.ledger.read import Ledger
from geodns.ledger.seal import Seal
from geodns.ledger.standing import Standing
from geodns.ledger.writer import Draft, Writer

MOST_WAITING = 10_000
"""Entries that may wait for the disk; those beyond it are lost, and the loss is recorded."""
BATCH = 500
"""Entries written at once."""

log = logging.getLogger("geodns.ledger")


class Book:
    """Writes the ledger in threads, one at a time.

    standing: what the ledger says, with what still waits. fault: why it cannot be written now,
    None where it can. failing_since: epoch seconds. lost: entries that were, since the start.
    openings: how often the file was opened.
    """

    def __init__(self, path: Path, key: Path) -> None:
        """key: the file of the signing key, made where there is none."""
        self.path = path
        self.standing = Standing()
        self.fault: str | None = None
        self.failing_since: float | None = None
        self.lost = 0
        self.openings = 0
        self.head: tuple[int, str] = (0, "")
        self.public_key: str | None = None
        self._key = key
        self._seal: Seal | None = None
        self._writer: Writer | None = None
        self._waiting: deque[Draft] = deque()
        self._unsaid: tuple[int, float] | None = None
        self._alone = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """How many entries wait to be written."""
        return len(self._waiting)

    async def open(self) -> None:
        """Open the ledger and read what it says. Never raises: see ``fault``."""
        async with self._alone:
            await self._try(self._open)

    async def keep(self, drafts: Sequence[Draft]) -> None:
        """Record what has happened: now, or as soon as it can be written."""
        for draft in drafts:
            self.standing.take(draft)
        self._wait(drafts)
        await self.flush()

    async def first(self, drafts: Sequence[Draft]) -> bool:
        """Record what is about to happen; whether it is on the disk. If not, nothing is kept."""
        if not await self.flush():
            return False
        async with self._alone:
            if self._waiting or not await self._try(lambda: self._append(drafts)):
                return False
        for draft in drafts:
            self.standing.take(draft)
        return True

    async def flush(self) -> bool:
        """Write what waits; whether nothing waits any more and the ledger can be written."""
        async with self._alone:
            if self._writer is None and not await self._try(self._open):
                return False
            if self._unsaid is not None:
                entries, since = self._unsaid
                gap = Draft("gap", {"entries": entries, "since": since}, None, None, time.time())
                if not await self._try(lambda: self._append([gap])):
                    return False
                self._unsaid = None
            while self._waiting:
                batch = [self._waiting[at] for at in range(min(BATCH, len(self._waiting)))]
                if not await self._try(lambda batch=batch: self._append(batch)):  # type: ignore[misc]
                    return False
                for _ in batch:
                    self._waiting.popleft()
            return True

    async def sign(self, digest: str | None) -> None:
        """Append a checkpoint, if there is anything that none covers."""
        if not await self.flush():
            return
        async with self._alone:
            await self._try(lambda: self._checkpoint(digest))

    async def close(self) -> None:
        """Let go of the file."""
        async with self._alone:
            if self._waiting:
                told = "%d entries could not be written to the ledger and are lost"
                log.error(told, len(self._waiting))
            self._close()

    def describe(self) -> dict[str, Any]:
        """Its part of the status document."""
        return {
            "path": str(self.path),
            "fault": self.fault,
            "failing_since": self.failing_since,
            "waiting": len(self._waiting),
            "lost": self.lost,
            "head": {"seq": self.head[0], "hash": self.head[1]},
            "key": self.public_key,
        }

    def _wait(self, drafts: Sequence[Draft]) -> None:
        room = MOST_WAITING - len(self._waiting)
        self._waiting.extend(drafts[:room])
        if lost := len(drafts[room:]):
            before, since = self._unsaid or (0, time.time())
            self._unsaid = before + lost, since
            self.lost += lost

    async def _try(self, act: Callable[[], None]) -> bool:
        """Do something to the file in a thread; whether it went well."""
        try:
            await asyncio.to_thread(act)
        except LedgerError as error:
            if self.fault != str(error):
                log.error("the ledger cannot be written, orders stay as they are: %s", error)
            self.fault = str(error)
            self.failing_since = self.failing_since or time.time()
            # It is opened anew: whatever was wrong with the file, the next try sees it as it is.
            self._close()
            return False
        if self.fault is not None:
            log.info("the ledger can be written again")
        self.fault = self.failing_since = None
        return True

    def _open(self) -> None:
        seal = Seal.of(self._key)
        writer = Writer(self.path)
        try:
            ledger = Ledger(self.path)
            try:
                standing = Standing.of(ledger)
            finally:
                ledger.close()
            seq, head = writer.last()
        except BaseException:
            writer.close()
            raise
        for draft in self._waiting:
            standing.take(draft)
        self._seal, self.public_key, self._writer = seal, seal.key, writer
        self.openings += 1
        self.standing, self.head = standing, (seq, head.hex())

    def _append(self, drafts: Sequence[Draft]) -> None:
        if self._writer is None:
            raise LedgerError(f"{self.path}: is not open")
        entries = self._writer.append_all(drafts)
        if entries:
            self.head = entries[-1].seq, entries[-1].hash.hex()

    def _checkpoint(self, digest: str | None) -> None:
        assert self._writer is not None
        assert self._seal is not None
        entry = self._writer.checkpoint(self._seal, digest)
        if entry is not None:
            self.head = entry.seq, entry.hash.hex()
            # A log that leaves the machine keeps what shows a chain that was written anew.
            log.info("checkpoint: entry %d has the hash %s", entry.seq - 1, entry.previous.hex())

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
