"""What comes from files and sockets that people write to: orders, lists, places, settings."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from geodns.config import load_state, parse_settings
from geodns.errors import DatabaseError, Fault, GeodnsError, SettingsError, SnapshotError
from geodns.fastpath.cookie import well_formed
from geodns.locate.build import build_places
from geodns.locate.client import client_from_ecs, read_ecs
from geodns.locate.geofeed import flatten, read_geofeed
from geodns.locate.geoip import read_database
from geodns.locate.table import PlaceTable
from geodns.model.proxy import LARGEST, BadHeader, Header, NoHeader, read_header
from geodns.orders.feeds.formats import FORMATS
from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.take import take
from geodns.orders.guard.judge import bundled_known
from geodns.orders.guard.review import review
from geodns.orders.keep import Kept, LastGood
from geodns.orders.lint import lint
from geodns.orders.read import read_order
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from geodns.serve.control import Control
from tests.policy.making import NOW, order

GEO = Path(__file__).parent.parent / "geo"
TODAY = date(2026, 6, 1)


def orders(data: bytes) -> None:
    """An order file, and behind a zero octet the list file that it may name."""
    text, _, names = data.partition(b"\0")
    reading = read_order("orders/IT/it-x.toml", "IT", text, lambda name: names)
    assert (reading.order is None) == bool(reading.faults)
    _check_faults(reading.faults)
    if reading.order is None:
        return
    found = lint(reading.order, reading.repeats)
    order, _ = review(reading.order, bundled_known(), found, text, reading.lists)
    compile_snapshot([order], NOW)
    snapshot = Snapshot(compile_snapshot([reading.order], NOW))
    assert len(snapshot.orders) <= 1


def _check_faults(faults: Any) -> None:
    for fault in faults:
        assert isinstance(fault, Fault)
        assert fault.file, "every fault says where"
        assert fault.message
        assert "\n" not in str(fault), str(fault)


def settings(data: bytes) -> None:
    """A settings file, read whole, and read for the one key that ``status`` needs."""
    path = Path(_kept_folder().name) / "geodns.toml"
    path.write_bytes(data)
    try:
        load_state(path)
    except SettingsError as error:
        _check_faults(error.faults)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    try:
        found = parse_settings(text, Path("geodns.toml"))
    except SettingsError as error:
        assert error.faults
        _check_faults(error.faults)
    else:
        json.dumps(found.model_dump(mode="json"))


def geofeeds(data: bytes) -> None:
    """A geofeed."""
    try:
        feed = read_geofeed(Path("feed.csv"), data, 0.0)
    except GeodnsError as error:
        assert "feed.csv" in str(error)
        return
    last = {4: -1, 6: -1}
    for first, end, row in flatten(feed.rows):
        assert last[row.version] < first <= end
        last[row.version] = end


def feeds(data: bytes) -> None:
    """An official list; the first octet says in which format it is, or that it is to be found."""
    if not data:
        return
    number = data[0] % (len(FORMATS) + 1)
    name = FORMATS[number].name if number < len(FORMATS) else None
    try:
        taken = take(data[1:], TODAY, name)
    except FeedFault as fault:
        assert str(fault)
    else:
        assert len(taken.rejected) <= taken.rows


def edited(base: bytes, edits: bytes) -> bytes:
    """Octets with some changed: four octets each say where (three), and by what.

    In place of the last possible offset, all behind the middle one of the four is cut away.
    """
    data = bytearray(base)
    for at in range(0, len(edits) - 3, 4):
        where = int.from_bytes(edits[at : at + 3])
        if where >= 0xFF0000:
            del data[(where & 0xFFFF) % (len(data) + 1) :]
        elif data:
            data[where % len(data)] = edits[at + 3]
    return bytes(data)


@cache
def _databases() -> list[bytes]:
    return [(GEO / f"{name}.mmdb").read_bytes() for name in ("flat", "country", "city", "asn")]


def databases(data: bytes) -> None:
    """A database: the first octet says which one, edits follow."""
    if not data:
        return
    known = _databases()
    try:
        found = read_database(Path("x.mmdb"), edited(known[data[0] % len(known)], data[1:]))
    except DatabaseError as error:
        assert str(error).startswith("x.mmdb")
    else:
        assert found.path == Path("x.mmdb")


@cache
def _files() -> tuple[Path, list[tuple[str, bytes]]]:
    """A folder, and whole files that the server writes for itself: name and octets."""
    folder = Path(_kept_folder().name)
    feed = folder / "feed.csv"
    feed.write_text("127.39.0.0/16,IT\n2001:db8::/32,FR\n")
    places = build_places([GEO / "flat.mmdb"], [feed], folder / "places")
    snapshot = compile_snapshot(
        [order("a", domains=["a.b"]), order("b", networks=["192.0.2.0/24"], places=["FR"])], NOW
    )
    good = LastGood(folder / "good")
    good.put(Kept(str(folder / "it-x.toml"), "IT", b'id = "it-x"\n', {"x.txt": b"a.b\n"}), "e" * 64)
    (kept,) = (folder / "good").iterdir()
    return folder, [
        ("snapshot", snapshot),
        ("places", places.read_bytes()),
        ("good", kept.read_bytes()),
    ]


@cache
def _kept_folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


def damaged(data: bytes) -> None:
    """A file of the server's own, damaged: it is refused by name, and nothing of it is used.

    The first octet says which; above 127 the snapshot's checksum is made to fit, as by a writer
    who lies.
    """
    if not data:
        return
    folder, files = _files()
    name, whole = files[data[0] % len(files)]
    octets = edited(whole, data[1:])
    same = octets == whole
    if name == "snapshot":
        if data[0] > 127 and len(octets) >= 56:
            sealed = hashlib.sha256(octets[56:]).digest()
            octets, same = octets[:24] + sealed + octets[56:], True
        try:
            Snapshot(octets, "x.snapshot")
        except SnapshotError as error:
            assert str(error).startswith("x.snapshot")
        else:
            assert same
    elif name == "places":
        path = folder / "x.places"
        path.write_bytes(octets)
        try:
            PlaceTable.open(path)
        except DatabaseError as error:
            assert str(error).startswith(str(path))
        else:
            assert same
    else:
        (kept,) = (folder / "good").iterdir()
        kept.write_bytes(octets)
        found = LastGood(folder / "good").get(str(folder / "it-x.toml"))
        assert (found is not None) == same


class _Writer:
    """Takes what a control socket says."""

    def __init__(self) -> None:
        self.said = bytearray()

    def write(self, data: bytes) -> None:
        self.said += data

    async def drain(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The socket is the test's."""


