from __future__ import annotations

import json
import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from geodns import shipped
from geodns.errors import DatabaseError, InputFaults
from geodns.locate.build import build_places
from geodns.locate.store import KEEP
from geodns.locate.table import PlaceTable
from geodns.model.place import Location
from tests.geo import make

GEO = Path(make.__file__).parent
COUNTRY, CITY, ASN, FLAT = (GEO / f"{name}.mmdb" for name in ("country", "city", "asn", "flat"))


def find(table: PlaceTable, text: str) -> Location:
    address = ip_address(text)
    return table.locations[table.find(address.version, int(address))[0]]


def asn(table: PlaceTable, text: str) -> int:
    address = ip_address(text)
    return table.find_asn(address.version, int(address))[0]


def build(tmp_path: Path, databases: list[Path], *feeds: str) -> PlaceTable:
    paths = []
    for number, text in enumerate(feeds):
        paths.append(tmp_path / f"feed{number}.csv")
        paths[-1].write_text(text)
    return PlaceTable.open(build_places(databases, paths, tmp_path / "state"))


def test_one_database(tmp_path: Path) -> None:
    table = build(tmp_path, [COUNTRY])
    assert find(table, "5.1.0.1") == Location("IT", (), 0)
    assert find(table, "9.9.9.9") == Location(None, (), -1, "no record")
    assert find(table, "5.8.1.1") == Location(None, (), 0, "record without a country")
    assert not table.has_subdivisions and not table.has_asn
    (source,) = table.sources
    assert (source.name, source.kind, source.path) == ("country.mmdb", "country", str(COUNTRY))
    assert source.built == make.BUILT


def test_country_and_as_numbers(tmp_path: Path) -> None:
    table = build(tmp_path, [FLAT, ASN])
    assert table.has_asn and not table.has_subdivisions
    assert asn(table, "5.1.0.1") == asn(table, "2a01:100::1") == 3269
    assert asn(table, "5.1.128.1") == 4_200_000_000
    assert asn(table, "5.4.0.1") == 0
    # An AS database has no say about countries: an address only it has is in no record.
    assert find(build(tmp_path, [ASN]), "5.1.0.1") == Location(None, (), -1, "no record")
    address = int(ip_address("5.1.0.1"))
    assert table.find_asn(4, address)[1:] == (address - 1, int(ip_address("5.1.127.255")))


def test_fields_come_from_the_first_that_has_them(tmp_path: Path) -> None:
    table = build(tmp_path, [COUNTRY, CITY])
    assert table.has_subdivisions
    assert find(table, "5.6.0.1") == Location("US", ("US-CA",), 0)
    # The code EU in the first is no country, so the second may tell.
    other = make.write_mmdb(tmp_path / "o.mmdb", [("5.8.0.0/16", {"country_code": "FR"})])
    assert find(build(tmp_path, [COUNTRY, other]), "5.8.3.1") == Location("FR", (), 1)
    assert find(build(tmp_path, [COUNTRY, other]), "5.8.2.1") == Location("PH", (), 0)


def test_a_geofeed_wins(tmp_path: Path) -> None:
    feed = "5.1.0.0/24,FR\n5.6.0.0/24,US\n5.6.1.0/24,CA\n5.2.0.0/24,,,,\n127.39.0.0/16,IT\n"
    table = build(tmp_path, [CITY], feed)
    assert find(table, "5.1.0.1") == Location("FR", (), 1)
    assert find(table, "5.1.1.1") == Location("IT", (), 0)
    assert find(table, "5.6.0.1") == Location("US", ("US-CA",), 1)
    assert find(table, "5.6.1.1") == Location("CA", (), 1)  # no subdivision of another country
    assert find(table, "5.2.0.1") == Location(None, (), 1, "record without a country")
    assert find(table, "127.39.0.1") == Location("IT", (), 1)
    assert find(table, "127.40.0.1").why == "special-use network"
    assert table.sources[1].kind == "geofeed"
    assert table.find(4, int(ip_address("127.39.0.1")))[3] == 16


