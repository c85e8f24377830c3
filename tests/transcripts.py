"""Pages that show commands and what they print are run, and must print what they show.

A page gives files, ``<!-- file: PATH -->`` before a code block, what is added to one later,
``<!-- append: PATH -->``, and changes of one as lines with ``-``, ``+`` or a blank before them,
``<!-- change: PATH -->``; the blocks marked ``console`` hold commands after ``$`` and their
output. All of it happens in the order of the page, in a folder like the checkout.
``UPDATE_README=1`` writes what the commands print into the page.
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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geodns.cli.demo_upstream import ZoneServer
from geodns.serve.control import ask

ROOT = Path(__file__).parent.parent
PART = re.compile(
    r"<!-- (?P<how>file|append|change): (?P<path>\S+) -->\n```\w+\n(?P<content>.*?)```\n"
    r"|```console\n(?P<console>.*?)```\n",
    re.DOTALL,
)
CONSOLE = re.compile(r"```console\n(.*?)```\n", re.DOTALL)
VOLATILE = tuple(
    re.compile(pattern)
    for pattern in (
        r"\d+\.\d+(?= ?(ms|s)\b)",
        r"(?<=\bid: )\d+",
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:[\d.]+)?(\+00:00|Z| UTC)?",
        r"\b[0-9a-f]{64}\b",
        r"\d{4}-\d\d-\d\d(?= +\(?\d+ d(ays)?\b)",
        r"(?<=digest )[0-9a-f]{12}",
        r"\b\d+(?= d\b| days old| workers?\b)",
        r"(?<=places-)[0-9a-f]{24}",
        r"(?<=process )\d+",
    )
)
"""What differs from run to run, from day to day and from machine to machine."""
PORTS = ("5053", "9153")
"""Ports in pages; free ones take their place."""
TOOLS = ("dig", "curl", "git")
"""Programs that need not be there; commands that begin with one are left out then."""
UNREAD = "drafts/"
"""A folder that no server of a page reads."""
IN_FORCE = 20.0
"""Seconds that a changed file gets until the server has looked at it."""


def settled(text: str) -> str:
    """The text without what is volatile, and with single blanks, since columns move with it."""
    for pattern in VOLATILE:
        text = pattern.sub("*", text)
    # The server asks itself about new orders, so an answer may be a moment old.
    text = re.sub(r" (2[5-9]\d|300) IN ", " 300 IN ", text)
    return re.sub(r" +", " ", text.replace("workers", "worker")).strip()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def changed(text: str, lines: str) -> str:
    """The text after a change: lines that go (``-``), come (``+``) and stay, which it must hold."""
    told = lines.splitlines(keepends=True)
    before = "".join(line[1:] for line in told if line[0] != "+")
    after = "".join(line[1:] for line in told if line[0] != "-")
    assert text.count(before) == 1, before
    return text.replace(before, after)


def checkout(folder: Path) -> Path:
    """Make a folder like the checkout, for a page's files to be written into."""
    shutil.copytree(ROOT / "orders", folder / "orders")
    (folder / "data").symlink_to(ROOT / "data")
    return folder


