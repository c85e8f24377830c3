"""Real DNS servers on loopback, each in its folder, ended by their process id.

They are started as an operator starts them in the foreground. ``missing`` says which of them
are not installed, so that tests can be skipped by name.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.machine import free_port
from tests.serve.running import running

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
_PATIENCE = 30.0
_PING = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"


def program(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name, path=_PATH)


def missing(*names: str) -> str:
    """Which of these programs are not installed, for the reason of a skip; empty if all are."""
    absent = [name for name in names if program(name) is None]
    return f"{', '.join(absent)}: not installed" if absent else ""


def version(name: str, *arguments: str) -> str:
    """The first line of what a program says of its version."""
    done = subprocess.run(
        [program(name) or name, *arguments], capture_output=True, text=True, check=False
    )
    return (done.stdout or done.stderr).splitlines()[0]


@contextmanager
def process(
    command: Sequence[str],
    folder: Path,
    port: int,
    *,
    quiet: bool = False,
    host: str = "127.0.0.1",
    stream: bool = False,
) -> Iterator[int]:
    """Run a server until it answers on UDP at ``port``, and end it afterwards; gives the port.

    quiet: it does not answer a query of its own accord; it is only waited for a moment.
    stream: it listens on TCP alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = program(command[0])
    assert path is not None, missing(command[0])
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [path, *command[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
        )
    try:
        end = time.monotonic() + _PATIENCE
        while not (_accepts(host, port) if stream else _answers(port, host)):
            said = (folder / "log").read_text(errors="replace")[-2000:]
            assert running.poll() is None, f"{command[0]} ended: {said}"
            assert time.monotonic() < end, f"{command[0]} does not answer: {said}"
            if quiet:
                time.sleep(1.0)
                break
        yield port
        assert running.poll() is None, f"{command[0]} ended while it was asked"
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        time.sleep(0.05)
        return False
    return True


def _answers(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect((host, port))
        try:
            sock.send(_PING)
            return bool(sock.recv(4096))
        except OSError:
            time.sleep(0.05)
            return False


@contextmanager
def nsd(folder: Path, zones: Mapping[str, Path]) -> Iterator[int]:
    """NSD, authoritative for zones (name to file)."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    parts = "".join(f'zone:\n  name: "{name}"\n  zonefile: "{at}"\n' for name, at in zones.items())
    (folder / "nsd.conf").write_text(
        f'server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: ""\n  chroot: ""\n'
        f'  zonesdir: "{folder}"\n  database: ""\n  pidfile: "{folder}/nsd.pid"\n'
        f'  xfrdfile: "{folder}/xfrd.state"\n  zonelistfile: "{folder}/zone.list"\n'
        f'  logfile: "{folder}/nsd.log"\n  server-count: 1\n  rrl-ratelimit: 0\n'
        f"remote-control:\n  control-enable: no\n{parts}"
    )
    with process(["nsd", "-d", "-c", str(folder / "nsd.conf")], folder, port) as made:
        yield made


@contextmanager
def bind(folder: Path, upstream: int) -> Iterator[int]:
    """BIND as a resolver that forwards all it is asked."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "named.conf").write_text(
        f"""options {{
  directory "{folder}"; pid-file "{folder}/pid"; session-keyfile "{folder}/session.key";
  managed-keys-directory "{folder}";
  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
  forwarders port {upstream} {{ 127.0.0.1; }}; forward only;
  recursion yes; allow-query {{ 127.0.0.0/8; }}; allow-recursion {{ 127.0.0.0/8; }};
  dnssec-validation no; empty-zones-enable no; minimal-responses yes;
}};
controls {{ }};
"""
    )
    command = ["named", "-g", "-n", "1", "-c", str(folder / "named.conf")]
    with process(command, folder, port) as made:
        yield made


@contextmanager
def unbound(
    folder: Path, upstream: int, settings: str = "", *, more: str = "", forward: bool = True
) -> Iterator[int]:
    """Unbound without validation, forwarding all it is asked.

    settings: more lines of its server clause. more: more clauses. forward: False leaves it to
    ``more`` where answers come from.
    """
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    modules = "" if "module-config" in settings else '  module-config: "iterator"\n'
    if forward:
        more += f'forward-zone:\n  name: "."\n  forward-addr: 127.0.0.1@{upstream}\n'
    (folder / "unbound.conf").write_text(
        f'server:\n  directory: "{folder}"\n  chroot: ""\n  username: ""\n'
        f'  pidfile: "{folder}/pid"\n  use-syslog: no\n  logfile: ""\n'
        f"  interface: 127.0.0.1\n  port: {port}\n  num-threads: 1\n"
        "  access-control: 127.0.0.0/8 allow\n  do-not-query-localhost: no\n"
        "  edns-buffer-size: 1232\n  max-udp-size: 1232\n  minimal-responses: no\n"
        f"  harden-below-nxdomain: no\n  qname-minimisation: no\n{modules}{settings}"
        f"remote-control:\n  control-enable: no\n{more}"
    )
    command = ["unbound", "-d", "-c", str(folder / "unbound.conf")]
    with process(command, folder, port, quiet=not forward) as made:
        yield made


@contextmanager
def geodns(folder: Path, upstream: int, more: str = "") -> Iterator[int]:
    """What ``geodns serve`` runs, with one worker, and one order of Italy."""
    (folder / "orders" / "IT").mkdir(parents=True, exist_ok=True)
    (folder / "feed.csv").write_text("127.39.0.0/16,IT,,,\n127.33.0.0/16,FR,,,\n")
    (folder / "orders" / "IT" / "it-blocked.toml").write_text(
        'id = "it-blocked"\ntitle = "Blocked"\nstatus = "active"\n'
        'authority = { name = "Tribunale", kind = "court" }\ndates = { effective = 2022-07-11 }\n'
        'targets = { domains = ["blocked.example"] }\n'
    )
    settings = folder / "geodns.toml"
    settings.write_text(
        '[server]\nlisten = ["127.0.0.1:0"]\nworkers = 1\nstate = "state"\n'
        f'[upstream]\nservers = ["127.0.0.1:{upstream}"]\n'
        f'[geoip]\ndatabases = []\ngeofeeds = ["feed.csv"]\n{more}'
    )
    with running(settings) as server:
        yield server.port
        status = server.status()
        faults = {
            key: value
            for key, value in status["counters"].items()
            if key.startswith("internal") and value
        }
        assert not faults, faults
