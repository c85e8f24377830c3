"""``geodns orders new``: on a terminal and without one."""

from __future__ import annotations

import io
import json
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from geodns.cli.main import call
from geodns.cli.questions import QUESTIONS, zones_of
from geodns.orders.load import OrderLoader

LEAST = (
    *("--place", "IT", "--authority", "Tribunale di Milano", "--kind", "court"),
    *("--title", "A v B", "--domain", "x.example", "--effective", "2026-12-01"),
)


class Terminal(io.StringIO):
    """What a person types; stdin of a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders").mkdir()
    (tmp_path / "geodns.toml").write_text("[geoip]\ndatabases = []\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path / "orders"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(["orders", "new", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{line}\n" for line in lines)))


def test_options_alone_make_an_order(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *LEAST, "--source", "the judgment", "--domain", "y.example")
    assert (code, err) == (0, "")
    assert files(root) == ["IT", "IT/it-milano-2026.toml"]
    assert "written: orders/IT/it-milano-2026.toml" in out
    assert "geodns orders check orders/IT/it-milano-2026.toml" in out
    assert "git add orders/IT/it-milano-2026.toml" in out
    (order,) = OrderLoader([root], None).load().orders
    assert order.order.status == "draft"
    assert order.order.timezone == "Europe/Rome"
    assert order.jurisdiction == ("IT",)
    assert order.effective.isoformat() == "2026-12-01T00:00:00+01:00"
    assert len(order.domains) == 2


def test_what_is_missing_is_named_all_at_once(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    for option in ("--place", "--authority", "--kind", "--title", "--effective", "--domain"):
        assert option in err
    assert "--timezone" not in err  # it follows from the place
    code, out, err = run(capsys, "--place", "US", "--kind", "curt", "--action", "sinkhole")
    assert code == 2
    assert "--kind: 'curt' must be one of" in err
    assert "--address" in err
    assert "--timezone" in err
    assert "--kind," not in err
    assert "missing: --global-reason" in run(capsys, *LEAST, "--jurisdiction", "global")[2]
    assert files(root) == []


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--place", "XX", "is no place"),
        ("--place", "AS3269", "a network"),
        ("--title", "a\nb", "control character"),
        ("--title", "\udcff", "no UTF-8 text"),
        ("--url", "court.example", "is no web address"),
        ("--domain", "https://x.example/a", "URL"),
        ("--network", "10.0.0.1/8", "did you mean 10.0.0.0/8"),
        ("--feed", "ftp://x", "is no web address"),
        ("--list", "nowhere.txt", "cannot be read"),
        ("--jurisdiction", "UK", "did you mean GB"),
        ("--timezone", "Mars/Base", "no IANA time zone"),
        ("--effective", "tomorrow", "is no date"),
        ("--effective", "2026-03-29 02:30", "twice or never"),
        ("--effective", "2026-10-25 02:30", "twice or never"),
        ("--effective", "2026-10-25T02:30:00+02:00:30", "whole minutes"),
        ("--expires", "2026-11-01", "is not after effective"),
        ("--address", "192.0.2.1", "goes only with"),
        ("--language", "english!", "no language tag"),
        ("--contact", "a@b.example", "is no contact"),
        ("--status", "on", "must be one of"),
        ("--source", "", "is empty"),
    ],
)
def test_a_bad_answer_is_refused_by_name_and_nothing_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, told: str
) -> None:
    code, out, err = run(capsys, *LEAST, option, value)
    assert (code, out) == (2, "")
    assert option in err
    assert told in err
    assert files(root) == []


def test_a_default_that_does_not_fit_is_told_as_a_fault(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [each for each in LEAST if each not in ("--effective", "2026-12-01")]
    dates = ("--issued", "2026-06-01", "--expires", "2026-05-01", "--no-questions")
    code, out, err = run(capsys, *given, *dates)
    assert (code, out, files(root)) == (2, "", [])
    assert "--effective: cannot be 2026-06-01, its default: " in err


def test_a_bad_id_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for ident in ("It-A", "../x", "a/b", "it--a"):
        code, _, err = run(capsys, ident, *LEAST)
        assert code == 2, ident
        assert "is no id" in err
    assert files(root) == []


def test_no_file_is_overwritten(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "it-a", *LEAST)[0] == 1  # no source is given
    before = (root / "IT/it-a.toml").read_bytes()
    code, _, err = run(capsys, "it-a", *LEAST, "--title", "other")
    assert code == 2
    assert "exists already" in err
    code, _, err = run(capsys, "it-a", *LEAST, "--place", "FR")
    assert code == 2
    assert "is the id of" in err
    assert (root / "IT/it-a.toml").read_bytes() == before
    (root / "IT/it-b.domains.txt").write_text("mine.example\n")
    (root / "l.txt").write_text("a.example\n")
    code, _, err = run(capsys, "it-b", *LEAST, "--list", str(root / "l.txt"))
    assert code == 2
    assert "it-b.domains.txt" in err
    assert files(root) == ["IT", "IT/it-a.toml", "IT/it-b.domains.txt", "l.txt"]


def test_a_list_is_copied_unless_it_lies_there(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root.parent / "l.txt").write_text("a.example\nb.example\n")
    assert run(capsys, "it-a", *LEAST, "--list", "l.txt")[0] == 1
    (root / "IT/own.txt").write_text("c.example\n")
    assert run(capsys, "it-b", *LEAST, "--list", "orders/IT/own.txt")[0] == 1
    assert files(root) == [
        *("IT", "IT/it-a.domains.txt", "IT/it-a.toml", "IT/it-b.toml", "IT/own.txt"),
    ]
    first, second = OrderLoader([root], None).load().orders
    assert (len(first.domains), len(second.domains)) == (3, 2)
    (root.parent / "l.txt").write_text("a.example\nhttp://x/y\n")
    code, _, err = run(capsys, "it-c", *LEAST, "--list", "l.txt")
    assert code == 2
    assert "l.txt:2:" in err


def test_json_has_the_path_and_what_the_check_says(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *LEAST, "--domain", "bit.ly", "--json")
    document = json.loads(out)
    assert (code, err) == (1, "")
    assert document["path"] == str(root / "IT/it-milano-2026.toml")
    assert {each["level"] for each in document["check"]["findings"]} >= {"hold", "warn"}


def test_held_targets_are_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *LEAST, "--domain", "bit.ly")
    assert code == 1
    assert "bit.ly is a URL shortener; held until it is acknowledged" in out


def test_a_time_is_one_of_the_orders_time_zone(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "it-a", *LEAST, "--deadline", "2026-07-01 18:00")[0] == 1
    raw = tomllib.loads((root / "IT/it-a.toml").read_text())
    assert raw["dates"]["deadline"].isoformat() == "2026-07-01T18:00:00+02:00"
    code, _, err = run(capsys, "de-a", *LEAST, "--place", "DE", "--deadline", "2026-07-01 18:00")
    assert code == 2
    assert "in no time zone" in err
    assert "--timezone" in err


def test_the_countrys_zone_is_proposed_if_it_has_one() -> None:
    assert zones_of("IT") == ("Europe/Rome",)
    assert len(zones_of("US-CA")) > 1
    assert zones_of("EU") == ()


def test_a_person_is_asked_and_asked_again(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "place": ["nowhere", "it"],
        "authority.name": ["", "Tribunale di Milano"],
        "authority.kind": ["tribunal", "court"],
        "title": ['The "title" \\ ü'],
        "targets.domains": ["x.example, y.example", "http://z.example/1", "z.example", ""],
        "targets.networks": ["203.0.113.0/24", ""],
        "jurisdiction": ["global", ""],
        "global_reason": ["the court says so"],
        "dates.issued": ["2026-11-20"],
        "dates.expires": ["2026-11-20", "2028-01-01"],
        "response.action": ["sinkhole"],
        "response.addresses": ["1.2.3", "192.0.2.1", ""],
        "disclosure.text": ["Blocked."],
        "disclosure.language": ["en"],
        "sources": ["p. 1, 2", "p. 3", ""],
    }
    typed(monkeypatch, *(line for each in QUESTIONS for line in answers.get(each.key, [""])))
    code, out, err = run(capsys)
    assert code == 1, err
    raw = tomllib.loads((root / "IT/it-milano-2026.toml").read_text())
    assert raw["title"] == 'The "title" \\ ü'
    assert raw["targets"] == {
        "domains": ["x.example", "y.example", "z.example"],
        "networks": ["203.0.113.0/24"],
    }
    assert (raw["jurisdiction"], raw["global_reason"]) == ("global", "the court says so")
    assert raw["dates"] == {
        "issued": date(2026, 11, 20),
        "effective": date(2026, 11, 20),
        "expires": date(2028, 1, 1),
    }
    assert raw["response"] == {"action": "sinkhole", "addresses": ["192.0.2.1"]}
    assert raw["sources"] == ["p. 1, 2", "p. 3"]
    assert raw["status"] == "draft"
    for told in (
        *("'nowhere' is no place", "an answer is needed", "'tribunal' must be one of"),
        *("is a URL or has a path", "is not after effective", "'1.2.3' is no IPv4"),
    ):
        assert told in err
    assert "written: " in out


@pytest.mark.parametrize("answer", ["y", "n"])
def test_what_blocks_at_once_is_asked_once_more(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
) -> None:
    typed(monkeypatch, *[""] * len(QUESTIONS))
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer == "y"

    monkeypatch.setattr("typer.confirm", confirm)
    code, out, _ = run(capsys, *LEAST, "--source", "s", "--status", "active")
    assert asked == ["Write it?"]
    assert "It is active: where a server reads" in out
    assert (code != 130, len(files(root))) == ((True, 2) if answer == "y" else (False, 0))


def test_what_options_say_is_not_asked(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, *[""] * len(QUESTIONS))
    code, _, err = run(capsys, *LEAST)
    assert code == 1
    assert "Place of the authority" not in err
    assert "Legal basis" in err
    typed(monkeypatch)
    assert run(capsys, "it-b", *LEAST, "--no-questions")[0] == 1


def test_one_kind_of_target_is_needed(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = [text for text in LEAST if text not in ("--domain", "x.example")]
    feed = ["" for _ in range(5)] + ["", "https://a.example/list", ""]
    rest = [""] * len(QUESTIONS)
    # No reference, no url; five kinds of targets; then the last of them is insisted on.
    typed(monkeypatch, "", "", *feed, *rest)
    code, _, err = run(capsys, *without)
    assert code == 1
    assert "an answer is needed" in err
    (order,) = OrderLoader([root], None).load().orders
    assert [each.url for each in order.order.feeds] == ["https://a.example/list"]


def test_the_end_of_the_input_leaves_nothing_behind(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "it", "Somebody")
    code, _, err = run(capsys)
    assert code == 2
    assert "nothing is written" in err
    assert files(root) == []


def test_an_interrupt_leaves_nothing_behind(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Terminal):
        def readline(self, size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert run(capsys)[0] == 130
    assert files(root) == []


def test_a_write_that_fails_leaves_nothing_behind(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    (root.parent / "l.txt").write_text("a.example\n")
    real = os.link

    def link(source: Any, target: Any) -> None:
        if str(target).endswith(".toml"):
            raise OSError(28, "No space left on device", str(source), None, str(target))
        real(source, target)

    monkeypatch.setattr(os, "link", link)
    code, _, err = run(capsys, *LEAST, "--list", "l.txt")
    assert code == 2
    assert "No space left" in err
    assert files(root) == []


def test_a_file_system_without_links_will_do(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Any, target: Any) -> None:
        raise PermissionError(1, "Operation not permitted", str(source), None, str(target))

    monkeypatch.setattr("os.link", link)
    assert run(capsys, "it-a", *LEAST)[0] in (0, 1)
    assert (root / "IT/it-a.toml").read_text().startswith("#")
    assert run(capsys, "it-a", *LEAST)[0] == 2
    assert not [name for name in files(root) if "part" in name]


def test_where_it_goes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root.parent / "mine").mkdir()
    assert run(capsys, "it-a", *LEAST, "--to", "mine")[0] == 1
    assert (root.parent / "mine/IT/it-a.toml").is_file()
    code, _, err = run(capsys, "it-b", *LEAST, "--to", "nowhere")
    assert code == 2
    assert "nowhere: is no folder" in err
    # Never among the orders that ship.
    root.rmdir()
    code, _, err = run(capsys, "it-b", *LEAST)
    assert code == 2
    assert "mkdir orders" in err


def test_a_date_with_the_day_first_and_words_in_capitals(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [each for each in LEAST if each not in ("--kind", "court", "--effective", "2026-12-01")]
    code, _, err = run(capsys, *given, "--kind", "Court", "--effective", "12.01.2026")
    assert (code, files(root)) == (2, [])
    assert "did you mean 2026-01-12?" in err
    assert "court" not in err
    assert run(capsys, *given, "--kind", "Court", "--effective", "2026-12-01")[0] in (0, 1)
