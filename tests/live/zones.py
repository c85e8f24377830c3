"""Zones with everything in them: all record types, strange names, long answers, signatures."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.live.servers import program
from tests.protocol.shown import TYPES

ZOO, SIGNED, SIGNED3, BOGUS = "zoo.example", "signed.example", "nsec3.example", "bogus.example"

RECORDS = {
    "A": "192.0.2.1",
    "AAAA": "2001:db8::1",
    "MX": "10 mail",
    "NS": "ns.elsewhere.example.",
    "TXT": '"one" "two; \\"three\\" \\200\\000"',
    "PTR": "Host.Zoo.example.",
    "HINFO": '"VAX" "VMS"',
    "RP": "admin text",
    "AFSDB": "1 afs",
    "X25": '"311061700956"',
    "ISDN": '"150862028003217" "004"',
    "RT": "10 relay",
    "PX": "10 map822 mapx400",
    "LOC": "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
    "SRV": "0 5 5060 sip",
    "NAPTR": '100 50 "s" "SIP+D2U" "" _sip._udp.srv',
    "KX": "10 kx",
    "CERT": "PKIX 0 0 AQIDBA==",
    "APL": "1:192.0.2.0/24 !2:2001:db8::/32",
    "DS": "60485 13 2 " + "ab" * 32,
    "SSHFP": "4 2 " + "cd" * 32,
    "IPSECKEY": "10 1 2 192.0.2.38 AQNRU3mG",
    "DHCID": "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
    "TLSA": "3 1 1 " + "ef" * 32,
    "SMIMEA": "3 0 1 " + "12" * 32,
    "OPENPGPKEY": "AQIDBAUG",
    "CSYNC": "66 3 A NS AAAA",
    "SVCB": "1 svc alpn=h2,h3 port=8443 ipv4hint=192.0.2.8",
    "HTTPS": "1 . alpn=h3 key65400=hello ech=AEX+DQ==",
    "SPF": '"v=spf1 -all"',
    "NID": "10 0014:4fff:ff20:ee64",
    "L32": "10 10.1.2.0",
    "L64": "10 2001:0db8:1140:1000",
    "LP": "10 l64-subnet1",
    "EUI48": "00-00-5e-00-53-2a",
    "EUI64": "00-00-5e-ef-10-00-00-2a",
    "URI": '10 1 "ftp://ftp.zoo.example/public"',
    "CAA": '0 issue "ca.example.net; account=230123"',
    "AVC": '"app-name:x"',
    "TYPE261": "\\# 8 07657874 65727232",
    "TYPE65280": "\\# 5 0102030405",
    "TYPE666": "\\# 0",
}
"""One record of each type, each at a name of its own; relative names are below the zone."""
NUMBERS = {text: number for number, text in TYPES.items()} | {
    "X25": 19, "ISDN": 20, "RT": 21, "PX": 26, "CERT": 37, "APL": 42, "IPSECKEY": 45,
    "DHCID": 49, "SMIMEA": 53, "CSYNC": 62, "SPF": 99, "NID": 104, "L32": 105, "L64": 106,
    "LP": 107, "EUI64": 109, "AVC": 258,
}  # fmt: skip

LONG = b"".join(bytes([63]) + b"%063d" % at for at in range(3)) + bytes([49]) + b"z" * 49
"""The labels of a name that has 255 octets in the zone ``zoo.example``."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: labels of the name in wire format with the root, type, a word on why."""

    name: bytes
    kind: int
    why: str


def labels(text: str) -> bytes:
    """A plain name in wire format."""
    parts = [part for part in text.split(".") if part]
    return b"".join(bytes([len(part)]) + part.encode() for part in parts) + b"\0"


def type_number(text: str) -> int:
    """The number of a type."""
    return int(text[4:]) if text.startswith("TYPE") else NUMBERS[text]


def zoo(zone: str = ZOO) -> str:
    """The text of a zone."""
    lines = [
        f"$ORIGIN {zone}.",
        "$TTL 300",
        "@ SOA ns admin 1 3600 600 86400 60",
        "@ NS ns",
        "ns A 127.0.0.1",
        "www A 192.0.2.1",
        "www AAAA 2001:db8::1",
        "upper.CASE A 192.0.2.9",
        "zero 0 A 192.0.2.2",
        "*.wild A 192.0.2.3",
        "*.wild TXT wild",
        "there.wild MX 5 www",
        "a.b.ent A 192.0.2.4",
        "c1 CNAME c2",
        "c2 CNAME c3",
        "c3 CNAME c4",
        "c4 CNAME c5",
        "c5 CNAME c6",
        "c6 CNAME www",
        "tonothing CNAME nothing.ent",
        "toempty CNAME b.ent",
        "towild CNAME x.y.wild",
        f"away CNAME www.{SIGNED}.",
        "dn DNAME target",
        "a.target A 192.0.2.5",
        "dot\\.ted A 192.0.2.6",
        "\\000\\001\\255\\032bin\\007 A 192.0.2.7",
        "sp\\ ace TXT space",
        "xn--bcher-kva A 192.0.2.8",
        "_sip._udp SRV 1 2 5060 www",
        f"{LONG[1:64].decode()}.{LONG[65:128].decode()}.{LONG[129:192].decode()}."
        f"{LONG[193:].decode()} A 192.0.2.10",
    ]
    lines += [
        f"t-{kind.lower()} {kind} {data}"
        for kind, data in RECORDS.items()
        if kind not in ("NS", "DS")
    ]
    lines += [f"t-ns NS {RECORDS['NS']}", f"t-ns DS {RECORDS['DS']}"]
    lines += [f"many A 192.0.2.{at}" for at in range(1, 61)]
    lines += [f"more A 198.51.{at // 250}.{1 + at % 250}" for at in range(400)]
    string = '"' + "x" * 250 + '"'
    lines += [f'huge TXT "{at:04d}" {" ".join([string] * 4)}' for at in range(59)]
    return "\n".join(lines) + "\n"