def test_databases_are_not_believed_of_special_networks(tmp_path: Path) -> None:
    rows = [("0.0.0.0/0", {"country_code": "AU"}), ("2000::/3", {"country_code": "JP"})]
    path = make.write_mmdb(tmp_path / "all.mmdb", [*rows, ("fc00::/6", {"country_code": "FR"})])
    # Alone, merged with another, and under a geofeed, which has the last word.
    feed = "10.1.0.0/16,IT\nfd00:1::/32,MT\n"
    for table in (
        build(tmp_path, [path]),
        build(tmp_path, [path, CITY]),
        build(tmp_path, [CITY, path], feed),
    ):
        inside = (
            "0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 169.254.1.1 "
            "172.16.0.0 172.31.255.255 192.0.2.1 192.168.0.1 198.19.0.1 224.0.0.1 "
            "255.255.255.255 ::1 2001:db8::1 fc00:: fdff::1 fe80::1 ff02::1"
        )
        for text in inside.split():
            assert find(table, text) == Location(None, (), -1, "special-use network"), text
        outside = (
            "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 "
            "172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 223.255.255.255"
        )
        for text in outside.split():
            assert find(table, text).country == "AU", text
        assert find(table, "2001:db7:ffff::").country == "JP"
        assert find(table, "2001:db9::").country == "JP"
    assert find(table, "10.1.2.3") == Location("IT", (), 2)
    assert find(table, "fd00:1::1") == Location("MT", (), 2)
    assert table.find(4, int(ip_address("192.168.7.7")))[1:] == (0xC0A80000, 0xC0A8FFFF, 16)


def test_a_geofeed_brings_back_the_subdivision_behind_another_country(tmp_path: Path) -> None:
    first = make.write_mmdb(tmp_path / "f.mmdb", [("5.6.0.0/16", {"country_code": "MX"})])
    assert find(build(tmp_path, [first, CITY]), "5.6.0.1") == Location("MX", (), 0)
    table = build(tmp_path, [first, CITY], "5.6.0.0/16,US\n")
    assert find(table, "5.6.0.1") == Location("US", ("US-CA",), 2)
    assert find(table, "5.6.200.1") == Location("US", ("US-NY",), 2)
    table = build(tmp_path, [CITY], "5.6.0.0/16,US\n", "5.6.0.0/16,,,,\n")
    assert find(table, "5.6.0.1") == Location("US", ("US-CA",), 1)


def test_the_first_geofeed_wins_over_the_second(tmp_path: Path) -> None:
    table = build(tmp_path, [], "10.0.0.0/8,IT\n", "10.1.0.0/16,FR\n11.0.0.0/8,US,US-CA\n")
    assert find(table, "10.1.0.1") == Location("IT", (), 0)
    assert find(table, "11.0.0.1") == Location("US", ("US-CA",), 1)
    assert table.has_subdivisions


def test_the_shipped_database_puts_no_private_network_in_a_country(tmp_path: Path) -> None:
    table = build(tmp_path, list(shipped.data().glob("*.mmdb")))
    private = "10.1.1.1 172.16.0.1 192.168.1.1 100.64.0.1 127.0.0.1 2001:db8::1 fd00::1"
    for text in private.split():
        assert find(table, text).why == "special-use network", text
    assert find(table, "193.0.6.139").country == "NL"


def test_a_geofeed_over_the_whole_space(tmp_path: Path) -> None:
    table = build(tmp_path, [CITY], "0.0.0.0/0,US\n::/0,FR\n")
    assert find(table, "0.0.0.0").country == find(table, "255.255.255.255").country == "US"
    assert find(table, "5.6.0.1").subdivisions == ("US-CA",)
    assert find(table, "5.1.0.1") == Location("US", (), 1)
    assert find(table, "ffff::") == Location("FR", (), 1)


