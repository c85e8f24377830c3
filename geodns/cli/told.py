"""What changes between two states of the orders, as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from geodns.cli.readable import readable
from geodns.model.place import NAMED_SETS, country_name, kind
from geodns.orders.compare import Change, Comparison, Item, Line, day, spelt, text_of
from geodns.orders.net import Target, Turn
from geodns.orders.places import ELSEWHERE, UNKNOWN

SHOWN = 10
"""Names of a kind that are printed without --json."""
MOST = 50
"""Orders, and places with their dates, that Markdown holds at most: comments have a limit."""

_Code = Callable[[str], str]
_T = TypeVar("_T")
_SAID = {
    "blocked": ("is blocked that was not", "are blocked that were not"),
    "freed": ("is no longer blocked", "are no longer blocked"),
    "kept": ("is dropped and still blocked", "are dropped and still blocked"),
    "already": ("is named anew and was blocked already", "are named anew and were blocked already"),
}
_KEYS = {
    "held": "held, out of force until acknowledged",
    "released": "no longer held: comes into force",
    "record": "for the record only",
}


def as_text(found: Comparison, before: str, after: str, now: datetime) -> Iterator[str]:
    """Lines for a terminal or a log."""
    yield f"{before} -> {after}, as of {now.isoformat(sep=' ', timespec='minutes')}"
    for head, rows in _turns(found.turns, str):
        yield ""
        yield f"{head}:"
        yield from (f"  {row}" for row in rows)
    for change in found.changes:
        yield ""
        yield f"{change.order} {_headline(change)}: {change.title}"
        for line in change.lines:
            yield from (f"  {row}" for row in _line(line, str))
    yield ""
    yield _verdict(found)


def as_markdown(found: Comparison, before: str, after: str, now: datetime) -> Iterator[str]:
    """Lines of Markdown; what orders and revisions say stands in it as code, so that it can
    neither format nor call anybody."""
    yield "## Orders: what changes for whom"
    yield ""
    yield f"{_code(before)} → {_code(after)}, as of {now.isoformat(sep=' ', timespec='minutes')}"
    yield ""
    yield f"**{_verdict(found)}**"
    turns = list(_turns(found.turns, _code))
    for head, rows in turns[:MOST]:
        yield ""
        yield f"**{head}**"
        yield ""
        yield from (f"- {row}" for row in rows)
    yield from _rest(len(turns), "places and dates")
    if found.changes:
        yield ""
        yield "### Order by order"
        yield ""
    for change in found.changes[:MOST]:
        yield f"- {_code(change.order)} {_headline(change)}: {_code(change.title)}"
        for line in change.lines:
            yield from (f"  - {row}" for row in _line(line, _code))
    yield from _rest(len(found.changes), "orders")


def as_document(found: Comparison, before: str, after: str, now: datetime) -> dict[str, Any]:
    """All of it, JSON-ready."""
    return {
        "before": before,
        "after": after,
        "at": now.isoformat(),
        "answers": found.answers,
        "turns": [
            {
                "places": list(turn.places),
                "but": list(turn.but),
                "what": turn.verdict,
                "from": None if turn.start is None else turn.start.isoformat(),
                "until": None if turn.end is None else turn.end.isoformat(),
                "by": list(turn.by),
                "targets": [{"kind": sort, "target": text_of(one)} for sort, one in turn.targets],
            }
            for turn in found.turns
        ],
        "orders": [
            {
                "order": change.order,
                "title": change.title,
                "place": change.place,
                "what": change.what,
                "answers": change.answers,
                "changes": [
                    {
                        "key": line.key,
                        "told": line.told or None,
                        "added": list(map(text_of, line.added)),
                        "gone": list(map(text_of, line.gone)),
                        "answers": line.answers,
                    }
                    for line in change.lines
                ],
            }
            for change in found.changes
        ],
    }


def _verdict(found: Comparison) -> str:
    if not found.changes:
        return "Nothing changes."
    if found.answers:
        return "What clients get changes."
    return "Nothing changes in effect: no client gets another answer, now or later."


def _turns(turns: Sequence[Turn], code: _Code) -> Iterator[tuple[str, list[str]]]:
    def key(turn: Turn) -> Any:
        return turn.places, turn.but, turn.start, turn.end

    for (places, but, start, end), rows in groupby(turns, key):
        since = "" if start is None else f" from {day(start)}"
        until = "" if end is None else f" until {day(end)}"
        yield _where(places, but) + since + until, [_sentence(row, code) for row in rows]


def _where(places: tuple[str, ...], but: tuple[str, ...]) -> str:
    """``In IT (Italy) less SM``."""
    left = set(places)
    parts = []
    for name, named in sorted(NAMED_SETS.items(), key=lambda item: -len(item[1].members)):
        if named.members <= left:
            parts.append(name)
            left -= named.members
    parts += [place for place in places if place in left and place not in (ELSEWHERE, UNKNOWN)]
    if len(parts) <= 3:
        parts = [_named(place) for place in parts]
    told = [f"In {', '.join(parts)}"] if parts else []
    if ELSEWHERE in places:
        told.append("Everywhere")
    if but:
        told[-1] += f" less {', '.join(but)}"
    if UNKNOWN in places:
        told.append("For clients that cannot be located")
    return " and ".join([told[0], *(text[:1].lower() + text[1:] for text in told[1:])])


def _named(place: str) -> str:
    return f"{place} ({country_name(place)})" if kind(place) == "country" else place


def _sentence(turn: Turn, code: _Code) -> str:
    one, many = _SAID[turn.verdict]
    names = sum(sort != "network" for sort, _ in turn.targets)
    networks = len(turn.targets) - names
    counts = [
        f"{number:,} {what}{'' if number == 1 else 's'}"
        for number, what in ((names, "name"), (networks, "network"))
        if number
    ]
    told = f"{' and '.join(counts)} {one if len(turn.targets) == 1 else many}"
    ids = ", ".join(code(ident) for ident in turn.by)
    return f"{told} (by {ids}): {_some(turn.targets, _spelt, code)}"


def _spelt(target: Target) -> str:
    if target[0] == "domain":
        return readable(text_of(target[1]))
    return spelt(target)


def _headline(change: Change) -> str:
    quiet = "" if change.answers else ", without effect on answers"
    return f"{change.what} ({change.place}{quiet})"


def _line(line: Line, code: _Code) -> Iterator[str]:
    key = _KEYS.get(line.key, line.key)
    if line.told:
        yield f"{key}: {code(line.told)}"
    if line.added:
        more = "" if line.key in ("held", "released") else f" {len(line.added):,} more:"
        yield f"{key}:{more} {_some(line.added, _item, code)}"
    if line.gone:
        yield f"{key}: {len(line.gone):,} fewer: {_some(line.gone, _item, code)}"


def _some(items: Sequence[_T], text: Callable[[_T], str], code: _Code) -> str:
    more = len(items) - SHOWN
    shown = ", ".join(code(text(item)) for item in items[:SHOWN])
    return shown + (f" and {more:,} more" if more > 0 else "")


def _item(item: Item) -> str:
    return readable(text_of(item)) if isinstance(item, bytes) else text_of(item)


def _rest(number: int, what: str) -> Iterator[str]:
    if number > MOST:
        yield ""
        yield f"… and {number - MOST:,} more {what}: see `geodns orders diff --json`"


def _code(text: str) -> str:
    """A text as a code span of Markdown, whatever is in it."""
    text = " ".join(text.split()) or " "
    longest, run = 0, 0
    for char in text:
        run = run + 1 if char == "`" else 0
        longest = max(longest, run)
    if not longest:
        return f"`{text}`"
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"
