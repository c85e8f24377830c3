from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from geodns.cli.geoip import ACCOUNT, KEY
from geodns.cli.main import call
from tests.geo import make

GEO = Path(make.__file__).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings: a City and an ASN database, and a geofeed."""
    for name in ("city.mmdb", "asn.mmdb"):
        shutil.copy(GEO / name, tmp_path / name)
    (tmp_path / "feed.csv").write_text("127.39.0.0/16,IT\n10.0.0.0/8,,,,\n")
    (tmp_path / "geodns.toml").write_text(
        '[server]\nstate = "state"\n[geoip]\n'
        'databases = ["city.mmdb", "asn.mmdb"]\ngeofeeds = ["feed.csv"]\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ACCOUNT, raising=False)
    monkeypatch.delenv(KEY, raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(list(arguments))
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return code, told.out, told.err


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    got, out, err = run(capsys, *arguments, "--json")
    assert (got, err) == (code, "")
    return json.loads(out)


def test_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "geoip", "info")
    assert [source["kind"] for source in found["sources"]] == ["city", "asn", "geofeed"]
    city, asn, feed = found["sources"]
    assert (city["type"], city["built"], city["without_country"]) == ("Test-City", "2026-05-28", 3)
    assert city["path"] == str(folder / "city.mmdb")
    assert (feed["networks"], feed["without_country"], feed["warning"]) == (2, 1, None)
    assert asn["networks"] == len(make.ASNS)
    assert found["subdivisions"] is found["asn"] is True


def test_info_as_text_warns_of_age(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make.write_mmdb(folder / "city.mmdb", make.city_rows(), built=1_600_000_000)
    code, out, _ = run(capsys, "geoip", "info")
    assert code == 0
    header, city = out.splitlines()[:2]
    assert header.split()[0] == "source" and city.split()[:4] == [
        "city.mmdb", "city", "Test-Country", "2020-09-13",
    ]  # fmt: skip
    assert "warning: city.mmdb is" in out
    assert "warning: feed.csv" not in out


def test_info_knows_the_operators_limit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = (folder / "geodns.toml").read_text() + "max_age_days = 1\n"
    (folder / "geodns.toml").write_text(settings)
    found = document(capsys, "geoip", "info")
    assert "geoip.max_age_days = 1" in found["sources"][0]["warning"]


def test_info_of_a_damaged_database(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "city.mmdb").write_bytes(b"no database")
    code, out, err = run(capsys, "geoip", "info")
    assert (code, out) == (2, "")
    assert err.startswith(f"geodns: {folder / 'city.mmdb'}: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "country", "network", "source"),
    [
        ("5.1.130.1", "IT", "5.1.128.0/17", "city.mmdb"),
        ("::ffff:5.1.130.1", "IT", "5.1.128.0/17", "city.mmdb"),
        ("2002:501:8201::1", "IT", "5.1.128.0/17", "city.mmdb"),
        ("2a01:100::1", "IT", "2a01:100::/32", "city.mmdb"),
        ("127.39.4.4", "IT", "127.39.0.0/16", "feed.csv"),
        ("5.7.1.1", "VA", "5.7.1.0/24", "city.mmdb"),
    ],
)
def test_locate(
    folder: Path, capsys: pytest.CaptureFixture[str],
    address: str, country: str, network: str, source: str,
) -> None:  # fmt: skip
    found = document(capsys, "locate", address)
    assert (found["country"], found["network"], found["source"]) == (country, network, source)


def test_locate_shows_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "locate", "::ffff:5.6.0.1")
    assert found["embedded"] == "mapped" and found["judged_as"] == "5.6.0.1"
    assert found["subdivisions"] == ["US-CA"] and found["country_name"] == "United States"
    assert found["source_date"] == "2026-05-28" and found["source_age_days"] > 0
    code, out, _ = run(capsys, "locate", "5.1.1.1")
    assert code == 0 and "AS3269 (AS 3269)" in out and "IT (Italy)" in out
    # Shown, never judged by.
    code, out, _ = run(capsys, "locate", "5.4.200.1")
    assert "GB (United Kingdom)" in out and "registered:   US" in out
    code, out, _ = run(capsys, "locate", "5.8.2.1")
    assert "PH (Philippines)" in out and "represents:   US, military" in out


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("9.9.9.9", "no record"),
        ("10.1.1.1", "record without a country"),
        ("5.8.1.1", "record without a country"),
        ("5.8.3.1", "the record's code EU is no country"),
    ],
)
def test_locate_unknown(
    folder: Path, capsys: pytest.CaptureFixture[str], address: str, why: str
) -> None:
    found = document(capsys, "locate", address, code=1)
    assert (found["country"], found["why"]) == (None, why)
    code, out, _ = run(capsys, "locate", address)
    assert code == 1 and f"unknown: {why}" in out


@pytest.mark.parametrize("text", ["example.org", "1.2.3", "fe80::1%eth0", "10.0.0.0/8"])
def test_locate_what_is_no_address(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    code, out, err = run(capsys, "locate", text)
    assert (code, out) == (2, "") and repr(text) in err


def newer(path: Path) -> str:
    make.write_mmdb(path, make.city_rows(), database_type="Newer", built=make.BUILT + 86400)
    return path.as_uri()


def test_update_replaces_the_configured_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "new").mkdir()
    url = newer(folder / "new" / "city.mmdb")
    done = document(capsys, "geoip", "update", "--url", url)
    assert done["changed"] and done["configured"] and done["path"] == str(folder / "city.mmdb")
    assert done["before"]["built"] == "2026-05-28" and done["built"] == "2026-05-29"
    assert document(capsys, "geoip", "info")["sources"][0]["type"] == "Newer"
    code, out, _ = run(capsys, "geoip", "update", "--url", url)
    assert code == 0 and "up to date" in out


def test_update_of_one_that_is_not_configured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = newer(folder / "other.mmdb")
    code, out, _ = run(capsys, "geoip", "update", "--url", url)
    made = folder / "state" / "databases" / "other.mmdb"
    assert code == 0 and made.is_file()
    assert f'databases = ["{made}"]' in out
    done = document(capsys, "geoip", "update", "--url", url, "--to", "asn.mmdb", "--force")
    assert done["configured"] and done["changed"]


def test_update_that_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "city.mmdb").read_bytes()
    bad = folder / "bad.mmdb"
    bad.write_bytes(before[:1000])
    code, _, err = run(capsys, "geoip", "update", "--url", bad.as_uri(), "--to", "city.mmdb")
    assert code == 2 and "city.mmdb" in err
    assert (folder / "city.mmdb").read_bytes() == before


def test_update_needs_to_know_what_and_as_whom(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "geoip", "update")[0] == 2
    assert run(capsys, "geoip", "update", "--url", "file:///x", "--edition", "X")[0] == 2
    code, _, err = run(capsys, "geoip", "update", "--edition", "GeoLite2-City")
    assert code == 2 and ACCOUNT in err and KEY in err
    monkeypatch.setenv(ACCOUNT, "12")
    monkeypatch.setenv(KEY, "s3cr3t")
    code, _, err = run(capsys, "geoip", "update", "--edition", "no edition")
    assert code == 2 and "s3cr3t" not in err


@pytest.mark.parametrize("command", [("locate",), ("geoip", "info"), ("geoip", "update")])
def test_help_shows_an_example(capsys: pytest.CaptureFixture[str], command: tuple[str]) -> None:
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0 and f"Example: geodns {' '.join(command)}" in out
