"""``geodns orders import``: lists in, files and a report out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from geodns.cli.main import call
from geodns.orders.load import load_path
from tests.orders.sample import good, write

LIST = "one.example\ntwo.example\nhttp://three.example/page\n"


def names(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line[0] != "#"]


def import_list(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(["orders", "import", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_list_becomes_files_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "list.txt"
    source.write_text(LIST)
    code, out, _ = import_list(capsys, str(source), "--to", str(tmp_path / "it-x"))
    assert code == 1
    assert "plain: 3 rows, taken: 2 domains" in out
    assert "rejected, path: 1 (3: http://three.example/page)" in out
    assert names(tmp_path / "it-x.domains.txt") == ["one.example", "two.example"]
    assert (tmp_path / "it-x.rejected.tsv").read_text().splitlines() == [
        "where\treason\trow",
        "3\tpath\thttp://three.example/page",
    ]
    assert not (tmp_path / "it-x.targets.txt").exists()


def test_what_was_written_is_a_list_of_an_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").write_text("one.example\nxn--bcher-kva.example\n")
    (tmp_path / "IT").mkdir()
    stem = str(tmp_path / "IT" / "it-x")
    assert import_list(capsys, str(tmp_path / "list"), "--to", stem)[0] == 0
    order = good("it-x").replace('domains = ["example.org"]', 'files = ["it-x.domains.txt"]')
    write(tmp_path, "IT", "it-x", order)
    loaded = load_path(tmp_path / "IT" / "it-x.toml")
    assert not loaded.faults
    assert len(loaded.orders[0].domains) == 2


def test_addresses_and_exact_names_are_lines_for_the_order_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = tmp_path / "tickets.json.gz"
    ticket = {"ticket_id": "a", "fqdn": ["live.one.example"], "ipv4": ["192.0.2.9"]}
    packed.write_bytes(gzip.compress(json.dumps([ticket]).encode()))
    code, out, _ = import_list(capsys, str(packed), "--to", str(tmp_path / "x"), "--json")
    assert code == 0
    document = json.loads(out)
    assert document["format"] == "it-piracy-shield"
    assert document["taken"] == {"domains": 0, "exact": 1, "below": 0, "networks": 1}
    assert names(tmp_path / "x.targets.txt") == [
        "exact = [",
        '    "live.one.example",',
        "]",
        "networks = [",
        '    "192.0.2.9/32",',
        "]",
    ]


def test_a_list_that_shrinks_suddenly_leaves_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, stem = tmp_path / "list", tmp_path / "x"
    source.write_text("".join(f"n{number}.example\n" for number in range(40)))
    assert import_list(capsys, str(source), "--to", str(stem))[0] == 0
    source.write_text("".join(f"n{number}.example\n" for number in range(19)))
    code, _, err = import_list(capsys, str(source), "--to", str(stem))
    assert code == 2
    assert "has 40 names and the new list 19: the old one stays" in err
    assert len(names(tmp_path / "x.domains.txt")) == 40
    assert import_list(capsys, str(source), "--to", str(stem), "--shrunken")[0] == 0
    assert len(names(tmp_path / "x.domains.txt")) == 19


@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        (None, (), "cannot be read: No such file"),
        (b"", (), "it is empty"),
        (b"<html>503</html>", (), "it is an HTML page"),
        (b"\x1f\x8bno gzip", (), "cannot be unpacked"),
        (b"one.example\n", ("--format", "nosuch"), "'nosuch' is no format; there are: adblock"),
        (b"one.example\n", ("--match", "all"), "'all' is none of: domain, exact, below"),
        (b"one.example\n", ("--to", "/nosuch/folder/x"), "cannot be written"),
    ],
)
def test_what_cannot_be_read_or_written_is_said_and_nothing_is_left(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    source = tmp_path / "list"
    if content is not None:
        source.write_bytes(content)
    code, _, err = import_list(capsys, str(source), *arguments)
    assert code == 2
    assert told in err
    assert [path.name for path in tmp_path.iterdir()] == (["list"] if content is not None else [])
