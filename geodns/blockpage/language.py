"""The page's own words, and which language a visitor reads."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

MOST_RANGES = 20
"""Language ranges of an Accept-Language field that are looked at."""
_RANGE = re.compile(
    r"\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[Qq]\s*=\s*([01](?:\.[0-9]{0,3})?))?\s*\Z"
)


@dataclass(frozen=True, slots=True)
class Words:
    """One language. tag: BCP 47. name: its own name. direction: ltr or rtl. text: all
    sentences and labels by key. months: twelve names."""

    tag: str
    name: str
    direction: str
    date: str
    moment: str
    months: tuple[str, ...]
    text: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.text[key]


@cache
def languages() -> Mapping[str, Words]:
    """All languages of the page by their tag, read from ``strings/*.toml``."""
    folder = files("geodns.blockpage").joinpath("strings")
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        tag, dot, _ = entry.name.partition(".toml")
        if dot:
            found[tag] = _words(tag, tomllib.loads(entry.read_text("utf-8")))
    return found


def _words(tag: str, raw: Mapping[str, Any]) -> Words:
    return Words(
        tag,
        raw["name"],
        raw["direction"],
        raw["date"],
        raw["moment"],
        tuple(raw["months"]),
        raw["text"],
    )


def preferences(accept_language: str) -> list[str]:
    """The language ranges of an Accept-Language value, most wanted first, in lower case.

    RFC 9110 section 12.5.4: equal weights keep their order; a weight of 0 is left out, and so
    is what cannot be read.
    """
    found: list[tuple[float, str]] = []
    for part in accept_language.split(",", MOST_RANGES)[:MOST_RANGES]:
        if match := _RANGE.match(part):
            weight = min(float(match[2] or 1), 1.0)
            if weight > 0:
                found.append((weight, match[1].lower()))
    return [tag for _, tag in sorted(found, key=lambda each: -each[0])]


def best(wanted: Collection[str], available: Collection[str]) -> str | None:
    """The available tag that the ranges ask for first (RFC 4647 section 3.4, lookup).

    None where none fits. ``*`` asks for nothing in particular and is passed over.
    """
    by_folded = {tag.lower(): tag for tag in available}
    for each in wanted:
        parts = each.lower().split("-")
        while parts:
            if (found := by_folded.get("-".join(parts))) is not None:
                return found
            parts.pop()
            if parts and len(parts[-1]) == 1:
                parts.pop()
    return None
