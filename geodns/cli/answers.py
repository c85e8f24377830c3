"""A text becomes an answer to a question, or is refused with the reason.

An answer is right if the order file that it makes is: read_order is asked, and what it says of
that key is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from geodns.cli.questions import LIST, PLACE, Question
from geodns.model.place import PlaceFault, kind, parse_place
from geodns.orders.draft import Value, write_draft
from geodns.orders.read import read_order
from geodns.orders.scan import read_settled
from geodns.orders.targets import read_list

CHOICES = frozenset(("authority.kind", "response.action", "status"))
_STAND_IN = b"blocked.example\n"
"""What list files hold while other answers are checked."""


def read_answer(question: Question, text: str, answers: Mapping[str, Value]) -> Value:
    """The value of a text, checked. Raises ValueError with what is wrong."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds octets that are no UTF-8 text") from None
    value = _value(question, text.strip(), answers)
    told = fault_of(question.key, value, answers)
    if told is not None:
        raise ValueError(told)
    return value


def _value(question: Question, text: str, answers: Mapping[str, Value]) -> Value:
    match question.sort:
        case "place":
            return _place(text)
        case "list":
            return text
        case "moment":
            zone = answers.get("timezone")
            return read_moment(text, None if zone is None else ZoneInfo(str(zone)))
        case "lines":
            if not text:
                raise ValueError("is empty; leave it out if there is nothing to say")
            return tuple(line.strip() for line in text.split("\n") if line.strip())
        case "names":
            found = tuple(re.split(r"[\s,]+", text.strip(", \t\n")))
            return "global" if question.key == "jurisdiction" and found == ("global",) else found
        case _:
            # Words of a fixed list are known in capitals, too.
            return text.lower() if question.key in CHOICES else text


def _place(text: str) -> str:
    try:
        place = parse_place(text)
    except PlaceFault as fault:
        raise ValueError(str(fault)) from None
    if kind(place) == "asn":
        raise ValueError(f"{text!r} is a network, not an authority's place")
    return place


def read_moment(text: str, zone: ZoneInfo | None) -> date:
    """A day, or a time with an offset or else in a zone. Raises ValueError."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        told = f"{text!r} is no date; write 2026-05-31, or 2026-05-31 14:30"
        raise ValueError(f"{told}{_turned(text)}") from None
    if found.tzinfo is None:
        if zone is None:
            raise ValueError(f"{text!r} is a time in no time zone; add its offset from UTC")
        early, late = (found.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
        if early.utcoffset() != late.utcoffset():
            told = (
                f"clocks change then in {zone.key}: {text!r} comes twice or never; add the offset"
            )
            raise ValueError(told)
        found = datetime.fromisoformat(early.isoformat())
    offset = found.utcoffset()
    assert offset is not None
    if offset.seconds % 60 or offset.microseconds:
        raise ValueError(f"{text!r} has an offset that is not in whole minutes")
    return found


def _turned(text: str) -> str:
    """What a date with the day first would be."""
    found = re.fullmatch(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})", text)
    if found is None:
        return ""
    day, month, year = map(int, found.groups())
    try:
        return f"; did you mean {date(year, month, day).isoformat()}?"
    except ValueError:
        return ""


def fault_of(key: str, value: Value, answers: Mapping[str, Value]) -> str | None:
    """What is wrong with one answer, as the order file's own reader says it."""
    if key == PLACE:
        return None
    if key == LIST:
        return _list_fault(str(value))
    trial = {**answers, key: value}
    place = str(trial.get(PLACE, "XK"))
    ident = str(trial.setdefault("id", "draft"))
    text = write_draft({name: one for name, one in trial.items() if name not in (PLACE, LIST)})
    reading = read_order(f"{place}/{ident}.toml", place, text.encode(), _stand_in)
    # What was answered before was right; so a fault of it comes from this answer.
    for fault in reading.faults:
        field = fault.field or ""
        for one in (key, *trial):
            if field == one or field.startswith(f"{one}."):
                return fault.message if one == key else f"{field}: {fault.message}"
    return None


def _stand_in(name: str) -> bytes:
    if name.startswith("feed:"):
        raise FileNotFoundError(name)
    return _STAND_IN


def _list_fault(path: str) -> str | None:
    try:
        found = read_list(read_list_file(path))
    except OSError as error:
        return f"{path!r} cannot be read: {error.strerror or error}"
    if found.bad:
        line, told = found.bad[0]
        more = f" (and {len(found.bad) - 1} more)" if len(found.bad) > 1 else ""
        return f"{path}:{line}: {told}{more}; geodns orders import reads other formats"
    return None if found.names else f"{path!r} holds no name"


def read_list_file(path: str) -> bytes:
    """The octets of a list on disk. Raises OSError."""
    return read_settled(str(Path(path).expanduser()))[0]
