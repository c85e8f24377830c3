from __future__ import annotations

import random
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from geodns.errors import DatabaseError
from geodns.locate.build import build_places
from geodns.locate.special import is_special
from geodns.locate.table import PlaceTable
from tests.geo import make

GEO = Path(make.__file__).parent


def open_table(tmp_path: Path, feed: str = "") -> PlaceTable:
    path = tmp_path / "feed.csv"
    path.write_text(feed or "# none\n")
    return PlaceTable.open(build_places([GEO / "country.mmdb"], [path], tmp_path / "state"))


@pytest.mark.parametrize("version", [4, 6])
def test_segments_cover_every_address(tmp_path: Path, version: int) -> None:
    table = open_table(tmp_path, "255.255.255.255/32,IT\n0.0.0.0/32,FR\nffff::/16,DE\n")
    address, top = 0, (1 << (32 if version == 4 else 128)) - 1
    while address <= top:
        number, first, last, length = table.find(version, address)
        assert first == address <= last <= top
        assert 0 <= number < len(table.locations)
        assert (length == 0) == (number == 0)
        assert table.find(version, last) == (number, first, last, length)
        address = last + 1
    asn = table.find_asn(version, top)
    assert asn == (0, 0, top)


def test_representatives(tmp_path: Path) -> None:
    table = open_table(tmp_path, "127.39.0.0/16,IT\n127.40.0.0/16,MC\n5.20.0.0/32,MT\n")
    for country in make.COUNTRIES:
        address = table.representative(country)
        version = 4
        if country == "NC":
            assert address is None
            version = 6
            address = table.representative(country, 6)
        assert address is not None
        number, first, _, _ = table.find(version, address)
        assert table.locations[number].country == country
        assert address == first + 1
        assert not is_special(version, address)
    # The largest network, not one that only has the same country.
    assert table.representative("SM") in {int(ip_address(text)) for text in ("5.7.0.1", "5.1.7.1")}
    # Nothing but a special network, or but one address: better than nothing.
    assert table.representative("MC") == int(ip_address("127.40.0.1"))
    assert table.representative("MT") == int(ip_address("5.20.0.0"))
    assert table.representative("AQ") is None
    assert table.representative("IT", 6) == int(ip_address("2a01:100::1"))


def test_special_networks() -> None:
    special = "10.1.2.3 127.0.0.1 100.64.0.1 203.0.113.9 255.255.255.255 ::1 2002::1 2001::1"
    for text in f"{special} fd00::1 fe80::1 ff02::1 2001:db8::1 64:ff9c::1".split():
        address = ip_address(text)
        assert is_special(address.version, int(address)), text
    for text in ("9.9.9.9", "11.0.0.1", "100.128.0.1", "2620:fe::fe", "2a01::1"):
        address = ip_address(text)
        assert not is_special(address.version, int(address)), text


def test_a_damaged_table_is_never_used(tmp_path: Path) -> None:
    path = open_table(tmp_path).path
    data = path.read_bytes()
    copy = tmp_path / "copy.places"
    generator = random.Random(1)
    for _ in range(200):
        damaged = bytearray(data)
        # The 16 octets behind the checksum are padding.
        at = generator.choice([*range(48), *range(64, len(data))])
        damaged[at] ^= 1 << generator.randrange(8)
        copy.write_bytes(damaged)
        with pytest.raises(DatabaseError, match=r"copy\.places"):
            PlaceTable.open(copy)
    for length in range(0, len(data), 97):
        copy.write_bytes(data[:length])
        with pytest.raises(DatabaseError, match=r"copy\.places"):
            PlaceTable.open(copy)
    with pytest.raises(DatabaseError, match="No such file"):
        PlaceTable.open(tmp_path / "none")
    with pytest.raises(DatabaseError, match="place table"):
        PlaceTable.open(GEO / "city.mmdb")


def test_a_table_outlives_its_file(tmp_path: Path) -> None:
    table = open_table(tmp_path)
    table.path.unlink()
    assert table.locations[table.find(4, int(ip_address("5.1.0.1")))[0]].country == "IT"


def test_workers_need_no_heavy_modules() -> None:
    code = (
        "import sys; import geodns.locate.table, geodns.locate.client;"
        "print([name for name in ('maxminddb', 'geoip2', 'pycountry', 'pydantic')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
