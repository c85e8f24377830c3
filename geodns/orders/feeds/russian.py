"""Dumps of the Russian register: ``;``, Windows-1251, six columns, perhaps ``Updated:`` in front.

Columns: addresses and URLs (each with `` | `` between), a host between them, authority, number
of the decision, date. A row with URLs that have a path is about pages, and a row without host and
URL about addresses: neither is a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from urllib.parse import urlsplit

from geodns.orders.feeds.row import Format, Row, csv_lines, decoded


def rows(data: bytes) -> Iterator[Row]:
    """A row for each host, and for each address where an entry names nothing else."""
    encoding = "cp1251"
    if data.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8"
    for number, fields in csv_lines(decoded(data, encoding), ";"):
        if not any(fields) or fields[0].startswith("Updated:"):
            continue
        if len(fields) < 6:
            yield Row(number, ";".join(fields), wrong="unreadable")
            continue
        addresses, host, urls = (_parts(field) for field in fields[:3])
        try:
            listed = date.fromisoformat(fields[5].strip())
        except ValueError:
            listed = None
        yield from _entry(number, addresses, host, urls, listed)


def _entry(
    number: int, addresses: list[str], hosts: list[str], urls: list[str], listed: date | None
) -> Iterator[Row]:
    paged = [url for url in urls if _has_path(url)]
    for url in paged:
        yield Row(number, url, listed=listed, wrong="path")
    if hosts and len(paged) < max(1, len(urls)):
        for host in hosts:
            if host.startswith("*."):
                yield Row(number, host[2:], "below", listed)
            else:
                yield Row(number, host, "domain", listed)
    elif not hosts and not urls:
        for address in addresses:
            yield Row(number, address, listed=listed)


def _parts(field: str) -> list[str]:
    return [part.strip() for part in field.split(" | ") if part.strip()]


def _has_path(url: str) -> bool:
    try:
        split = urlsplit(url)
    except ValueError:
        return True
    return split.path not in ("", "/") or bool(split.query) or bool(split.fragment)


def _looks(head: bytes) -> bool:
    if head.startswith(b"Updated:"):
        return True
    first = head.partition(b"\n")[0]
    fields = first.split(b";")
    return len(fields) >= 6 and any(octet >= 0x80 for octet in fields[-3] + fields[-2])


FORMAT = Format("ru-register", "Russian register dump (CSV, CP1251)", _looks, rows, addresses=True)
