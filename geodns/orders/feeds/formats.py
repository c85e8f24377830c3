"""All formats that are read, and which of them a list is in."""

from __future__ import annotations

from geodns.orders.feeds import (
    cuii,
    czech,
    filters,
    hosts,
    mikrotik,
    plain,
    polish,
    rpz,
    russian,
    shield,
    ukraine,
)
from geodns.orders.feeds.row import FeedFault, Format

HEAD = 8192
"""Octets of a list that are looked at to tell its format."""

FORMATS: tuple[Format, ...] = (
    # What is marked beyond doubt comes first, and plain lists, which nearly anything is, last.
    polish.XML,
    polish.JSON,
    polish.TSV,
    shield.FORMAT,
    cuii.FORMAT,
    ukraine.FORMAT,
    czech.REGISTER,
    czech.URLS,
    russian.FORMAT,
    rpz.FORMAT,
    mikrotik.FORMAT,
    filters.ADBLOCK,
    filters.UBLACKLIST,
    plain.ANNEX,
    hosts.FORMAT,
    plain.ADDRESSES,
    plain.PLAIN,
)
NAMED = {format_.name: format_ for format_ in FORMATS}


def find_format(data: bytes) -> Format:
    """The format that a list's beginning shows. Raises FeedFault where it shows none."""
    refuse_foreign(data)
    head = data[:HEAD] if len(data) > HEAD else data + b"\n"
    for format_ in FORMATS:
        if format_.looks(head):
            return format_
    raise FeedFault(f"its format is not one of: {', '.join(sorted(NAMED))}")


def refuse_foreign(data: bytes) -> None:
    """Raise FeedFault for what is no list in any format: nothing, a web page, no text."""
    head = data[:HEAD].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head:
        raise FeedFault("it is empty")
    if head[:256].lower().startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise FeedFault("it is an HTML page, perhaps an error page, and no list")
    if b"\0" in head:
        raise FeedFault("it holds zero octets: it is no text")
