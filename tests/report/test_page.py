"""A report as a page and as Markdown: all of it, for everybody, and nothing but text in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from geodns.report import chart
from geodns.report.contents import sections
from geodns.report.page import page
from geodns.report.text import escape, markdown
from tests.report.story import DAY, HOUR, OCTOBER, Story

EVIL = (
    "</title></style><script>alert(1)</script><img src=x onerror=alert(1)> | a | b\n"
    "# heading\n\n- [link](javascript:x) ![i](http://evil.example/i.png) `code` **bold** &amp;"
    " http://evil.example www.evil.example \u202ebackwards <!-- \x1b[31m"
)
VOID = {"meta", "br"}


def eventful(**more: Any) -> Story:
    """A month in which something of every kind happened."""
    story = Story().add(OCTOBER - DAY, "started", version="1", node="ns1")
    story.take_in(OCTOBER - DAY, deadline="2023-10-02T00:00:00+00:00", **more)
    story.add(OCTOBER - DAY, "held", "it-x", edition="a", count=1, targets=["s3.example"],
              findings=["platform"])  # fmt: skip
    story.enforce(OCTOBER - DAY + 1)
    story.take_in(OCTOBER + HOUR, "fr-y", jurisdiction=["EU", "US-CA", "AS64496"], **more)
    story.add(OCTOBER + HOUR, "held", "fr-y", edition="a", count=1, targets=["held.example"],
              findings=["popular"])  # fmt: skip
    story.enforce(OCTOBER + HOUR + 1, "fr-y")
    story.add(OCTOBER + HOUR + 2, "verified", "fr-y", edition="a", form="a",
              inside={"place": "FR", "address": "127.99.1.1"})  # fmt: skip
    story.add(OCTOBER + HOUR, "acknowledged", "fr-y", target="t.example", finding="popular",
              by="A. Person", reason=more.get("title", "meant"), date="2023-10-01")  # fmt: skip
    story.take_in(OCTOBER, "de-z", status="shadow", jurisdiction=["DE"], **more)
    story.enforce(OCTOBER + 1, "de-z", shadow=True)
    story.add(OCTOBER + DAY, "feed", "it-x", source="https://list.example/a", sha256="0",
              taken=4, added=1, gone=0, reasons={"path": 3})  # fmt: skip
    story.add(OCTOBER + DAY, "refused", file=f"{more.get('title', 'it-w')}.toml", faults=[{}])
    story.add(OCTOBER + 3 * DAY, "stopped", version="1", node="ns1")
    story.add(OCTOBER + 4 * DAY, "started", version="1", node="ns1")
    story.add(OCTOBER + 5 * DAY, "gap", entries=2, since=OCTOBER)
    story.add(OCTOBER + 6 * DAY, "lifted", "it-x", edition="a", why="suspended")
    story.count(OCTOBER, IT=1234, SM=3).count(OCTOBER, "de-z", shadow=True, DE=56)
    return story


class Elements(HTMLParser):
    """The elements of a page, with a check that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.found if tag in tags]


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return eventful().report(tmp_path)


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, Any]:
    more = {"title": EVIL, "authority": EVIL, "kind": EVIL, "reference": EVIL}
    return eventful(**more).report(tmp_path)


def test_everything_has_a_section_and_the_same_cells_in_both(document: dict[str, Any]) -> None:
    told = sections(document)
    assert [len(section.tables) > 0 for section in told] == [True] * 9
    words = squeezed("".join(Elements(page(document)).words))
    text = markdown(document)
    for section in told:
        assert f"## {section.title}\n" in text
        assert squeezed(section.title) in words
        for table in section.tables:
            assert squeezed(table.caption) in words
            for row in table.rows:
                for line in (line for cell in row for line in cell.split("\n")):
                    assert escape(line) in text
                    assert squeezed(line) in words
    for figure in ("1,234", "56", "held.example", "t.example", "SM<10", "suspended"):
        assert figure in words


def test_the_page_stands_alone(document: dict[str, Any]) -> None:
    text = page(document)
    elements = Elements(text)
    assert not elements.all("script", "link", "img", "iframe", "object", "image", "use")
    assert not re.search(r"@import|url\((?!#)|\bsrc=|javascript:", text)
    assert all((a.get("href") or "").startswith("#") for a in elements.all("a"))
    assert not [attr for _, attrs in elements.found for attr in attrs if attr.startswith("on")]


