"""Unbound: views, tags, and response policy zones by tags."""

from __future__ import annotations

from pathlib import Path

from bench.peers.peer import Peer, program, tool, write_rpz
from bench.workload import network


class _Unbound(Peer):
    programs = ("unbound", "unbound-control")
    modules = "iterator"

    def server(self) -> str:
        """More lines of the server clause."""
        return ""

    def clauses(self) -> str:
        """More clauses."""
        return ""

    def write(self) -> None:
        """Write its settings."""
        (self.root / "extra.conf").write_text("")
        control = f'''remote-control:
  control-enable: yes
  control-interface: "{self.root}/control"
  control-use-cert: no
'''
        # Its control program would read all lists only to learn where the socket is.
        (self.root / "control.conf").write_text(control)
        (self.root / "unbound.conf").write_text(
            f"""server:
  directory: "{self.root}"
  chroot: ""
  username: ""
  pidfile: "{self.root}/pid"
  use-syslog: no
  logfile: ""
  verbosity: 0
  interface: 127.0.0.1
  port: {self.port}
  num-threads: 1
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "{self.modules}"
  msg-cache-size: 64m
  rrset-cache-size: 128m
  outgoing-range: 4096
  num-queries-per-thread: 2048
  so-rcvbuf: 4m
  edns-buffer-size: 1232
  local-zone: "test." nodefault
{self.server()}
{control}
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{self.upstream}
{self.clauses()}
"""
        )

    def start(self) -> None:
        """Start it."""
        self.run([program("unbound") or "", "-d", "-c", str(self.root / "unbound.conf")])

    def control(self, *words: str) -> None:
        """Tell it something."""
        tool("unbound-control", "-c", str(self.root / "control.conf"), *words)

    def lists(self, suffix: str) -> Path:
        """A file for one more part of the settings."""
        return self.root / f"lists-{suffix}.conf"


class UnboundViews(_Unbound):
    """A view a country."""

    name = "Unbound, views"
    how = "view by prefix list, local-zone always_nxdomain"

    def server(self) -> str:
        """Who sees which view."""
        return "\n".join(
            f"  access-control-view: {network(at)} {code}" for at, code in self.codes()
        )

    def clauses(self) -> str:
        """The views, in a file of their own."""
        with self.lists("views").open("w") as file:
            for at, code in self.codes():
                file.write(f'view:\n name: "{code}"\n view-first: yes\n')
                file.writelines(
                    f' local-zone: "{name}." always_nxdomain\n' for name in self.work.blocked(at)
                )
        return f'include: "{self.lists("views")}"'

    def add(self, name: str) -> None:
        """In memory only."""
        code = self.work.places[0].lower()
        self.control("view_local_zone", code, f"{name}.", "always_nxdomain")


class UnboundTags(_Unbound):
    """One list, tags by country."""

    name = "Unbound, tags"
    how = "local-zone-tag and access-control-tag by prefix list"

    def server(self) -> str:
        """Tags of clients, and of names in a file of their own."""
        with self.lists("tags").open("w") as file:
            for at, code in self.codes():
                file.writelines(
                    f'local-zone: "{name}." always_nxdomain\nlocal-zone-tag: "{name}." "{code}"\n'
                    for name in self.work.blocked(at)
                )
        lines = [f'  define-tag: "{" ".join(code for _, code in self.codes())}"']
        lines += [f'  access-control-tag: {network(at)} "{code}"' for at, code in self.codes()]
        lines += [f'  include: "{self.lists("tags")}"', f'  include: "{self.root}/extra.conf"']
        return "\n".join(lines)

    def add(self, name: str) -> None:
        """Tagged names can only be read anew with all the rest."""
        code = self.work.places[0].lower()
        with (self.root / "extra.conf").open("a") as file:
            file.write(
                f'local-zone: "{name}." always_nxdomain\nlocal-zone-tag: "{name}." "{code}"\n'
            )
        self.control("reload")


class UnboundRpz(_Unbound):
    """A response policy zone a country."""

    name = "Unbound, RPZ with tags"
    how = "RPZ with tags, access-control-tag by prefix list"
    modules = "respip iterator"

    def server(self) -> str:
        """Tags of clients."""
        lines = [f'  define-tag: "{" ".join(code for _, code in self.codes())}"']
        lines += [f'  access-control-tag: {network(at)} "{code}"' for at, code in self.codes()]
        return "\n".join(lines)

    def clauses(self) -> str:
        """The zones."""
        lines = []
        for at, code in self.codes():
            path = write_rpz(self.root / f"rpz.{code}", self.work.blocked(at))
            lines.append(f'rpz:\n  name: "rpz.{code}."\n  zonefile: "{path}"\n  tags: "{code}"')
        return "\n".join(lines)

    def add(self, name: str) -> None:
        """Read the one zone anew."""
        code = self.work.places[0].lower()
        with (self.root / f"rpz.{code}").open("a") as file:
            file.write(f"{name} CNAME .\n")
        self.control("auth_zone_reload", f"rpz.{code}.")
