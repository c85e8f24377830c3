from __future__ import annotations

import json
from pathlib import Path

import pytest

from geodns.cli.demo_upstream import ZoneServer
from geodns.cli.main import call
from geodns.model.message import OPTION_ECS, OPTION_EDE, option
from tests.cli.test_ask import ADDRESS, reply_to, server


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """Settings whose only source is a geofeed, so that places are ready at once."""
    (tmp_path / "feed.csv").write_text("127.39.0.0/16,IT,,,\n2001:db8:1::/48,SM,,,\n")
    path = tmp_path / "geodns.toml"
    path.write_text('[server]\nstate = "state"\n[geoip]\ndatabases = []\ngeofeeds = ["feed.csv"]\n')
    return path


def test_a_server_that_believes(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claimed: list[bytes] = []

    def answer(query, _):  # type: ignore[no-untyped-def]
        claimed.append(query.edns.options[0][1])
        ecs = option(OPTION_ECS, claimed[0][:3] + b"\x10" + claimed[0][4:])
        return [reply_to(query, answer=ADDRESS, options=ecs)]

    with server(answer) as (host, port):
        arguments = ["query", "www.example.org", "--from", "it", "-c", str(settings)]
        code = call([*arguments, "--server", f"{host}:{port}"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert claimed[0][:4] == b"\0\1\x20\0"
    assert claimed[0][4:6] == bytes((127, 39))
    assert "reply  NOERROR" in shown.out
    assert "www.example.org 300 IN A 198.51.100.7" in shown.out
    assert "scope  /16" in shown.out
    assert "in IT" in shown.out


def test_a_server_that_does_not_believe(capsys: pytest.CaptureFixture[str]) -> None:
    with ZoneServer({"www.example.org": "198.51.100.7"}) as upstream:
        code = call(
            [
                "query",
                "www.example.org",
                "--from",
                "192.0.2.1",
                "--server",
                upstream.address,
                "--json",
            ]
        )
    shown = capsys.readouterr()
    assert code == 2
    assert "did not take our word" in shown.err
    document = json.loads(shown.out)
    assert document["believed"] is False
    assert document["addresses"] == ["198.51.100.7"]


@pytest.mark.parametrize(
    ("rcode", "ede", "code", "word"),
    [
        (2, (22, "no upstream answered in time"), 1, "(SERVFAIL): no upstream answered in time"),
        (5, (18, "not one of our clients"), 1, "(REFUSED): not one of our clients"),
        (5, (16, "by order of a court [it-a]"), 2, "did not take our word"),
        (3, None, 2, "did not take our word"),
    ],
)
def test_a_failure_says_nothing_about_the_place(
    rcode: int,
    ede: tuple[int, str] | None,
    code: int,
    word: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = b"" if ede is None else option(OPTION_EDE, ede[0].to_bytes(2, "big") + ede[1].encode())

    def answer(query, _):  # type: ignore[no-untyped-def]
        return [reply_to(query, 0x8180 | rcode, options=told)]

    with server(answer) as (host, port):
        where = ["--server", f"{host}:{port}", "--from", "192.0.2.1"]
        assert call(["query", "www.example.org", *where, "--json"]) == code
    shown = capsys.readouterr()
    assert word in shown.err
    assert json.loads(shown.out)["believed"] is (None if code == 1 else False)


def test_without_a_place_it_asks_as_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with ZoneServer({}) as upstream:
        assert call(["query", "www.example.org", "AAAA", "--server", upstream.address]) == 0
    assert "reply  NXDOMAIN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["http://example.org/"], "URL"),
        (["example.org", "BAR"], "no record type"),
        (["example.org", "--server", "localhost:53"], "IP address"),
        (["example.org", "--from", "Italia"], "Italia"),
        (["example.org", "--from", "EU"], "no country"),
        (["example.org", "--from", "XX"], "give a country (IT) or an address\n"),
        (["example.org", "--from", "IT,FR"], "give one country (IT) or one address\n"),
        (["example.org", "--from", "FR"], "no network in FR"),
    ],
)
def test_bad_input(
    settings: Path, arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["query", *arguments, "-c", str(settings)]) == 2
    assert word in capsys.readouterr().err
