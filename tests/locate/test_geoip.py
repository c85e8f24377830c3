from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from geodns.errors import DatabaseError
from geodns.locate.country import MISSING
from geodns.locate.geoip import Database, Record, read_database
from tests.geo import make

GEO = Path(make.__file__).parent


def read(name: str) -> Database:
    return read_database(GEO / name, (GEO / name).read_bytes())


def at(database: Database, text: str) -> Record:
    address = ip_address(text)
    table = database.tables[address.version]
    return database.records[table.values[table.index(int(address))]]


@pytest.mark.parametrize("name", ["country.mmdb", "city.mmdb", "flat.mmdb"])
def test_every_country_and_territory_is_itself(name: str) -> None:
    database = read(name)
    for country, networks in make.COUNTRIES.items():
        for network in networks:
            address = str(ip_address(network.split("/")[0]) + 1)
            assert at(database, address).country == country, network
    assert at(database, "5.1.6.255").country == at(database, "5.1.8.0").country == "IT"


@pytest.mark.parametrize(
    ("name", "address", "country", "why"),
    [
        ("country.mmdb", "5.8.0.1", None, MISSING),  # continent only
        ("country.mmdb", "5.8.1.1", None, MISSING),  # registered in RO
        ("country.mmdb", "5.8.2.1", "PH", None),  # represents US
        ("country.mmdb", "5.4.200.1", "GB", None),  # registered in US
        ("country.mmdb", "5.8.3.1", None, "the record's code EU is no country"),
        ("country.mmdb", "9.9.9.9", None, None),  # no record
        ("flat.mmdb", "5.9.0.1", "IT", None),  # lower case
        ("flat.mmdb", "5.9.1.1", None, "the record's code ZZ is no country"),
        ("flat.mmdb", "5.9.2.1", None, "the record's code EU is no country"),
        ("flat.mmdb", "5.9.3.1", None, "the record's code AP is no country"),
        ("flat.mmdb", "5.9.4.1", None, "the record's code A1 is no country"),
        ("flat.mmdb", "5.9.5.1", None, MISSING),
        ("flat.mmdb", "5.9.6.1", "FR", None),  # {"country": "FR"}
    ],
)
def test_traps(name: str, address: str, country: str | None, why: str | None) -> None:
    record = at(read(name), address)
    assert (record.country, record.why) == (country, why)


def test_subdivisions_and_as_numbers() -> None:
    city = read("city.mmdb")
    assert at(city, "5.6.1.1").subdivisions == ("US-CA",)
    assert at(city, "5.4.1.1").subdivisions == ("GB-ENG", "GB-WBK")
    assert at(city, "5.1.1.1").subdivisions == ()
    asn = read("asn.mmdb")
    assert at(asn, "5.1.200.1").asn == 4_200_000_000
    assert at(asn, "5.1.200.1").why is None  # it has no say about countries
    assert at(asn, "2a01:100::1").asn == 3269


def test_what_a_database_is_comes_from_its_records() -> None:
    kinds = {name: read(f"{name}.mmdb").kind for name in ("country", "city", "asn", "flat")}
    assert kinds == {"country": "country", "city": "city", "asn": "asn", "flat": "flat"}
    country = read("country.mmdb")
    assert (country.database_type, country.built) == ("Test-Country", make.BUILT)
    assert country.without_country == 3
    assert country.places == len(make.COUNTRIES) + 1  # PH
    assert country.has_countries and not country.has_asn
    assert read("asn.mmdb").has_asn and not read("asn.mmdb").has_countries


def test_aliases_of_the_ipv4_tree_are_walked_once() -> None:
    database = read("country.mmdb")
    networks = {str(net) for net, _ in maxminddb.open_database(str(GEO / "country.mmdb"))}
    assert database.networks == len(networks)
    assert at(database, "2002:501:1::1") == at(database, "::ffff:5.1.1.1") == Record()


@pytest.mark.parametrize("size", [24, 28, 32])
@pytest.mark.parametrize("version", [4, 6])
def test_tree_forms(tmp_path: Path, size: int, version: int) -> None:
    rows = [row for row in make.country_rows() if version == 6 or ":" not in row[0]]
    path = make.write_mmdb(tmp_path / "x.mmdb", rows, ip_version=version, record_size=size)
    database = read_database(path, path.read_bytes())
    with maxminddb.open_database(str(path)) as reader:
        for network, _ in make.country_rows():
            address = ip_address(network.split("/")[0]) + 5
            if version == 4 and address.version == 6:
                assert at(database, str(address)) == Record()
                continue
            raw: Any = reader.get(address)
            code = raw.get("country", {}).get("iso_code")
            assert at(database, str(address)).country == (None if code == "EU" else code)


