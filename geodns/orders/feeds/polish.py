"""Polish registers: gambling (XML of the ministry of finance) and CERT.PL's warning list.

Times are local to Warsaw and have no zone; only their day is used here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any
from xml.etree import ElementTree

from geodns.orders.feeds.row import (
    FeedFault,
    Format,
    Row,
    csv_lines,
    decoded,
    head_lines,
    json_document,
)

NAMESPACE = "http://www.hazard.mf.gov.pl/2017/03/21/"


def xml_rows(data: bytes) -> Iterator[Row]:
    """A row for each ``PozycjaRejestru``; ``DataWykreslenia`` is when it was deleted."""
    # Neither is of any use in a list, and both are how an XML file attacks its reader.
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise FeedFault("it declares a document type or entities, which no register does")
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise FeedFault(f"it is no whole XML document: {error}") from None
    if _local(root.tag) != "Rejestr":
        raise FeedFault(f"its root is {_local(root.tag)!r}, not 'Rejestr'")
    for count, item in enumerate(root, 1):
        if _local(item.tag) != "PozycjaRejestru":
            continue
        number = item.get("Lp", "")
        where = int(number) if number.isdecimal() and len(number) < 10 else count
        fields = {_local(child.tag): (child.text or "").strip() for child in item}
        yield _entry(where, fields, "AdresDomeny", "DataWpisu", "DataWykreslenia")


def json_rows(data: bytes) -> Iterator[Row]:
    """A row for each object of CERT.PL's JSON list."""
    found = json_document(data)
    if not isinstance(found, list):
        raise FeedFault("it is not a JSON list")
    for count, item in enumerate(found, 1):
        if isinstance(item, Mapping):
            number = item.get("RegisterPositionId")
            yield _entry(number if isinstance(number, int) else count, item, *_CERT)
        else:
            yield Row(count, str(item), wrong="unreadable")


def tsv_rows(data: bytes) -> Iterator[Row]:
    """A row for each line of CERT.PL's table with tabs; its heading names the columns."""
    lines = csv_lines(decoded(data), "\t")
    names = next(lines, (0, []))[1]
    address = next((name for name in names if name in ("DomainAddress", "AdresDomeny")), None)
    if address is None:
        raise FeedFault("line 1: no column is headed DomainAddress or AdresDomeny")
    entered = "InsertDate" if "InsertDate" in names else "DataWpisu"
    deleted = "DeleteDate" if "DeleteDate" in names else "DataWykreslenia"
    for number, fields in lines:
        if fields:
            row = dict(zip(names, fields, strict=False))
            yield _entry(number, row, address, entered, deleted)


_CERT = "DomainAddress", "InsertDate", "DeleteDate"


def _entry(where: int, fields: Mapping[str, Any], address: str, entered: str, deleted: str) -> Row:
    name = fields.get(address)
    if not isinstance(name, str) or not name.strip():
        return Row(where, str(dict(fields)), wrong="unreadable")
    listed, gone = _day(fields.get(entered)), _day(fields.get(deleted))
    if gone is None and str(fields.get(deleted) or "").strip():
        return Row(where, f"{name} ({deleted} {fields[deleted]})", wrong="unreadable")
    return Row(where, name.strip(), "domain", listed, gone)


def _day(value: object) -> date | None:
    text = str(value or "").strip()
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        return None


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _looks_xml(head: bytes) -> bool:
    return NAMESPACE.encode() in head or (
        head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"Rejestr" in head
    )


def _looks_tsv(head: bytes) -> bool:
    lines = head_lines(head)
    return (
        bool(lines)
        and b"\t" in lines[0]
        and b"DomainAddress" in lines[0]
        or (bool(lines) and b"\t" in lines[0] and b"AdresDomeny" in lines[0])
    )


XML = Format("pl-hazard", "Polish register of gambling (XML)", _looks_xml, xml_rows)
JSON = Format(
    "pl-cert-json",
    "CERT.PL warning list (JSON)",
    lambda head: head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") and b"DomainAddress" in head,
    json_rows,
)
TSV = Format("pl-cert-tsv", "CERT.PL warning list (TSV)", _looks_tsv, tsv_rows)
