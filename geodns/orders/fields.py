"""The kinds of values in an order file: each checked where it is read, in words for people."""

from __future__ import annotations

from datetime import date, datetime
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from geodns.model.language import parse_language
from geodns.model.place import parse_place

SLUG = "^[a-z0-9]+(?:-[a-z0-9]+)*$"
MAX_ID = 100
MAX_TTL = 86400
MAX_TEXT = 2000
FIRST_YEAR, LAST_YEAR = 1900, 9998
"""Years of a date: those that can be told in every time zone."""


def _one_line(value: str) -> str:
    value = value.strip()
    if len(value) > MAX_TEXT:
        raise ValueError(f"is {len(value)} characters long; {MAX_TEXT} are the most")
    if not value:
        raise ValueError("is empty; leave the key out if there is nothing to say")
    if any(ord(ch) < 0x20 or 0x7F <= ord(ch) <= 0x9F for ch in value):
        raise ValueError("holds a line break or another control character; write one line")
    return value


def _link(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or any(ch.isspace() for ch in value):
        raise ValueError(f"{value!r} is no web address; write https://...")
    return value


def _contact(value: str) -> str:
    scheme, _, rest = value.partition(":")
    if scheme.lower() not in ("mailto", "tel") or not rest or any(ch.isspace() for ch in value):
        raise ValueError(f"{value!r} is no contact; write mailto:... or tel:...")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (LookupError, OSError, ValueError):
        raise ValueError(f"{value!r} is no IANA time zone; write one such as Europe/Rome") from None
    return value


def _moment(value: object) -> object:
    """Accept what TOML calls a local date or an offset date-time, and nothing else."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"{value.isoformat()} has no offset from UTC; add one (+02:00, Z) or give the"
                " date only"
            )
    elif not isinstance(value, date):
        raise ValueError(f"{value!r} is no date; write it without quotes, as 2024-05-31")
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"{value.isoformat()} is not between {FIRST_YEAR} and {LAST_YEAR}")
    return value


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is no IPv4 or IPv6 address") from None


def _feed_format(value: str) -> str:
    from geodns.orders.feeds.formats import NAMED

    if value not in NAMED:
        raise ValueError(f"{value!r} is no list format; there are: {', '.join(sorted(NAMED))}")
    return value


def _day(value: object) -> object:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError(f"{value!r} is no date; write it without quotes, as 2024-05-31")
    return value


Day = Annotated[date, BeforeValidator(_day)]
Text = Annotated[str, AfterValidator(_one_line)]
Link = Annotated[str, AfterValidator(_one_line), AfterValidator(_link)]
Place = Annotated[str, AfterValidator(parse_place)]
Moment = Annotated[
    date | datetime,
    BeforeValidator(_moment),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
    ),
]
Language = Annotated[str, AfterValidator(parse_language)]
OrderId = Annotated[str, Field(pattern=SLUG, max_length=MAX_ID)]
Contact = Annotated[Text, AfterValidator(_contact)]
TimeZone = Annotated[str, AfterValidator(_timezone)]
Address = Annotated[str, AfterValidator(_address)]
FeedFormat = Annotated[str, AfterValidator(_feed_format)]


class Section(BaseModel):
    """A section of an order file: immutable, unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)
