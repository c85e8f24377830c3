"""The workload: orders of many countries, names to ask, and an upstream that answers."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

COUNTRIES = (
    *("IT", "FR", "DE", "ES", "PT", "NL", "BE", "AT", "CH", "DK", "SE", "NO", "FI", "PL", "CZ"),
    *("SK", "HU", "RO", "BG", "GR", "IE", "GB", "US", "CA", "MX", "BR", "IN", "AU", "JP", "KR"),
)
"""Thirty places with orders; the client is in the first."""
CLIENT = "127.39.0.1"
GEOFEED = "127.39.0.0/16,IT,,,\n127.33.0.0/16,FR,,,\n"


@dataclass(frozen=True, slots=True)
class Workload:
    """Files that a run needs.

    settings: geodns.toml. warm, cold: dnsperf query files; every cold name is asked once.
    """

    settings: Path
    warm: Path
    cold: Path


def write_workload(
    root: Path, *, names: int, upstream: int, port: int, warm: int, cold: int, workers: int
) -> Workload:
    """Write orders (``names`` names over thirty countries), settings and query files.

    One warm name in ten is blocked for the client; cold names are never blocked, since a
    blocked name is never asked of an upstream.
    """
    chosen = random.Random(2022)
    listed = [f"name{number}.blocked{number % 997}.example" for number in range(names)]
    for at, country in enumerate(COUNTRIES):
        folder = root / "orders" / country
        folder.mkdir(parents=True)
        order = f"{country.lower()}-bench"
        (folder / f"{order}.domains.txt").write_text("\n".join(listed[at :: len(COUNTRIES)]) + "\n")
        (folder / f"{order}.toml").write_text(
            f'id = "{order}"\ntitle = "Benchmark order of {country}"\nstatus = "active"\n'
            f'[authority]\nname = "Benchmark court of {country}"\nkind = "court"\n'
            "[dates]\neffective = 2020-01-01\n"
            f'[targets]\nfiles = ["{order}.domains.txt"]\n'
        )
    (root / "geofeed.csv").write_text(GEOFEED)
    settings = root / "geodns.toml"
    settings.write_text(
        f'[server]\nlisten = ["127.0.0.1:{port}"]\nworkers = {workers}\nstate = "state"\n'
        f'[upstream]\nservers = ["127.0.0.1:{upstream}"]\n'
        '[geoip]\ngeofeeds = ["geofeed.csv"]\n[orders]\ndirectories = ["orders"]\n'
        '[cache]\nsize = "512MiB"\n'
    )
    blocked = listed[:: len(COUNTRIES)]
    asked = [f"warm{number}.open.bench A" for number in range(warm - warm // 10)]
    asked += [f"{chosen.choice(blocked)} A" for _ in range(warm // 10)]
    chosen.shuffle(asked)
    (root / "warm.txt").write_text("\n".join(asked) + "\n")
    (root / "cold.txt").write_text(
        "\n".join(f"cold{number}.open.bench A" for number in range(cold)) + "\n"
    )
    return Workload(settings, root / "warm.txt", root / "cold.txt")


def start_upstream(root: Path, port: int) -> tuple[subprocess.Popen[bytes], str]:
    """Start an upstream that answers everything below ``bench.``: NSD, or one in Python.

    Returns the process and what it is.
    """
    nsd = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin")
    if nsd is None:
        process = subprocess.Popen([sys.executable, "-m", "bench.upstream", str(port)])
        time.sleep(1)
        return process, "a Python upstream (nsd is not installed)"
    zone = root / "bench.zone"
    zone.write_text(
        "$ORIGIN bench.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\n"
        "ns A 127.0.0.1\n*.open A 192.0.2.1\n"
    )
    config = root / "nsd.conf"
    config.write_text(
        f'server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: ""\n  chroot: ""\n'
        f'  zonesdir: "{root}"\n  database: ""\n  pidfile: "{root}/nsd.pid"\n'
        f'  xfrdfile: "{root}/xfrd.state"\n  zonelistfile: "{root}/zone.list"\n'
        f'  logfile: "{root}/nsd.log"\n  server-count: 1\n  rrl-ratelimit: 0\n'
        "remote-control:\n  control-enable: no\n"
        f'zone:\n  name: "bench"\n  zonefile: "{zone}"\n'
    )
    process = subprocess.Popen([nsd, "-d", "-c", str(config)], stderr=subprocess.DEVNULL)
    time.sleep(1)
    version = subprocess.run([nsd, "-v"], capture_output=True, text=True).stderr.splitlines()
    return process, version[0] if version else "nsd"
