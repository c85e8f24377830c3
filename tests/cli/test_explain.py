from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from geodns.cli.demo_upstream import ZoneServer
from geodns.cli.main import call
from tests.orders.sample import good, write

COUNTRY = Path(__file__).parent.parent / "geo" / "country.mmdb"
SETTINGS = """\
[server]
state = "state"
[geoip]
databases = []
geofeeds = ["feed.csv"]
[orders]
directories = ["orders"]
[upstream]
servers = ["{upstream}"]
timeout = 0.2
attempts = 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Orders, and a geofeed as the only source of places."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "feed.csv").write_text("127.39.0.0/16,IT,,,\n127.33.0.0/16,FR,,,\n")
    write(tmp_path / "orders", "IT", "a")
    put(tmp_path, "127.0.0.1:9")
    return tmp_path


def put(folder: Path, upstream: str) -> None:
    (folder / "geodns.toml").write_text(SETTINGS.format(upstream=upstream))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_what_was_not_looked_at_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del folder
    _, out, _ = run(capsys, "explain", "mirror.example.net", "--from", "IT")
    assert "5 ruling    allow (question only: aliases and addresses were not looked at" in out
    _, out, _ = run(capsys, "matrix", "mirror.example.net", "example.org", "--from", "IT")
    assert out.splitlines()[1].split()[2:] == ["not", "blocked", "blocked", "by", "a"]
    assert "question only" in out.splitlines()[-1]
    found = document(capsys, "explain", "mirror.example.net", "--from", "IT")
    assert (found["ruling"], found["answer"]) == ("allow", None)


def test_aliases_are_ruled_on_when_resolved(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zone = {"mirror.example.net": "example.org", "example.org": "198.51.100.1"}
    with ZoneServer(zone) as upstream:
        put(folder, upstream.address)
        names = ("mirror.example.net", "none.example.net")
        _, out, _ = run(capsys, "matrix", *names, "--from", "IT,FR", "--resolve")
        assert upstream.asked == 2
        _, explained, _ = run(capsys, "explain", names[0], "--from", "IT", "--resolve")
    assert "blocked by a, through example.org" in out
    assert out.splitlines()[2].split()[2:] == ["resolves", "NXDOMAIN"]
    assert "question only" not in out
    assert "answer    NOERROR: example.org, 198.51.100.1" in explained
    assert "blocks    a: domain example.org, an alias" in explained
    assert "5 ruling    block by a, through the alias example.org" in explained


def test_a_dead_upstream_is_a_plain_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    for command in (("explain", "x.example", "--from", "IT"), ("matrix", "x.example")):
        code, _, err = run(capsys, *command, "--resolve")
        assert code == 2
        assert err.startswith("geodns: --resolve: no upstream")
        assert "127.0.0.1:9" in err
        assert "(22" not in err and "(23" not in err


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2024-01-01", "2999-01-01", "begins 2999-01-01"),
        ("review = 2030-01-01", "expires = 2024-10-01", "expired 2024-10-01"),
        ('"active"', '"lifted"', "status lifted"),
        ("# ", "# ", "superseded by z"),
    ],
)
def test_why_an_order_is_not_in_force(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, reason: str
) -> None:
    write(folder / "orders", "IT", "a", good("a").replace(old, new))
    if "superseded" in reason:
        text = good("z", "other.example").replace("sources", 'supersedes = ["a"]\nsources')
        write(folder / "orders", "IT", "z", text)
    found = document(capsys, "explain", "example.org", "--from", "IT")
    assert [(one["order"], one["reason"]) for one in found["not_in_force"]] == [("a", reason)]
    _, out, _ = run(capsys, "explain", "example.org", "--from", "IT")
    assert f"a names it, but is not in force: {reason}" in out


def test_names_are_shown_in_unicode_and_instants_in_iso(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = good("a", "b\u00fccher.example").replace("review = 2030", "expires = 2999")
    write(folder / "orders", "IT", "a", text)
    _, out, _ = run(capsys, "explain", "www.B\u00fccher.example", "--from", "IT")
    assert "www.xn--bcher-kva.example (www.b\u00fccher.example) A at" in out
    assert "domain xn--bcher-kva.example (b\u00fccher.example)" in out
    found = document(capsys, "explain", "xn--bcher-kva.example", "--from", "IT")
    assert found["unicode"] == "b\u00fccher.example"
    assert found["next_change"] == "2999-01-01T00:00:00+00:00"
    found = document(capsys, "matrix", "xn--bcher-kva.example", "--from", "IT")
    assert found["next_change"] == "2999-01-01T00:00:00+00:00"


def test_an_order_that_no_database_can_place_leaves_the_others_in_force(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = good("far", "far.example").replace("sources", 'jurisdiction = ["AS3269"]\nsources', 1)
    write(folder / "orders", "IT", "far", far)
    code, out, _ = run(capsys, "explain", "example.org", "--from", "IT")
    assert code == 0
    assert "warning: " in out
    assert "'AS3269' needs a source that knows ASNs" in out
    assert "5 ruling    block by a" in out
    found = document(capsys, "explain", "far.example", "--from", "IT")
    assert found["ruling"] == "allow"
    assert [fault["field"] for fault in found["faults"]] == ["jurisdiction"]
    (told,) = found["not_in_force"]
    assert (told["order"], told["reason"]) == (
        "far",
        "no database knows its places: see the faults",
    )
    found = document(capsys, "matrix", "example.org", "far.example", "--from", "IT")
    assert [row["order"] for row in found["rows"]] == ["a", None]
    assert [fault["field"] for fault in found["faults"]] == ["jurisdiction"]


@pytest.mark.parametrize(
    ("keys", "place", "reason"),
    [
        ("", "127.99.0.1", "where the client is cannot be told, and on_unknown is allow"),
        ('on_unknown = "block"', "127.99.0.1", "is cannot be told, and on_unknown is block"),
        ('on_stale = "allow"', "IT", "the databases are too old, and on_stale is allow"),
        ('on_stale = "allow"', "127.99.0.1", "cannot be told, and on_unknown is allow"),
        ('except = ["IT"]\njurisdiction = ["EU"]', "IT", "it is in an exception"),
        ("", "FR", "has no force for this client (jurisdiction IT)"),
        ("", "IT", "has force for this client (jurisdiction IT); action"),
    ],
)
def test_the_reason_says_what_decided(
    folder: Path, capsys: pytest.CaptureFixture[str], keys: str, place: str, reason: str
) -> None:
    write(folder / "orders", "IT", "a", good("a").replace("sources", f"{keys}\nsources", 1))
    if "stale" in keys:
        settings = (folder / "geodns.toml").read_text()
        settings = settings.replace("databases = []", f'databases = ["{COUNTRY}"]')
        settings = settings.replace('geofeeds = ["feed.csv"]', "max_age_days = 1")
        (folder / "geodns.toml").write_text(settings)
    for command in ("explain", "matrix"):
        found = document(capsys, command, "example.org", "--from", place)
        (ground,) = found["grounds"] if command == "explain" else found["rows"][0]["grounds"]
        assert reason in ground["reason"]


def test_services_are_ruled_on_when_their_type_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ZoneServer({"svc.example.net": "example.org", "example.org": "198.51.100.1"}) as upstream:
        put(folder, upstream.address)
        asked = ("svc.example.net", "--from", "IT", "--resolve")
        found = document(capsys, "matrix", *asked, "--type", "HTTPS")
        explained = document(capsys, "explain", "svc.example.net", "HTTPS", *asked[1:])
    (row,) = found["rows"]
    assert (row["order"], row["alias"]) == ("a", "example.org")
    assert (explained["order"], explained["alias"]) == ("a", "example.org")
    assert run(capsys, "matrix", "a.example", "--type", "NOPE")[0] == 2


def test_what_a_client_who_asks_for_structure_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    found = document(capsys, "explain", "example.org", "--from", "IT")
    structured = json.loads(found["reply"]["structured"])
    assert structured["j"] == found["reply"]["text"]
