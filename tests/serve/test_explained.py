"""Structured errors: what of an order goes into the EXTRA-TEXT, and what is left out first."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model.message import Edns, read_query
from geodns.policy.compile import MOST_TEXT, compile_snapshot
from geodns.policy.snapshot import OrderRecord, Snapshot
from geodns.serve import reply
from geodns.serve.explained import asks_for_structure, structured_texts, structured_ttl
from geodns.serve.reply import Options
from tests.policy.making import NOW, order
from tests.scenarios import asking

FULL = {
    "text": "Gesperrt.",
    "language": "de",
    "contact": ["mailto:a@b.example", "tel:+49-30-1"],
    "incident": {"db": "lumen", "id": "42"},
    "url": "https://b.example",
}


def record(kind: str = "court", **disclosure: Any) -> OrderRecord:
    loaded = order("x-a", domains=["a"], kind=kind, disclosure=disclosure)
    return Snapshot(compile_snapshot([loaded], NOW)).orders[0]


def test_everything_is_from_the_order_s_record() -> None:
    whole, short = structured_texts(record(**FULL))
    assert whole == (
        '{"c":["mailto:a@b.example","tel:+49-30-1"],"j":"Gesperrt. [x-a]","l":"de",'
        '"o":"Tribunale","fdbs":[{"db":"lumen","id":"42"}]}'
    )
    assert json.loads(short) == {
        "c": ["mailto:a@b.example", "tel:+49-30-1"],
        "fdbs": [{"db": "lumen", "id": "42"}],
    }


def test_an_order_that_discloses_nothing_tells_no_more_than_its_id() -> None:
    (whole,) = structured_texts(record())
    assert json.loads(whole) == {"j": "Blocked by order of an authority [x-a]", "l": "en"}


def test_a_text_of_unknown_language_says_so() -> None:
    (whole,) = structured_texts(record(text="Perché no."))
    assert json.loads(whole)["l"] == "und"
    assert "Perché" in whole, "I-JSON is UTF-8, not escapes"


@pytest.mark.parametrize("kind", ["court", "regulator", "police", "self-regulation", "operator"])
def test_the_code_is_15_of_the_operator_s_own_policy_and_16_of_any_other(kind: str) -> None:
    made = record(kind, **FULL)
    assert made.ede == (15 if kind == "operator" else 16)
    assert all("s" not in json.loads(text) for text in structured_texts(made))


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ((), False),
        (((65001, b""),), True),
        (((65001, b"x"),), False),
        (((65002, b""),), False),
        (((15, b""),), True),
        (((15, b"\0\0"),), True),
        (((15, b"\0\x10"),), False),
        (((15, b"\0\0text"),), False),
        (((10, b"12345678"), (65001, b"")), True),
    ],
)
def test_how_a_client_asks(options: tuple[tuple[int, bytes], ...], asks: bool) -> None:
    assert asks_for_structure(Edns(1232, 0, False, options), 65001) == asks
    assert asks_for_structure(Edns(1232, 0, False, ((65001, b""),)), None) is False
    assert asks_for_structure(None, 65001) is False


@pytest.mark.parametrize(("ttl", "told"), [(1, 10), (10, 10), (42, 42), (60, 60), (86400, 60)])
def test_ttls_are_short_but_not_shorter(ttl: int, told: int) -> None:
    assert structured_ttl(ttl) == told


def test_prose_is_left_out_first_then_all_text() -> None:
    made = record(**{**FULL, "text": "ö" * 1000})
    query = read_query(asking.build("blocked.a"))
    texts = structured_texts(made)
    options = Options(structured=(made.ede, texts))
    whole = reply.block(query, "nxdomain", 60, b"", (), options, 65535)
    prose = reply.block(query, "nxdomain", 60, b"", (), options, len(whole) - 1)
    bare = reply.block(query, "nxdomain", 60, b"", (), options, len(prose) - 1)
    cut = reply.block(query, "nxdomain", 60, b"", (), options, len(bare) - 1)
    told = [asking.read(packet) for packet in (whole, prose, bare, cut)]
    assert [each.ede for each in told] == [
        [(16, texts[0])],
        [(16, texts[1])],
        [(16, "")],
        [(16, "")],
    ]
    assert [each.tc for each in told] == [False, False, False, True]


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=900))
def test_no_character_is_ever_cut_in_two(text: str) -> None:
    if not text.strip():
        return
    made = record(text=text)
    assert len(made.text.encode()) <= MOST_TEXT + len(" [x-a]")
    query = read_query(asking.build("blocked.a"))
    for options in (
        Options(ede=((16, made.text),)),
        Options(structured=(16, structured_texts(made))),
    ):
        for limit in (512, 700, 1232):
            ((_, extra),) = asking.read(
                reply.block(query, "nxdomain", 60, b"", (), options, limit)
            ).ede
            assert "\ufffd" not in extra or "\ufffd" in text
            if options.structured is not None and extra:
                assert json.loads(extra)["j"] == made.text
