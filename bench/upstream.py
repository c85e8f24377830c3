"""The upstream of all servers: NSD with a wildcard, or a Python program where it is missing."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from bench.machine import pinned
from bench.workload import BRIEF, ZONE

_ANSWER = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"


def start_upstream(root: Path, port: int) -> tuple[subprocess.Popen[bytes], str]:
    """Start it on a loopback port, on the load's core. Returns the process and what it is."""
    nsd = shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin")
    if nsd is None:
        command = pinned([sys.executable, "-m", "bench.upstream", str(port)], load=True)
        return subprocess.Popen(command), "a Python program (nsd is not installed)"
    zone = root / "bench.zone"
    zone.write_text(
        f"$ORIGIN {ZONE}.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\n"
        f"ns A 127.0.0.1\n* A 192.0.2.1\n*.{BRIEF}. 0 A 192.0.2.1\n"
    )
    config = root / "nsd.conf"
    config.write_text(
        f'server:\n  ip-address: 127.0.0.1\n  port: {port}\n  username: ""\n  chroot: ""\n'
        f'  zonesdir: "{root}"\n  database: ""\n  pidfile: "{root}/nsd.pid"\n'
        f'  xfrdfile: "{root}/xfrd.state"\n  zonelistfile: "{root}/zone.list"\n'
        f'  logfile: "{root}/nsd.log"\n  server-count: 1\n  rrl-ratelimit: 0\n'
        "remote-control:\n  control-enable: no\n"
        f'zone:\n  name: "{ZONE}"\n  zonefile: "{zone}"\n'
    )
    process = subprocess.Popen(
        pinned([nsd, "-d", "-c", str(config)], load=True), stderr=subprocess.DEVNULL
    )
    told = subprocess.run([nsd, "-v"], capture_output=True, text=True).stderr.splitlines()
    return process, told[0] if told else "NSD"


def main(port: int) -> None:
    """Answer any A query with 192.0.2.1 until killed."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    while True:
        packet, peer = sock.recvfrom(4096)
        end = packet.index(b"\x00", 12) + 5
        head = packet[:2] + b"\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00"
        sock.sendto(head + packet[12:end] + _ANSWER, peer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
