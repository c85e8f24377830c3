from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from geodns.console import out
from geodns.errors import Fault, InputFaults


def test_plain_tables_are_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    out.table(("name", "place"), [("a", "IT"), ("Ελλάδα", long), ("日本", "JP")], "A title")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "A title",
        "name    place",
        "a       IT",
        f"Ελλάδα  {long}",
        "日本    JP",
    ]


def test_a_table_without_rows_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    out.table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n"


def test_control_characters_do_not_reach_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out.line("a\x1b[31mred\u202e")
    out.table(("x",), [("\x07bell",)])
    out.complain(InputFaults([Fault("bad \x1b]0;title\x07")]))
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert "\x07" not in shown.out + shown.err
    assert "a\\x1b[31mred\\u202e" in shown.out


def test_documents_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    out.document({"places": {"IT", "FR"}, "day": date(2026, 1, 1), "raw": b"\x01", "name": "è"})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {
        "places": ["FR", "IT"],
        "day": "2026-01-01",
        "raw": "01",
        "name": "è",
    }
    assert "è" in shown


def test_progress_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with out.progress("working") as advance:
        advance(1, 2)
    shown = capsys.readouterr()
    assert shown.out == shown.err == ""


def test_on_a_terminal_tables_are_drawn_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    out.table(("name", "text"), [("abc", "word " * 30)], styles=lambda text: "red")
    shown = capsys.readouterr().out
    assert shown.count("word") == 30
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert plain != shown
    assert max(map(len, plain.splitlines())) <= 40


def drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> list[str]:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [("it-milano-2022-cloudflare", "2022-07-11", "a title of several words")]
    out.table(("id", "date", "title"), rows, shrink=("title",))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    return [line.strip() for line in plain.splitlines() if line.strip()]


def test_only_prose_is_folded_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drawn(monkeypatch, capsys, 80)[-1].endswith("a title of several words")
    folded = drawn(monkeypatch, capsys, 58)
    assert folded[2].startswith("it-milano-2022-cloudflare  2022-07-11  a title")
    assert " ".join(folded[3:]) in folded[2] + " of several words"
    records = drawn(monkeypatch, capsys, 40)
    assert records[0].split() == ["id", "it-milano-2022-cloudflare"]
    assert records[2] == "title  a title of several words"


def test_paths_are_told_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert out.short_path(f"{tmp_path}/orders/a.toml") == "orders/a.toml"
    assert out.short_path("/elsewhere/a.toml") == "/elsewhere/a.toml"
