"""Country codes as databases and geofeeds write them."""

from __future__ import annotations

from functools import lru_cache

from geodns.model.place import PlaceFault, kind, parse_place

MISSING = "record without a country"
"""Why a client is in no country although a source has its network (anycast, satellite)."""


def read_country(code: object) -> tuple[str | None, str | None]:
    """Read a country code in any letter case.

    Returns (ISO 3166-1 alpha-2 code or XK, None), or (None, why not) for codes that are no
    places (ZZ, EU, AP, A1 ...), or (None, None) where there is no code at all.
    """
    if not isinstance(code, str) or not code.strip():
        return None, None
    upper = code.strip().upper()[:16]
    if _is_country(upper):
        return upper, None
    return None, f"the record's code {upper} is no country"


@lru_cache(maxsize=4096)
def _is_country(upper: str) -> bool:
    try:
        return kind(parse_place(upper)) == "country"
    except PlaceFault:
        return False
