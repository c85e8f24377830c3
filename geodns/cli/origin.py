"""``--from``: a country or an address on the command line, as the address that stands for it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from geodns.errors import Fault, InputFaults
from geodns.model.place import kind, parse_place

if TYPE_CHECKING:
    from geodns.locate.table import PlaceTable

Address = IPv4Address | IPv6Address


def read_address(text: str) -> Address | None:
    """The address, if the text is one."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def representative(places: PlaceTable, text: str) -> Address:
    """An address of a country: of its largest IPv4 network, else of its largest IPv6 network.

    Raises InputFaults for what is no country, and for countries that the databases lack.
    """
    place = None
    try:
        place = parse_place(text)
    except ValueError:
        pass  # what it should be is said below: not all that is a place can be asked from
    if place is None or kind(place) != "country":
        each = "one country (IT) or one address" if "," in text else "a country (IT) or an address"
        raise InputFaults([Fault(f"--from: {text!r} is no country; give {each}")])
    if (found := places.representative(place, 4)) is not None:
        return IPv4Address(found)
    if (found := places.representative(place, 6)) is not None:
        return IPv6Address(found)
    raise InputFaults([Fault(f"--from: the databases have no network in {place}")])
