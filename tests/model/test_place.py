from __future__ import annotations

import subprocess
import sys

import pytest

from geodns.model import place
from geodns.model.place import NAMED_SETS, PlaceFault, expand, kind, parse_place


@pytest.mark.parametrize(
    ("text", "canonical", "what"),
    [
        ("IT", "IT", "country"),
        ("it", "IT", "country"),
        (" fr ", "FR", "country"),
        ("XK", "XK", "country"),
        ("AS", "AS", "country"),
        ("RE", "RE", "country"),
        ("US-CA", "US-CA", "subdivision"),
        ("de-by", "DE-BY", "subdivision"),
        ("AS3269", "AS3269", "asn"),
        ("as1", "AS1", "asn"),
        ("AS4294967295", "AS4294967295", "asn"),
        ("eu", "EU", "set"),
        ("EEA", "EEA", "set"),
        ("fr+OVERSEAS", "FR+overseas", "set"),
    ],
)
def test_places_are_read_in_any_case(text: str, canonical: str, what: str) -> None:
    assert parse_place(text) == canonical
    assert kind(canonical) == what


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("UK", "GB"),
        ("EL", "GR"),
        ("Italy", "IT"),
        ("US-CAL", "US-CA"),
        ("FR+x", "FR+overseas"),
        ("AS0", "AS1"),
        ("AS007", "AS1"),
        ("AS4294967296", "AS4294967295"),
        ("AS99999999999999999999999", "AS4294967295"),
        ("AS٣", "ISO 3166-1"),
        ("XX", "ISO 3166-1"),
        ("", "ISO 3166-1"),
        ("ß", "ISO 3166-1"),
        ("ıt", "ISO 3166-1"),
        ("global", "ISO 3166-1"),
        ("IT\n,FR", "ISO 3166-1"),
    ],
)
def test_what_is_no_place_is_quoted_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(PlaceFault) as caught:
        parse_place(text)
    assert repr(text) in str(caught.value)
    assert hint in str(caught.value)


def test_named_sets_hold_countries_and_say_since_when_and_by_whom() -> None:
    for name, named in NAMED_SETS.items():
        assert parse_place(name) == name
        assert all(kind(parse_place(member)) == "country" for member in named.members)
        assert named.source
        assert named.as_of.year >= 1990 or name == "GB+dependencies"


def test_membership_is_never_implied() -> None:
    assert expand("FR") == {"FR"}
    assert expand("IT") == {"IT"}
    assert "RE" not in expand("EU")
    assert {"SM", "VA"}.isdisjoint(expand("EU"))
    assert len(expand("EU")) == 27
    assert expand("EEA") - expand("EU") == {"IS", "LI", "NO"}
    assert {"FR", "RE", "GP", "MQ", "GF", "YT", "PM", "BL", "MF", "NC", "PF", "WF", "TF"} == expand(
        "FR+overseas"
    )
    assert expand("AS3269") == {"AS3269"}


def test_names_of_countries() -> None:
    assert place.country_name("IT") == "Italy"
    assert place.country_name("XK") == "Kosovo"
    assert place.country_name("ZZ") == "ZZ"


def test_workers_import_it_without_the_country_tables() -> None:
    code = "import sys, geodns.model.place; print('pycountry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
