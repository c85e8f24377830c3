"""Answers become the text of an order file that means exactly what was answered."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.name import parse, to_text
from geodns.orders.draft import KEYS, Value, propose_id, write_draft
from geodns.orders.read import read_order
from geodns.orders.schema import Order

LEAST: dict[str, Value] = {
    "id": "it-a",
    "title": "t",
    "status": "draft",
    "authority.name": "A",
    "authority.kind": "court",
    "dates.effective": date(2026, 1, 2),
    "targets.domains": ("x.example",),
}
UNTOLD = {"events.targets", "events.end"}
"""Left to docs/writing-orders.md, as most keys of feeds are to docs/feeds.md."""

nasty = st.text(
    st.one_of(
        st.sampled_from("\"'\\#[]{}=,\u00a0\u2028\u202e\ufeffüß漢😀\U000e0001"),
        st.characters(exclude_categories=["Cs", "Cc"]),
    ),
    min_size=1,
    max_size=40,
).filter(lambda text: bool(text.strip()) and text == text.strip())
moments = st.one_of(
    st.dates(date(1990, 1, 1), date(2090, 1, 1)),
    st.datetimes(
        datetime(1990, 1, 1),
        datetime(2090, 1, 1),
        timezones=st.integers(-1439, 1439).map(
            lambda minutes: timezone(timedelta(minutes=minutes))
        ),
    ),
)
names = st.from_regex(r"[a-z0-9_]{1,10}(\.[a-z0-9]{1,10}){0,3}\.[a-z]{2,8}", fullmatch=True)
some_names = st.lists(names, unique=True, max_size=6).map(tuple)


def table(text: str) -> dict[str, Any]:
    """What a file says, by dotted key; empty tables left out."""
    found: dict[str, Any] = {}
    for key, value in tomllib.loads(text).items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            found[key] = [feed["url"] for feed in value] if key == "feeds" else value
    return found


@given(
    st.dictionaries(
        st.sampled_from(sorted(KEYS - {"feeds"})),
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.integers(-(2**63), 2**63 - 1),
            moments,
            st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=30),
        ),
    ),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3),
)
def test_whatever_is_written_is_read_back(answers: dict[str, Any], feeds: list[str]) -> None:
    assert table(write_draft({**answers, "feeds": feeds})) == {**answers, "feeds": feeds}


@given(
    title=nasty,
    authority=nasty,
    reference=nasty,
    sources=st.lists(nasty, max_size=4),
    domains=some_names,
    exempt=some_names,
    effective=moments,
    told=nasty,
)
def test_it_loads_and_means_what_was_answered(
    title: str,
    authority: str,
    reference: str,
    sources: list[str],
    domains: tuple[str, ...],
    exempt: tuple[str, ...],
    effective: date,
    told: str,
) -> None:
    text = write_draft(
        {
            **LEAST,
            "title": title,
            "authority.name": authority,
            "authority.reference": reference,
            "sources": sources,
            "targets.domains": domains or ("x.example",),
            "targets.exempt": exempt,
            "dates.effective": effective,
            "disclosure.text": told,
            "timezone": "UTC",
        }
    )
    reading = read_order("IT/it-a.toml", "IT", text.encode(), lambda name: b"")
    assert [str(fault) for fault in reading.faults] == []
    assert reading.order is not None
    order = reading.order.order
    assert (order.title, order.authority.name) == (title, authority)
    assert (order.authority.reference, order.disclosure.text) == (reference, told)
    assert list(order.sources) == sources
    assert [to_text(name) for name in reading.order.domains] == list(domains or ("x.example",))
    assert reading.order.exempt == tuple(map(parse, exempt))
    assert order.dates.effective == effective
    if not isinstance(effective, datetime):
        effective = datetime(effective.year, effective.month, effective.day, tzinfo=UTC)
    assert reading.order.effective == effective


@pytest.mark.parametrize("octet", ["\n", "\0", "\x7f", "\x85", "\t"])
def test_control_characters_are_faults_of_the_file_and_do_not_break_it(octet: str) -> None:
    text = write_draft({**LEAST, "title": f'a"{octet}\nid = "b'})
    reading = read_order("IT/it-a.toml", "IT", text.encode(), lambda name: b"")
    assert [fault.field for fault in reading.faults] == ["title"]
    assert tomllib.loads(text)["id"] == "it-a"


def test_what_cannot_be_seen_is_written_so_that_it_can() -> None:
    text = write_draft({**LEAST, "title": "a\u202eb\u00a0c"})
    assert 'title = "a\\u202Eb\\u00A0c"' in text
    assert tomllib.loads(text)["title"] == "a\u202eb\u00a0c"


def test_what_is_no_key_or_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="no key"):
        write_draft({"titel": "a"})
    with pytest.raises(ValueError, match="UTF-8"):
        write_draft({"title": "\udcff"})


def test_examples_mean_nothing_and_every_one_is_right() -> None:
    text = write_draft(LEAST)
    assert table(text) == {
        key: list(value) if isinstance(value, tuple) else value for key, value in LEAST.items()
    }
    every = re.sub(r"^#(?=[a-z\[])", "", text, flags=re.M)
    raw = tomllib.loads(every)
    assert raw != tomllib.loads(text)
    raw["jurisdiction"] = "global"
    Order.model_validate(raw)


def test_every_key_of_an_order_file_is_in_it() -> None:
    every = tomllib.loads(re.sub(r"^#(?=[a-z\[])", "", write_draft(LEAST), flags=re.M))
    missing = []
    for name, field in Order.model_fields.items():
        key = field.alias or name
        inner = every.get(key)
        if inner is None:
            missing.append(key)
        one = inner[0] if isinstance(inner, list) and isinstance(inner[0], dict) else inner
        if isinstance(one, dict):
            kinds = (field.annotation, *getattr(field.annotation, "__args__", ()))
            model = next(kind for kind in kinds if hasattr(kind, "model_fields"))
            missing += [f"{key}.{each}" for each in model.model_fields if each not in one]
    assert {key for key in missing if not key.startswith("feeds.")} == UNTOLD
    assert every["feeds"][0].keys() == {"url", "refresh"}


def test_no_line_of_a_comment_is_long() -> None:
    assert [line for line in write_draft(LEAST).splitlines() if len(line) > 100] == []


@pytest.mark.parametrize(
    ("place", "authority", "reference", "taken", "ident"),
    [
        ("IT", "Tribunale di Milano", "", (), "it-milano-2026"),
        ("IT", "Tribunale di Milano", "R.G. 12/2026", (), "it-milano-2026-12"),
        ("IT", "Tribunale di Milano", "", ("it-milano-2026",), "it-milano-2026-2"),
        ("DK", "Højesteret", "153/2009", (), "dk-hojesteret-2026-153-2009"),
        ("US-CA", "The Supreme Court", "", (), "us-ca-the-supreme-2026"),
        ("UA", "НЦУ", "", (), "ua-2026"),
    ],
)
def test_ids_that_are_proposed(
    place: str, authority: str, reference: str, taken: tuple[str, ...], ident: str
) -> None:
    assert propose_id(place, authority, date(2026, 5, 1), reference, taken) == ident


@given(nasty, nasty)
def test_every_id_that_is_proposed_is_one(authority: str, reference: str) -> None:
    ident = propose_id("IT", authority, date(2026, 5, 1), reference, ())
    text = write_draft({**LEAST, "id": ident})
    reading = read_order(f"IT/{ident}.toml", "IT", text.encode(), lambda name: b"")
    assert [str(fault) for fault in reading.faults] == []
