"""Places and instants in the words of one language."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from gettext import NullTranslations, translation
from typing import Any
from zoneinfo import ZoneInfo

from geodns.blockpage.language import Words
from geodns.model.place import country_name, kind
from geodns.policy.snapshot import Disclosed


def instant(words: Words, epoch: float, timezone: str) -> str:
    """An instant (epoch seconds) in a time zone: the date alone where a day begins there."""
    moment = datetime.fromtimestamp(epoch, ZoneInfo(timezone))
    date = words.date.format(day=moment.day, month=words.months[moment.month - 1], year=moment.year)
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return date
    return words.moment.format(date=date, time=f"{moment:%H:%M}", zone=moment.tzname())


def jurisdiction(words: Words, disclosed: Disclosed) -> str:
    """Where an order has force, as a list of names."""
    places = disclosed.places
    where = words["global"] if places is None else ", ".join(place(words, one) for one in places)
    if disclosed.except_:
        carved = ", ".join(place(words, one) for one in disclosed.except_)
        where = f"{where} ({words['except']} {carved})"
    return where


@lru_cache(maxsize=4096)
def _named(tag: str, code: str, subdivision: bool) -> str:
    import pycountry

    domain = "iso3166-2" if subdivision else "iso3166-1"
    try:
        names: NullTranslations = translation(domain, pycountry.LOCALES_DIR, [tag])
    except OSError:
        names = NullTranslations()
    found: Any
    if subdivision:
        found = pycountry.subdivisions.get(code=code)  # type: ignore[no-untyped-call]
    else:
        found = pycountry.countries.get(alpha_2=code)
    if found is None:
        return country_name(code)
    return names.gettext(getattr(found, "common_name", found.name))


def place(words: Words, code: str) -> str:
    """The name of a place; for a subdivision and its country both are named."""
    what = kind(code)
    if what == "asn":
        return words["asn"].format(asn=code)
    if what == "set":
        if (known := words.text.get(f"set_{code}")) is not None:
            return known
        return words["set_wider"].format(country=_named(words.tag, code[:2], False))
    if what == "subdivision":
        return f"{_named(words.tag, code, True)} ({_named(words.tag, code[:2], False)})"
    return _named(words.tag, code, False)
