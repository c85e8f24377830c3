"""PowerDNS Recursor: a Lua script with netmask groups, or response policy zones."""

from __future__ import annotations

from bench.peers.peer import Peer, program, tool, write_rpz
from bench.workload import network


class _Pdns(Peer):
    programs = ("pdns_recursor", "rec_control")

    def script(self) -> str:
        """Its Lua script."""
        raise NotImplementedError

    def policies(self) -> str:
        """Its Lua settings."""
        return ""

    def write(self) -> None:
        """Write its settings."""
        (self.root / "script.lua").write_text(self.script())
        (self.root / "config.lua").write_text(self.policies())
        (self.root / "recursor.conf").write_text(
            f"""local-address=127.0.0.1
local-port={self.port}
socket-dir={self.root}
config-dir={self.root}
allow-from=127.0.0.0/8
dont-query=
forward-zones-recurse=.=127.0.0.1:{self.upstream}
dnssec=off
threads=1
distributor-threads=0
pdns-distributes-queries=no
max-cache-entries=2000000
max-packetcache-entries=1000000
max-mthreads=4096
security-poll-suffix=
loglevel=3
quiet=yes
disable-syslog=yes
write-pid=no
daemon=no
lua-config-file={self.root}/config.lua
lua-dns-script={self.root}/script.lua
"""
        )

    def start(self) -> None:
        """Start it."""
        self.run([program("pdns_recursor") or "", f"--config-dir={self.root}"])

    def control(self, *words: str) -> None:
        """Tell it something."""
        where = (f"--config-dir={self.root}", f"--socket-dir={self.root}", "--timeout=60")
        tool("rec_control", *where, *words)

    def groups(self) -> str:
        """The networks of each country, for its Lua script."""
        return "".join(
            f'places[{at + 1}] = newNMG()\nplaces[{at + 1}]:addMask("{network(at)}")\n'
            for at, _ in self.codes()
        )


class PdnsLua(_Pdns):
    """gettag keeps the packet caches of countries apart; preresolve looks the name up."""

    name = "PowerDNS Recursor, Lua"
    how = "gettag by netmask groups, preresolve with a suffix set"

    def script(self) -> str:
        """Reads a list a country."""
        for at, _ in self.codes():
            with (self.root / f"{at + 1}.txt").open("w") as file:
                file.writelines(f"{name}\n" for name in self.work.blocked(at))
        return f"""places, blocked = {{}}, {{}}
{self.groups()}
for i = 1, #places do
  blocked[i] = newDS()
  for line in io.lines("{self.root}/" .. i .. ".txt") do blocked[i]:add(line) end
end
local function find(address)
  for i = 1, #places do
    if places[i]:match(address) then return i end
  end
  return 0
end
function gettag(remote, ednssubnet, localip, qname, qtype, ednsoptions, tcp, proxies)
  return find(remote)
end
function preresolve(dq)
  local at = dq.tag
  if at > 0 and blocked[at]:check(dq.qname) then
    dq.rcode = pdns.NXDOMAIN
    return true
  end
  return false
end
"""

    def add(self, name: str) -> None:
        """Read the script and its lists anew."""
        with (self.root / "1.txt").open("a") as file:
            file.write(f"{name}\n")
        self.control("reload-lua-script")


class PdnsRpz(_Pdns):
    """prerpz discards the zones of all other countries."""

    name = "PowerDNS Recursor, RPZ"
    variant = True
    how = "gettag by netmask groups, prerpz discards other countries' RPZ"

    def policies(self) -> str:
        """A zone a country."""
        lines = []
        for at, code in self.codes():
            path = write_rpz(self.root / f"rpz.{code}", self.work.blocked(at))
            lines.append(f'rpzFile("{path}", {{policyName="{code}", defpol=Policy.NXDOMAIN}})')
        return "\n".join(lines) + "\n"

    def script(self) -> str:
        """Which zones are not a client's."""
        names = ", ".join(f'"{code}"' for _, code in self.codes())
        return f"""places = {{}}
{self.groups()}
local names = {{{names}}}
function gettag(remote, ednssubnet, localip, qname, qtype, ednsoptions, tcp, proxies)
  for i = 1, #places do
    if places[i]:match(remote) then return i end
  end
  return 0
end
function prerpz(dq)
  for i = 1, #names do
    if i ~= dq.tag then dq:discardPolicy(names[i]) end
  end
  return true
end
"""

    def add(self, name: str) -> None:
        """Read all zones anew."""
        code = self.work.places[0].lower()
        with (self.root / f"rpz.{code}").open("a") as file:
            file.write(f"{name} CNAME .\n")
        self.control("reload-lua-config")