def test_the_page_is_for_those_who_do_not_see_it_too(document: dict[str, Any]) -> None:
    text = page(document)
    elements = Elements(text)
    ids = [attrs["id"] for _, attrs in elements.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in elements.found:
        for name in (attrs.get("aria-labelledby") or "").split():
            assert name in ids
    for link in elements.all("a"):
        assert (link["href"] or "")[1:] in ids
    assert elements.all("html")[0]["lang"] == "en"
    assert len(elements.all("h1")) == 1
    tables = elements.all("table")
    assert len(tables) == len(elements.all("caption")) > 10
    assert all("scope" in attrs for attrs in elements.all("th"))
    drawings = elements.all("svg")
    assert len(drawings) == 4
    assert all(each["role"] == "img" and each["aria-labelledby"] for each in drawings)
    for region in (attrs for attrs in elements.all("div") if attrs.get("role") == "region"):
        assert region["tabindex"] == "0"
        assert region["aria-label"]


def test_what_order_files_say_stays_text_on_the_page(
    document: dict[str, Any], hostile: dict[str, Any]
) -> None:
    tame, wild = Elements(page(document)), Elements(page(hostile))
    # The same elements: what differs is text, and the names of drawings made of it.
    strip = {"data-name", "id", "aria-labelledby"}
    shape = [
        [(tag, {k: v for k, v in attrs.items() if k not in strip}) for tag, attrs in each.found
         if tag in ("script", "img", "section", "table", "svg", "h1", "h2", "a", "title", "style")]
        for each in (tame, wild)
    ]  # fmt: skip
    assert shape[0] == shape[1]
    assert "\u202e" not in page(hostile)
    assert "\x1b" not in page(hostile)
    assert "<script>alert(1)</script>" in " ".join(wild.words)


def test_what_order_files_say_stays_text_in_markdown(
    document: dict[str, Any], hostile: dict[str, Any]
) -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    shapes = []
    for each in (document, hostile):
        tokens = reader.parse(markdown(each))
        inner = [child for token in tokens for child in token.children or ()]
        kinds = {child.type for child in inner}
        assert not kinds & {"html_inline", "link_open", "image", "code_inline", "em_open"}
        shapes.append([token.type for token in tokens])
    # Not one cell, heading or item more.
    assert shapes[0] == shapes[1]
    assert "html_block" not in shapes[1]
    text = markdown(hostile)
    assert not re.search(r"(?<!\\)(?:https?:|www\.evil)(?!\\)", text.replace("\\:", ""))
    assert "\u202e" not in text


@given(st.text(max_size=60))
def test_any_text_is_read_back_from_a_cell_of_markdown_as_it_was(text: str) -> None:
    from geodns.report.sections import plain

    reader = MarkdownIt("commonmark", {"html": True}).enable(["table"])
    shown = plain(text)
    tokens = reader.parse(f"| a | b |\n| --- | --- |\n| x | {escape(shown)} |\n")
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    assert "".join(child.content for child in cells[3].children or ()) == shown


def test_a_broken_ledger_is_said_first(document: dict[str, Any]) -> None:
    document["ledger"] |= {"whole": False, "breaks": ["entry 4: was changed"]}
    text = page(document)
    assert text.index("THE LEDGER IS BROKEN") < text.index("orders in force at the end")
    assert 'role="alert"' in text
    assert markdown(document).splitlines()[2].startswith("**THE LEDGER IS BROKEN")


def test_a_report_of_nothing_is_a_page(tmp_path: Path) -> None:
    document = Story().report(tmp_path)
    elements = Elements(page(document))
    assert not elements.all("svg")
    words = " ".join(elements.words)
    for said in ("has no entries yet", "No order is in force", "No queries blocked"):
        assert said in words
        assert said in markdown(document)


def test_orders_everywhere_fill_the_map(tmp_path: Path) -> None:
    story = Story().take_in(OCTOBER, jurisdiction="global").enforce(OCTOBER + 1)
    text = page(story.report(tmp_path))
    assert "on the map they are in every country" in text
    assert "Brazil 4" in text


@given(st.lists(st.tuples(st.sampled_from(["<a>", "b&", "c"]), st.integers(0, 10**7)), max_size=40))
def test_charts_are_well_formed_and_have_their_figures_in_words(
    bins: list[tuple[str, float]],
) -> None:
    for drawing in (chart.bars(bins, "a <title>"), chart.distribution(bins, "a <title>")):
        root = ElementTree.fromstring(drawing)
        words = "".join(root.itertext())
        for label, value in bins:
            assert f"{label}: {value:,.0f}" in words
        view = [float(each) for each in (root.get("viewBox") or "").split()]
        for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
            x, y, wide, high = (float(rect.get(k) or 0) for k in ("x", "y", "width", "height"))
            assert x >= 0 and y >= 0
            assert x + wide <= view[2] + 0.2
            assert y + high <= view[3] + 0.2


@given(st.integers(0, 10**9))
def test_a_scale_ends_at_or_above_what_it_shows_and_has_whole_figures(most: int) -> None:
    top = chart._ceiling(most)
    assert most <= top <= max(2 * most, 1)
    drawing = ElementTree.fromstring(chart.bars([("x", most)], "t"))
    texts = [e.text or "" for e in drawing.iter("{http://www.w3.org/2000/svg}text")]
    figures = [int(text.replace(",", "")) for text in texts if text != "x"]
    assert figures == sorted(set(figures))
    assert (figures[0], figures[-1]) == (0, top)
    assert len({b - a for a, b in pairwise(figures)}) == 1


def test_some_of_what_the_ledger_knows_is_not_for_everybody(document: dict[str, Any]) -> None:
    told = page(document) + markdown(document) + str(document)
    for word in ("A. Person", "127.99.1.1", "d" * 64):
        assert word not in told
