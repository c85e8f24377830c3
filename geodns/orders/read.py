"""One order file and its lists -> one loaded order, or everything that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from geodns.errors import Fault
from geodns.model.namelist import NameList
from geodns.model.place import PlaceFault, parse_place
from geodns.model.tomllines import Path, find_line, read_lines
from geodns.orders.events import instant, read_events, settle
from geodns.orders.feeds.kept import MARK, feed_key, read_kept
from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.take import Taken, take
from geodns.orders.loaded import Dated, LoadedOrder, Network
from geodns.orders.schema import Event, Order
from geodns.orders.targets import (
    Entries,
    read_big,
    read_list,
    read_names,
    read_network,
    read_target,
)
from geodns.orders.wording import faults_of

NAME_LISTS = ("domains", "exact", "below", "exempt")
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")

Fetch = Callable[[str], bytes]
"""Takes a list's path relative to the order's folder, returns its bytes or raises OSError."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A name that its list held before; line is None in a TOML array."""

    name: bytes
    file: str
    line: int | None
    field: str


@dataclass(slots=True)
class Reading:
    """What came of reading one order file: an order, or faults."""

    order: LoadedOrder | None = None
    faults: list[Fault] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)
    lists: dict[str, bytes] = field(default_factory=dict)


def edition_of(data: bytes, lists: Mapping[str, bytes]) -> str:
    """Return the edition of an order file: SHA-256 (hex) over its bytes and its lists'."""
    digest = sha256(b"%d\n" % len(data) + data)
    for name, content in lists.items():
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def read_order(
    path: str, place: str, data: bytes, fetch: Fetch, today: date | None = None
) -> Reading:
    """Read one order file.

    path: as it is to be told to people; its stem must be the id. place: the folder's place.
    data: the file's bytes. fetch: reads a list file, or the targets kept of a feed
    (``feed:KEY``). today: rows that a list marks as deleted by then are not taken (UTC's
    date if left out).
    """
    reading = Reading()
    raw = _toml(path, data, reading)
    if raw is not None:
        day = today or datetime.now(UTC).date()
        _Reader(path, place, data, raw, fetch, reading, day).read()
    return reading


def _toml(path: str, data: bytes, reading: Reading) -> dict[str, Any] | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        told = f"is not UTF-8: octet 0x{data[error.start]:02x}; save the file as UTF-8"
        reading.faults.append(Fault(told, path, line))
        return None
    try:
        return tomllib.loads(text)
    except RecursionError:
        reading.faults.append(Fault("is nested too deeply to be an order", path))
    except ValueError as error:
        told = str(error)
        at = _AT_LINE.search(told)
        number = int(at[1]) if at and at[1] else text.rstrip("\n").count("\n") + 1
        told = f"is no TOML: {_AT_LINE.sub('', told)}"
        reading.faults.append(Fault(told, path, number if at else None))
    return None


