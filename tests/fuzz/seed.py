"""Write the first inputs of the kept corpus: ``python -m tests.fuzz.seed``.

They are valid things of each kind; what the fuzzer found since stands beside them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256

from tests.fastpath.twins import PEERS, SUBNETS, row
from tests.fuzz.run import KEPT
from tests.policy.making import wire
from tests.scenarios.asking import build, ecs_option, opt, option


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


def seeds() -> dict[str, list[bytes]]:
    """The inputs of each target."""
    asked = list(packets())
    return {
        "answer": [
            bytes([at * 128 + peer]) + packet
            for number, packet in enumerate(asked)
            for at in (0, 1)
            for peer in {number % len(PEERS), 1}
        ],
        "query": asked,
        "response": list(responses()),
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
