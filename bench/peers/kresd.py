"""Knot Resolver: a view a country with a response policy zone."""

from __future__ import annotations

from bench.peers.peer import Peer, program, write_rpz
from bench.workload import network


class Kresd(Peer):
    """kresd 5."""

    name = "Knot Resolver"
    how = "view by prefix list, policy.rpz"
    programs = ("kresd",)

    def write(self) -> None:
        """Write its settings and zones."""
        rules = []
        for at, code in self.codes():
            path = write_rpz(self.root / f"{code}.rpz", self.work.blocked(at))
            rules.append(f"view:addr('{network(at)}', policy.rpz(policy.DENY, '{path}', true))")
        (self.root / "kresd.conf").write_text(
            f"""net.ipv6 = false
net.listen('127.0.0.1', {self.port}, {{ kind = 'dns' }})
modules = {{ 'policy', 'view' }}
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('ta_sentinel')
modules.unload('priming')
trust_anchors.remove('.')
cache.size = 256 * MB
"""
            + "\n".join(rules)
            + f"\npolicy.add(policy.all(policy.FORWARD({{'127.0.0.1@{self.upstream}'}})))\n"
        )

    def start(self) -> None:
        """Start it."""
        config = str(self.root / "kresd.conf")
        self.run([program("kresd") or "", "-n", "-q", "-c", config, str(self.root)])

    def add(self, name: str) -> None:
        """It watches its zones."""
        code = self.work.places[0].lower()
        with (self.root / f"{code}.rpz").open("a") as file:
            file.write(f"{name} CNAME .\n")
