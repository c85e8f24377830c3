"""Answers to questions -> the text of an order file that says in comments what each key means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from textwrap import wrap

from geodns.orders.fields import MAX_ID

Value = str | int | date | Sequence[str]
"""What an order file can say: text, a whole number, a date or an aware date-time, texts."""

WIDE = 88
"""Characters of a comment's line, and of a list that stands on one line."""
_NAMELESS = frozenset(
    (
        *("authority", "commission", "communications", "corte", "court", "courts", "cour", "de"),
        *("del", "della", "der", "des", "di", "do", "du", "et", "for", "gericht", "high", "il"),
        *("in", "judiciaire", "justice", "la", "landgericht", "le", "les", "ministry", "national"),
        *("of", "office", "ordinario", "per", "regional", "sad", "supreme", "the", "tribunal"),
        *("tribunale", "und", "zum", "zur"),
    )
)
"""Words of an authority's name that say little in an id."""


@dataclass(frozen=True, slots=True)
class Row:
    """A key: what it means, and an example as TOML for where it is not set."""

    key: str
    means: str
    example: str


@dataclass(frozen=True, slots=True)
class Part:
    """A table of the file with its keys; ``optional`` ones are written as examples if unset."""

    name: str
    means: str
    rows: tuple[Row, ...]
    optional: bool = False


PARTS = (
    Part(
        "",
        "",
        (
            Row(
                "id", "The name of this file without .toml; it never changes.", '"it-example-2026"'
            ),
            Row("title", "What the order is, in a few words.", '"Court, A v B, one site"'),
            Row(
                "jurisdiction",
                "Where it has force: countries, parts of countries, or networks. IT alone is Italy"
                " without San Marino; nothing is implied.",
                '["IT", "SM"]',
            ),
            Row(
                "global_reason",
                'Only with jurisdiction = "global": why it has force everywhere.',
                '"The court says so in paragraph 7."',
            ),
            Row("except", "Places that are carved out of it.", '["SM", "AS64496"]'),
            Row(
                "status",
                "draft: only checked. shadow: counted, and nothing is blocked. active: blocks.\n"
                "suspended, lifted: no force, kept for the record.",
                '"draft"',
            ),
            Row("legal_basis", "The law or contract that it rests on.", '"Copyright Act, s. 97A"'),
            Row("timezone", "The time zone in which the dates below begin.", '"Europe/Rome"'),
            Row(
                "on_unknown",
                "Whether it blocks for somebody whose place is not known: allow or block.",
                '"allow"',
            ),
            Row(
                "on_stale",
                "Whether it still blocks if the database of places is old: keep or allow.",
                '"keep"',
            ),
            Row("supersedes", "Orders that this one takes the place of.", '["it-example-2020"]'),
            Row("sources", "Where the facts of this file are from.", '["the judgment itself"]'),
            Row("unverified", "What could not be verified.", '["the date of service"]'),
        ),
    ),
    Part(
        "authority",
        "Who ordered it.",
        (
            Row("name", "Its name, in its own language.", '"Tribunale di Esempio"'),
            Row(
                "kind",
                "court, regulator, police, self-regulation (a body of the industry) or operator.",
                '"court"',
            ),
            Row("place", "Its place; always the folder's.", '"IT"'),
            Row("reference", "Its own number of the order.", '"R.G. 123/2026"'),
            Row("url", "Where the order can be read.", '"https://court.example/123"'),
        ),
    ),
    Part(
        "dates",
        "When. No quotes. A date begins at 00:00; a time needs its offset from UTC.",
        (
            Row("issued", "When the authority decided.", "2026-05-31"),
            Row("effective", "The first instant with force.", "2026-06-03"),
            Row("deadline", "Until when it had to be carried out.", "2026-06-03T18:00:00+02:00"),
            Row("expires", "The first instant without force.", "2028-06-03"),
            Row("review", "When somebody must look at it again.", "2027-06-03"),
        ),
    ),
    Part(
        "targets",
        "What is blocked.",
        (
            Row("domains", "Each of these names, and all names below it.", '["blocked.example"]'),
            Row("exact", "These names only, not what is below.", '["www.shared.example"]'),
            Row("below", "What is below these names, not the names.", '["hosting.example"]'),
            Row("networks", "Any name that leads to such an address.", '["203.0.113.0/24"]'),
            Row("exempt", "Carved out of this order, with all below.", '["press.blocked.example"]'),
            Row("files", "Lists beside this file: one name a line.", '["it-example.domains.txt"]'),
        ),
    ),
    Part(
        "feeds",
        "A list of the authority that is fetched again and again (docs/feeds.md).",
        (
            Row("url", "Where it is fetched.", '"https://authority.example/list.csv"'),
            Row("refresh", "How often: a number and m, h or d.", '"1d"'),
        ),
        optional=True,
    ),
    Part(
        "events",
        "What happened since, one table each: suspend, resume, lift, lift-targets, amend-end.",
        (
            Row("kind", "What happens.", '"suspend"'),
            Row("at", "When it happens; the server does it by itself.", "2026-09-01"),
            Row("reason", "Why.", '"Stayed by the court of appeal."'),
            Row("source", "Where that is from.", '"notice of 28 August 2026"'),
        ),
        optional=True,
    ),
    Part(
        "acknowledge",
        "A target that is held comes into force by such a table (docs/guard.md).",
        (
            Row("target", "The name or network.", '"shared.example"'),
            Row("finding", "What the check calls it.", '"platform"'),
            Row("by", "Who has looked.", '"A. Person, legal"'),
            Row("reason", "Why it is meant.", '"The order names it, on page 3."'),
            Row("date", "When.", "2026-06-02"),
        ),
        optional=True,
    ),
    Part(
        "response",
        "What somebody gets who asks for a blocked name.",
        (
            Row(
                "action",
                "nxdomain: there is no such name. nodata: it has no address. refused: no answer.\n"
                "sinkhole: the addresses below.",
                '"nxdomain"',
            ),
            Row("addresses", "Only with sinkhole.", '["192.0.2.1", "2001:db8::1"]'),
            Row("ttl", "For how many seconds an answer holds.", "60"),
        ),
    ),
    Part(
        "disclosure",
        "What is told to the public.",
        (
            Row("text", "One plain sentence.", '"Blocked in Italy by order of a court."'),
            Row("language", "Its language.", '"en"'),
            Row("contact", "Whom a blocked person can ask.", '["mailto:orders@resolver.example"]'),
            Row("url", "A page about the order.", '"https://resolver.example/orders/1"'),
            Row("incident", "Its entry in a public database.", '{ db = "lumen", id = "1" }'),
        ),
    ),
    Part(
        "disclosure.translations.it",
        "The same sentence in another language.",
        (Row("text", "", '"Bloccato in Italia per ordine del tribunale."'),),
        optional=True,
    ),
)
"""All parts of the file, in the order of docs/orders.md. Events, acknowledgements and
translations are never written but as examples: they come later."""

