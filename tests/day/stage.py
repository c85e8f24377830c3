"""What the day is played with: the program itself, a server, publishers, people with keys."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodns.ledger.entry import Entry
from geodns.ledger.read import Ledger
from tests.day.lists import Official
from tests.orders.feeds.publisher import Publisher
from tests.serve.running import ROOT, Running, ask, everywhere, save

CLIENTS = {
    place: f"127.{40 + number}.0.9"
    for number, place in enumerate(("IT", "DE", "CZ", "EE", "UA", "TR", "FR"))
}
"""An address of the loopback network for each country; France has no list."""
BOUND = 60.0
PEOPLE = ("Anna Rossi, legal", "Bert Maes, network")
SETTINGS = """\
[server]
listen = ["127.0.0.1:0"]
workers = 2
state = "state"
[upstream]
servers = ["127.0.0.1:{upstream}"]
[geoip]
databases = [{databases}]
geofeeds = ["networks.csv"]
[trust]
ecs = ["127.0.0.9"]
[ledger]
node = "resolver-1"
[orders]
approvals = 2
"""


@dataclass(frozen=True)
class Row:
    """A line of the day's log. took: seconds, None where nothing was timed."""

    hour: str
    what: str
    result: str
    took: float | None = None


@dataclass
class Stage:
    """folder: where everything of the day lies. rows: what happened."""

    folder: Path
    lists: Sequence[Official]
    publisher: Publisher
    tell: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)

    def set_up(self, upstream: int, databases: Sequence[Path]) -> Path:
        """Write settings, places, keys and the orders with their lists; sign them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        feed = "".join(
            f"{address.rsplit('.', 2)[0]}.0.0/16,{place},,,\n" for place, address in CLIENTS.items()
        )
        (self.folder / "networks.csv").write_text(feed)
        quoted = ", ".join(f'"{path}"' for path in databases)
        text = SETTINGS.format(upstream=upstream, databases=quoted)
        for number, name in enumerate(PEOPLE):
            made = self.run("orders", "approve", "--new-key", self._key(number), "--json")
            text += f'[[orders.approvers]]\nname = "{name}"\nkey = "{json.loads(made)["key"]}"\n'
        (self.folder / "geodns.toml").write_text(text)
        for each in self.lists:
            url = self.publisher.put(f"/{each.ident}", each.first, ETag='"first"')
            path = self.order_file(each.place, each.ident)
            path.parent.mkdir(parents=True, exist_ok=True)
            save(path, each.order.replace("{url}", url))
        self.sign(*sorted((self.folder / "orders").rglob("*.toml")))
        return self.folder / "geodns.toml"

    def order_file(self, place: str, ident: str) -> Path:
        """Where an order file is."""
        return self.folder / "orders" / place / f"{ident}.toml"

    def sign(self, *paths: Path) -> None:
        """Both people approve order files."""
        for number in range(len(PEOPLE)):
            files = [str(path) for path in paths]
            self.run("orders", "approve", *files, "--key", self._key(number), "--yes")

    def _key(self, number: int) -> str:
        return str(self.folder / f"person{number}.key")

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run ``geodns`` as a person would, in the day's folder; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "geodns", *arguments],
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        told = f"geodns {' '.join(arguments)}: exit code {done.returncode}\n"
        assert done.returncode == code, told + done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def done(self, hour: str, what: str, result: str, took: float | None = None) -> None:
        """Note what happened."""
        self.rows.append(Row(hour, what, result, took))
        timed = "" if took is None else f" ({took:.2f} s)"
        self.tell(f"{hour}  {what}: {result}{timed}")

    def entries(self, order: str | None = None, kind: str | None = None) -> list[Entry]:
        """The ledger's entries."""
        ledger = Ledger(self.folder / "state" / "ledger.sqlite")
        try:
            return list(ledger.entries(None if kind is None else (kind,), order))
        finally:
            ledger.close()

    def until(self, told: str, condition: Callable[[], Any]) -> Any:
        """Wait until something holds, and return it."""
        end = time.monotonic() + BOUND
        while not (found := condition()):
            log = (self.folder / "log").read_text()[-3000:]
            assert time.monotonic() < end, f"{told}\n{log}"
            time.sleep(0.05)
        return found

    def kept(self, official: Official) -> set[str]:
        """The targets that the server has taken from a list."""
        (found,) = (self.folder / "state" / "feeds").glob(f"{official.ident}-*/targets")
        return set(found.read_text().split())

    def held(self, ident: str) -> set[str]:
        """The targets of an order that the guard holds."""
        shown = json.loads(self.run("orders", "show", ident, "--json"))
        return {each["target"] for each in shown["held"]}


def contained(server: Running, official: Official, names: Sequence[str]) -> None:
    """Each name is blocked for a client of its country, and answered for all others."""
    for name in names:
        for place, client in CLIENTS.items():
            got = ask(server.port, name, client)
            wanted = 3 if place == official.place else 0
            assert got == wanted, f"{name} for a client in {place}: RCODE {got}, not {wanted}"


def blocked(server: Running, name: str, place: str) -> bool:
    """Whether every worker blocks a name for a client of a place."""
    return everywhere(server.port, name, 3, CLIENTS[place])


def answered(server: Running, name: str, place: str) -> bool:
    """Whether every worker answers a name for a client of a place."""
    return everywhere(server.port, name, 0, CLIENTS[place])


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
