"""Rows in, names and networks out; every row that is not taken is told, with the reason.

The importer's law: nothing is widened, nothing is dropped in silence. A URL with a path is about
a page, and no order to block its host.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from geodns.fastpath.index import PLAIN
from geodns.model.name import parse, to_text
from geodns.orders.feeds.formats import NAMED, find_format, refuse_foreign
from geodns.orders.feeds.row import FeedFault, Format, Kind, Reason, Row
from geodns.orders.loaded import Network
from geodns.orders.targets import read_network

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

SAMPLES = 3
"""Rejected rows of each reason that a report shows."""
SMALL = 20
"""Targets below which a list may shrink as it likes."""
STEP = 1000
"""Rows between two calls of ``progress``."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/{2,}", re.IGNORECASE)
_PORT = re.compile(r"(.*):\d{1,5}\Z", re.DOTALL)
_ADDRESS_LIKE = re.compile(r"\[?[0-9a-f:.]+\]?(%\w+)?(/\d+)?\Z", re.IGNORECASE)
_LENGTH = tuple(bytes((size,)) for size in range(64))

Progress = Callable[[int], None]


class Rejected(NamedTuple):
    """A row that is not taken. where: its line or record."""

    reason: Reason
    where: int
    text: str


@dataclass(slots=True)
class Taken:
    """What a list gives.

    format: its name. rows: how many the list has. domains, exact, below: folded wire-format
    names -> the day listed, where the list says it. networks: the same. rejected: every row
    that was not taken.
    """

    format: str
    rows: int = 0
    domains: dict[bytes, date | None] = field(default_factory=dict)
    exact: dict[bytes, date | None] = field(default_factory=dict)
    below: dict[bytes, date | None] = field(default_factory=dict)
    networks: dict[Network, date | None] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many targets there are."""
        return len(self.domains) + len(self.exact) + len(self.below) + len(self.networks)

    def reasons(self) -> Counter[Reason]:
        """How many rows were rejected, by reason, the most frequent first."""
        counts = Counter(row.reason for row in self.rejected)
        return Counter(dict(counts.most_common()))

    def samples(self, reason: Reason) -> list[Rejected]:
        """The first rows rejected for a reason."""
        return [row for row in self.rejected if row.reason == reason][:SAMPLES]


def take(
    data: bytes,
    today: date,
    format_name: str | None = None,
    match: Kind | None = None,
    progress: Progress | None = None,
) -> Taken:
    """Read a list. Raises FeedFault where it cannot be what it is said to be.

    today: rows deleted on it or before are not taken. format_name: a name of
    formats.FORMATS; None finds it by content. match: what a name stands for, where the
    order says it and not the format. progress: called with the rows done.
    """
    if format_name is not None and format_name not in NAMED:
        raise FeedFault(f"{format_name!r} is no format; there are: {', '.join(sorted(NAMED))}")
    # An empty answer or an error page is no list, whatever was expected.
    refuse_foreign(data)
    chosen = NAMED[format_name] if format_name is not None else find_format(data)
    taken = Taken(chosen.name)
    for row in chosen.rows(data):
        taken.rows += 1
        if progress is not None and taken.rows % STEP == 0:
            progress(taken.rows)
        reason = _put(taken, chosen, row, today, match)
        if reason is not None:
            # Half a character, as JSON may hold one, can be neither kept nor shown.
            text = row.text.encode("utf-8", "replace").decode()
            taken.rejected.append(Rejected(reason, row.where, text))
    if progress is not None:
        progress(taken.rows)
    _merge(taken)
    return taken


def _put(taken: Taken, format_: Format, row: Row, today: date, match: Kind | None) -> Reason | None:
    """Put a row where it belongs, or say why it belongs nowhere."""
    if row.wrong is not None:
        return row.wrong
    if row.deleted is not None and row.deleted <= today:
        return "deleted"
    kind = match if match is not None and row.kind != "below" else row.kind
    text = row.text.lower()
    octets = text.encode("utf-8", "replace")
    if PLAIN.match(octets):
        wire = b"".join([_LENGTH[len(label)] + label for label in octets.split(b".")]) + b"\0"
    else:
        found = entry_of(text)
        if isinstance(found, str):
            return found
        named, is_below = found
        if not isinstance(named, bytes):
            return _put_network(taken, format_, row, named)
        wire, text = named, to_text(named)
        if is_below:
            kind = "below"
    if suffixes().is_public(text):
        return "public suffix"
    names = taken.domains if kind == "domain" else taken.exact if kind == "exact" else taken.below
    if wire in names:
        return "duplicate"
    names[wire] = row.listed
    return None


def _put_network(taken: Taken, format_: Format, row: Row, network: Network) -> Reason | None:
    if not format_.addresses:
        return "address"
    if network in taken.networks:
        return "duplicate"
    taken.networks[network] = row.listed
    return None


def entry_of(text: str) -> tuple[bytes | Network, bool] | Reason:
    """What an entry in lower case names, and whether only what is below that; or why nothing."""
    text, reason = _bare(text)
    if reason is not None:
        return reason
    is_below = text.startswith("*.")
    text = text[2:] if is_below else text
    try:
        if _ADDRESS_LIKE.match(text) and ("." in text or ":" in text):
            return read_network(text.strip("[]")), False
        return parse(text), is_below
    except ValueError:
        return "not a name"


def _bare(text: str) -> tuple[str, Reason | None]:
    """An entry without the scheme and slash that say nothing; or why it is about something else."""
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme is not None else text
    host, slash, path = rest.partition("/")
    if slash and scheme is None and path.isdecimal() and _ADDRESS_LIKE.match(rest):
        return rest, None  # a CIDR block
    host, question, query = host.partition("?")
    if path or query or question or "#" in host:
        return text, "path"
    if "@" in host:
        return text, "not a name"
    if _PORT.match(host) and host.count(":") == 1:
        return text, "port"
    return host, None


def _merge(taken: Taken) -> None:
    """A name that is listed alone and as what is below it is a domain: the two say the same."""
    for wire in [wire for wire in taken.exact if wire in taken.below]:
        taken.domains.setdefault(wire, taken.exact[wire] or taken.below[wire])
        del taken.exact[wire], taken.below[wire]


@cache
def suffixes() -> PublicSuffixList:
    """The Public Suffix List, as its package brings it."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def has_shrunk(before: int, after: int) -> bool:
    """Whether a list has lost more than half of its targets, as no authority lifts at once."""
    return before >= SMALL and after * 2 < before


def report(taken: Taken) -> Iterable[str]:
    """The report of an import as lines: counts, then each reason with samples."""
    parts = [
        f"{len(found):,} {what}"
        for what, found in (
            ("domains", taken.domains),
            ("exact names", taken.exact),
            ("below", taken.below),
            ("networks", taken.networks),
        )
        if found
    ]
    yield f"{taken.format}: {taken.rows:,} rows, taken: {', '.join(parts) or 'nothing'}"
    for reason, count in taken.reasons().items():
        shown = "; ".join(f"{row.where}: {row.text}" for row in taken.samples(reason))
        yield f"rejected, {reason}: {count:,} ({shown}{'; ...' if count > SAMPLES else ''})"