KEYS = frozenset(
    f"{part.name}.{row.key}" if part.name else row.key
    for part in PARTS
    for row in part.rows
    if not part.optional
) | {"feeds"}
"""What can be answered: dotted keys, and ``feeds``, the addresses of lists to fetch."""


def write_draft(answers: Mapping[str, Value]) -> str:
    """The text of an order file. answers: by dotted key; what is missing is left as an example.

    Values are written as they are: whether they are right is for read_order to say. Raises
    ValueError for a key that is none, and for text that is no Unicode.
    """
    unknown = answers.keys() - KEYS
    if unknown:
        raise ValueError(f"no key of an order file: {', '.join(sorted(unknown))}")
    lines = [
        "# An order to block names. Lines that begin with # are comments; a key right behind a #",
        "# is an example, and means nothing until the # is taken away. All keys: docs/orders.md",
    ]
    for part in PARTS:
        lines += _part(part, answers)
    return "\n".join(lines) + "\n"


def _part(part: Part, answers: Mapping[str, Value]) -> Iterator[str]:
    if not part.optional:
        if part.name:
            yield from ("", f"# {part.means}", f"[{part.name}]")
        for row in part.rows:
            key = f"{part.name}.{row.key}" if part.name else row.key
            yield from _row(row, answers.get(key))
        return
    yield from ("", f"# {part.means}")
    head = f"[{part.name}]" if "." in part.name else f"[[{part.name}]]"
    urls = answers.get(part.name, ())
    assert not isinstance(urls, int | date | str)
    for url in urls:
        yield from (head, f"url = {_toml(url)}", "")
    if not urls:
        yield f"#{head}"
        for row in part.rows:
            told = f"  # {row.means}" if row.means else ""
            yield f"#{row.key} = {row.example}{told}"


def _row(row: Row, value: Value | None) -> Iterator[str]:
    yield ""
    for line in row.means.split("\n"):
        yield from (f"# {each}" for each in wrap(line, WIDE))
    if value is None:
        yield f"#{row.key} = {row.example}"
    elif isinstance(value, str | int | date):
        yield f"{row.key} = {_toml(value)}"
    else:
        items = [_toml(item) for item in value]
        line = f"{row.key} = [{', '.join(items)}]"
        if len(line) <= WIDE:
            yield line
        else:
            yield f"{row.key} = ["
            yield from (f"    {item}," for item in items)
            yield "]"


def _toml(value: str | int | date) -> str:
    if isinstance(value, str):
        return f'"{"".join(map(_escape, value))}"'
    if isinstance(value, date):
        return value.isoformat()  # RFC 3339 where a time has an offset in whole minutes
    return str(value)


def _escape(char: str) -> str:
    """A character of a basic string; what cannot be seen is written so that it can."""
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError("holds octets that are no UTF-8 text")
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def propose_id(
    place: str, authority: str, when: date, reference: str, taken: Collection[str]
) -> str:
    """An id for an order: place, authority, year and, if there is one, the authority's number.

    taken: ids that are in use; a number is put behind what would be one of them.
    """
    words = _words(authority)
    telling = [word for word in words if word not in _NAMELESS] or words
    number_words = [word for word in _words(reference) if len(word) > 1 or word.isdigit()]
    parts = [*_words(place), *telling[:2], str(when.year), *number_words[:4]]
    # The year is often a part of the number too.
    parts = [word for at, word in enumerate(parts) if word not in parts[:at]]
    ident = "-".join(parts)[: MAX_ID - 5].strip("-")
    number = 2
    found = ident
    while found in taken:
        found, number = f"{ident}-{number}", number + 1
    return found


def _words(text: str) -> list[str]:
    """Words of lower-case ASCII letters and digits: ``Højesteret 2/26`` is hojesteret, 2, 26."""
    # These are no letters with a mark, which NFKD would take off.
    for letter, plain in (("ø", "o"), ("ł", "l"), ("ß", "ss"), ("æ", "ae"), ("đ", "d")):
        text = text.replace(letter, plain).replace(letter.upper(), plain)
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.findall(r"[a-z0-9]+", ascii_text)
