"""Every command of the README's transcripts is run, and must print what the README shows.

``UPDATE_README=1 pytest tests/test_readme.py`` writes what they print into the README.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geodns.cli.demo_upstream import ZoneServer

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
ZONE = {
    "kickasstorrents.to": "198.51.100.1",
    "www.limetorrents.pro": "198.51.100.2",
    "cdn.blocked.example": "198.51.100.3",
}
VOLATILE = tuple(
    re.compile(pattern)
    for pattern in (
        r"\d+\.\d(?= ms)",
        r"(?<=\bid: )\d+",
        r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)",
        r"\b[0-9a-f]{64}\b",
        r"\d{4}-\d\d-\d\d(?= +\d+ d\b)",
        r"(?<=digest )[0-9a-f]{12}",
        r"\b\d+(?= d\b| days old| workers?\b)",
        r"(?<=places-)[0-9a-f]{24}",
    )
)
"""What differs from run to run, from day to day and from machine to machine."""


def settled(text: str) -> str:
    """The text without what is volatile, and with single blanks, since columns move with it."""
    for pattern in VOLATILE:
        text = pattern.sub("*", text)
    # The server asks itself about new orders, so an answer may be a moment old.
    text = re.sub(r" (29\d|300) IN ", " 300 IN ", text)
    return re.sub(r" +", " ", text.replace("workers", "worker")).strip()


def portable(text: str, folder: Path, port: int) -> str:
    """The text as in the checkout, with the default port and the user's state."""
    text = text.replace(f"{folder}/", "").replace(f"{ROOT}/", "").replace(str(port), "5053")
    text = re.sub(r"\S*/geodns/(?=places)", "~/.local/state/geodns/", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like the checkout, for the README's files to be written into."""
    shutil.copytree(ROOT / "orders", tmp_path / "orders")
    (tmp_path / "data").symlink_to(ROOT / "data")
    return tmp_path


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shell:
    """Runs the README's commands in its folder, and the server in the background."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.server: subprocess.Popen[str] | None = None
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}

    def run(self, command: str) -> str:
        command = command.replace("5053", str(self.port))
        if command.endswith(" &"):
            self.server = subprocess.Popen(
                command.removesuffix(" &").split(),
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert self.server.stdout is not None
            return self.server.stdout.readline()
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def close(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.wait(timeout=20) == 0
            assert self.server.stdout is not None
            self.server.stdout.close()


@pytest.fixture
def shell(folder: Path) -> Iterator[Shell]:
    made = Shell(folder, free_port())
    yield made
    made.close()


def write_files(text: str, shell: Shell, upstream: str, until: int) -> int:
    """Write the files that the README gives before an offset, as it gives them."""
    written = 0
    for match in FILE.finditer(text):
        path = shell.folder / match[1]
        if match.end() <= until and not path.exists():
            content = match[2].replace("5053", str(shell.port)).replace("127.0.0.1:5300", upstream)
            path.write_text(content)
            written += 1
    return written


@pytest.mark.process
def test_the_transcripts_are_real(shell: Shell) -> None:
    text = README.read_text("utf-8")
    shown: list[str] = []
    printed: list[str] = []
    with ZoneServer(ZONE) as upstream:
        for match in CONSOLE.finditer(text):
            if write_files(text, shell, upstream.address, match.start()) and shell.server:
                # "in force within a second of being saved", says the README.
                time.sleep(1.0)
            for block in re.split(r"^\$ ", match[1], flags=re.MULTILINE)[1:]:
                command, _, output = block.partition("\n")
                got = output
                if not command.startswith("dig ") or shutil.which("dig"):
                    got = portable(shell.run(command), shell.folder, shell.port)
                shown.append(f"$ {command}\n{output.rstrip()}")
                printed.append(f"$ {command}\n{got.rstrip()}")
    if os.environ.get("UPDATE_README") == "1":
        update(text, shown, printed)
    else:
        assert [settled(one) for one in printed] == [settled(one) for one in shown]


def update(text: str, shown: list[str], printed: list[str]) -> None:
    """Write what the commands print into the README, where more than volatile parts differ."""
    better = iter(
        before if settled(before) == settled(after) else after
        for before, after in zip(shown, printed, strict=True)
    )

    def block(match: re.Match[str]) -> str:
        outputs = [next(better) for line in match[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "\n".join(outputs) + "\n```\n"

    README.write_text(CONSOLE.sub(block, text), "utf-8")


def test_the_two_commands_are_there() -> None:
    block = README.read_text("utf-8").partition("```sh\n")[2].partition("```")[0]
    wanted = [line.partition("#")[0].split() for line in block.splitlines()]
    assert wanted == [["make", "demo"], ["make", "test"]]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for _, target in wanted:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)


def test_the_links_lead_somewhere() -> None:
    for page in (README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
