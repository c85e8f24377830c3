from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geodns.model.name import NameFault, parse, to_text
from geodns.orders.targets import MAX_TOLD, read_list, read_names, read_network


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"a.example", ["a.example"]),
        (b"a.example\nb.example\n", ["a.example", "b.example"]),
        (b"\xef\xbb\xbfa.example\r\nb.example\r\n", ["a.example", "b.example"]),
        (
            b"# all of it\na.example # why\n  \t\n\tb.example  \n#c.example",
            ["a.example", "b.example"],
        ),
        (b"A.Example.\n_x.b.example", ["a.example", "_x.b.example"]),
        ("bücher.de\nXN--BCHER-KVA.AT".encode(), ["xn--bcher-kva.de", "xn--bcher-kva.at"]),
        (b"com\n1.0.in-addr.arpa\na-.example", ["com", "1.0.in-addr.arpa", "a-.example"]),
    ],
)
def test_lists_as_people_and_programs_write_them(data: bytes, names: list[str]) -> None:
    entries = read_list(data)
    assert entries.bad == []
    assert [to_text(name) for name in entries.names] == names


def test_lines_of_names_and_of_repeats() -> None:
    entries = read_list(b"a.example\n\n# x\nb.example\nA.EXAMPLE.\na.example\n")
    assert entries.names == {parse("a.example"): 1, parse("b.example"): 4}
    assert entries.repeats == [(5, parse("a.example")), (6, parse("a.example"))]


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"a.example\nhttp://b.example/x#y", 2, "URL"),
        (b"a.example\n\n192.0.2.1\n", 3, "targets.networks"),
        (b"0.0.0.0 a.example", 1, "white space"),
        (b"a.example,b.example", 1, "no host"),
        (b"*.a.example", 1, "wildcard"),
        (b"<!DOCTYPE html>", 1, "white space"),
        (b"a.example\rb.example", 1, "white space"),
        (b"a.example\n\xff.example", 2, "0xff"),
        (b"a\x00.example", 1, "no host"),
        (("a" * 64 + ".example").encode(), 1, "over 63"),
        (("a." * 127 + "example").encode(), 1, "over 255"),
        (b"a.1234", 1, "number"),
    ],
)
def test_bad_entries_have_their_line(data: bytes, line: int, words: str) -> None:
    entries = read_list(data)
    assert len(entries.bad) == 1
    assert entries.bad[0][0] == line
    assert words in entries.bad[0][1]


def test_very_many_bad_entries_are_counted() -> None:
    entries = read_list(b"http://x\n" * (MAX_TOLD + 5))
    assert len(entries.bad) == MAX_TOLD + 1
    assert entries.bad[-1] == (MAX_TOLD + 1, "and 5 more entries like these")


NEARLY = st.text(".-_aA0xn*#/: \tü", min_size=1, max_size=12).map(lambda text: text + ".ab")


@example("\x1f")
@example("\xa0")
@given(st.one_of(NEARLY, st.text(max_size=20)).filter(lambda text: "\n" not in text))
def test_the_fast_way_reads_what_the_slow_way_reads(text: str) -> None:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    entry = text.removeprefix("\ufeff").partition("#")[0].strip()
    try:
        expected = {parse(entry): 1} if entry else {}
    except NameFault:
        assert len(read_list(data).bad) == 1
        return
    entries = read_list(data)
    assert entries.names == expected
    assert entries.bad == []


@given(st.lists(NEARLY, max_size=4))
def test_arrays_are_read_as_names(texts: list[str]) -> None:
    entries = read_names(texts)
    good = []
    bad = []
    for index, text in enumerate(texts):
        try:
            good.append(parse(text))
        except NameFault:
            bad.append(index)
    assert list(entries.names) == list(dict.fromkeys(good))
    assert [index for index, _ in entries.bad] == bad


def test_a_hundred_thousand_names() -> None:
    data = b"".join(b"name%d.of-%d.example\n" % (number, number % 7) for number in range(100_000))
    entries = read_list(data)
    assert len(entries.names) == 100_000
    assert entries.names[parse("name99999.of-4.example")] == 100_000


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        (" 203.0.113.7 ", "203.0.113.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("64:ff9b::/96", "64:ff9b::/96"),
    ],
)
def test_networks(text: str, network: str) -> None:
    assert str(read_network(text)) == network
