"""The official lists of the day: six countries, two editions each, and a plain reading of them.

The plain readings share nothing with the importers that they are held against.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES = {
    "IT": "it-agcom-2023-09-25.hosts",
    "DE": "de-cuii-2024-08-29.json",
    "CZ": "cz-mfcr-gambling-2026-08-18.original.csv",
    "EE": "ee-mta-gambling-2025-09-03.txt",
    "UA": "ua-ncu-orders-1734-3300.json.gz",
    "TR": "tr-usom-2022-11-27.urls.txt.gz",
}
"""What real lists are called in the folder that ``--lists`` names."""
ERROR_PAGE = b"<!DOCTYPE html>\n<html><title>503</title><h1>Service Unavailable</h1></html>\n"
HUGE = ("docs.google.com", "s3.amazonaws.com")
"""What a list must not block unseen: a service of millions, and a suffix of many others' names."""


@dataclass(frozen=True)
class Official:
    """A list. first, second: its editions. plain: the names that an edition means, read plainly."""

    place: str
    ident: str
    title: str
    authority: str
    format: str
    first: bytes
    second: bytes
    plain: Callable[[bytes], set[str]]

    @property
    def order(self) -> str:
        """The text of the order file, but for the address of the list."""
        return (
            f'id = "{self.ident}"\ntitle = "{self.title}"\nstatus = "active"\n'
            'sources = ["the authority\'s own list"]\n'
            f'[authority]\nname = "{self.authority}"\nkind = "regulator"\nreference = "list"\n'
            "[dates]\neffective = 2020-01-01\nreview = 2035-01-01\n"
            f'[disclosure]\ntext = "Blocked by {self.authority}."\n'
            f'[[feeds]]\nurl = "{{url}}"\nformat = "{self.format}"\nrefresh = "1d"\n'
        )


def plain_hosts(data: bytes) -> set[str]:
    lines = data.decode("utf-8-sig").lower().splitlines()
    return {line.split()[1] for line in lines if len(line.split()) > 1}


def plain_cuii(data: bytes) -> set[str]:
    return {row["domain"].lower() for row in json.loads(data)["list"]}


def plain_czech(data: bytes) -> set[str]:
    rows = csv.reader(io.StringIO(data.decode("cp1250"), newline=""), delimiter=";")
    named = (row for row in rows if len(row) == 8 and row[0] == "Internetová stránka")
    return {row[1].strip().lower().rstrip(".") for row in named if not row[7].strip()}


def plain_lines(data: bytes) -> set[str]:
    return {line.strip().lower() for line in data.decode().splitlines() if line.strip()}


def plain_ukraine(data: bytes) -> set[str]:
    """What is still ordered: in the order of their numbers, orders add names and take them away."""
    standing: set[str] = set()
    orders = json.loads(data)["orders"]
    for order in sorted(orders, key=lambda each: int(each["number"].split("/")[1])):
        named = {
            line.strip().lower().split("://")[-1].rstrip("/")
            for attachment in order["attachments"]
            for line in attachment["lines"]
            if line.strip()
        }
        if order["action"] == "unblock":
            standing -= named
        elif order["action"] != "unknown":
            standing |= named
    return standing


def lifted(data: bytes) -> set[str]:
    """What some order of Ukraine lifted and none has ordered again."""
    named = {
        line.strip().lower().split("://")[-1].rstrip("/")
        for order in json.loads(data)["orders"]
        if order["action"] == "unblock"
        for attachment in order["attachments"]
        for line in attachment["lines"]
        if line.strip()
    }
    return named - plain_ukraine(data)


def real(folder: Path) -> list[Official]:
    """The lists of a folder (FILES), which may also lie in a folder below it."""

    def read(place: str) -> bytes:
        found = sorted(folder.rglob(FILES[place]))
        if not found:
            raise SystemExit(f"{folder}: has no {FILES[place]}")
        data = found[0].read_bytes()
        return gzip.decompress(data) if found[0].suffix == ".gz" else data

    return _editions({place: read(place) for place in FILES})


