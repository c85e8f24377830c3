"""Folders of order files -> loaded orders, all faults at once, and nothing parsed twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from geodns.errors import Fault
from geodns.model.namelist import NameList
from geodns.orders.approval import Approvers, unapproved
from geodns.orders.feeds.kept import MARK
from geodns.orders.guard.judge import Known, bundled_known
from geodns.orders.guard.review import review, targets_of
from geodns.orders.keep import Kept, LastGood
from geodns.orders.lint import Finding, lint, lint_all
from geodns.orders.loaded import LoadedOrder
from geodns.orders.read import Reading, edition_of, read_order
from geodns.orders.scan import Scan, Signature, read_settled, scan, scan_path, stat_list

__all__ = ["Finding", "Loaded", "LoadedOrder", "OrderLoader", "load_path"]

GRACE = 0.02
"""Seconds after which a file that has gone is looked for again: some editors move a file
away before they write its new content."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the folders hold now.

    orders: sorted by id. faults: everything that is wrong. findings: what lint says.
    refused: order files without any usable edition. parsed: files parsed by this call.
    unapproved: editions that wait for people to approve them.
    """

    orders: tuple[LoadedOrder, ...]
    faults: tuple[Fault, ...]
    findings: tuple[Finding, ...]
    refused: tuple[str, ...]
    parsed: int
    unapproved: tuple[Fault, ...] = ()


@dataclass(slots=True)
class _Entry:
    """One order file as it was last read.

    lists: list file, relative to the folder -> signature, None where it could not be looked
    at. edition: of the bytes read, good or not. good: what they give; before: the edition that
    stands in while they are faulty. kept: bytes still to be kept on disk.
    """

    signature: Signature | None = None
    lists: dict[str, Signature | None] = field(default_factory=dict)
    settled: bool = True
    edition: str | None = None
    good: LoadedOrder | None = None
    before: LoadedOrder | None = None
    faults: tuple[Fault, ...] = ()
    findings: tuple[Finding, ...] = ()
    unapproved: tuple[Fault, ...] = ()
    kept: Kept | None = None


class OrderLoader:
    """Reads folders of orders again and again, each time only what changed.

    directories: each holds ``<PLACE>/<id>.toml``. last_good: where good editions are kept,
    or None to keep them in memory only. keep: whether that directory is written to; a command
    beside a running server only reads it. Not to be called from two threads at once.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        last_good: Path | None,
        *,
        keep: bool = True,
        good: Callable[[LoadedOrder], bool] | None = None,
        away: Path | None = None,
        feeds: Path | None = None,
        known: Known | None = None,
        approvers: Approvers | None = None,
    ) -> None:
        """good: whether an edition without faults is to be kept as the last good one. away: a
        folder for the names of long lists, which then take no memory while nobody reads them.
        feeds: the folder of kept feeds; without it none has been fetched. known: what the
        guard against over-blocking knows; the bundled facts if left out. approvers: whose
        approval an edition needs before it has force; nobody's if left out."""
        self._approvers = approvers if approvers is not None and approvers.needed else None
        self._known = known or bundled_known()
        self._away = away
        self._feeds = feeds
        self._writes = keep
        self._is_good = good
        self._directories = tuple(directories)
        self._last_good = LastGood(last_good) if last_good is not None else None
        self._entries: dict[str, _Entry] = {}
        self._in_force: set[str] = set()

    def load(self, progress: Progress | None = None) -> Loaded:
        """Scan all folders. progress is called with (files read, files to read)."""
        found = scan(self._directories)
        if any(
            path not in found.files and path not in found.broken and not found.hides(path)
            for path in self._entries
        ):
            time.sleep(GRACE)
            found = scan(self._directories)
        return self._take(found, progress)

    def _take(self, found: Scan, progress: Progress | None = None, *, whole: bool = True) -> Loaded:
        faults = list(found.faults)
        self._forget(found)
        for path in found.broken:
            before = self._before(path, None)
            self._entries[path] = _Entry(before=before)
        stale = [
            (path, place)
            for path, (signature, place) in found.files.items()
            if not self._current(path, signature)
        ]
        parsed = 0
        for done, (path, place) in enumerate(stale, 1):
            parsed += self._read(path, place)
            if progress is not None:
                progress(done, len(stale))
        return self._gather(faults, parsed, whole=whole)

    def _forget(self, found: Scan) -> None:
        """Drop what has gone; take from disk what stands where nothing can be seen."""
        for path in [*self._entries]:
            if path in found.files or path in found.broken:
                continue
            if found.hides(path):
                self._entries[path] = _Entry(before=self._before(path, None))
            else:
                del self._entries[path]
        if found.blind and self._last_good is not None:
            roots = {str(Path(folder).absolute()): folder for folder in found.blind}
            for kept in self._last_good.all():
                for root, folder in roots.items():
                    if kept.path.startswith(f"{root}/"):
                        path = folder + kept.path.removeprefix(root)
                        if path not in self._entries:
                            before = self._before(path, kept.place)
                            self._entries[path] = _Entry(before=before)

    def _current(self, path: str, signature: Signature) -> bool:
        entry = self._entries.get(path)
        return (
            entry is not None
            and entry.signature == signature
            and entry.settled
            and all(
                stat_list(self._where(path, name)) == before for name, before in entry.lists.items()
            )
        )

    def _where(self, path: str, name: str) -> str:
        """Where a list of an order file is: beside it, or among the kept feeds."""
        if name.startswith(MARK):
            return f"{self._feeds or '/dev/null'}/{name.removeprefix(MARK)}/targets"
        return f"{path[: path.rfind('/') + 1]}{name}"

    def _read(self, path: str, place: str | None) -> int:
        """Read one file and its lists; return how many files were parsed: 0 or 1."""
        old = self._entries.get(path)
        entry = _Entry()

        def fetch(name: str) -> bytes:
            entry.lists[name] = None
            data, entry.lists[name], settled = read_settled(self._where(path, name))
            entry.settled = entry.settled and settled
            return data

        try:
            data, entry.signature, entry.settled = read_settled(path)
        except FileNotFoundError:
            # It went away after the scan: a file that is not there is no faulty file.
            self._entries.pop(path, None)
            return 0
        except OSError as error:
            told = Fault(f"cannot be read: {error.strerror or error}", path)
            self._entries[path] = _Entry(faults=(told,), before=self._before(path, place))
            return 0
        if old is not None and old.edition is not None and _same(old, data, fetch):
            old.signature, old.lists, old.settled = entry.signature, entry.lists, entry.settled
            return 0
        entry.lists.clear()
        if place is None:
            self._entries[path] = entry
            return 0
        reading = read_order(path, place, data, fetch)
        entry.faults = tuple(reading.faults)
        files = dict(reading.lists)
        order = reading.order
        if order is None:
            entry.before = self._before(path, place)
        else:
            if self._approvers is not None:

                def again(name: str) -> bytes:
                    if name not in files:
                        files[name] = fetch(name)
                    return files[name]

                order = self._approve(entry, order, data, reading.lists, again)
            former = None if old is None else old.good or old.before
            before = None if former is None else targets_of(former)
            self._good(entry, reading, order, data, before)
        entry.edition = edition_of(data, files)
        self._entries[path] = entry
        return 1

    def _approve(
        self,
        entry: _Entry,
        order: LoadedOrder,
        data: bytes,
        lists: Mapping[str, bytes],
        fetch: Callable[[str], bytes],
    ) -> LoadedOrder:
        """The edition with its approvals, waiting where they are too few to have force."""
        assert self._approvers is not None
        found = self._approvers.look(order, data, lists, fetch)
        order = replace(order, approvals=found.approvals, signed=found.lacking is None)
        if found.lacking is None or not order.may_have_force:
            return order
        before = self._before(order.path, order.place)
        # What never had force stands in for nothing.
        entry.before = before if before is not None and not before.waiting else None
        entry.unapproved = (unapproved(order, found.lacking, entry.before),)
        return replace(order, waiting=True)

    def _good(
        self,
        entry: _Entry,
        reading: Reading,
        order: LoadedOrder,
        data: bytes,
        before: int | None,
    ) -> None:
        findings = lint(order, reading.repeats)
        order, entry.findings = review(order, self._known, findings, data, reading.lists, before)
        if order.waiting and entry.before is not None:
            return
        entry.good = order
        if self._away is not None and isinstance(order.domains, NameList):
            with suppress(OSError):  # they stay in memory
                order.domains.put_away(self._away)
        if self._last_good is not None and not order.waiting:
            entry.kept = Kept(order.path, order.place, data, reading.lists)

    def _before(self, path: str, place: str | None) -> LoadedOrder | None:
        """Return the last good edition of a file: from memory, else from disk."""
        old = self._entries.get(path)
        if old is not None and (old.good is not None or old.before is not None):
            good = old.good or old.before
            return replace(good, last_good=True) if good is not None else None
        return self.last_good(path, place)

    def last_good(self, path: str, place: str | None) -> LoadedOrder | None:
        """Return the edition of an order file that is kept on disk, if it can still be read."""
        kept = self._last_good.get(path) if self._last_good is not None else None
        if kept is None or (place is not None and kept.place != place):
            return None

        def fetch(name: str) -> bytes:
            try:
                return kept.lists[name]
            except KeyError:
                raise FileNotFoundError(name) from None

        order = read_order(path, kept.place, kept.data, fetch).order
        if order is None:
            return None
        # Without force an edition may be kept that nobody has approved.
        signed = self._approvers is None or order.may_have_force
        return replace(review(order, self._known)[0], last_good=True, signed=signed)

    def _gather(self, faults: list[Fault], parsed: int, *, whole: bool) -> Loaded:
        winners, doubles = self._unique()
        orders: list[LoadedOrder] = []
        findings: list[Finding] = []
        refused: list[str] = []
        waiting: list[Fault] = []
        for path, entry in self._entries.items():
            faults += entry.faults
            waiting += entry.unapproved
            order = entry.good or entry.before
            if path in doubles:
                # A file that nobody has approved is no reason not to start.
                idle = order is not None and order.waiting
                (waiting if idle else faults).append(doubles[path])
                refused += [] if idle else [path]
                continue
            if order is None:
                refused.append(path)
                continue
            orders.append(order)
            findings += entry.findings
        self._in_force = winners
        faults += self._keep()
        orders.sort(key=lambda loaded: loaded.order.id)
        if whole:
            findings += lint_all(orders)
        findings.sort(key=lambda finding: (finding.file, finding.field or ""))
        faults.sort(key=lambda fault: (fault.file or "", fault.line or 0))
        return Loaded(
            tuple(orders),
            tuple(faults),
            tuple(findings),
            tuple(sorted(refused)),
            parsed,
            tuple(waiting),
        )

    def _unique(self) -> tuple[set[str], dict[str, Fault]]:
        """Settle ids that several files claim: the file that had it first keeps it."""
        claims: dict[str, list[str]] = {}
        for path, entry in self._entries.items():
            order = entry.good or entry.before
            if order is not None:
                claims.setdefault(order.order.id, []).append(path)
        winners: set[str] = set()
        doubles: dict[str, Fault] = {}
        for ident, paths in claims.items():
            first, *others = sorted(paths, key=self._seniority) if len(paths) > 1 else paths
            winners.add(first)
            for path in others:
                told = f"{ident!r} is the id of {first} already; an id is used once"
                doubles[path] = Fault(told, path, None, "id")
        return winners, doubles

    def _seniority(self, path: str) -> tuple[bool, bool, bool, str]:
        kept = self._last_good is not None and path in self._last_good
        order = self._entries[path].good or self._entries[path].before
        waiting = order is not None and order.waiting
        return waiting, path not in self._in_force, not kept, path

    def _keep(self) -> Iterable[Fault]:
        """Bring the directory of last good editions up to date."""
        if self._last_good is None or not self._writes:
            return
        try:
            for path, entry in self._entries.items():
                if entry.kept is None or not entry.edition or path not in self._in_force:
                    continue
                if self._is_good is None or (entry.good is not None and self._is_good(entry.good)):
                    self._last_good.put(entry.kept, entry.edition)
                    entry.kept = None
            self._last_good.retain(set(self._entries))
        except OSError as error:
            told = f"good editions cannot be kept: {error.strerror or error}"
            yield Fault(told, error.filename)


def load_path(path: Path, known: Known | None = None, approvers: Approvers | None = None) -> Loaded:
    """Read one order file, one place's folder, or one directory of orders by itself.

    What only all orders together show is not looked for. Nothing is kept.
    """
    loader = OrderLoader((), None, known=known, approvers=approvers)
    return loader._take(scan_path(path), whole=False)


def _same(old: _Entry, data: bytes, fetch: Callable[[str], bytes]) -> bool:
    """Whether the bytes are those that were read before."""
    files: dict[str, bytes] = {}
    for name, signature in old.lists.items():
        try:
            files[name] = fetch(name)
        except OSError:
            # What was not there and is not there is the same.
            if signature is not None:
                return False
    return edition_of(data, files) == old.edition
