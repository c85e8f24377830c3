"""``geodns prove`` and ``geodns map`` as people and scripts see them."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest

from geodns.cli.main import call
from tests.orders.sample import GOOD, write
from tests.serve.running import Upstream, order, running, save, write_settings

SETTINGS = """\
[server]
state = "state"
listen = ["127.0.0.1:{port}"]
[geoip]
databases = []
geofeeds = ["feed.csv"]
[orders]
directories = ["orders"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "feed.csv").write_text("127.39.0.0/16,IT,,,\n127.33.0.0/16,FR,,,\n")
    (tmp_path / "geodns.toml").write_text(SETTINGS.format(port=0))
    write(tmp_path / "orders", "IT", "a")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_a_proof_is_made_signed_and_checked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "prove", "--prefixes", "-o", "proof.json")
    assert code == 0, err
    assert "a  IT  127.39.0.0/16" in out
    assert "holds    answers change there" in out
    assert stat.S_IMODE((folder / "state" / "ledger.key").stat().st_mode) == 0o600
    document = json.loads((folder / "proof.json").read_text())
    key = document["signed"]["key"]
    assert run(capsys, "prove", "--check", "proof.json", "--key", key)[0] == 0
    assert run(capsys, "prove", "--check", "proof.json", "--key", "b3RoZXI=")[0] == 1
    document["orders"][0]["title"] = "another"
    (folder / "proof.json").write_text(json.dumps(document))
    code, out, _ = run(capsys, "prove", "--check", "proof.json")
    assert code == 1
    assert "BAD" in out


def test_the_same_seed_gives_the_same_proof(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (
        json.loads(run(capsys, "prove", "--json", "--seed", "7", "--at", "2026-06-01")[1])
        for _ in range(2)
    )
    assert one == two
    assert one["checked"]["sample"]["seed"] == 7


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nobody"], "'nobody' is no order in force"),
        (["--from", "127.0.0.1"], "no server is given"),
        (["--server", "127.0.0.1:1", "--from", "here"], "'here' is no address"),
        (["--check", "feed.csv"], "no signed proof"),
        (["--check", "missing.json"], "missing.json"),
    ],
)
def test_bad_input_is_said(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    code, _, err = run(capsys, "prove", *arguments)
    assert code == 2
    assert told in err


def test_an_order_that_cannot_be_placed_is_told_why(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GOOD.format(id="as", name="as.example").replace(
        "sources", 'jurisdiction = ["AS3269"]\nsources'
    )
    write(folder / "orders", "IT", "as", text)
    code, _, err = run(capsys, "prove", "as")
    assert code == 2
    assert "'as' is no order in force" in err
    assert "ASN" in err


def test_a_map_of_one_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "map", "example.org")
    assert code == 0, err
    text = "".join(ElementTree.fromstring(out).itertext())
    assert "Where example.org is blocked" in text
    assert "Italy: 1" in text
    assert "By: a" in text
    found = json.loads(run(capsys, "map", "example.org", "--json")[1])
    assert (found["countries"], found["parts"], found["orders"]) == ({"IT": ["a"]}, {}, ["a"])
    run(capsys, "map", "example.net", "-o", "free.svg")
    assert "No country: not blocked" in (folder / "free.svg").read_text()


def test_a_part_of_a_country_is_drawn_as_such(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "feed.csv").write_text("127.1.0.0/16,US,US-CA,,\n127.2.0.0/16,US,US-NY,,\n")
    text = GOOD.format(id="ca", name="part.example").replace(
        "sources", 'jurisdiction = ["US-CA"]\nsources'
    )
    write(folder / "orders", "US", "ca", text)
    found = json.loads(run(capsys, "map", "part.example", "--json")[1])
    assert (found["countries"], found["parts"]) == ({}, {"US": {"US-CA": ["ca"]}})
    drawn = "".join(ElementTree.fromstring(run(capsys, "map", "part.example")[1]).itertext())
    assert "United States 0 (in part)" not in drawn
    assert "United States, in part: US-CA (ca)" in drawn


@pytest.mark.process
def test_a_running_server_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upstream = Upstream()
    settings = write_settings(tmp_path, upstream.port, '[trust]\necs = ["127.0.0.9"]\n', workers=1)
    save(tmp_path / "orders" / "IT" / "a.toml", order("a", "a.example"))
    other = tmp_path / "other.toml"
    other.write_text(settings.read_text().replace('ecs = ["127.0.0.9"]', "ecs = []"))
    try:
        with running(settings) as server:
            asked = ["prove", "-c", str(settings), "--server", f"127.0.0.1:{server.port}"]
            code, out, err = run(capsys, *asked, "--json")
            assert code == 0, err
            wire = json.loads(out)["wire"]
            assert wire["places"] == 3
            assert wire["blocked"] >= 1 and wire["not_blocked"] >= 3
            # The order file here changes, and the server is not told.
            elsewhere = tmp_path / "elsewhere"
            write(elsewhere, "IT", "b", order("b", "a.example"))
            text = settings.read_text() + '[orders]\ndirectories = ["elsewhere"]\n'
            (tmp_path / "changed.toml").write_text(text)
            asked[2] = str(tmp_path / "changed.toml")
            code, out, _ = run(capsys, *asked)
            assert code == 1
            assert "the server blocks by a (NXDOMAIN), owed: blocks by b" in out
            assert "does not hold" in out
        save(settings, other.read_text())
        with running(settings) as server:
            asked[2:] = [str(settings), "--server", f"127.0.0.1:{server.port}"]
            code, _, err = run(capsys, *asked)
            assert code == 2
            assert "did not take our word" in err
    finally:
        upstream.close()