def test_a_network_that_covers_all_of_ipv4(tmp_path: Path) -> None:
    rows = [("::/64", {"country_code": "IT"}), ("2a01::/16", {"country_code": "FR"})]
    path = make.write_mmdb(tmp_path / "x.mmdb", rows)
    database = read_database(path, path.read_bytes())
    assert at(database, "1.2.3.4").country == "IT"
    assert at(database, "2a01::1").country == "FR"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("5.0.0.0/8", "IT")], "text"),
        ([("5.0.0.0/8", {"is_anonymous": True})], "without a country"),
        ([("5.0.0.0/8", {"country": {"iso_code": "EU"}})], "without a country"),
        ([], "no networks"),
    ],
)
def test_databases_that_cannot_locate_anybody(
    tmp_path: Path, rows: list[tuple[str, Any]], said: str
) -> None:
    path = make.write_mmdb(tmp_path / "x.mmdb", rows)
    with pytest.raises(DatabaseError, match=said) as caught:
        read_database(path, path.read_bytes())
    assert str(caught.value).startswith(f"{path}: ")


def try_to_read(data: bytes) -> str | None:
    """None if it could be read; anything but DatabaseError fails the test."""
    try:
        read_database(Path("damaged.mmdb"), data)
    except DatabaseError as error:
        assert "damaged.mmdb" in str(error)
        assert "\n" not in str(error)
        return str(error)
    return None


def test_truncated_anywhere() -> None:
    data = (GEO / "city.mmdb").read_bytes()
    for length in range(0, len(data) - 1, 3):
        assert try_to_read(data[:length]) is not None, length


def _flip(data: bytearray, generator: random.Random) -> None:
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)


def _zero(data: bytearray, generator: random.Random) -> None:
    start = generator.randrange(len(data))
    data[start : start + 8] = bytes(len(data[start : start + 8]))


def _ones(data: bytearray, generator: random.Random) -> None:
    start = generator.randrange(len(data))
    data[start : start + 6] = b"\xff" * len(data[start : start + 6])


@pytest.mark.parametrize("name", ["country.mmdb", "city.mmdb", "asn.mmdb"])
@pytest.mark.parametrize("damage", [_flip, _zero, _ones])
def test_damaged_anywhere(name: str, damage: Callable[[bytearray, random.Random], None]) -> None:
    original = (GEO / name).read_bytes()
    generator = random.Random(name)
    failures = 0
    for _ in range(400):
        data = bytearray(original)
        damage(data, generator)
        failures += try_to_read(bytes(data)) is not None
    assert failures  # the damage does damage


def test_a_tree_that_leads_back_into_itself(tmp_path: Path) -> None:
    path = make.write_mmdb(tmp_path / "x.mmdb", [("5.0.0.0/8", {"country_code": "IT"})])
    data = bytearray(path.read_bytes())
    data[0:6] = bytes(6)  # both branches of node 0 lead to node 0
    said = try_to_read(bytes(data))
    assert said is not None and "loop" in said


def test_a_tree_of_shared_nodes_that_would_never_end(tmp_path: Path) -> None:
    path = make.write_mmdb(tmp_path / "x.mmdb", [("2a01::/127", {"country_code": "IT"})])
    data = bytearray(path.read_bytes())
    for node in range(100):
        data[node * 6 : node * 6 + 6] = (node + 1).to_bytes(3) * 2
    said = try_to_read(bytes(data))
    assert said is not None and "loop" in said


def test_more_nodes_than_octets() -> None:
    data = (GEO / "asn.mmdb").read_bytes()
    at_ = data.index(b"node_count") + len(b"node_count")
    lying = data[: at_ + 1] + b"\xff" * (data[at_] & 0x1F) + data[at_ + 1 + (data[at_] & 0x1F) :]
    said = try_to_read(lying)
    assert said is not None and "tree" in said


def test_progress_ends_at_its_total() -> None:
    seen: list[tuple[int, int]] = []
    path = GEO / "country.mmdb"
    read_database(path, path.read_bytes(), lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0


def test_the_committed_databases_are_what_the_generator_makes(tmp_path: Path) -> None:
    make.make(tmp_path)
    for name in ("country.mmdb", "city.mmdb", "asn.mmdb", "flat.mmdb"):
        made = read_database(tmp_path / name, (tmp_path / name).read_bytes())
        kept = read(name)
        for version in (4, 6):
            assert made.tables[version].raw() == kept.tables[version].raw()
        assert made.records == kept.records
