from __future__ import annotations

import pytest

from geodns.orders.guard.judge import bundled_known
from geodns.orders.guard.review import review
from geodns.orders.lint import lint
from geodns.orders.read import read_order
from tests.orders.sample import good


def findings(text: str, place: str = "IT") -> list[tuple[str, str | None, str]]:
    reading = read_order(f"{place}/a.toml", place, text.encode(), lambda name: b"x.org\nx.org\n")
    assert reading.order is not None, [str(fault) for fault in reading.faults]
    found = lint(reading.order, reading.repeats)
    _, found = review(reading.order, bundled_known(), found)
    return [(item.level, item.field, item.message) for item in found]


def targets(line: str) -> str:
    return good("a").replace('domains = ["example.org"]', line)


def top(line: str) -> str:
    return good("a").replace("sources =", f"{line}\nsources =")


def test_a_careful_order_has_no_findings() -> None:
    assert findings(good("a")) == []


@pytest.mark.parametrize(
    ("text", "level", "field", "words"),
    [
        (targets('domains = ["com", "a.com"]'), "hold", "targets.domains", "com is a single label"),
        (targets('below = ["com"]'), "hold", "targets.below", "single label"),
        (
            targets('domains = ["b.a.org", "a.org", "c.org"]\nexempt = ["a.org"]'),
            "warn", "targets.domains", "own exempt: b.a.org, a.org",
        ),
        (targets('domains = ["a.org", "A.org"]'), "info", "targets.domains", "twice: a.org"),
        (targets('files = ["l.txt"]'), "info", "targets.files", "x.org (IT/l.txt:2)"),
        (targets('networks = ["10.0.0.0/8"]'), "hold", "targets.networks", "very large"),
        (top('jurisdiction = ["IT", "SM"]'), "warn", "jurisdiction", "place, IT: SM"),
        (top('jurisdiction = ["EU"]'), "warn", "jurisdiction", "wider"),
        (
            top('jurisdiction = "global"\nglobal_reason = "x"'),
            "warn", "jurisdiction", "global: wider",
        ),
        (top('except = ["SM"]'), "warn", "except", "SM has no effect"),
        (top('except = ["IT"]'), "warn", "except", "no force"),
        (good("a").replace("sources =", "unverified ="), "warn", "sources", "no source"),
        (good("a").replace("reference =", "url = 'https://x.y'#"), "info", "authority.reference",
         "not given"),
        (good("a").replace("review", "issued"), "info", "dates", "neither expires"),
        (good("a").replace("review", "issued"), "warn", "dates.issued", "after effective"),
        (good("a").replace("review = 2030-01-01", "review = 2030-01-01\ndeadline = 2023-01-01"),
         "warn", "dates.deadline", "before effective"),
        (good("a").replace("text =", "url = 'https://x.y' #"), "info", "disclosure.text", "told"),
    ],
)  # fmt: skip
def test_findings(text: str, level: str, field: str, words: str) -> None:
    found = [item for item in findings(text) if item[:2] == (level, field)]
    assert found, findings(text)
    assert any(words in item[2] for item in found)


def test_what_is_within_the_authoritys_place_is_not_wider() -> None:
    assert findings(top('jurisdiction = ["IT-25", "AS3269"]\nexcept = ["IT-MI", "AS1"]')) == []
    assert findings(top('jurisdiction = ["FR", "RE"]'), "FR+overseas") == []
    assert findings(top('jurisdiction = ["DE"]\nexcept = ["DE-BY"]'), "EU") == []


def test_a_subdivision_with_a_country_code_of_its_own() -> None:
    found = findings(top('jurisdiction = ["US-PR"]'), "US")
    assert [("located as PR" in message) for _, _, message in found] == [True]


def test_a_lifted_order_needs_no_end() -> None:
    text = good("a").replace('"active"', '"lifted"').replace("review = 2030-01-01\n", "")
    assert findings(text) == []
