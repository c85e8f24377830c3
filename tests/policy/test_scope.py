"""Jurisdictions that no database at hand can decide; the classes are in tests/properties."""

from __future__ import annotations

import pytest

from geodns.model.place import Location
from geodns.orders.loaded import LoadedOrder
from geodns.policy.scope import inside, unplaceable
from tests.policy.making import order


def fields(*orders: LoadedOrder, subdivisions: bool, asn: bool) -> list[tuple[str | None, str]]:
    faults = unplaceable(orders, has_subdivisions=subdivisions, has_asn=asn)
    return [(fault.file, fault.field or "") for fault in faults]


CALIFORNIA = order("us-a", domains=["a"], places=["US", "US-CA"])
PROVIDER = order("it-a", domains=["a"], places=["IT"], except_=["AS3269"])


def test_a_subdivision_without_a_database_that_has_any_is_a_configuration_error() -> None:
    at = [("orders/IT/us-a.toml", "jurisdiction")]
    assert fields(CALIFORNIA, subdivisions=False, asn=True) == at
    assert fields(CALIFORNIA, subdivisions=True, asn=False) == []


def test_an_asn_without_an_asn_database_is_one_too() -> None:
    assert fields(PROVIDER, subdivisions=True, asn=False) == [("orders/IT/it-a.toml", "except")]
    assert fields(PROVIDER, subdivisions=False, asn=True) == []


def test_all_faults_at_once_and_each_quotes_the_place() -> None:
    faults = unplaceable([CALIFORNIA, PROVIDER], has_subdivisions=False, has_asn=False)
    assert len(faults) == 2
    assert "'US-CA'" in faults[0].message and "subdivisions" in faults[0].message
    assert "'AS3269'" in faults[1].message and "ASN" in faults[1].message


@pytest.mark.parametrize("status", ["draft", "suspended", "lifted"])
def test_orders_without_force_are_no_fault(status: str) -> None:
    idle = order("us-b", domains=["a"], places=["US-CA"], status=status)
    assert fields(idle, subdivisions=False, asn=False) == []


def test_countries_and_sets_need_nothing_special() -> None:
    plain = order("eu-a", domains=["a"], places=["EU", "XK"], except_=["FR+overseas"])
    world = order("eu-b", domains=["a"], places=None)
    assert fields(plain, world, subdivisions=False, asn=False) == []


@pytest.mark.parametrize(
    ("places", "location", "asn", "expected"),
    [
        ({"US-CA"}, Location("US", ("US-CA",)), 0, True),
        ({"US-CA"}, Location("US", ("US-NV",)), 0, False),
        ({"US-CA"}, Location("US"), 0, None),
        ({"US-CA"}, Location("CA"), 0, False),
        ({"GB-ENG"}, Location("GB", ("GB-ENG", "GB-WBK")), 0, True),
        ({"AS3269"}, Location("IT"), 3269, True),
        ({"AS3269"}, Location("IT"), 32690, False),
        ({"AS3269"}, Location("IT"), 0, None),
        ({"AS3269"}, Location(None), 3269, True),
        ({"IT"}, Location(None), 3269, None),
        ({"IT", "AS1"}, Location("IT"), 0, True),
        ({"FR", "AS1"}, Location("IT"), 0, None),
        (set(), Location(None), 0, False),
    ],
)
def test_inside_tells_yes_no_and_cannot_be_told(
    places: set[str], location: Location, asn: int, expected: bool | None
) -> None:
    assert inside(places, location, asn) is expected
