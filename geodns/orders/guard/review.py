"""One order -> the targets that are held, and its findings with those acknowledged told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from geodns.model.name import is_at_or_below, to_text
from geodns.orders.guard.judge import Hit, Known, judge
from geodns.orders.lint import Finding, where_is
from geodns.orders.loaded import Held, LoadedOrder, Network
from geodns.orders.schema import FINDINGS, Acknowledge
from geodns.orders.targets import read_target

MOST_TOLD = 20
"""Findings of one kind that are told one by one; the rest is counted."""
SMALL = 20
"""Targets below which an order may grow and shrink as it likes."""
GROWTH = 3
"""Times its former size to which an order grows before it is told."""

_NO_LISTS: Mapping[str, bytes] = {}


def review(
    loaded: LoadedOrder,
    known: Known,
    findings: Sequence[Finding] = (),
    data: bytes = b"",
    lists: Mapping[str, bytes] = _NO_LISTS,
    before: int | None = None,
) -> tuple[LoadedOrder, tuple[Finding, ...]]:
    """Return the order with its held targets, and all its findings.

    findings: those that lint has. data, lists: the bytes of the order file and its lists, to tell
    lines. before: how many targets the former edition had, where that is known.
    """
    table = _Acknowledged(loaded.order.acknowledge)
    held: list[Held] = []
    told: list[Finding] = []
    rest: dict[tuple[str, str, bool], list[Hit]] = {}
    shown: dict[tuple[str, str, bool], int] = {}
    for hit in judge(loaded, known):
        by = table.find(hit)
        if hit.level == "hold" and by is None:
            held.append(Held(hit.target, hit.field, hit.what, hit.told))
        key = hit.what, hit.level, by is not None
        shown[key] = shown.get(key, 0) + 1
        if shown[key] > MOST_TOLD:
            rest.setdefault(key, []).append(hit)
        else:
            told.append(_finding(loaded, hit, by, data, lists))
    told += [_counted(loaded, hits, acknowledged=key[2]) for key, hits in rest.items()]
    told += [table.whole(finding) for finding in (*findings, *_grown(loaded, before))]
    told += _idle(loaded, table)
    told += _lifting_nothing(loaded)
    told += _endless(loaded, findings)
    return replace(loaded, held=tuple(held)), tuple(told)


def targets_of(loaded: LoadedOrder) -> int:
    """How many targets an order has."""
    return sum(map(len, (loaded.domains, loaded.exact, loaded.below, loaded.networks)))


class _Acknowledged:
    """What a person has looked at, and which of that was needed."""

    def __init__(self, rows: Sequence[Acknowledge]) -> None:
        self.rows = rows
        self.used: set[int] = set()
        self._by: dict[tuple[str, bytes | Network | None], int] = {}
        self._networks: dict[str, list[tuple[Network, int]]] = {}
        for number, row in enumerate(rows):
            target = None if row.target is None else read_target(row.target)
            self._by.setdefault((row.finding, target), number)
            if target is not None and not isinstance(target, bytes):
                self._networks.setdefault(row.finding, []).append((target, number))

    def find(self, hit: Hit) -> Acknowledge | None:
        """The row that acknowledges a hit: it names the target, or what it lies in."""
        found = self._by.get((hit.what, hit.target))
        if found is None and hit.above is not None and isinstance(hit.target, bytes):
            found = self._above(hit.what, hit.target, hit.above)
        if found is None and not isinstance(hit.target, bytes):
            for network, number in self._networks.get(hit.what, ()):
                if network.version == hit.target.version and _inside(hit.target, network):
                    found = number
        if found is None:
            return None
        self.used.add(found)
        return self.rows[found]

    def _above(self, what: str, target: bytes, above: bytes) -> int | None:
        """The row that names something from just above the target up to ``above``."""
        at = 0
        while is_at_or_below(target[at:], above):
            found = self._by.get((what, target[at:]))
            if found is not None:
                return found
            at += target[at] + 1
        return None

    def whole(self, finding: Finding) -> Finding:
        """A finding about the order as a whole, of level info if it is acknowledged."""
        number = self._by.get((finding.kind, None)) if finding.kind else None
        if number is None:
            return finding
        self.used.add(number)
        message = f"{finding.message}; {_by(self.rows[number])}"
        return replace(finding, level="info", message=message)


def _inside(inner: Network, outer: Network) -> bool:
    return int(outer.network_address) <= int(inner.network_address) and int(
        inner.broadcast_address
    ) <= int(outer.broadcast_address)


def _by(row: Acknowledge) -> str:
    return f"acknowledged by {row.by} on {row.date.isoformat()}: {row.reason}"


def _finding(
    loaded: LoadedOrder,
    hit: Hit,
    by: Acknowledge | None,
    data: bytes,
    lists: Mapping[str, bytes],
) -> Finding:
    file, line = loaded.path, None
    if isinstance(hit.target, bytes):
        field = hit.field.removeprefix("targets.")
        file, line = where_is(loaded.path, field, hit.target, data, lists)
    message = f"{hit.text()} {hit.told}"
    if by is not None:
        message = f"{message}; {_by(by)}"
    elif hit.level == "hold":
        message = f"{message}; held until it is acknowledged ({hit.what})"
    level = "info" if by is not None else hit.level
    return Finding(level, loaded.order.id, hit.field, message, file, line, hit.what, hit.text())


def _counted(loaded: LoadedOrder, hits: Sequence[Hit], *, acknowledged: bool) -> Finding:
    first = hits[0]
    names = ", ".join(hit.text() for hit in hits[:3])
    what = "acknowledged" if acknowledged else "held" if first.level == "hold" else "found"
    told = f"and {len(hits)} more targets are {what} for {first.what}: {names}, ..."
    level = "info" if acknowledged else first.level
    return Finding(level, loaded.order.id, first.field, told, loaded.path, kind=first.what)


def _grown(loaded: LoadedOrder, before: int | None) -> Iterator[Finding]:
    now = targets_of(loaded)
    if before is None or max(before, now) < SMALL:
        return
    kind = "growth" if now > GROWTH * before else "shrinkage" if now * 2 < before else None
    if kind is not None:
        told = f"{before} targets in the former edition, {now} now: is that what was ordered?"
        yield Finding("warn", loaded.order.id, "targets", told, loaded.path, kind=kind)


def _idle(loaded: LoadedOrder, table: _Acknowledged) -> Iterable[Finding]:
    """Acknowledgements that match nothing; about the order's growth one may come too late."""
    for number, row in enumerate(table.rows):
        if number not in table.used and row.finding not in ("growth", "shrinkage"):
            about = f" of {row.target}" if row.finding in FINDINGS else ""
            told = f"there is no finding {row.finding}{about} to acknowledge"
            field = f"acknowledge.{number}"
            yield Finding("warn", loaded.order.id, field, told, loaded.path)


def _lifting_nothing(loaded: LoadedOrder) -> Iterator[Finding]:
    for event in loaded.events:
        if event.idle:
            names = sorted(
                to_text(one) if isinstance(one, bytes) else str(one) for one in event.idle
            )
            day = event.at.date().isoformat()
            told = f"lift-targets of {day} lifts what is no target: {', '.join(names[:3])}"
            yield Finding("warn", loaded.order.id, "events", told, loaded.path)


def _endless(loaded: LoadedOrder, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Addresses change hands: an order for them that nothing ends hits somebody else in time."""
    if loaded.networks and any(finding.kind == "no-end" for finding in findings):
        told = "addresses change hands: give expires or review"
        yield Finding("warn", loaded.order.id, "targets.networks", told, loaded.path)
