"""The ruling log, by choice: a JSON line for each name that an order blocked or would have.

Lines hold no client address. A thread writes them, so that a slow disk never holds up a
query; what it cannot write in time, or at all, is lost and counted.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from geodns.model.name import to_text
from geodns.serve.counts import stopped

if TYPE_CHECKING:
    from geodns.model.message import Query
    from geodns.model.ruling import Ruling
    from geodns.policy.rule import Recorder
    from geodns.serve.asked import Asked
    from geodns.serve.inforce import InForce, Located

MOST_WAITING = 10_000
"""Lines of a worker that may wait for the disk; those beyond it are lost."""
BATCH = 500
"""Lines written at once at most."""
LOOK = 1.0
"""Seconds after which a file that was moved away is noticed, also while nothing is written."""
CLOSING = 1.0
"""Seconds that waiting lines get at the end."""

_TYPES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    43: "DS",
    48: "DNSKEY",
    64: "SVCB",
    65: "HTTPS",
    255: "ANY",
    257: "CAA",
}

_JSON = json.JSONEncoder(separators=(",", ":"))

log = logging.getLogger("geodns.rulings")


class Line(NamedTuple):
    """One ruling. at: epoch seconds. ruling: ``block``, ``shadow`` or ``never_block``.

    place: country code, or None where it is unknown.
    name, target: folded wire format; target is None where an address was what an order names.
    alias: the name in the answer through which it was ruled, if not the queried one. action:
    what the client got for a block.
    """

    at: float
    ruling: str
    order: str
    place: str | None
    name: bytes
    qtype: int
    transport: str
    digest: str
    action: str | None = None
    target: bytes | None = None
    alias: bytes | None = None


class RulingLog:
    """Appends lines to one file, which all workers share; off until ``turn`` names it.

    Each line is appended whole, by one write. A file that was moved or removed is opened anew
    by its path within LOOK seconds, so rotation needs no signal. written: lines that are in
    the file. on: whether lines are wanted.
    """

    def __init__(self) -> None:
        self.on = False
        self.written = 0
        self._path: Path | None = None
        self._unwritten = 0
        self._dropped = 0
        self._failed = False
        self._torn = False
        self._file: int | None = None
        self._ending = False
        # A path is where the lines behind it go; None is nowhere.
        self._waiting: queue.SimpleQueue[Line | Path | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def lost(self) -> int:
        """Lines that could not be written, or for which there was no room to wait."""
        return self._unwritten + self._dropped

    def turn(self, path: str | None) -> None:
        """Write to this file from now on; None: to none."""
        self.on = path is not None
        self._waiting.put(Path(path) if path is not None else None)
        if self.on and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rulings", daemon=True)
            self._thread.start()

    def note(self, line: Line) -> None:
        """Have a line written. Never waits, never raises."""
        if self._waiting.qsize() >= MOST_WAITING:
            self._dropped += 1
        else:
            self._waiting.put(line)

    def close(self) -> None:
        """Write what waits, for CLOSING seconds at most, and close the file."""
        self.on, self._ending = False, True
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(CLOSING)

    def block(self, asked: Asked, ruling: Ruling) -> None:
        """Note a block that is replied to a client."""
        order, query = asked.in_force.snapshot.orders[ruling.order], asked.query
        self.note(
            Line(
                time.time(),
                "block",
                order.id,
                asked.located.location.country,
                query.folded,
                query.qtype,
                asked.transport,
                asked.in_force.snapshot.digest,
                order.action,
                ruling.target or None,
                ruling.alias,
            )
        )

    def unblocked(
        self,
        found: Recorder,
        in_force: InForce,
        located: Located,
        query: Query,
        transport: str,
    ) -> None:
        """Note the blocks that were none because of ``shadow`` or the emergency list."""
        orders = in_force.snapshot.orders
        for ruling, idents in (
            ("shadow", sorted(orders[order].id for order in found.shadows)),
            ("never_block", sorted(stopped(in_force, found))),
        ):
            for ident in idents:
                place, digest = located.location.country, in_force.snapshot.digest
                name, qtype = query.folded, query.qtype
                self.note(Line(time.time(), ruling, ident, place, name, qtype, transport, digest))

    def _run(self) -> None:
        while not (self._ending and self._waiting.empty()):
            lines = []
            for each in self._next():
                if isinstance(each, Line):
                    lines.append(each)
                else:
                    self._append(lines)
                    self._path, lines = each, []
            self._append(lines)
        self._path = None
        self._reopen()

    def _release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _next(self) -> list[Line | Path | None]:
        batch: list[Line | Path | None] = []
        try:
            batch.append(self._waiting.get(timeout=LOOK))
            while len(batch) < BATCH:
                batch.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _reopen(self) -> None:
        """Open the file that the path names now; the former stays where that cannot be."""
        path = self._path
        if path is None:
            self._release()
            return
        try:
            found = path.stat()
            if self._file is not None:
                held = os.fstat(self._file)
                if (held.st_dev, held.st_ino) == (found.st_dev, found.st_ino):
                    return
        except OSError:
            pass
        # Not to be held up by a pipe that nobody reads.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            opened = os.open(path, flags, 0o640)
        except OSError as error:
            self._tell(error)
            return
        self._release()
        self._file, self._torn = opened, False

    def _append(self, lines: Sequence[Line]) -> None:
        self._reopen()
        if self._file is None or not lines:
            self._unwritten += len(lines)
            return
        # What was cut by a full disk ends here, and costs no other line.
        data = b"\n" * self._torn + b"".join(map(encode, lines))
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, data[done:] if done else data)
        except OSError as error:
            whole = data[:done].count(b"\n") - (self._torn and done > 0)
            self._torn = (self._torn and done == 0) or (done > 0 and data[done - 1] != 0x0A)
            self.written += whole
            self._unwritten += len(lines) - whole
            self._tell(error)
            return
        self.written += len(lines)
        self._torn = False
        if self._failed:
            self._failed = False
            log.info("%s is written again", self._path)

    def _tell(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            told = "%s cannot be written: %s; rulings that are not in it are counted as log/lost"
            log.error(told, self._path, error.strerror or error)


def encode(line: Line) -> bytes:
    """A line of the file: JSON, keys in this order, those without a value left out."""
    at = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds")
    document = {
        "time": at.replace("+00:00", "Z"),
        "ruling": line.ruling,
        "order": line.order,
        "place": line.place or "unknown",
        "name": to_text(line.name),
        "type": _TYPES.get(line.qtype, f"TYPE{line.qtype}"),
        "transport": line.transport,
        "action": line.action,
        "target": None if line.target is None else to_text(line.target),
        "alias": None if line.alias is None else to_text(line.alias),
        "digest": line.digest,
    }
    kept = {key: value for key, value in document.items() if value is not None}
    return _JSON.encode(kept).encode() + b"\n"
