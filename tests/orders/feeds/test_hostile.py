"""Lists that are made to break their reader are refused in words."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from geodns.orders.feeds.kept import KeptFeed, State
from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.take import take
from tests.orders.feeds.test_formats import CERT_JSON, CUII, SHIELD, UKRAINE

DAY = date(2026, 6, 1)
JSON = ["pl-cert-json", "it-piracy-shield", "de-cuii", "ua-orders"]
XML = (
    b'<Rejestr><PozycjaRejestru Lp="%s"><AdresDomeny>a.example</AdresDomeny></PozycjaRejestru>'
    b"</Rejestr>"
)


@pytest.mark.parametrize("data", [b"[" * 100_000, b"[" + b"9" * 10_000 + b"]"])
@pytest.mark.parametrize("name", JSON)
def test_json_that_cannot_be_read_is_a_fault(name: str, data: bytes) -> None:
    with pytest.raises(FeedFault):
        take(data, DAY, name)


def test_a_row_s_number_without_end_is_not_taken_for_its_number() -> None:
    taken = take(XML % (b"9" * 10_000), DAY, "pl-hazard")
    assert taken.rows == 1


def test_half_a_character_is_rejected_and_can_be_kept(tmp_path: Path) -> None:
    taken = take(b'{"list": [{"domain": "a.example"}, {"domain": "\\ud800.example"}]}', DAY)
    KeptFeed(tmp_path, "it-x", "x").put(b"", taken, State("it-x", "x"), "2026-06-01")
    assert (taken.count, taken.reasons()) == (1, {"not a name": 1})


@pytest.mark.parametrize("found", [b"7", b'"one.example"', b'{"value": "one.example"}'])
def test_a_ticket_whose_items_are_no_list_is_unreadable(found: bytes) -> None:
    taken = take(b'[{"ticket_id": 1, "fqdn": ' + found + b', "ipv4": ["192.0.2.1"]}]', DAY)
    assert (taken.count, taken.reasons()) == (1, {"unreadable": 1})


CSV = {
    "cz-mfcr": b"Objekt blokace;\r\n",
    "csv-url": b"URL,ZAPIS\r\n",
    "ru-register": b"Updated: x\n",
    "pl-cert-tsv": b"DomainAddress\tInsertDate\n",
}


@pytest.mark.parametrize("rows", [3, 9000])
@pytest.mark.parametrize("name", CSV)
def test_a_quote_without_end_does_not_swallow_the_rows_behind_it(name: str, rows: int) -> None:
    between = {"pl-cert-tsv": b"\t", "csv-url": b","}.get(name, b";")
    broken = b'a.example%b\r\nb.example%b"open\r\n' % (between, between)
    data = CSV[name] + broken + b"c.example-with-a-long-name\r\n" * rows
    with pytest.raises(FeedFault, match="line 3: a row from here on is no CSV"):
        take(data, DAY, name)


ODD = [None, 7, "x", [], {}, [None], True, {"a": 1}, "\ud800", [7, "x", {"value": 7}], 10**30]
DOCUMENTS = {
    "pl-cert-json": CERT_JSON,
    "de-cuii": CUII,
    "it-piracy-shield": SHIELD,
    "ua-orders": UKRAINE,
}


def nodes(found: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(found, dict):
        for key, inner in found.items():
            yield from nodes(inner, (*path, key))
    elif isinstance(found, list):
        for at, inner in enumerate(found):
            yield from nodes(inner, (*path, at))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_whatever_stands_where_in_json_it_is_read_or_refused_in_words(name: str) -> None:
    document = {"": json.loads(DOCUMENTS[name])}
    for path in nodes(document):
        for odd in ODD if path else ():
            other = copy.deepcopy(document)
            inner: Any = other
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = odd
            with suppress(FeedFault):
                taken = take(json.dumps(other[""]).encode(), DAY, name)
                assert taken.count + len(taken.rejected) == taken.rows
