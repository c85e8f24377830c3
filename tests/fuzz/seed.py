"""Write the first inputs of the kept corpus: ``python -m tests.fuzz.seed``.

They are valid things of each kind; what the fuzzer found since stands beside them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from ipaddress import ip_address

from tests.fastpath.twins import PEERS, PROXIES, SUBNETS, row
from tests.fuzz.run import KEPT
from tests.policy.making import wire
from tests.scenarios.asking import build, ecs_option, opt, option, proxy_header


def packets() -> Iterator[bytes]:
    """Queries of each kind."""
    names = ("a", "A.b", "c.b", "x.y", "a.x.y", "ab", "localhost", "version.bind", "", "z" * 63)
    for name in names:
        yield build(name, ident=1)
        yield build(name, "AAAA", ident=1, edns=None, rd=False)
    for kind in ("HTTPS", "ANY", "AXFR", "TYPE41", "TYPE65280"):
        yield build("a", kind, ident=1)
    for size in (0, 512, 65535):
        yield build("a.b", edns=size, do=True, cd=True, ad=True, ident=1)
    for subnet in SUBNETS:
        yield build("b", options=option(8, ecs_option(subnet)), ident=1)
    yield build("a", options=option(10, bytes(8)) + option(12, bytes(31)), ident=1)
    yield build("a", "TXT", "CH", ident=1)
    yield (
        build("a", ident=1, edns=None)[:10] + b"\0\1" + build("a", edns=None)[12:] + opt(version=1)
    )
    yield build("a", ident=1)[:10] + b"\0\2" + build("a", edns=None)[12:] + opt() + opt()
    yield build(".".join("a" * 127), ident=1)
    yield build("a", ident=1)[:-5]
    yield b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\xc0\x0c\0\1\0\1"


def headers() -> Iterator[bytes]:
    """PROXY headers of each kind."""
    for peer in PEERS[:3] + PEERS[8:12]:
        yield proxy_header(str(ip_address(peer)))
    yield proxy_header("127.39.0.1", transport=1, tlvs=b"\x04\0\2ab")
    yield proxy_header(None)
    yield proxy_header(None, tlvs=b"\x04\0\0")
    yield proxy_header("127.39.0.1")[:13] + b"\0\0\0"


def responses() -> Iterator[bytes]:
    """Responses with records of each kind that is looked at."""
    soa = row(6, 20, b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 20))
    address, address6 = row(1, 60, bytes((192, 0, 2, 7))), row(28, 60, bytes(16))
    alias = row(5, 30, b"\1b\xc0\x0c")
    target = b"\xc0\x27" + struct.pack("!HHIH", 1, 1, 5, 4) + bytes(4)
    dname = b"\xc0\x0e" + struct.pack("!HHIH", 39, 1, 5, 3) + b"\1y\0"
    ede = b"\0\0\x29\x04\xd0" + struct.pack("!IH", 0x01008000, 6) + option(15, b"\0\3")
    for qtype, flags, counts, body in (
        (1, 0x8180, (1, 0, 0), address),
        (28, 0x81A0, (2, 0, 1), address6 * 2 + opt()),
        (1, 0x8180, (2, 0, 0), alias + target),
        (1, 0x8180, (2, 0, 0), dname + alias),
        (39, 0x8180, (1, 0, 0), dname),
        (1, 0x8183, (0, 1, 0), soa),
        (1, 0x8180, (0, 1, 1), soa + ede),
        (1, 0x8380, (0, 0, 0), b""),
        (65, 0x8180, (1, 1, 2), row(65, 1, b"\0\1\0") + soa + address + opt()),
        (1, 0x8182, (0, 0, 1), opt(do=True)),
        (255, 0x8580, (3, 0, 0), address + address6 + row(46, 9, bytes(20))),
    ):
        head = struct.pack("!6H", 7, flags, 1, *counts)
        yield head + wire("x.Y") + struct.pack("!HH", qtype, 1) + body


ORDER = b"""id = "it-x"
title = "T"
status = "active"
jurisdiction = ["IT", "FR"]
except = ["US-CA"]
authority = { name = "N", kind = "court", url = "https://a.b" }
[dates]
effective = 2022-07-11
expires = 2030-01-01T00:00:00+02:00
[targets]
domains = ["A.b", "b\xc3\xbccher.example"]
exact = ["c.b"]
below = ["d.b"]
networks = ["192.0.2.0/24", "2001:db8::/32"]
exempt = ["x.a.b"]
files = ["l.txt"]
[response]
action = "sinkhole"
addresses = ["192.0.2.1"]
ttl = 60
[disclosure]
text = "Because."
contact = ["mailto:a@b.c"]
incident = { db = "lumen", id = "1" }
\0a.example
# comment
b.example
"""
SETTINGS = b"""[server]
listen = ["127.0.0.1:5053", "[::1]:53"]
workers = 2
clients = ["127.0.0.0/8", "::1"]
[upstream]
servers = ["192.0.2.1", "192.0.2.2:5300", "tls://192.0.2.3#a.b"]
timeout = 1.5
[cache]
size = 1000000
[geoip]
databases = []
geofeeds = ["x.csv"]
[trust]
ecs = ["192.0.2.0/24"]
[orders]
never_block = ["a.b"]
[limits]
misses = 10
"""


def written() -> dict[str, list[bytes]]:
    """What people write: order files, settings, geofeeds, lists, control commands."""
    deep = b"x = " + b"[" * 600
    lists = [
        b"a.example\nb.example\n",
        b"0.0.0.0 a.example\n127.0.0.1 b.example # x\n",
        b"||a.example^\n@@||b.example^\n! c\n",
        b"$TTL 60\n@ SOA a. b. 1 2 3 4 5\na.example CNAME .\n*.a.example CNAME .\n",
        b"192.0.2.1\n192.0.2.0/24\n2001:db8::/32\n",
        b"192.0.2.1;a.example;http://a.example/x;org;1-2;2020-01-01\n",
        b'[{"DomainAddress": "a.example", "InsertDate": "2020-01-01"}]',
        b"<?xml version='1.0'?><a><PozycjaRejestru><AdresDomeny>a.b</AdresDomeny>"
        b"</PozycjaRejestru></a>",
        b"/ip dns static\nadd name=a.example type=NXDOMAIN\n",
        b"<html>error</html>",
        b"[" * 600,
    ]
    return {
        "orders": [
            ORDER,
            ORDER.replace(b"sinkhole", b"nxdomain").replace(b'addresses = ["192.0.2.1"]\n', b""),
            ORDER[: ORDER.index(b"[response]")].replace(b'files = ["l.txt"]\n', b""),
            b'jurisdiction = "global"\nglobal_reason = "x"\n' + ORDER.replace(
                b'jurisdiction = ["IT", "FR"]\nexcept = ["US-CA"]\n', b""),
            deep,
            b"x = 1" + b"0" * 600,
        ],
        "settings": [
            SETTINGS,
            deep,
            b"x = 1" + b"0" * 600,
            b"[server]\nworkers = 99999999999\n",
            b'[server]\nstate = "a\\u0000b"\n',
            b"",
        ],
        "geofeeds": [
            b"127.39.0.0/16,IT,IT-25,Milano,20100\n2001:db8::/32,FR\n# c\n127.0.0.0/8,,,,\n",
            b"\xef\xbb\xbf192.0.2.1,US,US-CA\r\n::ffff:192.0.2.0/120,XK\r\n",
        ],
        "feeds": [bytes([18]) + each for each in lists]
        + [bytes([number]) + each for number in range(18) for each in lists[:9:4]],
        "control": [
            b'{"command": "status"}\n', b'{"command": "status"}\n{"command": ["x"]}\nnull\n',
            b"[" * 190 + b"\n", b"\xff\n\n{}", b'{"command": {}}',
        ],
    }  # fmt: skip


def hostile() -> list[bytes]:
    """What an upstream says: how, then its message, with and without what must match."""
    made = []
    for packet in responses():
        end = packet.index(0, 12) + 5
        for how in (1, 3, 9, 17, 25):
            made.append(bytes([how]) + packet[2:4] + packet[6:12] + packet[end:])
        made += [bytes([how]) + packet for how in (0, 2, 6)]
    return made


def seeds() -> dict[str, list[bytes]]:
    """The inputs of each target."""
    asked = list(packets())
    edits = [b"", b"\0\0\x40\xff", b"\xff\x01\0\0", b"\0\1\0\0\0\2\0\1", b"\xff\xff\xff\0"]
    ecs = [ecs_option(subnet) for subnet in SUBNETS]
    proxied = b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c" + bytes(12)
    return {
        **written(),
        "upstream": hostile(),
        "databases": [bytes([which]) + each for which in range(4) for each in edits],
        "damaged": [bytes([which]) + each for which in (0, 1, 2, 129, 132) for each in edits],
        "options": [*ecs, proxied, proxied[:12] + b"\x20\0\0\0", bytes(8), bytes(24)],
        "answer": [
            bytes([at * 128 + peer]) + packet
            for number, packet in enumerate(asked)
            for at in (0, 1)
            for peer in {number % len(PEERS), 1}
        ],
        "proxied": [
            bytes([number % 2 * 128 + number % len(PROXIES)]) + header[12:] + packet
            for header in headers()
            for number, packet in enumerate(asked[::7])
        ],
        "query": asked,
        "response": list(responses()),
        "flight": [
            made
            for packet in responses()
            for made in (
                b"\1" + packet[6:12] + packet[packet.index(0, 12) + 5 :],
                b"\0" + packet[2:],
            )
        ],
        "lists": [
            b"a.example\nB.Example\r\n\n  www.a.example \n",
            b"\xef\xbb\xbfa.b\na.b\n# comment\nxn--a.b\n1.2.3.4\n",
            b"a" * 64 + b".b\n" + b"a." * 126 + b"b\n_x.y-z.a1",
        ],
        "tables": [
            bytes([seed]) + b"".join(bytes((at, 0, at % 5, 0xFF, 0xFF, 0xFF)) for at in range(8))
            for seed in range(12)
        ],
    }


def main() -> None:
    """Write what is not there yet."""
    for target, inputs in seeds().items():
        folder = KEPT / target
        folder.mkdir(parents=True, exist_ok=True)
        for data in inputs:
            (folder / sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
