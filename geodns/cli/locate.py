"""``geodns locate``: where an address is, and how that is known."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.cli.origin import read_address
from geodns.errors import Fault, InputFaults

_HOW = {
    "mapped": "IPv4-mapped IPv6 address (::ffff:0:0/96)",
    "6to4": "6to4 address (2002::/16)",
    "teredo": "Teredo address (2001::/32)",
    "nat64": "NAT64 address (64:ff9b::/96)",
}


def locate(
    address: Annotated[str, typer.Argument(metavar="IP", help="IPv4 or IPv6 address.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Show where an address is: location, source, build date, and how it was found.

    Exit code 1 if the location is unknown.

    Example: geodns locate 193.205.1.1
    """
    from geodns import app
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.locate.table import PlaceTable

    found = read_address(address.strip())
    if found is None or "%" in address:
        raise InputFaults([Fault(f"{address!r} is no IP address", field="IP")])
    settings = load_settings(config)
    with out.progress("building the place tables (once per edition)") as advance:
        table: PlaceTable = app.open_places(settings, advance, former=True)
    facts = describe(table, found)
    if json:
        out.document(facts)
    else:
        for label, text in _lines(facts):
            out.line(f"{label + ':':<13} {text}")
    if facts["country"] is None:
        raise typer.Exit(1)


def describe(table: Any, address: IPv4Address | IPv6Address) -> dict[str, Any]:
    """All that is known of an address, JSON-ready."""
    from geodns.locate.client import client_from_peer
    from geodns.locate.shown import Shown, read_shown
    from geodns.model.place import country_name

    client = client_from_peer(address.packed)
    number, _, _, length = table.find(client.version, client.address)
    asn, _, _ = table.find_asn(client.version, client.address)
    location = table.locations[number]
    source = table.sources[location.source] if location.source >= 0 else None
    kind_of = (IPv4Network, IPv4Address) if client.version == 4 else (IPv6Network, IPv6Address)
    databases = [entry.path for entry in table.sources if entry.kind != "geofeed"]
    shown = read_shown(databases, kind_of[1](client.address)) if databases else Shown()
    return {
        "address": str(address),
        "judged_as": client.text(),
        "embedded": client.how,
        "country": location.country,
        "country_name": country_name(location.country) if location.country else None,
        "subdivisions": list(location.subdivisions),
        "why": location.why,
        "asn": asn or None,
        "as_organisation": shown.organisation,
        "network": str(kind_of[0]((client.address, length), strict=False)) if source else None,
        "source": source.name if source else None,
        "source_kind": source.kind if source else None,
        "source_path": source.path if source else None,
        "source_date": day(source.built) if source else None,
        "source_age_days": age_days(source.built) if source else None,
        "registered_country": shown.registered,
        "represented_country": shown.represented,
        "represented_type": shown.represented_type,
    }


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("address", facts["address"])]
    if facts["embedded"]:
        lines.append(("judged as", f"{facts['judged_as']}, in this {_HOW[facts['embedded']]}"))
    if facts["country"]:
        lines.append(("country", f"{facts['country']} ({facts['country_name']})"))
    else:
        lines.append(("country", f"unknown: {facts['why']}"))
    if facts["subdivisions"]:
        lines.append(("subdivision", ", ".join(facts["subdivisions"])))
    if facts["asn"]:
        who = f" ({facts['as_organisation']})" if facts["as_organisation"] else ""
        lines.append(("AS", f"AS{facts['asn']}{who}"))
    if facts["source"]:
        age = facts["source_age_days"]
        old = f"{age} day{'' if age == 1 else 's'} old"
        made = "changed" if facts["source_kind"] == "geofeed" else "built"
        lines += [
            ("network", facts["network"]),
            ("source", f"{facts['source']} ({facts['source_kind']} {_sort(facts)})"),
            (made, f"{facts['source_date']} ({old})"),
        ]
    if facts["registered_country"]:
        lines.append(("registered", f"{facts['registered_country']} (only shown, not judged by)"))
    if facts["represented_country"]:
        what = f", {facts['represented_type']}" if facts["represented_type"] else ""
        lines.append(
            ("represents", f"{facts['represented_country']}{what} (only shown, not judged by)")
        )
    return lines


def _sort(facts: dict[str, Any]) -> str:
    return "file" if facts["source_kind"] == "geofeed" else "database"


def day(seconds: float) -> str:
    """The UTC date of an instant, ISO 8601; what no calendar has is said to be unknown."""
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "unknown"


def age_days(seconds: float) -> int:
    """Whole days from an instant until now, at least 0."""
    return max(0, int((time.time() - seconds) // 86400))
