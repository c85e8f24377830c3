"""This server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from bench.peers.peer import Peer
from bench.workload import write_geofeed

HERE = Path(__file__).parent.parent.parent


class Geodns(Peer):
    """Orders by country, the shipped database, and a geofeed that places 127.0.0.0/8."""

    name = "geodns"
    how = "orders by country; shipped GeoIP database and a geofeed"
    workers = 1
    environment: ClassVar[dict[str, str]] = {}
    orders = True
    cache = "512MiB"
    before: Geodns | None = None
    """Another with the same geofeed, whose place tables it takes over."""

    def write(self) -> None:
        """Write orders and settings."""
        folder = self.root / "orders"
        folder.mkdir()
        if self.before is not None:
            shutil.copytree(self.before.root / "state/places", self.root / "state/places")
        for at, code in self.codes():
            if self.orders:
                write_order(folder, code, f"{code}-bench", self.work.blocked(at))
        write_geofeed(self.root / "geofeed.csv", self.work.places)
        (self.root / "geodns.toml").write_text(
            f'[server]\nlisten = ["127.0.0.1:{self.port}"]\nworkers = {self.workers}\n'
            f'state = "state"\n[upstream]\nservers = ["127.0.0.1:{self.upstream}"]\n'
            '[geoip]\ngeofeeds = ["geofeed.csv"]\n[orders]\ndirectories = ["orders"]\n'
            f'[cache]\nsize = "{self.cache}"\n'
        )

    def directory(self) -> Path:
        """Where the package is found."""
        return HERE

    def settings(self) -> str:
        """Its settings file."""
        return str(self.root / "geodns.toml")

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "geodns", "serve", "-c", self.settings()]
        self.run(command, self.environment)

    def add(self, name: str) -> None:
        """One more order, put in place by a rename."""
        order = f"it-{name.split('.')[0]}"
        write_order(self.root / "orders", self.work.places[0].lower(), order, [], name)

    def status(self) -> dict[str, Any]:
        """What it says of itself."""
        command = [sys.executable, "-m", "geodns", "status", "--json", "-c", self.settings()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


class GeodnsPure(Geodns):
    """Without the extension."""

    name = "geodns, pure Python"
    how = "the same with GEODNS_PURE=1"
    environment: ClassVar[dict[str, str]] = {"GEODNS_PURE": "1"}


def write_order(folder: Path, code: str, order: str, names: Any, domain: str = "") -> None:
    """Write an order file, and its list of names if there are any."""
    (folder / code.upper()).mkdir(exist_ok=True)
    targets = f'domains = ["{domain}"]' if domain else f'files = ["{order}.domains.txt"]'
    if not domain:
        with (folder / code.upper() / f"{order}.domains.txt").open("w") as file:
            file.writelines(f"{name}\n" for name in names)
    new = folder / f".{order}.new"
    new.write_text(
        f'id = "{order}"\ntitle = "Benchmark order of {code.upper()}"\nstatus = "active"\n'
        f'[authority]\nname = "Benchmark court of {code.upper()}"\nkind = "court"\n'
        f"[dates]\neffective = 2020-01-01\n[targets]\n{targets}\n"
    )
    new.replace(folder / code.upper() / f"{order}.toml")