def control(data: bytes) -> None:
    """The control socket: every line gets one JSON document, and nothing ends the service."""
    made = Control(Path("/nowhere"), {"status": lambda: {"digest": "x"}, "metrics": dict})
    writer = _Writer()

    async def serve() -> None:
        reader = asyncio.StreamReader(limit=1 << 16)
        reader.feed_data(data)
        reader.feed_eof()
        await made._serve(reader, writer)  # type: ignore[arg-type]

    asyncio.run(serve())
    lines = bytes(writer.said).splitlines()
    assert len(lines) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    for line in lines:
        json.loads(line)


def options(data: bytes) -> None:
    """What stands inside of options and before messages: ECS, cookies, PROXY headers."""
    try:
        ecs = read_ecs(data)
    except ValueError:
        pass
    else:
        assert data[1] in (0, 1, 2)
        assert len(data) == 4 + (ecs.source + 7) // 8
        client_from_ecs(ecs)
    assert well_formed(len(data)) == (len(data) == 8 or 16 <= len(data) <= 40)
    whole = _header(data)
    for size in range(min(len(data), 64)):
        part = _header(data[:size])
        # What a part shows must hold for the whole.
        if part is not None:
            assert part == whole or isinstance(part, Header) and size >= part.size


def _header(data: bytes) -> Header | str | None:
    try:
        found = read_header(data)
    except (NoHeader, BadHeader) as fault:
        return type(fault).__name__
    if found is not None:
        assert 16 <= found.size <= min(len(data), LARGEST)
        assert found.source is None or len(found.source) in (4, 16)
    return found
