from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from geodns.app import LAST_GOOD
from geodns.cli.main import call
from geodns.orders.load import OrderLoader
from tests.orders.sample import good, write


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "geodns.toml").write_text('[orders]\ndirectories = ["mine"]\n')
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(["orders", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def parsed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code, out, _ = run(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_check_of_careful_orders(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, "IT", "a")
    code, out, err = run(capsys, "check")
    assert (code, out, err) == (0, "1 file, 1 order, 0 faults, 0 findings\n", "")


def test_check_tells_all_faults_at_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, "IT", "a", good("b").replace("2024-01-01", '"soon"'))
    write(root, "FR", "c", "id = ")
    write(root, "FR", "d")
    code, out, _ = run(capsys, "check")
    assert code == 2
    lines = out.splitlines()
    assert lines[0].split() == ["level", "file", "field", "message"]
    assert sum(line.startswith("fault") for line in lines) == 3
    assert " mine/IT/a.toml:12 " in out
    assert "dates.effective" in out
    assert lines[-1] == "3 files, 1 order, 3 faults, 0 findings"
    code, document = parsed(capsys, "check")
    assert code == 2
    assert document["refused"] == [f"{root}/FR/c.toml", f"{root}/IT/a.toml"]
    assert {fault["field"] for fault in document["faults"]} == {"id", "dates.effective", None}
    assert all(fault["line"] for fault in document["faults"])


def test_check_ends_with_one_for_warnings_only(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root, "IT", "a", good("a").replace("reference", "#"))
    assert parsed(capsys, "check")[0] == 0
    write(root, "IT", "b", good("b", "com"))
    code, document = parsed(capsys, "check")
    assert code == 1
    assert [item["level"] for item in document["findings"]] == ["info", "hold"]


@pytest.mark.parametrize(
    ("path", "count"), [("mine", 2), ("mine/IT", 1), ("mine/FR/c.toml", 1), ("mine/FR/", 1)]
)
def test_check_of_paths(
    root: Path, capsys: pytest.CaptureFixture[str], path: str, count: int
) -> None:
    write(root, "IT", "a")
    write(root, "FR", "c")
    code, document = parsed(capsys, "check", path)
    assert (code, document["orders"]) == (0, count)


def test_check_of_one_faulty_file_counts_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, "IT", "a", "id = ")
    code, out, _ = run(capsys, "check", "mine/IT/a.toml")
    assert (code, out.splitlines()[-1]) == (2, "1 file, 0 orders, 1 fault, 0 findings")


def test_check_is_as_strict_as_the_server(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = good("a").replace("sources", 'jurisdiction = ["IT-25"]\nsources')
    write(root, "IT", "a", text)
    (root.parent / "feed.csv").write_text("127.39.0.0/16,IT,,,\n")
    settings = '[server]\nstate = "s"\n[geoip]\ndatabases = []\ngeofeeds = ["feed.csv"]\n'
    (root.parent / "geodns.toml").write_text(f'{settings}[orders]\ndirectories = ["mine"]\n')
    for paths in ((), ("mine/IT/a.toml",)):
        code, out, _ = run(capsys, "check", *paths)
        assert code == 2
        assert "'IT-25' needs a source that knows subdivisions" in out
    (root.parent / "feed.csv").write_text("127.39.0.0/16,IT,IT-25,,\n")
    assert run(capsys, "check")[0] == 0
    (root.parent / "feed.csv").unlink()
    code, out, _ = run(capsys, "check")
    assert code == 0
    assert "not checked: whether the databases know" in out
    assert parsed(capsys, "check")[1]["unchecked"]


def test_check_tells_lines_of_single_labels_and_files_that_nothing_reads(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root, "IT", "a", good("a", "com"))
    write(root, "IT", "b", good("b").replace('domains = ["example.org"]', 'files = ["b.txt"]'))
    (root / "IT" / "b.txt").write_text("names.org\nnet # all of it\n")
    (root / "IT" / "c.TOML").write_text(good("c"))
    (root / "IT" / "README.md").write_text("words")
    code, document = parsed(capsys, "check")
    assert code == 1
    found = [(Path(item["file"]).name, item["line"]) for item in document["findings"]]
    assert found == [("a.toml", 16), ("b.txt", 2), ("c.TOML", None)]


def test_check_of_two_paths_with_one_id_names_both(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [write(root, place, "a") for place in ("IT", "FR")]
    code, out, _ = run(capsys, "check", *map(str, paths))
    assert code == 2
    assert "mine/FR/a.toml" in out
    assert f"'a' is the id of {paths[0]} already" in out


def test_last_good_editions_are_listed_and_marked(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = '[server]\nstate = "s"\n[orders]\ndirectories = ["mine"]\n'
    (root.parent / "geodns.toml").write_text(settings)
    write(root, "IT", "a", good("a", "b\u00fccher.example"))
    OrderLoader([root], root.parent / "s" / LAST_GOOD).load()
    write(root, "IT", "a", "id = ")
    code, out, err = run(capsys, "list")
    assert code == 2
    assert "in force (last good)" in out
    assert "is no TOML" in err
    code, out, _ = run(capsys, "show", "a")
    assert code == 0
    assert "xn--bcher-kva.example (b\u00fccher.example)" in out
    assert "warning: " in out
    assert parsed(capsys, "show", "a")[1]["last_good"] is True


def test_check_of_nothing_is_bad_usage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check", "none.toml")
    assert (code, out) == (2, "")
    assert "none.toml: does not exist" in err


def test_list(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, "IT", "now")
    for ident, old, new in (
        ("gone", "review = 2030", "expires = 2025"),
        ("lifted", '"active"', '"lifted"'),
        ("seen", '"active"', '"shadow"'),
        ("soon", "2024-01-01", "2999-01-01"),
    ):
        write(root, "FR", ident, good(ident).replace(old, new))
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert [line[:16].strip().split(maxsplit=1) for line in out.splitlines()[1:]] == [
        ["gone", "expired"],
        ["lifted", "lifted"],
        ["now", "in force"],
        ["seen", "shadow"],
        ["soon", "not yet"],
    ]
    code, document = parsed(capsys, "list")
    assert [(order["id"], order["force"]) for order in document][2] == ("now", "in force")
    assert document[2]["targets"]["domains"] == 1


def test_list_shows_what_is_good_and_complains_of_the_rest(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root, "IT", "a")
    write(root, "IT", "b", "id = ")
    code, out, err = run(capsys, "list")
    assert code == 2
    assert out.splitlines()[1].startswith("a ")
    assert "b.toml:1: is no TOML" in err


def test_show(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = good("a").replace('["example.org"]', '["Bücher.de"]\nnetworks = ["192.0.2.1"]')
    write(root, "IT", "a", text.replace("status", 'except = ["SM"]\nstatus'))
    code, document = parsed(capsys, "show", "a")
    assert code == 0
    assert document["targets"]["domains"] == ["xn--bcher-kva.de"]
    assert document["targets"]["networks"] == ["192.0.2.1/32"]
    assert document["dates"]["effective"] == "2024-01-01T00:00:00+00:00"
    assert document["dates"]["expires"] is None
    assert document["except"] == ["SM"]
    assert document["jurisdiction"] == ["IT"]
    assert document["force"] == "in force"
    assert len(document["edition"]) == 64
    code, out, _ = run(capsys, "show", "a")
    assert code == 0
    assert "xn--bcher-kva.de" in out


def test_show_of_long_lists_says_how_many_more(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ", ".join(f'"n{number}.org"' for number in range(50))
    write(root, "IT", "a", good("a").replace('"example.org"', names))
    assert "and 30 more" in run(capsys, "show", "a")[1]
    assert len(parsed(capsys, "show", "a")[1]["targets"]["domains"]) == 50


def test_show_of_an_unknown_order_suggests(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(root, "IT", "it-milano-2022")
    code, out, err = run(capsys, "show", "it-milano")
    assert (code, out) == (2, "")
    assert "did you mean it-milano-2022?" in err


def test_show_of_a_faulty_order_says_what_is_wrong(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(root, "IT", "a", "id = ")
    code, _, err = run(capsys, "show", "a")
    assert code == 2
    assert "is no TOML" in err


def test_schema_is_a_json_schema_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "schema")
    schema = json.loads(out)
    assert code == 0
    assert schema["type"] == "object"
    assert "except" in schema["properties"]
    assert parsed(capsys, "schema")[1] == schema


@pytest.mark.parametrize("command", [(), ("check",), ("list",), ("show",), ("schema",)])
def test_help_ends_with_an_example(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert "Example: geodns orders" in out


def test_a_folder_without_orders_is_not_all_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "somewhere").mkdir()
    assert call(["orders", "check", str(tmp_path / "somewhere")]) == 2
    assert "somewhere: holds no order files" in capsys.readouterr().err
