"""The world map: every figure is in it as text, it is well-formed, and nothing is dropped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pycountry
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model.place import country_name
from geodns.report.map import world

SVG = "{http://www.w3.org/2000/svg}"
CODES = sorted({country.alpha_2 for country in pycountry.countries} | {"XK"})


def parse(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def described(root: ElementTree.Element) -> str:
    return root.findtext(f"{SVG}desc") or ""


def drawn_titles(root: ElementTree.Element) -> set[str]:
    return {found.text or "" for found in root.iterfind(f".//{SVG}g//{SVG}title")}


@pytest.mark.parametrize("code", CODES)
def test_every_country_of_the_standard_is_drawn(code: str) -> None:
    root = parse(world({code: 3}, "one"))
    assert drawn_titles(root) == {f"{country_name(code)}: 3"}
    assert "Not on the map" not in "".join(root.itertext())


@given(st.dictionaries(st.sampled_from(CODES), st.integers(0, 10**9), max_size=40))
@settings(max_examples=40, deadline=None)
def test_every_figure_is_said_and_none_that_is_zero(counts: dict[str, int]) -> None:
    root = parse(world(counts, "figures", unit="queries"))
    said = described(root)
    for code, count in counts.items():
        assert (f"{country_name(code)} {count:,}" in said) == (count > 0)
    assert len(drawn_titles(root)) == sum(count > 0 for count in counts.values())


@given(st.dictionaries(st.sampled_from(CODES), st.integers(1, 10**9), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_each_country_has_the_filling_of_the_step_that_holds_its_figure(
    counts: dict[str, int],
) -> None:
    root = parse(world(counts, "steps", unit="names"))
    lines = [found.text or "" for found in root.iterfind(f"{SVG}text[@class='line']")]
    kinds = [found.get("class", "").split()[0] for found in root.iterfind(f"{SVG}rect")]
    legend = {}
    for kind, line in zip([k for k in kinds if k.startswith("s")], lines, strict=False):
        bounds = [int(part.replace(",", "")) for part in re.findall(r"[\d,]+", line)]
        legend[kind] = min(bounds), max(bounds)
    for shape in [*root.iterfind(f".//{SVG}path"), *root.iterfind(f".//{SVG}circle")]:
        title = shape.findtext(f"{SVG}title")
        if title:
            kind = shape.get("class", "").split()[1]
            low, high = legend[kind]
            assert low <= int(title.rsplit(": ", 1)[1].replace(",", "")) <= high


def test_text_from_outside_cannot_break_out_of_the_document() -> None:
    text = world({"IT": 1}, '<script>alert("x")</script>', unit="<i>", notes=["a & b </svg>"])
    root = parse(text)
    assert root.findtext(f"{SVG}title") == '<script>alert("x")</script>'
    assert not list(root.iter(f"{SVG}script"))


def test_it_loads_nothing_and_several_fit_in_one_page() -> None:
    one, two = world({"IT": 1}, "one"), world({"FR": 1}, "two")
    assert not re.search(r"(href|src)=|@import|url\((?!#)", one)
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, two)]
    assert ids[0] and not ids[0] & ids[1]
    # Rules reach only the map that carries them.
    rules = re.sub(r"@media[^{]*\{", "", parse(one).findtext(f"{SVG}style") or "")
    mark = parse(one).get("class")
    assert all(
        part.strip().startswith(f".{mark}")
        for rule in re.findall(r"([^{}]+)\{", rules)
        for part in rule.split(",")
    )


def test_a_code_that_no_map_has_is_named() -> None:
    text = "".join(parse(world({"ZZ": 2, "IT": 1}, "odd")).itertext())
    assert "Not on the map: ZZ" in text


@given(st.integers(1, 9), st.integers(1, 9))
def test_what_is_withheld_leaves_no_trace_of_its_figure(one: int, other: int) -> None:
    texts = {
        world({"SM": first, "MT": second, "IT": 50, "FR": 1000}, "small", withheld=["SM", "MT"],
              withheld_as="< 10")
        for first, second in ((one, other), (other, one))
    }  # fmt: skip
    assert len(texts) == 1
    root = parse(texts.pop())
    assert "San Marino: < 10" in drawn_titles(root)
    assert described(root) == (
        "World map. Figures: France 1,000, Italy 50, Malta < 10, San Marino < 10."
    )


def test_a_part_of_a_country_is_told_apart() -> None:
    root = parse(world({"US": 1, "IT": 1}, "parts", partly=["US"]))
    shape = next(
        s for s in root.iter(f"{SVG}path") if (s.findtext(f"{SVG}title") or "")[:2] == "Un"
    )
    assert shape.get("class") == "base part"
    assert "United States 1 (in part)" in described(root)


def test_no_country_at_all() -> None:
    assert "No country: not blocked" in described(parse(world({}, "none", nothing="not blocked")))


def test_long_titles_and_notes_stay_inside() -> None:
    title = "Where " + "a" * 240 + ".example is blocked"
    root = parse(world({"IT": 1}, title, notes=["By: " + ", ".join(["some-order-id"] * 40)]))
    assert root.findtext(f"{SVG}title") == title
    assert all(len(text.text or "") <= 118 for text in root.iterfind(f"{SVG}text"))
    assert "".join(root.itertext()).count("some-order-id") == 40
