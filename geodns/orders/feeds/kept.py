"""What was last fetched of a feed and found good, on disk: it stands until a better one is there.

A folder for each feed, ``<order id>-<8 hex digits of what it is fetched from>``, with

    list          the list as it was fetched
    targets       what was taken: a line each, ``name`` (and all below), ``=name`` (alone),
                  ``*.name`` (below only), ``@network``
    seen.tsv      every entry ever taken, with the days it was first and last listed
    rejected.tsv  every row of the list that was not taken, and why
    state.json    when, from where, how many; what went wrong since
    outbox.json   where an API wants to hear what became of its items: what it was told (outbox.py)
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from geodns.fastpath.index import plain_names
from geodns.model.name import parse, to_text
from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.take import Taken
from geodns.orders.targets import read_network

FEEDS = "feeds"
"""The folder of all feeds inside [server].state."""
MARK = "feed:"
"""What a list is called, in front of its feed's key, where an order's lists are counted."""


@dataclass(slots=True)
class State:
    """What is known of a feed.

    order: its id. source: URL. fetched: epoch seconds of the list that is in use, None where
    there is none yet; checked: of the last try that reached an answer, good or unchanged;
    tried: of the last try. failures: tries in a row that failed. fault: why the last one did.
    etag, modified: for asking whether it changed (RFC 9110 section 13.1). digest: SHA-256 (hex)
    of the list. rows, taken, gone: counts. reasons: rejected rows by reason.
    """

    order: str
    source: str
    fetched: float | None = None
    checked: float | None = None
    tried: float | None = None
    failures: int = 0
    fault: str | None = None
    etag: str | None = None
    modified: str | None = None
    digest: str | None = None
    format: str | None = None
    rows: int = 0
    taken: int = 0
    added: int = 0
    gone: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


def feed_key(order: str, source: str) -> str:
    """The name of a feed's folder. source: its URL."""
    return f"{order}-{sha256(source.encode()).hexdigest()[:8]}"


class KeptFeed:
    """The folder of one feed."""

    def __init__(self, directory: Path, order: str, source: str) -> None:
        """directory: the folder of all feeds."""
        self._folder = directory / feed_key(order, source)
        self._order, self._source = order, source

    @property
    def targets(self) -> Path:
        """The file that orders read."""
        return self._folder / "targets"

    def state(self) -> State:
        """What is known; a fresh one where nothing is, or where it is damaged."""
        state = State(self._order, self._source)
        with suppress(OSError, ValueError, TypeError):
            found: dict[str, Any] = json.loads((self._folder / "state.json").read_text("utf-8"))
            known = {each.name for each in fields(State)}
            if found.get("order") == self._order and found.get("source") == self._source:
                state = State(**{key: value for key, value in found.items() if key in known})
        if not self.targets.exists():
            # Without its targets, a list that has not changed must still be fetched.
            state.etag = state.modified = state.digest = state.fetched = None
        return state

    def note(self, state: State) -> None:
        """Keep what is known. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write("state.json", json.dumps(asdict(state), indent=2, ensure_ascii=False) + "\n")

    def outbox(self) -> dict[str, Any] | None:
        """The document of ``outbox.json``; None where there is none that can be read."""
        try:
            found = json.loads((self._folder / "outbox.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def outbox_written(self) -> int | None:
        """When ``outbox.json`` was written, in nanoseconds; None where there is none."""
        try:
            return (self._folder / "outbox.json").stat().st_mtime_ns
        except OSError:
            return None

    def put_outbox(self, document: dict[str, Any]) -> None:
        """Keep the document of ``outbox.json``. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write("outbox.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")

    def entries(self) -> list[str]:
        """The lines of ``targets`` in use; none where there are none."""
        try:
            return self.targets.read_text("utf-8").split("\n")[:-1]
        except OSError:
            return []

    def put(self, data: bytes, taken: Taken, state: State, today: str) -> None:
        """Put a list in the place of the one before. today: ISO date. Raises OSError.

        ``targets`` is written last but for the state: whoever reads it finds it whole.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = list(lines_of(taken))
        self._write("list", data)
        self._write("rejected.tsv", _rejected(taken))
        self._write("seen.tsv", self._seen(taken, lines, today))
        if lines != self.entries() or not self.targets.exists():
            self._write("targets", "".join(f"{line}\n" for line in lines))
        self.note(state)

    def _seen(self, taken: Taken, lines: Iterable[str], today: str) -> str:
        known: dict[str, tuple[str, str]] = {}
        with suppress(OSError, ValueError):
            rows = csv.reader(StringIO((self._folder / "seen.tsv").read_text("utf-8")), "excel-tab")
            known = {entry: (first, last) for entry, first, last in rows if entry != "entry"}
        listed = dict(zip(lines_of(taken), _days(taken), strict=True))
        for line in lines:
            first = known.get(line, (listed.get(line) or today, ""))[0]
            known[line] = first, today
        out = StringIO()
        writer = csv.writer(out, "excel-tab", lineterminator="\n")
        writer.writerow(("entry", "first", "last"))
        writer.writerows((entry, *days) for entry, days in sorted(known.items()))
        return out.getvalue()

    def _write(self, name: str, content: str | bytes) -> None:
        part = self._folder / f".{name}.part"
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(self._folder / name)


def lines_of(taken: Taken) -> Iterator[str]:
    """The lines of ``targets``."""
    yield from map(to_text, taken.domains)
    yield from (f"={to_text(name)}" for name in taken.exact)
    yield from (f"*.{to_text(name)}" for name in taken.below)
    yield from (f"@{network}" for network in taken.networks)


def read_kept(content: bytes) -> Taken:
    """Read ``targets`` again. Raises FeedFault where a line is damaged."""
    taken = Taken("kept")
    octets, starts, odd, _ = plain_names(content)
    taken.domains = dict.fromkeys(octets[start:end] for start, end in pairwise(starts))
    for number, line in odd:
        text = line.decode("utf-8", "replace").strip()
        try:
            if text.startswith("@"):
                taken.networks[read_network(text[1:])] = None
            elif text.startswith("="):
                taken.exact[parse(text[1:])] = None
            elif text.startswith("*."):
                taken.below[parse(text[2:])] = None
            else:
                taken.domains[parse(text)] = None
        except ValueError as error:
            raise FeedFault(f"line {number} of its kept targets is damaged: {error}") from None
    taken.rows = taken.count
    return taken


def _days(taken: Taken) -> Iterator[str | None]:
    for days in (taken.domains, taken.exact, taken.below, taken.networks):
        for day in days.values():
            yield None if day is None else day.isoformat()


def _rejected(taken: Taken) -> str:
    rows = ["where\treason\trow"]
    rows += [f"{row.where}\t{row.reason}\t{' '.join(row.text.split())}" for row in taken.rejected]
    return "\n".join(rows) + "\n"
