"""Czech lists: the finance ministry's register of gambling, and CSV files headed ``URL``.

The register is Windows-1250, ``;``, eight columns: kind, address, two about an app, a payment
account, reason, day listed, day deleted (both ``DD.MM.YYYY``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from geodns.orders.feeds.row import FeedFault, Format, Row, csv_lines, decoded

_WEBSITE = "Internetová stránka"


def register_rows(data: bytes) -> Iterator[Row]:
    """A row for each line of the register; apps and payment accounts are no names."""
    encoding = "utf-8" if _is_utf8(data) else "cp1250"
    for number, fields in csv_lines(decoded(data, encoding), ";"):
        if not any(fields) or fields[0].startswith("Objekt"):
            continue
        if len(fields) < 8:
            yield Row(number, ";".join(fields), wrong="unreadable")
            continue
        kind, address, app, *_ = (field.strip() for field in fields)
        listed, deleted = _day(fields[6]), _day(fields[7])
        if kind != _WEBSITE:
            shown = address or app or fields[4].strip()
            yield Row(number, f"{kind}: {shown}", listed=listed, wrong="wrong type")
        elif any(field.strip() and _day(field) is None for field in fields[6:8]):
            yield Row(number, ";".join(fields), wrong="unreadable")
        else:
            yield Row(number, address, "domain", listed, deleted)


def url_rows(data: bytes) -> Iterator[Row]:
    """A row for each line of a CSV file whose first column is ``URL``.

    A column with ``ZAPIS`` in its name is the day listed, one with ``VYMAZ`` the day deleted.
    """
    text = decoded(data, "utf-8" if _is_utf8(data) else "cp1250")
    head = text.partition("\n")[0]
    delimiter = max(",;", key=head.count)
    lines = csv_lines(text, delimiter)
    header = [field.strip().upper() for field in next(lines, (0, []))[1]]
    if not header or header[0] != "URL":
        raise FeedFault("line 1: the first column is not headed URL")
    listed_at = next((at for at, field in enumerate(header) if "ZAPIS" in field), None)
    deleted_at = next((at for at, field in enumerate(header) if "VYMAZ" in field), None)
    for number, fields in lines:
        if not any(fields):
            continue
        listed = _day(fields[listed_at]) if listed_at and listed_at < len(fields) else None
        deleted = _day(fields[deleted_at]) if deleted_at and deleted_at < len(fields) else None
        yield Row(number, fields[0].strip(), "domain", listed, deleted)


def _day(text: str) -> date | None:
    for form in ("%d.%m.%Y", "%Y-%m-%d"):
        try:
            return datetime.strptime(text.strip(), form).date()
        except ValueError:
            continue
    return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


REGISTER = Format(
    "cz-mfcr",
    "Czech finance ministry: register of gambling (CSV, CP1250)",
    lambda head: head.removeprefix(b"\xef\xbb\xbf").startswith(b"Objekt blokace;"),
    register_rows,
)
URLS = Format(
    "csv-url",
    "CSV whose first column is headed URL (Czech food inspectorate, sanctions)",
    lambda head: (
        head.removeprefix(b"\xef\xbb\xbf")[:5].upper().strip(b'"') in (b"URL,D", b"URL;R")
        or head.removeprefix(b"\xef\xbb\xbf").lstrip(b'"')[:3].upper() == b"URL"
    ),
    url_rows,
)
