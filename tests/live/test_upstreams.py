"""Real servers as upstreams, over UDP, TCP, TLS and HTTPS, with cookies and random letters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.machine import free_port
from geodns.model.name import parse
from geodns.model.response import Response
from geodns.upstream.forward import Forwarder, UpstreamFailure
from tests.live.servers import missing, process
from tests.upstream.certificates import AUTHORITY, NAME, write_authority

LARGE = 40  # TXT records of 200 octets: more than a UDP reply holds
ZONE = """$TTL 300
@ SOA ns nobody 1 3600 1200 604800 300
@ NS ns
ns A 192.0.2.53
www A 192.0.2.1
""" + "".join(f'large TXT "{number:03}{"x" * 200}"\n' for number in range(LARGE))


class Ports:
    def __init__(self) -> None:
        self.dns, self.tls, self.https = free_port(), free_port(), free_port()


def write_certificate(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    made = AUTHORITY.issue_cert(NAME, "127.0.0.1")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    return certificate, key


@contextmanager
def unbound(folder: Path) -> Iterator[Ports]:
    ports, (certificate, key) = Ports(), write_certificate(folder)
    data = [f'local-data: "www.{NAME}. 300 A 192.0.2.1"']
    data += [f"local-data: 'large.{NAME}. 300 TXT \"{n:03}{'x' * 200}\"'" for n in range(LARGE)]
    listen = "".join(f"  interface: 127.0.0.1@{p}\n" for p in (ports.dns, ports.tls, ports.https))
    (folder / "unbound.conf").write_text(
        f'server:\n  username: ""\n  chroot: ""\n  directory: "{folder}"\n  pidfile: ""\n'
        f"  use-syslog: no\n  do-daemonize: no\n  num-threads: 1\n{listen}"
        f"  tls-port: {ports.tls}\n  https-port: {ports.https}\n"
        f'  tls-service-key: "{key}"\n  tls-service-pem: "{certificate}"\n'
        f"  access-control: 127.0.0.0/8 allow\n  module-config: iterator\n"
        f'  local-zone: "{NAME}." static\n  ' + "\n  ".join(data) + "\n"
        "remote-control:\n  control-enable: no\n"
    )
    command = ["unbound", "-d", "-c", str(folder / "unbound.conf")]
    with process(command, folder, ports.dns):
        yield ports


@contextmanager
def bind(folder: Path) -> Iterator[Ports]:
    ports, (certificate, key) = Ports(), write_certificate(folder)
    (folder / "zone").write_text(ZONE)
    (folder / "named.conf").write_text(
        f"""tls own {{ cert-file "{certificate}"; key-file "{key}"; }};
http own {{ endpoints {{ "/dns-query"; }}; }};
options {{
  directory "{folder}"; pid-file "{folder}/pid"; session-keyfile "{folder}/session.key";
  managed-keys-directory "{folder}"; listen-on-v6 {{ none; }};
  listen-on port {ports.dns} {{ 127.0.0.1; }};
  listen-on port {ports.tls} tls own {{ 127.0.0.1; }};
  listen-on port {ports.https} tls own http own {{ 127.0.0.1; }};
  recursion no; dnssec-validation no; answer-cookie yes;
}};
controls {{ }};
zone "{NAME}" {{ type primary; file "{folder}/zone"; }};
"""
    )
    command = ["named", "-g", "-n", "1", "-c", str(folder / "named.conf")]
    with process(command, folder, ports.dns):
        yield ports


@contextmanager
def kresd(folder: Path) -> Iterator[Ports]:
    ports, (certificate, key) = Ports(), write_certificate(folder)
    records = "".join(
        f"policy.add(policy.suffix(policy.ANSWER({{ [kres.type.{kind}] = {{ rdata = {data}, "
        f"ttl = 300 }} }}), {{ todname('{name}.{NAME}.') }}))\n"
        for name, kind, data in (
            ("www", "A", "kres.str2ip('192.0.2.1')"),
            (
                "large",
                "TXT",
                "{" + ",".join(f"'\\203{n:03}{'x' * 200}'" for n in range(LARGE)) + "}",
            ),
        )
    )
    (folder / "kresd.conf").write_text(
        f"""net.listen('127.0.0.1', {ports.dns}, {{ kind = 'dns' }})
net.listen('127.0.0.1', {ports.tls}, {{ kind = 'tls' }})
net.listen('127.0.0.1', {ports.https}, {{ kind = 'doh2' }})
net.tls('{certificate}', '{key}')
trust_anchors.remove('.')
cache.size = 10 * MB
{records}"""
    )
    command = ["kresd", "-n", "-q", "-c", str(folder / "kresd.conf"), str(folder)]
    with process(command, folder, ports.dns, quiet=True):
        yield ports


SERVERS = {"unbound": unbound, "named": bind, "kresd": kresd}


async def ask(forwarder: Forwarder, name: str, qtype: int) -> Response:
    question = parse(f"{name}.{NAME}") + qtype.to_bytes(2, "big") + b"\0\1"
    return await forwarder.resolve(question, dnssec_ok=False, checking_disabled=False)


async def both(forwarder: Forwarder) -> None:
    """A small answer and a large one, at the same time, and again over what is kept open."""
    try:
        for _ in range(3):
            small, large = await asyncio.gather(
                ask(forwarder, "www", 1), ask(forwarder, "large", 16)
            )
            assert small.addresses == (b"\xc0\0\2\1",)
            assert len(large.records) == LARGE
        assert forwarder.counters["timeouts"] == 0
        assert forwarder.counters["malformed"] == 0
    finally:
        forwarder.close()
        await asyncio.sleep(0.01)


@pytest.mark.process
@pytest.mark.parametrize("name", SERVERS)
def test_every_way_to_a_real_server(name: str, tmp_path: Path) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    ca = write_authority(tmp_path)

    async def over(text: str, **keys: object) -> Forwarder:
        forwarder = Forwarder([text], 5.0, 1, 100, ca=ca, **keys)  # type: ignore[arg-type]
        await both(forwarder)
        return forwarder

    with SERVERS[name](tmp_path / name) as ports:
        plain = asyncio.run(over(f"127.0.0.1:{ports.dns}"))
        assert plain.counters["tcp"] == 3
        letters = asyncio.run(over(f"127.0.0.1:{ports.dns}", random_case=True))
        assert letters.counters["doubted"] == 0
        asyncio.run(over(f"127.0.0.1:{ports.dns}", cookies=True))
        tls = asyncio.run(over(f"tls://127.0.0.1:{ports.tls}#{NAME}"))
        assert (tls.counters["sent"], tls.counters["tcp"]) == (6, 0)
        asyncio.run(over(f"tls://127.0.0.1:{ports.tls}"))
        asyncio.run(over(f"https://{NAME}:{ports.https}/dns-query@127.0.0.1"))
        asyncio.run(over(f"https://127.0.0.1:{ports.https}/dns-query"))
        for text in (
            f"tls://127.0.0.1:{ports.tls}#other.example",
            f"https://other.example:{ports.https}/dns-query@127.0.0.1",
        ):
            with pytest.raises(UpstreamFailure):
                asyncio.run(over(text))