class Shell:
    """Runs a page's commands in its folder, and the server in the background."""

    def __init__(self, folder: Path, upstream: str, state: Path | None = None) -> None:
        """upstream: what is written for 127.0.0.1:5300. state: what XDG_STATE_HOME shall be."""
        self.folder = folder
        self.ports = {port: str(free_port()) for port in PORTS}
        self.upstream = upstream
        self.server: subprocess.Popen[str] | None = None
        self.log = folder.with_suffix(".log")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8"}
        if state is not None:
            self.environment["XDG_STATE_HOME"] = str(state)

    def run(self, command: str) -> str:
        """What the command prints on stdout; of one that ends in ``&``, its first line.

        One that moves a file (mv) waits until the server, if it runs, has taken that over.
        """
        command = self.local(command)
        if command.endswith(" &"):
            with self.log.open("w") as log:
                self.server = subprocess.Popen(
                    command.removesuffix(" &").split(),
                    cwd=self.folder,
                    env=self.environment,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            assert self.server.stdout is not None
            ready = self.server.stdout.readline()
            assert ready, self.log.read_text()
            return ready
        moves = re.search(r"\bmv ", command)
        was = self._reloads() if moves else None
        done = subprocess.run(
            # head goes before it has read all, which is no fault of what writes to it.
            ["bash", *(() if "| head" in command else ("-o", "pipefail")), "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        if was is not None:
            self._taken_over(was)
        return done.stdout

    def write(self, path: str, content: str, how: str) -> None:
        """Put a file of the page where the page says; the server, if it runs, takes it over."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = self.local(content)
        if how == "append":
            text = target.read_text("utf-8") + text
        elif how == "change":
            text = changed(target.read_text("utf-8"), text)
        part = target.with_name(f"{target.name}.part")
        part.write_text(text, "utf-8")
        was = None if path.startswith(UNREAD) else self._reloads()
        part.replace(target)
        if was is not None:
            self._taken_over(was)

    def local(self, text: str) -> str:
        """Text of a page, for here."""
        text = text.replace("127.0.0.1:5300", self.upstream)
        for port, ours in self.ports.items():
            text = re.sub(rf"\b{port}\b", ours, text)
        return text

    def portable(self, text: str) -> str:
        """What a command printed, as in the checkout, with a page's ports and the user's state."""
        text = text.replace(f"{self.folder}/", "").replace(f"{ROOT}/", "")
        for port, ours in self.ports.items():
            text = re.sub(rf"\b{ours}\b", port, text)
        text = text.replace(self.upstream, "127.0.0.1:5300")
        text = re.sub(r"\S*/geodns/(?=places|ledger|feeds)", "~/.local/state/geodns/", text)
        return "\n".join(line.rstrip() for line in text.splitlines())

    def close(self) -> None:
        """End the server, which must end well."""
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.wait(timeout=20) == 0, self.log.read_text()
            assert self.server.stdout is not None
            self.server.stdout.close()

    def _reloads(self) -> tuple[int, int, bool] | None:
        """Reloads, failed ones, and whether all workers have the last; None without a server."""
        if self.server is None:
            return None
        home = Path(self.environment["XDG_STATE_HOME"])
        told = ask(home / "geodns", "status", timeout=10.0)
        return told["reloads"], told["failures"], told["current"]

    def _taken_over(self, was: tuple[int, int, bool]) -> None:
        """Wait until the server has looked at what changed, and all its workers have it."""
        end = time.monotonic() + IN_FORCE
        while time.monotonic() < end:
            now = self._reloads()
            if now is not None and now[:2] != was[:2] and now[2]:
                return
            time.sleep(0.1)
        raise AssertionError("the server has not looked at what changed")


@dataclass
class Transcript:
    """A page and what its commands print: commands with their output, one behind the other."""

    page: Path
    shown: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Fail where more than what is volatile differs; or, by choice, mend the page."""
        if os.environ.get("UPDATE_README") == "1":
            self._update()
        else:
            assert [settled(one) for one in self.printed] == [settled(one) for one in self.shown]

    def _update(self) -> None:
        better = iter(
            before if settled(before) == settled(after) else after
            for before, after in zip(self.shown, self.printed, strict=True)
        )

        def block(match: re.Match[str]) -> str:
            outputs = [next(better) for line in match[1].splitlines() if line.startswith("$ ")]
            return "```console\n" + "\n".join(outputs) + "\n```\n"

        self.page.write_text(CONSOLE.sub(block, self.page.read_text("utf-8")), "utf-8")


def replay(page: Path, shell: Shell) -> Transcript:
    """Do what the page does, in its order."""
    found = Transcript(page)
    for part in PART.finditer(page.read_text("utf-8")):
        if part["console"] is None:
            shell.write(part["path"], part["content"], part["how"])
            continue
        for block in re.split(r"^\$ ", part["console"], flags=re.MULTILINE)[1:]:
            command, _, output = block.partition("\n")
            while command.endswith("\\"):
                more, _, output = output.partition("\n")
                command += f"\n{more}"
            got = output
            tool = command.split()[0]
            if tool not in TOOLS or shutil.which(tool):
                got = shell.portable(shell.run(command))
            found.shown.append(f"$ {command}\n{output}".rstrip())
            found.printed.append(f"$ {command}\n{got}".rstrip())
    return found


def run_page(
    page: Path, folder: Path, zone: Mapping[str, str], state: Path | None = None
) -> Transcript:
    """Do what the page does, in a folder like the checkout, before an upstream with this zone."""
    with ZoneServer(zone) as upstream:
        shell = Shell(checkout(folder), upstream.address, state)
        try:
            return replay(page, shell)
        finally:
            shell.close()