def made() -> list[Official]:
    """Small lists of our own making, of the same formats and with the same faults."""
    names = {
        place: [f"{word}{number}.{place.lower()}.example" for number in range(30)]
        for place, word in zip(
            FILES, ("film", "stream", "casino", "bet", "news", "bank"), strict=True
        )
    }
    czech = io.StringIO(newline="")
    writer = csv.writer(czech, delimiter=";", lineterminator="\r\n")
    writer.writerow(("Objekt blokace", "Adresa internetové stránky", *"abcd", "zápis", "výmaz"))
    for name in names["CZ"]:
        writer.writerow(("Internetová stránka", name, "", "", "", "§ 84a", "26.07.2017", ""))
    writer.writerow(("Platební účet", "", "", "", "1/0800", "§ 84b", "26.07.2017", ""))
    writer.writerow(("Internetová stránka", "off.cz.example", *[""] * 4, "1.1.2018", "1.1.2020"))
    orders = [
        _ukrainian(1800, "block", names["UA"][:20]),
        _ukrainian(1801, "unblock", names["UA"][:3]),
        _ukrainian(1802, "block", [*names["UA"][20:], names["UA"][0]]),
    ]
    return _editions(
        {
            "IT": ("\ufeff" + "".join(f"127.0.0.1 {name} \n" for name in names["IT"])).encode(),
            "DE": json.dumps(
                {
                    "date": "2026-01-01 10:00:00",
                    "list": [{"domain": name, "site": None} for name in names["DE"]],
                }
            ).encode(),
            "CZ": czech.getvalue().encode("cp1250"),
            "EE": "\n".join(names["EE"]).encode(),
            "UA": json.dumps({"authority": {"NCU": "NCU"}, "orders": orders}).encode(),
            "TR": "\n".join([*names["TR"], "page.tr.example/login", "tr.example:8080"]).encode(),
        }
    )


def _ukrainian(number: int, action: str, names: list[str]) -> dict[str, Any]:
    lines = [f"https://{name}/" for name in names]
    return {"number": f"1/{number}", "action": action, "attachments": [{"lines": lines}]}


def _editions(lists: dict[str, bytes]) -> list[Official]:
    italian, turkish = lists["IT"].splitlines(keepends=True), lists["TR"].splitlines(keepends=True)
    ukrainian = json.loads(lists["UA"])
    blocking = [order for order in ukrainian["orders"] if order["action"] != "unblock"]
    before = json.dumps({**ukrainian, "orders": blocking}, ensure_ascii=False).encode()
    row = "Internetová stránka;{};;;;§ 84a odst. 2 písm. a) ZHH;28.11.2026;\r\n"
    added = "".join(row.format(name) for name in (*HUGE, "new-today.cz.example")).encode("cp1250")
    czech = lists["CZ"].removesuffix(b"\r\n") + b"\r\n" + added
    return list(
        _named(
            {
                # A third is left of it, as when a publisher's job breaks off.
                "IT": (lists["IT"], b"".join(italian[: len(italian) // 3])),
                "DE": (lists["DE"], ERROR_PAGE),
                "CZ": (lists["CZ"], czech),
                "EE": (lists["EE"], lists["EE"]),
                "UA": (before, json.dumps(ukrainian, ensure_ascii=False).encode()),
                "TR": (b"".join(turkish[:-5]), lists["TR"]),
            }
        )
    )


def _named(editions: dict[str, tuple[bytes, bytes]]) -> Iterator[Official]:
    for place, ident, title, authority, format_, plain in (
        ("IT", "it-agcom", "Copyright list", "AGCOM", "hosts", plain_hosts),
        ("DE", "de-cuii", "Copyright list", "CUII", "de-cuii", plain_cuii),
        ("CZ", "cz-mfcr", "Gambling register", "Ministry of Finance", "cz-mfcr", plain_czech),
        ("EE", "ee-mta", "Gambling list", "Tax and Customs Board", "plain", plain_lines),
        ("UA", "ua-ncu", "Orders under martial law", "NCU", "ua-orders", plain_ukraine),
        ("TR", "tr-usom", "Phishing list", "USOM", "plain", plain_lines),
    ):
        yield Official(place, ident, title, authority, format_, *editions[place], plain)
