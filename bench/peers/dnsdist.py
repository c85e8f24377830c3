"""dnsdist in front of Unbound: a CDB a country, looked up for its network."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from bench.machine import free_port
from bench.peers.peer import Peer, program
from bench.workload import network, wire


class Dnsdist(Peer):
    """Both processes are counted."""

    name = "dnsdist, CDB + Unbound"
    how = "netmask group and CDB by suffix, packet cache, Unbound behind it"
    programs = ("dnsdist", "unbound")

    def write(self) -> None:
        """Write both settings and the databases."""
        self._behind = free_port()
        rules = []
        for at, code in self.codes():
            write_cdb(self.root / f"{code}.cdb", self.work.blocked(at))
            rules.append(
                f'at_{code} = newNMG()\nat_{code}:addMask("{network(at)}")\n'
                f"addAction(AndRule({{NetmaskGroupRule(at_{code}), KeyValueStoreLookupRule("
                f'newCDBKVStore("{self.root}/{code}.cdb", 1), KeyValueLookupKeySuffix(2, true))}}),'
                " RCodeAction(DNSRCode.NXDOMAIN))"
            )
        (self.root / "dnsdist.conf").write_text(
            f"""setLocal("127.0.0.1:{self.port}")
setACL("127.0.0.0/8")
setSecurityPollSuffix("")
setMaxUDPOutstanding(65535)
newServer({{address="127.0.0.1:{self._behind}"}}):setUp()
getPool(""):setCache(newPacketCache(500000, {{maxTTL=86400}}))
"""
            + "\n".join(rules)
            + "\n"
        )
        (self.root / "unbound.conf").write_text(
            f"""server:
  directory: "{self.root}"
  chroot: ""
  username: ""
  pidfile: "{self.root}/pid"
  use-syslog: no
  interface: 127.0.0.1
  port: {self._behind}
  num-threads: 1
  do-not-query-localhost: no
  module-config: "iterator"
  msg-cache-size: 64m
  rrset-cache-size: 128m
  outgoing-range: 4096
  num-queries-per-thread: 2048
  so-rcvbuf: 4m
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{self.upstream}
"""
        )

    def start(self) -> None:
        """Start both."""
        self.run([program("unbound") or "", "-d", "-c", str(self.root / "unbound.conf")])
        config = str(self.root / "dnsdist.conf")
        self.run([program("dnsdist") or "", "--supervised", "--disable-syslog", "-C", config])

    def add(self, name: str) -> None:
        """Build the country's database anew; dnsdist looks at it every second."""
        code = self.work.places[0].lower()
        with (self.root / "added").open("a") as file:
            file.write(f"{name}\n")
        added = (self.root / "added").read_text().split()
        new = write_cdb(self.root / "new.cdb", [*self.work.blocked(0), *added])
        new.replace(self.root / f"{code}.cdb")


def write_cdb(path: Path, names: Iterable[str]) -> Path:
    """Write names in wire format as the keys of a constant database (cr.yp.to/cdb)."""
    tables: list[list[tuple[int, int]]] = [[] for _ in range(256)]
    parts = []
    at = 2048
    for name in names:
        key = wire(name)[12 : 12 + len(name) + 2]
        hashed = 5381
        for octet in key:
            hashed = ((hashed << 5) + hashed & 0xFFFFFFFF) ^ octet
        tables[hashed & 255].append((hashed, at))
        parts.append(struct.pack("<II", len(key), 1) + key + b"1")
        at += 9 + len(key)
    head = []
    for table in tables:
        slots = [(0, 0)] * (2 * len(table))
        for hashed, place in table:
            slot = (hashed >> 8) % len(slots)
            while slots[slot][1]:
                slot = (slot + 1) % len(slots)
            slots[slot] = (hashed, place)
        head.append(struct.pack("<II", at, len(slots)))
        parts.append(b"".join(struct.pack("<II", *slot) for slot in slots))
        at += 8 * len(slots)
    path.write_bytes(b"".join(head) + b"".join(parts))
    return path