def questions(zone: str = ZOO) -> list[Question]:
    """What there is to ask of a zone."""
    end = labels(zone)
    asked = [
        Question(labels(f"t-{kind.lower()}.{zone}"), type_number(kind), kind)
        for kind in RECORDS
        if kind not in ("NS", "DS")
    ]
    for name, kind, why in (
        ("www", "A", "plain"),
        ("WwW", "AAAA", "letter case"),
        ("upper.case", "A", "letter case in the zone"),
        ("zero", "A", "TTL 0"),
        ("x.wild", "A", "wildcard"),
        ("x.y.wild", "TXT", "wildcard, two labels"),
        ("x.wild", "MX", "wildcard without the type"),
        ("there.wild", "A", "beside a wildcard"),
        ("b.ent", "A", "empty non-terminal"),
        ("www", "MX", "no data"),
        ("nothing", "A", "no such name"),
        ("a.b.c.nothing", "AAAA", "no such name, deep"),
        ("c1", "A", "chain of aliases"),
        ("c1", "AAAA", "chain of aliases"),
        ("c1", "MX", "chain to no data"),
        ("c1", "CNAME", "the alias itself"),
        ("tonothing", "A", "alias to no such name"),
        ("toempty", "A", "alias to an empty non-terminal"),
        ("towild", "A", "alias to a wildcard"),
        ("a.dn", "A", "DNAME"),
        ("x.dn", "A", "DNAME to no such name"),
        ("dn", "DNAME", "the DNAME itself"),
        ("xn--bcher-kva", "A", "IDN"),
        ("_sip._udp", "SRV", "underscores"),
        ("", "SOA", "apex"),
        ("", "NS", "apex"),
        ("", "DNSKEY", "keys"),
        ("", "TYPE4711", "apex, unknown type"),
        ("many", "A", "60 addresses"),
        ("more", "A", "400 addresses"),
        ("huge", "TXT", "60 KB"),
    ):
        asked.append(Question(labels(name)[:-1] + end, type_number(kind), why))
    asked += [
        Question(b"\x07dot.ted" + end, 1, "a dot in a label"),
        Question(b"\x08\0\x01\xff bin\x07" + end, 1, "binary label"),
        Question(b"\x06sp ace" + end, 16, "a space in a label"),
    ]
    if zone == ZOO:
        asked.append(Question(LONG + end, 1, "a name of 255 octets"))
    return asked


def write(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Write the zones, signed ones too where dnssec-signzone is installed.

    Returns files by zone, and the DS records (text) of the signed zones. The last zone has
    signatures that do not fit. The root is there so that other names do not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {".": folder / "root", ZOO: folder / ZOO}
    files["."].write_text(
        "$ORIGIN .\n@ 300 SOA ns.example admin.example 1 2 3 4 60\n@ 300 NS ns.example\n"
    )
    files[ZOO].write_text(zoo())
    if program("dnssec-signzone") is None or program("dnssec-keygen") is None:
        return files, []
    anchors = []
    for zone in (SIGNED, SIGNED3, BOGUS):
        path = folder / zone
        text = "\n".join(
            line
            for line in zoo(zone).splitlines()
            # Too long below this zone; a delegation; a type that dnssec-signzone writes by a
            # name that NSD does not know.
            if not line.startswith(("0" * 60, "t-ns", "t-type261"))
        )
        path.write_text(text + "\n")
        keys = folder / f"keys-{zone}"
        keys.mkdir(exist_ok=True)
        _run(["dnssec-keygen", "-q", "-K", str(keys), "-a", "ECDSAP256SHA256", "-f", "KSK", zone])
        _run(["dnssec-keygen", "-q", "-K", str(keys), "-a", "ECDSAP256SHA256", zone])
        more = ["-3", "-"] if zone == SIGNED3 else []
        _run(["dnssec-signzone", "-q", "-S", *more, "-K", str(keys), "-d", str(folder), "-o", zone,
              str(path)])  # fmt: skip
        signed = folder / f"{zone}.signed"
        if zone == BOGUS:
            signed.write_text(signed.read_text().replace("192.0.2.1\n", "192.0.2.111\n"))
        files[zone] = signed
        anchors += (folder / f"dsset-{zone}.").read_text().splitlines()
    return files, anchors


def _run(command: list[str]) -> None:
    path = program(command[0])
    assert path is not None
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
