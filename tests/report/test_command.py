"""``geodns report`` as people call it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from geodns.cli.main import call
from geodns.errors import LedgerError
from geodns.ledger.read import Ledger
from geodns.ledger.seal import Seal
from geodns.ledger.writer import Writer
from geodns.report.withhold import THRESHOLD
from tests.report.story import DAY, HOUR, NOVEMBER, OCTOBER, Story
from tests.serve.running import Upstream, ask, order, running, save, write_settings

WHOLE = ("--from", "2023-10-01", "--to", "2023-10-31")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "geodns.toml").write_text('[server]\nstate = "state"\n')
    (tmp_path / "state").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ledger(folder: Path) -> Path:
    story = Story().add(OCTOBER - DAY, "started", version="1", node="ns1")
    story.take_in(OCTOBER + 1).enforce(OCTOBER + 2)
    story.count(OCTOBER + HOUR, IT=40).count(NOVEMBER - HOUR, IT=2)
    path = story.write(folder / "state" / "ledger.sqlite")
    writer = Writer(path)
    writer.checkpoint(Seal.of(folder / "state" / "ledger.key"))
    writer.close()
    return path


def test_text_tells_it_all(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["report", *WHOLE]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Transparency report, 2023-10-01 to 2023-10-31\n")
    assert "The ledger is whole, and signed until" in out
    for word in ("it-x", "Tribunale di Milano", "IT, Italy", "42"):
        assert word in out


def test_the_last_day_is_part_of_it_and_an_instant_is_its_end(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for to, blocked in (("2023-10-31", 42), ("2023-10-30", 40), ("2023-10-31T23:00", 40)):
        assert call(["report", "--from", "2023-10-01", "--to", to, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["blocked"]["low"] == blocked
    offset = ["--from", "2023-10-01T02:00+02:00", "--to", "2023-11-01T01:00:00+02:00"]
    assert call(["report", *offset, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["period"]["until"][:16] == "2023-10-31T23:00"


def test_without_dates_it_is_the_last_whole_month(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datetime.now(UTC)
    assert call(["report", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["period"]
    begin, end = (datetime.fromisoformat(found[key]) for key in ("from", "until"))
    assert (begin.day, end.day, found["over"]) == (1, 1, True)
    assert end <= before
    assert 28 <= (end - begin).days <= 31
    assert call(["report", "--from", "2023-10-15", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["blocked"]["withheld"] == 1


def test_files_are_written_whole(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["report", *WHOLE, "--html", "r.html", "--markdown", "r.md", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["report"], found["blocked"]["threshold"]) == (1, THRESHOLD)
    assert Path("r.html").read_text().startswith("<!doctype html>")
    assert Path("r.md").read_text().startswith("# Transparency report")
    assert not list(Path().glob("*.part"))
    assert call(["report", *WHOLE, "--html", "missing/r.html"]) == 2
    assert "missing/r.html: there is no folder missing" in capsys.readouterr().err
    Path("folder").mkdir()
    assert call(["report", *WHOLE, "--html", "folder"]) == 2
    assert "folder: is a folder; name a file in it" in capsys.readouterr().err
    assert call(["report", *WHOLE, "--html", "x", "--markdown", "x"]) == 2
    assert "are one file" in capsys.readouterr().err


def test_one_of_them_goes_to_stdout(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["report", *WHOLE, "--html", "-"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("<!doctype html>") and out.endswith("</html>\n")
    assert call(["report", *WHOLE, "--markdown", "-"]) == 0
    assert capsys.readouterr().out.startswith("# ")
    assert call(["report", *WHOLE, "--markdown", "-", "--json"]) == 2
    assert "stdout" in capsys.readouterr().err


def test_no_ledger_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["report", *WHOLE]) == 2
    assert "there is no ledger" in capsys.readouterr().err
    assert call(["report", *WHOLE, "--ledger", "other.sqlite"]) == 2
    assert "other.sqlite" in capsys.readouterr().err


def test_a_broken_ledger_gives_a_loud_report_and_exit_code_1(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(ledger, "UPDATE entry SET at = at - 1 WHERE kind = 'enforced'")
    assert call(["report", *WHOLE, "--html", "r.html"]) == 1
    told = capsys.readouterr()
    assert "THE LEDGER IS BROKEN" in told.out
    assert "does NOT hold" in told.err
    assert "THE LEDGER IS BROKEN" in Path("r.html").read_text()


@pytest.mark.parametrize("facts", ["nonsense", "{}", "[]", '{"hour": "x", "blocks": 3}'])
def test_nor_does_nonsense_in_a_broken_ledger_end_in_a_traceback(
    ledger: Path, facts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(ledger, f"UPDATE entry SET facts = '{facts}' WHERE kind = 'counts'")
    assert call(["report", *WHOLE]) == 1
    assert "does NOT hold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "yesterday"], "'yesterday' is no date"),
        (["--from", "2023-02-30"], "'2023-02-30' is no date"),
        (["--from", "9999-12-31"], "is no date"),
        (["--to", "2023-10-31"], "--to needs --from"),
        (["--from", "2023-10-02", "--to", "2023-10-01"], "is not after --from"),
        (["--from", "2023-10-02T10:00", "--to", "2023-10-02T10:00"], "is not after --from"),
        ([*WHOLE, "--threshold", "0"], "threshold"),
    ],
)
def test_bad_dates_are_said(
    ledger: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["report", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.process
def test_the_ledger_of_a_real_server(
    tmp_path: Path, upstream: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = write_settings(tmp_path, upstream.port, "[ledger]\nprobe = true\n")
    save(tmp_path / "orders" / "IT" / "it-x.toml", order("it-x", "x.example"))
    today = datetime.now(UTC).date().isoformat()
    with running(settings) as server:
        for _ in range(12):
            assert ask(server.port, "www.x.example", "127.39.5.77") == 3
        end = time.monotonic() + 30
        while time.monotonic() < end and not verified(tmp_path):
            time.sleep(0.05)
    assert call(["report", "--from", today, "-c", str(settings), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (told,) = found["orders"]
    assert (told["order"], told["status"], told["new"]) == ("it-x", "interrupted", True)
    assert told["verified"] is not None
    assert found["summary"]["in_force_during"] == 1
    assert found["carried_out"]["editions"] == 1
    assert 12 <= found["blocked"]["low"] == found["blocked"]["orders"][0]["low"] < 40
    assert [each["why"] for each in found["interruptions"]] == ["it was stopped"]
    assert found["ledger"]["signed_until"] is not None


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


def verified(folder: Path) -> bool:
    try:
        reading = Ledger(folder / "state" / "ledger.sqlite")
    except LedgerError:
        return False
    try:
        return any(True for _ in reading.entries(("verified",)))
    finally:
        reading.close()


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER entry_stays")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_of_a_time_before_the_ledger_or_to_come_nothing_is_told(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, told in (
        (("--from", "2020-01-01", "--to", "2020-12-31"), "the ledger begins 2023-09-30T"),
        (("--from", "2999-01-01"), "--from: 2999-01-01 lies in the future"),
        (("--from", "2999-01-01", "--to", "2999-02-01"), "--from: 2999-01-01T00:00 lies in"),
    ):
        assert call(["report", *arguments]) == 2
        out, err = capsys.readouterr()
        assert (out, told in err) == ("", True), err
    # What lies before the ledger is no time in which nothing was blocked.
    assert call(["report", "--from", "2020-01-01", "--to", "2023-10-31", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["period"]["from"][:10] == "2023-09-30"