class _Reader:
    def __init__(
        self,
        path: str,
        place: str,
        data: bytes,
        raw: dict[str, Any],
        fetch: Fetch,
        reading: Reading,
        today: date,
    ) -> None:
        self.path, self.place, self.data, self.raw = path, place, data, raw
        self.fetch, self.reading, self.today = fetch, reading, today
        self._lines: dict[Path, int] | None = None
        self._big = NameList()
        self.certificates: dict[str, bytes] = {}

    def fault(self, path: Path, message: str) -> None:
        if self._lines is None:
            self._lines = read_lines(self.data.decode("utf-8-sig"))
        dotted = ".".join(str(part) for part in path)
        line = find_line(self._lines, path)
        self.reading.faults.append(Fault(message, self.path, line, dotted or None))

    def read(self) -> None:
        order = None
        try:
            order = Order.model_validate(self.raw)
        except ValidationError as error:
            for path, message in faults_of(error, Order):
                self.fault(path, message)
        self._identity()
        self._scope()
        self._response()
        self._languages()
        self._acknowledged()
        zone = self._zone()
        instants = self._instants(zone)
        events = self._events(zone, instants)
        lists = {name: self._names(name) for name in NAME_LISTS}
        networks = dict.fromkeys(self._networks())
        self._files(lists["domains"])
        fed = self._feeds(order, lists, networks) if order is not None else False
        if (
            not fed
            and not any((lists["domains"], self._big, lists["exact"], lists["below"], networks))
            and not any((fault.field or "").startswith("targets") for fault in self.reading.faults)
        ):
            told = "names nothing; give domains, exact, below, networks or files, or [[feeds]]"
            self.fault(("targets",), told)
        if order is None or self.reading.faults:
            self.reading.faults.sort(key=lambda fault: (fault.file != self.path, fault.line or 0))
            return
        places = (self.place,) if order.jurisdiction is None else order.jurisdiction
        self.reading.order = LoadedOrder(
            order=order,
            path=self.path,
            place=self.place,
            domains=self._big or NameList.of(lists["domains"]),
            exact=tuple(lists["exact"]),
            below=tuple(lists["below"]),
            exempt=tuple(lists["exempt"]),
            networks=tuple(networks),
            jurisdiction=None if isinstance(places, str) else tuple(dict.fromkeys(places)),
            except_=tuple(dict.fromkeys(order.except_)),
            effective=instants["effective"],
            expires=instants.get("expires"),
            deadline=instants.get("deadline"),
            review=instants.get("review"),
            issued=instants.get("issued"),
            edition=edition_of(self.data, self.reading.lists),
            certificates=self.certificates,
            events=settle(
                events,
                (self._big, *(lists[key] for key in ("domains", "below"))),
                lists["exact"],
                networks,
            )
            if events
            else (),
        )

    def _section(self, name: str) -> dict[str, Any]:
        value = self.raw.get(name)
        return value if isinstance(value, dict) else {}

    def _texts(self, name: str) -> list[str]:
        value = self._section("targets").get(name)
        if not isinstance(value, list):
            return []
        return value if all(isinstance(item, str) for item in value) else []

    def _identity(self) -> None:
        ident, stem = self.raw.get("id"), PurePosixPath(self.path).name.removesuffix(".toml")
        if isinstance(ident, str) and ident != stem:
            self.fault(("id",), f"{ident!r} is not the file's name, {stem!r}; change one of them")
        supersedes = self.raw.get("supersedes")
        if isinstance(supersedes, list) and ident is not None and ident in supersedes:
            self.fault(("supersedes", supersedes.index(ident)), "an order cannot supersede itself")
        claimed = self._section("authority").get("place")
        try:
            if isinstance(claimed, str) and parse_place(claimed) != self.place:
                told = f"{claimed!r} is not the folder's place, {self.place!r}; move the file"
                self.fault(("authority", "place"), told)
        except PlaceFault:
            pass  # told with the field's own fault

    def _scope(self) -> None:
        everywhere = self.raw.get("jurisdiction") == "global"
        if everywhere and "global_reason" not in self.raw:
            self.fault(("global_reason",), 'is required with jurisdiction = "global"')
        if not everywhere and "global_reason" in self.raw:
            self.fault(("global_reason",), 'goes only with jurisdiction = "global"')

    def _response(self) -> None:
        response = self._section("response")
        sinkhole, addresses = response.get("action") == "sinkhole", response.get("addresses")
        if sinkhole and not addresses:
            self.fault(("response", "addresses"), 'is required with action = "sinkhole"')
        if not sinkhole and addresses:
            self.fault(("response", "addresses"), 'goes only with action = "sinkhole"')

    def _languages(self) -> None:
        told = self._section("disclosure")
        translations = told.get("translations")
        if not isinstance(translations, dict) or not translations:
            return
        if "language" not in told:
            self.fault(("disclosure", "language"), "is required with translations")
        if "text" not in told:
            self.fault(("disclosure", "text"), "is required with translations")
        seen = {str(told.get("language", "")).lower()}
        for tag in translations:
            if tag.lower() in seen:
                self.fault(("disclosure", "translations", tag), f"{tag!r} is given twice")
            seen.add(tag.lower())

    def _acknowledged(self) -> None:
        rows = self.raw.get("acknowledge")
        for index, row in enumerate(rows if isinstance(rows, list) else ()):
            target = row.get("target") if isinstance(row, dict) else None
            if isinstance(target, str):
                try:
                    read_target(target)
                except ValueError as error:
                    self.fault(("acknowledge", index, "target"), str(error))

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.raw.get("timezone", "UTC"))
        except (LookupError, OSError, ValueError, TypeError):
            return ZoneInfo("UTC")

    def _events(self, zone: ZoneInfo, instants: dict[str, datetime]) -> tuple[Dated, ...]:
        rows = self.raw.get("events")
        try:
            events = [Event.model_validate(row) for row in rows] if isinstance(rows, list) else []
        except ValidationError:
            return ()  # told with the order's own faults
        dated, faults = read_events(events, zone, str(self.raw.get("status")), instants)
        for index, key, message in faults:
            self.fault(("events", index, *key), message)
        return dated

    def _instants(self, zone: ZoneInfo) -> dict[str, datetime]:
        found = {}
        for key, value in self._section("dates").items():
            if isinstance(value, date) and not (
                isinstance(value, datetime) and value.tzinfo is None
            ):
                found[key] = instant(value, zone)
        effective, expires = found.get("effective"), found.get("expires")
        if effective is not None and expires is not None and expires <= effective:
            told = f"{expires.isoformat()} is not after effective, {effective.isoformat()}"
            self.fault(("dates", "expires"), told)
        return found

    def _names(self, name: str) -> dict[bytes, int]:
        entries = read_names(self._texts(name))
        for index, message in entries.bad:
            self.fault(("targets", name, index), message)
        for _, repeated in entries.repeats:
            self.reading.repeats.append(Repeat(repeated, self.path, None, f"targets.{name}"))
        return entries.names

    def _networks(self) -> tuple[Network, ...]:
        found: dict[Network, None] = {}
        for index, text in enumerate(self._texts("networks")):
            try:
                found[read_network(text)] = None
            except ValueError as error:
                self.fault(("targets", "networks", index), str(error))
        return tuple(found)

    def _files(self, domains: dict[bytes, int]) -> None:
        for index, name in enumerate(self._texts("files")):
            where = ("targets", "files", index)
            told = _path_fault(name)
            if told is None and name in self.reading.lists:
                told = f"{name!r} is given twice"
            if told is not None:
                self.fault(where, told)
                continue
            try:
                content = self.fetch(name)
            except FileNotFoundError:
                self.fault(where, f"{name!r} does not exist in the order's folder")
                continue
            except OSError as error:
                self.fault(where, f"{name!r} cannot be read: {error.strerror or error}")
                continue
            self.reading.lists[name] = content
            big = read_big(content)
            if big is not None and not domains and not self._big:
                self._big = big
                continue
            domains.update(dict.fromkeys(self._big, 0))
            self._big = NameList()
            self._list(name, read_list(content), domains)
        if domains:
            domains.update(dict.fromkeys(self._big, 0))
            self._big = NameList()

    def _feeds(
        self, order: Order, lists: dict[str, dict[bytes, int]], networks: dict[Network, None]
    ) -> bool:
        """Add what feeds give. Whether there is one that gives, or will once it is fetched."""
        for index, feed in enumerate(order.feeds):
            if feed.openpgp is not None:
                self._certificate(("feeds", index, "openpgp"), feed.openpgp)
            where = ("feeds", index, "path" if feed.path is not None else "url")
            name = feed.path or MARK + feed_key(order.id, feed.url or "")
            told = _path_fault(name) if feed.path is not None else None
            if told is not None or name in self.reading.lists:
                self.fault(where, told or "the same list is given twice")
                continue
            try:
                content = self.fetch(name)
            except (FileNotFoundError, NotADirectoryError):
                if feed.path is not None:
                    self.fault(where, f"{name!r} does not exist in the order's folder")
                continue
            except OSError as error:
                self.fault(where, f"the list cannot be read: {error.strerror or error}")
                continue
            self.reading.lists[name] = content
            try:
                found = (
                    read_kept(content)
                    if feed.path is None
                    else take(content, self.today, feed.format, feed.match)
                )
            except FeedFault as fault:
                self.fault(where, f"{name}: {fault}")
                continue
            if feed.path is not None and not found.count:
                self.fault(where, f"{name}: it has {found.rows} rows and not one target")
            self._merge_feed(found, lists, networks)
        return bool(order.feeds)

    def _certificate(self, where: Path, name: str) -> None:
        """Read what lists are to be signed by: it is a part of the edition like a list."""
        told = _path_fault(name)
        if told is None:
            try:
                content = self.reading.lists.get(name) or self.fetch(name)
                self.certificates[name] = self.reading.lists[name] = content
            except OSError as error:
                told = f"{name!r} cannot be read: {error.strerror or error}"
        if told is not None:
            self.fault(where, told)

    def _merge_feed(
        self, found: Taken, lists: dict[str, dict[bytes, int]], networks: dict[Network, None]
    ) -> None:
        lists["domains"].update(dict.fromkeys(self._big, 0))
        self._big = NameList()
        for key, names in (
            ("domains", found.domains),
            ("exact", found.exact),
            ("below", found.below),
        ):
            lists[key].update(dict.fromkeys(names, 0))
        networks.update(dict.fromkeys(found.networks))

    def _list(self, name: str, entries: Entries, domains: dict[bytes, int]) -> None:
        file = str(PurePosixPath(self.path).parent / name)
        for line, message in entries.bad:
            self.reading.faults.append(Fault(message, file, line, "targets.files"))
        for line, repeated in entries.repeats:
            self.reading.repeats.append(Repeat(repeated, file, line, "targets.files"))
        for wire, line in entries.names.items():
            if wire in domains:
                self.reading.repeats.append(Repeat(wire, file, line, "targets.files"))
            else:
                domains[wire] = line


def _path_fault(name: str) -> str | None:
    pure = PurePosixPath(name)
    inside = pure.parts and not pure.is_absolute() and ".." not in pure.parts
    # What is kept of feeds is called so.
    if not inside or "\0" in name or name.startswith(MARK):
        return f"{name!r} is not a file in the order's folder"
    return None
