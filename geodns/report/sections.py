"""What the parts of a report are made of: words, figures, tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geodns.ledger.read import STOPPED
from geodns.model.place import country_name, kind

MOST_LETTERS = 300
"""Letters of a text from an order file that are shown."""
MOST_PERIODS = 4
"""Times in force of an order that are shown: the newest."""
STATUS = {
    "in force": "in force",
    "interrupted": "would be in force, but the server was stopped",
    "shadow": "in shadow: recorded, not blocked",
    "held": "all targets held by the guard",
    "never": "never in force",
    "lifted": "lifted",
    "suspended": "suspended",
    "expired": "expired",
    "superseded": "superseded by another order",
    "removed": "order file removed",
    "force": "came into force",
    "other": "otherwise out of force",
}
"""What a status, or the end of a time in force, is called."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text. numeric: the columns that are set to the right. A cell may have lines."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what is said under it, and tables. key: by which charts are put in."""

    key: str
    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


def title(document: Mapping[str, Any]) -> str:
    """What the report is called."""
    return f"Transparency report, {period(document)}"


def period(document: Mapping[str, Any]) -> str:
    """The report's time, as dates (the last one included) where it is whole days."""
    begin, end = document["period"]["from"], document["period"]["until"]
    if begin[11:23] == end[11:23] == "00:00:00.000":
        last = _day_before(end)
        return begin[:10] if last == begin[:10] else f"{begin[:10]} to {last}"
    return f"{moment(begin)} to {moment(end)}"


def preface(document: Mapping[str, Any]) -> list[str]:
    """What is to be known before anything else. The first is loud where the ledger is broken."""
    ledger, lines = document["ledger"], []
    if not ledger["whole"]:
        lines.append(
            f"THE LEDGER IS BROKEN, and the figures below prove nothing: {ledger['breaks'][0]}."
        )
    nodes = ", ".join(map(plain, document["nodes"])) or "a server that never started"
    lines.append(f"Made {moment(document['made'])} from the ledger of {nodes}. Times are UTC.")
    if ledger["whole"]:
        signed = ledger["signed_until"]
        signed = f", and signed until {moment(signed)}" if signed else "; nothing in it is signed"
        lines.append(f"The ledger is whole{signed}.")
    begins = ledger["begins"]
    if begins is None:
        lines.append("The ledger has no entries yet.")
    elif begins > document["period"]["from"]:
        lines.append(f"The ledger begins {moment(begins)}; of what was before nothing is known.")
    if not document["period"]["over"]:
        lines.append("The period is not over: this is what is known so far.")
    if not document["summary"]["runs"]:
        lines.append("At the end of the period the server was stopped: nothing was blocked.")
    return lines


def figures(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The few figures that sum it up: what, how many."""
    summary, blocked = document["summary"], document["blocked"]
    where, time = document["where"], document["carried_out"]
    countries = len(where["map"]["counts"]) if not where["everywhere"]["orders"] else "all"
    return [
        ("orders in force at the end", number(summary["in_force"])),
        ("orders newly in force", number(summary["new"])),
        ("targets in force", number(max(sum(summary["targets"].values()) - summary["held"], 0))),
        ("countries with orders", f"{countries}"),
        ("from receipt to force, median", seconds(time["median"])),
        ("queries blocked", bounds(blocked, blocked["threshold"])),
    ]


def plain(text: object) -> str:
    """Text from outside on one line, without what could turn or hide other text."""
    shown = " ".join(str(text).split())
    shown = "".join(char if char.isprintable() else "\ufffd" for char in shown)
    return shown if len(shown) <= MOST_LETTERS else shown[: MOST_LETTERS - 1] + "…"


def place_name(place: str) -> str:
    """A place with its name: ``IT, Italy``."""
    if place == "unknown":
        return "unknown"
    name = country_name(place) if kind(place) == "country" else place
    return place if name == place else f"{place}, {name}"


def jurisdiction(places: Sequence[str] | str | None, except_: Sequence[str]) -> str:
    """Where an order has force, in words."""
    if places is None:
        return "not recorded"
    where = "everywhere" if places == "global" else ", ".join(map(plain, places))
    return where + (f", except {', '.join(map(plain, except_))}" if except_ else "")


def moment(text: str | None) -> str:
    """An instant to the minute; nothing where there is none."""
    return "" if text is None else text[:16].replace("T", " ")


def day(text: str | None) -> str:
    """The date of an instant."""
    return "" if text is None else text[:10]


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}"


def bounds(sums: Mapping[str, int], threshold: int) -> str:
    """A sum: itself, or between which two values it lies."""
    low, high = sums["low"], sums["high"]
    if low == high:
        return number(low)
    if (low, high) == (1, threshold - 1):
        return f"< {threshold}"
    return f"{number(low)} to {number(high)}"


def seconds(value: float | None) -> str:
    """A time as people say it."""
    if value is None:
        return "none"
    if value < 1:
        return f"{value:.2f} s"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.1f} s"


def span(each: Mapping[str, Any]) -> str:
    """One time in force."""
    begin = moment(each["from"])
    return f"{begin} to {moment(each['until'])}" if each["until"] else f"since {begin}"


def away(each: Mapping[str, Any]) -> str:
    """What an interruption means."""
    return "did not run" if each["why"] == STOPPED else "may not have run"


def counted(count: int, what: str, more: str | None = None) -> str:
    """A count with its noun; more: the noun of several, where it is not with an s."""
    return f"{number(count)} {what if count == 1 else more or what + 's'}"


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Sequence[int] = (),
) -> Iterator[Table]:
    """A table, if it has rows."""
    made = tuple(tuple(row) for row in rows)
    if made:
        yield Table(caption, tuple(columns), made, tuple(numeric))


def _day_before(text: str) -> str:
    from datetime import datetime, timedelta

    return (datetime.fromisoformat(text) - timedelta(1)).date().isoformat()
