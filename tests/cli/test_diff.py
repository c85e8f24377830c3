"""``geodns orders diff``: files, folders and revisions, in words, in Markdown and as JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from geodns.cli.main import call
from tests.orders.sample import good, write

AT = ("--at", "2026-06-01")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one order in it."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A. Person")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "person@resolver.example")
    monkeypatch.setenv("HOME", str(tmp_path))
    top = tmp_path / "top"
    top.mkdir()
    monkeypatch.chdir(top)
    (top / "geodns.toml").write_text("[geoip]\ndatabases = []\n")
    write(top / "orders", "IT", "a", named("a", "x.example", "y.example"))
    git("init", "-q", "-b", "main")
    commit("one")
    return top


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(message: str) -> None:
    git("add", "-A")
    git("commit", "-q", "-m", message)


def named(ident: str, *names: str) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return good(ident).replace('"example.org"', listed)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(["orders", "diff", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_revision_and_the_working_folders(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "HEAD", *AT) == (
        0,
        "HEAD -> the working folders, as of 2026-06-01 00:00+00:00\n\nNothing changes.\n",
        "",
    )
    write(root / "orders", "IT", "a", named("a", "x.example", "z.example", "bit.ly"))
    write(root / "orders", "IT", "b", named("b", "y.example"))
    code, out, err = run(capsys, "HEAD", *AT)
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "HEAD -> the working folders, as of 2026-06-01 00:00+00:00",
        "",
        "In IT (Italy):",
        "  1 name is blocked that was not (by a): z.example",
        "  1 name is dropped and still blocked (by b): y.example",
        "",
        "a changed (IT): An order",
        "  targets.domains: 2 more: bit.ly, z.example",
        "  targets.domains: 1 fewer: y.example",
        "  held, out of force until acknowledged: bit.ly (platform)",
        "",
        "b added (IT): An order",
        "  status: active",
        "  jurisdiction: IT",
        "  dates: from 2024-01-01",
        "  targets.domains: 1",
        "  response.action: nxdomain",
        "",
        "What clients get changes.",
    ]
    # Git and the working folders are as they were.
    assert git("status", "--short") == "M orders/IT/a.toml\n?? orders/IT/b.toml"


def test_two_revisions(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git("checkout", "-q", "-b", "change")
    write(root / "orders", "IT", "a", named("a", "x.example"))
    commit("two")
    git("checkout", "-q", "main")
    write(root / "orders", "FR", "f", named("f", "f.example"))
    commit("three")
    freed = "1 name is no longer blocked (by a): y.example"
    for arguments in (["main", "change"], ["main..change"], ["..change"]):
        code, out, _ = run(capsys, *arguments, *AT)
        assert code == 1
        assert freed in out
        assert "In FR (France):\n  1 name is no longer blocked (by f): f.example" in out
    code, out, _ = run(capsys, "main...change", *AT)
    assert freed in out
    assert "FR" not in out
    assert run(capsys, "HEAD~1", "HEAD~1", *AT)[0] == 0


def test_files_and_folders(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "l.txt").write_text("l.example\n")
    other = write(root / "new", "IT", "a", named("a", "x.example"))
    code, out, _ = run(capsys, "orders", "new", *AT)
    assert (code, "by a): y.example" in out) == (1, True)
    assert (
        run(capsys, "orders/IT/a.toml", "new/IT/a.toml", *AT)[1].partition("\n")[2]
        == (out.partition("\n")[2])
    )
    assert run(capsys, "orders/IT", "new/IT", *AT)[0] == 1
    # One file alone is compared with what the folders have in its place, among the others.
    write(root / "orders", "IT", "b", named("b", "y.example"))
    code, out, _ = run(capsys, str(other), *AT)
    assert "already (by b): y.example" in out
    assert "b added" not in out
    text = named("a", "x.example").replace("domains", 'files = ["l.txt"]\ndomains')
    write(root / "new", "IT", "a", text)
    (root / "new/IT/l.txt").write_text("l.example\n")
    assert "l.example" in run(capsys, "new/IT/a.toml", *AT)[1]


def test_lists_and_odd_files_of_a_revision(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = named("a", "x.example").replace("domains", 'files = ["l ü.txt"]\ndomains')
    write(root / "orders", "IT", "a", text)
    (root / "orders/IT/l ü.txt").write_text("l.example\n")
    (root / "orders/README.md").write_text("# read me\n")
    (root / "orders/IT/.hidden").symlink_to("/dev/null")
    commit("two")
    assert run(capsys, "HEAD", *AT)[0] == 0
    code, out, _ = run(capsys, "HEAD~1..HEAD", *AT)
    assert "1 name is blocked that was not (by a): l.example" in out
    (root / "orders/IT/b.toml").symlink_to("/etc/hostname")
    commit("three")
    code, out, err = run(capsys, "HEAD", "HEAD~1", *AT)
    assert (code, out) == (2, "")
    assert "orders/IT/b.toml: is a link" in err


def test_a_folder_that_a_revision_does_not_have_is_empty(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (root / "geodns.toml").open("a") as settings:
        settings.write('[orders]\ndirectories = ["orders"]\n')
    git("checkout", "-q", "--orphan", "none")
    git("rm", "-rfq", "orders")
    git("commit", "-q", "-m", "no orders")
    code, out, _ = run(capsys, "none..main", *AT)
    assert code == 1
    assert "a added (IT)" in out
    assert not (root / "orders").exists()  # and need not be in the working tree either


def test_bad_input(root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, said in (
        (["nowhere"], "neither a file or folder here nor a revision"),
        (["--", "-x"], "'-x' is no revision"),
        (["--", "--output=x..main"], "is no revision"),
        (["HEAD\nx"], "is no revision"),
        (["HEAD", "--at", "soon"], "is no instant"),
        (["HEAD", "--json", "--markdown"], "give one of them"),
        (["geodns.toml"], "'top' is no place"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, ""), arguments
        assert said in err
    write(root / "orders", "IT", "a", good("b"))
    commit("faulty")
    code, _, err = run(capsys, "HEAD", "HEAD~1")
    assert code == 2
    assert err.startswith("geodns: HEAD:orders/IT/a.toml:1: id: 'b' is not the file's name")
    code, _, err = run(capsys, "orders/IT/a.toml")
    assert "orders/IT/a.toml:1: id" in err
    settings = tmp_path / "geodns.toml"
    (tmp_path / "orders").mkdir()
    settings.write_text("")
    code, _, err = run(capsys, "HEAD", "-c", str(settings))
    assert code == 2
    assert "lies in no git repository" in err


def test_what_changes_no_answer(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = named("a", "x.example", "y.example")
    write(root / "orders", "IT", "a", "# a comment\n" + text)
    write(root / "orders", "IT", "d", good("d").replace('"active"', '"draft"'))
    code, out, _ = run(capsys, "HEAD", *AT)
    assert code == 0
    assert "a changed (IT, without effect on answers): An order" in out
    assert "for the record only: comments or spelling" in out
    assert "Nothing changes in effect" in out


def test_long_lists_are_cut_in_words_and_whole_in_json(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"n{number:03}.example" for number in range(250)]
    write(root / "orders", "EU", "e", named("e", *names).replace("2024-01-01", "2026-12-01"))
    code, out, _ = run(capsys, "HEAD", *AT)
    assert "In EU from 2026-12-01:\n  250 names are blocked that were not (by e): n000.ex" in out
    assert "n009.example and 240 more" in out
    assert "n010" not in out
    code, out, _ = run(capsys, "HEAD", *AT, "--json")
    document: Any = json.loads(out)
    (turn,) = document["turns"]
    assert (code, document["answers"], len(turn["places"])) == (1, True, 27)
    assert [each["target"] for each in turn["targets"]] == names
    assert (turn["from"], turn["until"]) == ("2026-12-01T00:00:00+00:00", None)
    assert document["orders"][0]["what"] == "added"


def test_markdown_is_safe_for_a_comment(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title = "@everyone `code` <img src=x> **b**"
    text = named("a", "x.example").replace("An order", title)
    write(root / "orders", "IT", "a", text)
    code, out, _ = run(capsys, "HEAD", *AT, "--markdown")
    assert code == 1
    assert out.startswith("## Orders: what changes for whom\n")
    assert "- 1 name is no longer blocked (by `a`): `y.example`" in out
    assert f"- `a` changed (IT): `` {title} ``" in out