def test_the_base_table_is_made_once(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    feed = tmp_path / "feed.csv"
    state = tmp_path / "state"

    def go() -> Path:
        return build_places([COUNTRY], [feed], state, lambda *step: calls.append(step))

    feed.write_text("10.0.0.0/8,IT\n")
    first = go()
    assert calls and calls[-1][0] == calls[-1][1]
    calls.clear()
    assert go() == first
    feed.write_text("10.0.0.0/8,FR\n")
    second = go()
    assert calls == []  # nothing was walked again
    assert second != first
    assert find(PlaceTable.open(second), "10.0.0.1").country == "FR"
    assert find(PlaceTable.open(first), "10.0.0.1").country == "IT"
    assert len(list(state.glob("base-*"))) == 1


def test_a_changed_database_is_another_edition(tmp_path: Path) -> None:
    path = make.write_mmdb(tmp_path / "x.mmdb", [("5.0.0.0/8", {"country_code": "IT"})])
    before = build_places([path], [], tmp_path / "state")
    make.write_mmdb(path, [("5.0.0.0/8", {"country_code": "FR"})])
    after = build_places([path], [], tmp_path / "state")
    assert before != after
    assert PlaceTable.open(before).edition != PlaceTable.open(after).edition


@pytest.mark.parametrize("keep", [0, 10, -20])
def test_a_damaged_kept_table_is_made_again(tmp_path: Path, keep: int) -> None:
    path = build_places([COUNTRY], [], tmp_path)
    data = path.read_bytes()
    damaged = data[:keep] if keep >= 0 else data[:keep] + b"\xff" * 20
    path.write_bytes(damaged)
    with pytest.raises(DatabaseError):
        PlaceTable.open(path)
    assert build_places([COUNTRY], [], tmp_path) == path
    assert path.read_bytes() == data


def test_old_tables_are_removed_but_not_those_in_use(tmp_path: Path) -> None:
    feed, state = tmp_path / "feed.csv", tmp_path / "state"
    made = []
    held: PlaceTable | None = None
    for number in range(KEEP + 4):
        feed.write_text(f"10.{number}.0.0/16,IT\n")
        made.append(build_places([COUNTRY], [feed], state))
        os.utime(made[-1], (number, number))
        held = held or PlaceTable.open(made[0])
    assert made[0].exists() and held is not None
    assert not made[1].exists()
    assert all(path.exists() for path in made[-KEEP:])
    assert len(list(state.glob("places-*"))) <= KEEP + 2


def test_faults_of_all_geofeeds_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputFaults) as caught:
        build(tmp_path, [COUNTRY], "10.0.0.0/8,UK\n", "what,IT\n10.0.0.0/8,FR,US-CA\n")
    assert [(Path(fault.file or "").name, fault.line) for fault in caught.value.faults] == [
        ("feed0.csv", 1),
        ("feed1.csv", 1),
        ("feed1.csv", 2),
    ]


def test_an_unusable_database_is_named_and_leaves_the_old_table(tmp_path: Path) -> None:
    good = build_places([COUNTRY], [], tmp_path / "state")
    bad = tmp_path / "bad.mmdb"
    bad.write_bytes(COUNTRY.read_bytes()[:-50])
    with pytest.raises(DatabaseError, match=r"bad\.mmdb"):
        build_places([COUNTRY, bad], [], tmp_path / "state")
    assert find(PlaceTable.open(good), "5.1.0.1").country == "IT"
    assert list((tmp_path / "state").glob(".making-*")) == []
    with pytest.raises(DatabaseError, match="No such file"):
        build_places([tmp_path / "none.mmdb"], [], tmp_path / "state")
    with pytest.raises(DatabaseError, match="directory"):
        build_places([tmp_path], [], tmp_path / "state")
    with pytest.raises(DatabaseError, match="no database and no geofeed"):
        build_places([], [], tmp_path / "state")


def test_a_pipe_is_no_database(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mmdb"
    os.mkfifo(pipe)
    with pytest.raises(DatabaseError, match=r"pipe\.mmdb"):
        build_places([pipe], [], tmp_path / "state")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DatabaseError, match="cannot be written"):
        build_places([COUNTRY], [], file / "state")


def child(request: object) -> tuple[int, list[dict[str, object]]]:
    text = request if isinstance(request, str) else json.dumps(request)
    done = subprocess.run(
        [sys.executable, "-m", "geodns.locate.build"],
        input=text + "\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_as_a_child_process(tmp_path: Path) -> None:
    request = {"databases": [str(COUNTRY)], "geofeeds": [], "directory": str(tmp_path)}
    code, said = child(request)
    assert code == 0
    assert PlaceTable.open(str(said[-1]["path"])).sources[0].name == "country.mmdb"
    assert all(set(line) == {"done", "total"} for line in said[:-1])


def test_a_child_process_that_fails(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("x,IT\ny,IT\n")
    code, (said,) = child({"databases": [], "geofeeds": [str(feed)], "directory": str(tmp_path)})
    assert code == 2
    assert f"{feed}:1: prefix: 'x'" in str(said["error"])
    assert f"{feed}:2: prefix: 'y'" in str(said["error"])
    for nonsense in ("", "{}", "[1]", "null"):
        code, (said,) = child(nonsense)
        assert code == 2 and set(said) == {"error"}


def test_builders_at_the_same_time_do_not_harm_each_other(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("10.0.0.0/8,IT\n")
    request = {"databases": [str(CITY)], "geofeeds": [str(feed)], "directory": str(tmp_path / "s")}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "geodns.locate.build"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    said = [process.communicate(json.dumps(request) + "\n")[0] for process in running]
    paths = {json.loads(text.splitlines()[-1])["path"] for text in said}
    assert [process.returncode for process in running] == [0] * 4
    assert len(paths) == 1
    assert find(PlaceTable.open(paths.pop()), "10.0.0.1").country == "IT"
