"""The commands of docs/orders-as-code.md and orders/README.md are run, and the hook and recipes.

``UPDATE_DOCS=1 pytest tests/cli/test_orders_as_code.py`` writes what they print into the pages.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from geodns.cli.main import call
from tests.orders.sample import good, write

ROOT = Path(__file__).parents[2]
PAGES = ("docs/orders-as-code.md", "orders/README.md")
BLOCK = re.compile(
    r"(?:<!-- (?P<how>file|append): (?P<path>\S+) -->\n)?"
    r"```(?P<kind>\w+)\n(?P<body>.*?)```\n",
    re.DOTALL,
)
HOOK = ROOT / "contrib" / "ci" / "pre-commit"


def shell(folder: Path, command: str, **more: str) -> tuple[int, str]:
    """Run a command line; return its exit code, and stdout with stderr."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={
            **kept,
            "PATH": path,
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "A. Person",
            "GIT_AUTHOR_EMAIL": "person@resolver.example",
            "GIT_COMMITTER_NAME": "A. Person",
            "GIT_COMMITTER_EMAIL": "person@resolver.example",
            **more,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout


def run(folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command line: in this process, which is quicker, if it is one of ours alone."""
    words = shlex.split(command)
    if words[0] != "geodns" or {"|", ">", "||"} & set(words):
        return shell(folder, command)
    capsys.readouterr()
    code = call(words[1:])
    return code, "".join(capsys.readouterr())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, beside the sources as ``../geodns``."""
    (tmp_path / "geodns").symlink_to(ROOT)
    made = tmp_path / "work"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_prints_what_the_page_shows(
    page: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    text = (ROOT / page).read_text("utf-8")
    shown: list[str] = []
    printed: list[str] = []
    for match in BLOCK.finditer(text):
        if match["how"]:
            path = folder / match["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            before = path.read_text() if match["how"] == "append" else ""
            path.write_text(before + match["body"])
        elif match["kind"] == "console":
            for block in re.split(r"^\$ ", match["body"], flags=re.MULTILINE)[1:]:
                command, _, output = block.partition("\n")
                code, got = run(folder, command, capsys)
                # Findings, changes and what a hook refuses end with 1, and all else well.
                assert code in (0, 1) or "not fit to be committed" in got, (command, got)
                assert "Traceback" not in got
                got = got.replace(f"{folder}/", "")
                shown.append(f"$ {command}\n{output.rstrip()}")
                printed.append(f"$ {command}\n{got.rstrip()}")
    assert len(shown) > 5
    if os.environ.get("UPDATE_DOCS") == "1":
        update(ROOT / page, text, printed)
    else:
        assert printed == shown


def update(path: Path, text: str, printed: list[str]) -> None:
    left = iter(printed)

    def block(match: re.Match[str]) -> str:
        if match["how"] or match["kind"] != "console":
            return match[0]
        commands = sum(line.startswith("$ ") for line in match["body"].splitlines())
        told = "\n".join(next(left).rstrip() for _ in range(commands))
        return f"```console\n{told}\n```\n"

    path.write_text(BLOCK.sub(block, text), "utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_no_command_of_the_page_is_outside_a_block_that_is_run(page: str) -> None:
    text = BLOCK.sub("", (ROOT / page).read_text("utf-8"))
    indented = [line for line in text.splitlines() if re.match(r"    (\$ )?(geodns|git) ", line)]
    assert indented == []


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_the_page_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = [each for each in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in each]
    assert targets
    assert [each for each in targets if not ((ROOT / page).parent / each).exists()] == []


# The hook.


@pytest.fixture
def repository(folder: Path) -> Path:
    assert shell(folder, "git init -q -b main")[0] == 0
    shutil.copy(HOOK, folder / ".git" / "hooks" / "pre-commit")
    (folder / "geodns.toml").write_text("[geoip]\ndatabases = []\n")
    write(folder / "orders", "IT", "a")
    assert shell(folder, "git add -A && git commit -q -m one") == (
        0,
        "1 file, 1 order, 0 faults, 0 findings\n",
    )
    return folder


def commit(folder: Path) -> tuple[int, str]:
    return shell(folder, "git commit -q -m two")


def commits(folder: Path) -> int:
    return int(shell(folder, "git rev-list --count HEAD")[1])


def test_the_hook_refuses_a_faulty_order(repository: Path) -> None:
    write(repository / "orders", "IT", "b", good("c"))
    shell(repository, "git add -A")
    code, said = commit(repository)
    assert code != 0
    assert "orders/IT/b.toml:1" in said
    assert "'c' is not the file's name" in said
    assert commits(repository) == 1
    write(repository / "orders", "IT", "b", good("b"))
    # What counts is what is committed, not what lies in the folders.
    assert commit(repository)[0] != 0
    shell(repository, "git add -A")
    assert commit(repository)[0] == 0
    assert commits(repository) == 2


def test_the_hook_checks_the_order_of_a_list_that_changed(repository: Path) -> None:
    (repository / "orders/IT/l.txt").write_text("x.example\n")
    write(
        repository / "orders", "IT", "a", good("a").replace("domains", 'files = ["l.txt"]\ndomains')
    )
    shell(repository, "git add -A")
    assert commit(repository)[0] == 0
    (repository / "orders/IT/l.txt").write_text("x.example\nhttp://x.example/page\n")
    code, said = shell(repository, "git commit -q -a -m three")
    assert code != 0
    assert "orders/IT/l.txt:2" in said


def test_the_hook_shows_findings_and_refuses_them_if_told_so(repository: Path) -> None:
    write(repository / "orders", "IT", "a", good("a", "bit.ly"))
    shell(repository, "git add -A")
    shell(repository, "git config geodns.findings refuse")
    code, said = commit(repository)
    assert code != 0
    assert "held until it is acknowledged" in said
    shell(repository, "git config --unset geodns.findings")
    code, said = commit(repository)
    assert code == 0
    assert "held until it is acknowledged" in said


def test_the_hook_has_nothing_to_say_of_other_files(repository: Path) -> None:
    (repository / "other.txt").write_text("a\n")
    shell(repository, "git add -A")
    assert commit(repository) == (0, "")
    assert shell(repository, "git rm -q -r orders && git commit -q -m gone") == (0, "")


# The recipes.


def recipe(name: str) -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


@pytest.fixture
def change(repository: Path) -> Path:
    shell(repository, "git checkout -q -b change")
    write(repository / "orders", "FR", "b", good("b", "new.example"))
    shell(repository, "git add -A && git commit -q -m two")
    return repository


def test_the_recipe_for_github(change: Path) -> None:
    jobs = recipe("contrib/ci/github.yml")
    assert jobs["permissions"] == {"contents": "read"}
    steps = [step for step in jobs["jobs"]["orders"]["steps"] if "run" in step]
    assert steps[0]["run"].startswith("pip install")
    summary = change / "summary.md"
    base = shell(change, "git rev-parse main")[1].strip()
    for step in steps[1:]:
        code, said = shell(change, step["run"], BASE=base, GITHUB_STEP_SUMMARY=str(summary))
        assert code == 0, said
    assert "1 name is blocked that was not (by `b`): `new.example`" in summary.read_text()
    write(change / "orders", "FR", "b", "id =")
    assert shell(change, steps[1]["run"])[0] != 0


def test_the_recipe_for_gitlab(change: Path) -> None:
    job = recipe("contrib/ci/gitlab.yml")["orders"]
    base = shell(change, "git rev-parse main")[1].strip()
    for line in job["script"]:
        code, said = shell(change, line, CI_MERGE_REQUEST_DIFF_BASE_SHA=base)
        assert code == 0, said
    (path,) = job["artifacts"]["paths"]
    assert "`new.example`" in (change / path).read_text()
    assert re.fullmatch(r"[A-Za-z0-9_ -]+", job["artifacts"]["expose_as"])
    write(change / "orders", "FR", "b", "id =")
    assert shell(change, job["script"][0])[0] != 0


def test_the_hooks_of_pre_commit(change: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strict, lenient = recipe(".pre-commit-hooks.yaml")
    assert (strict["id"], lenient["id"]) == ("geodns-orders-check", "geodns-orders-faults")
    for hook in (strict, lenient):
        assert hook["pass_filenames"] is False
        wanted = re.compile(hook["files"])
        assert wanted.search("orders/IT/a.toml")
        assert wanted.search("orders/IT/a.domains.txt")
        assert not wanted.search("docs/orders.md")
    for text, codes in ((good("b"), (0, 0)), (good("b", "bit.ly"), (1, 0)), ("id =", (2, 1))):
        write(change / "orders", "FR", "b", text)
        for hook, code in zip((strict, lenient), codes, strict=True):
            assert run(change, hook["entry"], capsys)[0] == code
