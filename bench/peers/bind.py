"""BIND: a view a country, chosen by GeoIP or by address lists, each with its own RPZ."""

from __future__ import annotations

from pathlib import Path

from bench.peers.peer import Peer, program, tool, write_rpz
from bench.workload import client, network


class _Bind(Peer):
    programs = ("named", "nsupdate")

    def match(self, at: int, code: str) -> str:
        """Which clients see the view of a country."""
        raise NotImplementedError

    def options(self) -> str:
        """More options."""
        return ""

    def write(self) -> None:
        """Write its settings and zones."""
        views = []
        for at, code in self.codes():
            path = write_rpz(self.root / f"rpz.{code}", self.work.blocked(at))
            views.append(
                f"""view "{code}" {{
  match-clients {{ {self.match(at, code)} }};
  attach-cache "all";
  response-policy {{ zone "rpz"; }} qname-wait-recurse no min-update-interval 0;
  zone "rpz" {{ type primary; file "{path}"; allow-query {{ 127.0.0.0/8; }};
    allow-update {{ 127.0.0.0/8; }}; notify no; }};
}};"""
            )
        (self.root / "named.conf").write_text(
            f"""options {{
  directory "{self.root}";
  pid-file "{self.root}/pid";
  session-keyfile "{self.root}/session.key";
  managed-keys-directory "{self.root}";
  listen-on port {self.port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  forwarders port {self.upstream} {{ 127.0.0.1; }};
  forward only;
  recursion yes;
  allow-query {{ 127.0.0.0/8; }};
  allow-recursion {{ 127.0.0.0/8; }};
  dnssec-validation no;
  recursive-clients 10000;
  max-cache-size 512m;
  empty-zones-enable no;
  minimal-responses yes;
  {self.options()}
}};
controls {{ }};
logging {{ channel errors {{ stderr; severity error; }}; category default {{ errors; }};
  category lame-servers {{ null; }}; category rpz {{ null; }}; }};
"""
            + "\n".join(views)
            + '\nview "all" { match-clients { any; }; attach-cache "all"; };\n'
        )

    def start(self) -> None:
        """Start it."""
        config = str(self.root / "named.conf")
        self.run([program("named") or "", "-f", "-n", "1", "-c", config])

    def add(self, name: str) -> None:
        """A dynamic update, from an address that sees the country's view."""
        tool(
            "nsupdate",
            text=f"server 127.0.0.1 {self.port}\nlocal {client(0, 9)}\nzone rpz\n"
            f"update add {name}.rpz. 60 CNAME .\nsend\n",
        )


class BindGeoip(_Bind):
    """Views by country, from an MMDB."""

    name = "BIND, geoip views + RPZ"
    how = "view by geoip country, RPZ in each, one cache"

    @classmethod
    def missing(cls) -> str:
        """It wants mmdb-writer for its database too."""
        try:
            import mmdb_writer  # noqa: F401
        except ImportError:
            return "mmdb-writer not installed"
        return super().missing()

    def options(self) -> str:
        """Where its database is."""
        write_mmdb(self.root / "GeoLite2-Country.mmdb", self.work.places)
        return f'geoip-directory "{self.root}";'

    def match(self, at: int, code: str) -> str:
        """By the country of the client."""
        return f"geoip country {code.upper()};"


class BindAcl(_Bind):
    """Views by networks."""

    name = "BIND, address views + RPZ"
    variant = True
    how = "view by prefix list, RPZ in each, one cache"

    def match(self, at: int, code: str) -> str:
        """By the network of the client."""
        return f"{network(at)};"


def write_mmdb(path: Path, codes: tuple[str, ...]) -> Path:
    """Write the place of each network as a country database."""
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet  # type: ignore[import-untyped]

    writer = MMDBWriter(4, "GeoLite2-Country", languages=["en"], description="benchmark")
    for at, code in enumerate(codes):
        record = {"country": {"iso_code": code, "geoname_id": at + 1, "names": {"en": code}}}
        writer.insert_network(IPSet([network(at)]), record)
    writer.to_db_file(str(path))
    return path
