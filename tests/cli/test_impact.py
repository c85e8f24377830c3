"""``geodns orders impact`` and ``due``, and what explain says of targets that are held."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from geodns.cli.main import call
from geodns.ledger.file import LEDGER
from geodns.ledger.writer import Writer
from tests.orders.sample import good, write

SETTINGS = """\
[server]
state = "state"
[geoip]
databases = []
geofeeds = ["feed.csv"]
[orders]
directories = ["orders"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "feed.csv").write_text("127.39.0.0/16,IT,,,\n127.33.0.0/16,FR,,,\n")
    (tmp_path / "geodns.toml").write_text(SETTINGS)
    write(tmp_path / "orders", "IT", "a", named("a", "example.org", "bit.ly"))
    return tmp_path


def named(ident: str, *names: str) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return good(ident).replace('"example.org"', listed)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = call(list(arguments))
    out, err = capsys.readouterr()
    assert not err, err
    return code, out


def test_what_a_new_edition_would_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "orders", "IT", "b", named("b", "x.new.example"))
    new = named("a", "new.example", "x.new.example", "drive.google.com")
    path = write(folder / "new", "IT", "a", new.replace('"active"', '"draft"\nexcept = ["SM"]'))
    code, out = run(capsys, "orders", "impact", str(path))
    assert code == 1
    assert out.splitlines() == [
        "a (draft): An order",
        "  where     IT less SM",
        "            50.00% of the IPv4 addresses that are located (65,536)",
        "            0.00% of the IPv6 addresses that are located (0)",
        "  blocks    2 domains",
        "            1 named by b too",
        "  held      drive.google.com is storage or a file host of very many unrelated people",
        "  findings  warn: except: SM has no effect: it is not in the jurisdiction",
        "  added     new.example",
        "            x.new.example",
        "  gone      example.org",
        "  changed   except: () -> ('SM',)",
    ]
    code, out = run(capsys, "orders", "impact", str(path), "--json")
    (found,) = json.loads(out)
    assert (code, found["targets"]["all"], found["changes"]["status"]) == (1, 2, "active")
    assert found["address_space"]["ipv4"]["of_all"] == 65536 / 2**32


def test_a_new_order_and_the_same_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(folder / "new", "FR", "n", good("n"))
    code, out = run(capsys, "orders", "impact", str(path))
    assert (code, out.splitlines()[-1]) == (
        0,
        "  changes   a new order: the server has none of this id",
    )
    assert "1 named by a too" in out
    code, out = run(capsys, "orders", "impact", "orders/IT/a.toml")
    told = "  changes   none: the folders of orders have the same"
    assert (code, out.splitlines()[-1]) == (1, told)
    write(folder / "new", "FR", "n", "id =")
    assert call(["orders", "impact", str(path)]) == 2
    assert call(["orders", "impact", "nowhere"]) == 2


def test_explain_says_what_is_held(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("explain", "www.bit.ly", "--from", "IT")
    _, out = run(capsys, *arguments)
    assert "  held      a would block bit.ly, which is a URL shortener" in out
    assert "until its file acknowledges the finding platform" in out
    assert "5 ruling    allow" in out
    text = named("a", "example.org", "bit.ly")
    acknowledged = (
        '[[acknowledge]]\ntarget = "bit.ly"\nfinding = "platform"\nby = "A. Person"\n'
        'reason = "ordered by name"\ndate = 2026-01-02\n'
    )
    write(folder / "orders", "IT", "a", text + acknowledged)
    _, out = run(capsys, *arguments)
    assert "held" not in out
    assert "5 ruling    block by a" in out


def test_held_targets_are_listed_and_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "2 (1 held)" in run(capsys, "orders", "list")[1]
    found: Any = json.loads(run(capsys, "orders", "show", "a", "--json")[1])
    assert [(each["target"], each["finding"]) for each in found["held"]] == [("bit.ly", "platform")]
    assert "bit.ly" in run(capsys, "orders", "show", "a")[1]


def test_a_deadline_by_the_ledger(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = good("a").replace("review =", "deadline = 2025-01-20\nreview =")
    write(folder / "orders", "IT", "a", text)
    arguments = ("orders", "due", "--at", "2025-01-25")
    code, out = run(capsys, *arguments)
    assert code == 0
    assert "nothing is due" not in out
    assert out.splitlines()[1].split()[0] == "met"
    (folder / "state").mkdir(exist_ok=True)
    ledger = Writer(folder / "state" / LEDGER)
    ledger.append("enforced", {}, "a", at=datetime(2025, 1, 21, tzinfo=UTC).timestamp())
    ledger.close()
    code, out = run(capsys, *arguments)
    assert (code, out.splitlines()[1].split()[0]) == (1, "missed")
    assert "2025-01-21T00:00:00+00:00 by the ledger" in out
    # Wherever the settings put it.
    (folder / "state" / LEDGER).rename(folder / "elsewhere.sqlite")
    assert run(capsys, *arguments)[1].splitlines()[1].split()[0] == "met"
    with (folder / "geodns.toml").open("a") as settings:
        settings.write('\n[ledger]\npath = "elsewhere.sqlite"\n')
    assert run(capsys, *arguments)[1].splitlines()[1].split()[0] == "missed"


def test_due_for_cron(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "orders", "due", "--at", "2028-01-01") == (0, "nothing is due within 30d\n")
    code, out = run(capsys, "orders", "due", "--at", "2029-12-20")
    assert (code, out.splitlines()[1].split()[:4]) == (1, ["due", "review", "2030-01-01", "a"])
    code, out = run(capsys, "orders", "due", "--at", "2029-12-20", "--within", "1w", "--json")
    assert (code, json.loads(out)) == (0, [])
    assert call(["orders", "due", "--within", "soon"]) == 2


def test_a_ledger_that_cannot_be_read_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / LEDGER).write_text("no database")
    assert call(["orders", "due"]) == 2
    assert "ledger.sqlite: file is not a database" in capsys.readouterr().err


def test_what_no_database_can_place_is_a_fault_whatever_its_status(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = good("d").replace('"active"', '"draft"\nexcept = ["DE-BY"]')
    path = write(folder / "new", "DE", "d", text)
    assert call(["orders", "impact", str(path)]) == 2
    assert "needs a source that knows subdivisions" in capsys.readouterr().err


def test_a_faulty_geofeed_leaves_the_places_of_before(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    feed = folder / "feed.csv"
    assert call(["explain", "example.org", "--from", "127.39.0.1"]) == 0
    feed.write_text(feed.read_text() + "nonsense,IT,,,\n")
    for command in (("explain", "example.org", "--from", "127.39.0.1"), ("locate", "127.39.0.1")):
        caplog.clear()
        capsys.readouterr()
        assert call(list(command)) == 0
        assert "IT (Italy)" in capsys.readouterr().out
        assert "feed.csv:3" in caplog.text
        assert "the place table of before is used" in caplog.text
    # Who looks at the databases themselves is told, and nothing else.
    assert call(["geoip", "info"]) == 2
    assert "feed.csv:3" in capsys.readouterr().err
