"""What every format gives: rows, each with where it stands and what it says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import date
from io import StringIO
from itertools import islice
from typing import Any, Literal, NamedTuple

Kind = Literal["domain", "exact", "below"]
"""What a name in a list stands for, in the words of order files: the name and all below it,
the name alone, or only what is below it."""

Reason = Literal[
    "path",
    "port",
    "address",
    "not a name",
    "public suffix",
    "duplicate",
    "deleted",
    "wrong type",
    "unreadable",
]
"""Why a row is not taken over."""


class Row(NamedTuple):
    """One row of a list.

    where: line, or number of the record, from 1 on. text: the entry as it stands. kind: what
    a name in it stands for by the format's own rules. listed: when the list says it was
    entered. deleted: from when on it is no longer listed. wrong: why the format itself says
    that the row is not for name servers.
    """

    where: int
    text: str
    kind: Kind = "domain"
    listed: date | None = None
    deleted: date | None = None
    wrong: Reason | None = None


class Format(NamedTuple):
    """A list format.

    name: as in a ``[[feeds]]`` table. about: one line for people. looks(head): whether the
    first octets of a list look like it. rows(data): the list's rows; raises FeedFault.
    addresses: whether addresses in it are targets, and not strays.
    """

    name: str
    about: str
    looks: Callable[[bytes], bool]
    rows: Callable[[bytes], Iterator[Row]]
    addresses: bool = False


class FeedFault(ValueError):
    """A list that cannot be what it is said to be; the message says where and why."""


def text_lines(data: bytes, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """The lines of a text that hold something, numbered from 1, without blanks around them.

    A byte order mark is skipped. Raises FeedFault where the text is not in the encoding.
    """
    text = decoded(data, encoding)
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped:
            yield number, stripped


def decoded(data: bytes, encoding: str = "utf-8") -> str:
    """The text, without a byte order mark. Raises FeedFault that names line and octet."""
    if data.startswith(b"\xef\xbb\xbf"):
        data, encoding = data[3:], "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        octet = data[error.start]
        raise FeedFault(f"line {line}: octet 0x{octet:02x} is not {encoding.upper()}") from None


def csv_lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file (RFC 4180), each with the number of its last line.

    Raises FeedFault where a quote is never closed: all rows behind it would be one.
    """
    lines = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    begins = ends = 0
    try:
        for fields in lines:
            begins, ends = ends, lines.line_num
            yield ends, fields
        if ends - begins > 1:
            # Only a strict reader minds that the text is over before the quote is.
            last = islice(StringIO(text, newline=""), begins, ends)
            for _ in csv.reader(last, delimiter=delimiter, strict=True):
                pass
    except csv.Error as error:
        # While rows are read the broken one begins behind the last; else it is the last.
        line = 1 + (begins if lines.line_num == ends else ends)
        raise FeedFault(f"line {line}: a row from here on is no CSV: {error}") from None


def json_document(data: bytes) -> Any:
    """The list as one JSON document. Raises FeedFault where it is none, or none to be read."""
    text = decoded(data)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FeedFault(f"line {error.lineno}: it is no whole JSON document: {error.msg}") from None
    except RecursionError:
        raise FeedFault("it is nested too deeply to be a list") from None
    except ValueError as error:
        raise FeedFault(f"it is no JSON document that can be read: {error}") from None


def head_lines(head: bytes) -> list[bytes]:
    """The first lines that hold something and are no comments, without blanks around them."""
    lines = [line.strip() for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:-1]]
    return [line for line in lines if line and line[:1] not in (b"#", b"!", b";")][:20]


def mostly(lines: list[bytes], holds: Callable[[bytes], object]) -> bool:
    """Whether something holds of three lines in four: every list has its stray rows."""
    return bool(lines) and 4 * sum(bool(holds(line)) for line in lines) >= 3 * len(lines)
