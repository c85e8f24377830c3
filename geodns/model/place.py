"""Places: where orders have force and where clients are.

A place is text in canonical form: an ISO 3166-1 alpha-2 code (``IT``, and ``XK``), an
ISO 3166-2 code (``US-CA``), an autonomous system (``AS3269``) or a named set (``EU``,
``FR+overseas``). Membership is never implied: only a named set holds other places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from typing import Any, Literal

Kind = Literal["country", "subdivision", "asn", "set"]

MAX_ASN = 4294967295

_ASN = re.compile(r"AS([0-9]+)\Z")
_COUNTRY = re.compile(r"[A-Z]{2}\Z")
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}\Z")
# Codes in everyday use that ISO 3166-1 does not assign: what people mean by them.
_MEANT = {"UK": "GB", "EL": "GR", "AN": "BQ, CW or SX", "SU": "RU", "WORLD": "global"}


class PlaceFault(ValueError):
    """A text that is no place; its message quotes the text and suggests what was meant."""


@dataclass(frozen=True, slots=True)
class NamedSet:
    """Countries that an order can name by one word.

    members: ISO 3166-1 codes. as_of: a date from which the membership was as listed.
    source: where that is written.
    """

    title: str
    members: frozenset[str]
    as_of: date
    source: str


@dataclass(frozen=True, slots=True)
class Location:
    """One distinct answer of the place tables; it holds neither an ASN nor a network.

    country: ISO 3166-1 alpha-2 code, or None where it is unknown.
    subdivisions: ISO 3166-2 codes. source: index into the place table's sources, -1 where
    no source had the address. why: the reason when country is None.
    """

    country: str | None
    subdivisions: tuple[str, ...] = ()
    source: int = -1
    why: str | None = None


NAMED_SETS: Mapping[str, NamedSet]
"""All named sets by their canonical name, read from named_sets.toml on first use."""


def __getattr__(name: str) -> Any:
    if name == "NAMED_SETS":
        return _named_sets()
    raise AttributeError(name)


@cache
def _named_sets() -> Mapping[str, NamedSet]:
    import tomllib
    from importlib.resources import files
    from types import MappingProxyType

    raw = tomllib.loads(files("geodns.model").joinpath("named_sets.toml").read_text("utf-8"))
    return MappingProxyType(
        {
            name: NamedSet(
                entry["title"], frozenset(entry["members"]), entry["as_of"], entry["source"]
            )
            for name, entry in raw.items()
        }
    )


@cache
def _countries() -> Mapping[str, str]:
    import pycountry

    return {entry.alpha_2: entry.name for entry in pycountry.countries} | {"XK": "Kosovo"}


@cache
def _subdivisions() -> frozenset[str]:
    import pycountry

    return frozenset(entry.code for entry in pycountry.subdivisions)


@lru_cache(maxsize=4096)
def parse_place(text: str) -> str:
    """Read a place in any letter case and return its canonical form.

    Raises PlaceFault, which quotes the text, for anything that is no place: unassigned
    codes, AS0 and numbers over 32 bits (RFC 6793), unknown sets.
    """
    upper = text.strip().upper() if text.isascii() else text
    for name in _named_sets():
        if name.upper() == upper:
            return name
    if match := _ASN.match(upper):
        number = match[1]
        if number.startswith("0") or not 1 <= int(number[:11]) <= MAX_ASN:
            raise PlaceFault(f"{text!r} is no AS number; they run from AS1 to AS{MAX_ASN}")
        return upper
    if _COUNTRY.match(upper) and upper in _countries():
        return upper
    if _SUBDIVISION.match(upper) and upper in _subdivisions():
        return upper
    raise PlaceFault(f"{text!r} is no place{_suggest(upper)}")


def _suggest(upper: str) -> str:
    from difflib import get_close_matches

    meant = _MEANT.get(upper)
    if meant is None:
        meant = next((code for code, name in _countries().items() if name.upper() == upper), None)
    if meant is None and "+" in upper:
        meant = ", ".join(name for name in _named_sets() if "+" in name)
    if meant is None and "-" in upper:
        country = upper.split("-")[0]
        known = [code for code in _subdivisions() if code.startswith(country + "-")]
        meant = ", ".join(sorted(get_close_matches(upper, known, 3, 0.5)))
    if meant:
        return f"; did you mean {meant}?"
    return (
        "; give an ISO 3166-1 code (IT), an ISO 3166-2 code (US-CA), an AS number (AS3269) or a"
        f" named set ({', '.join(_named_sets())})"
    )


def kind(place: str) -> Kind:
    """Say what a canonical place is."""
    if place in _named_sets():
        return "set"
    if _ASN.match(place):
        return "asn"
    return "subdivision" if "-" in place else "country"


def expand(place: str) -> frozenset[str]:
    """Return the atoms of a canonical place: the countries of a named set, else itself."""
    named = _named_sets().get(place)
    return named.members if named is not None else frozenset((place,))


def atoms(places: Iterable[str]) -> frozenset[str]:
    """All that places stand for: countries, subdivisions and AS numbers, named sets taken apart."""
    return frozenset().union(*(expand(place) for place in places))


def country_name(code: str) -> str:
    """Return the English short name of an ISO 3166-1 code; the code itself if unassigned."""
    return _countries().get(code, code)
