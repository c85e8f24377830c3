"""Names in bulk: the native twin against plain Python, and plain Python against the parser."""

from __future__ import annotations

from array import array
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geodns.fastpath.index import index_names_pure, plain_names_pure
from geodns.fastpath.lookup import find_names
from geodns.model.name import NameFault, parse
from geodns.model.namelist import NameList


@pytest.fixture(scope="module")
def native() -> ModuleType:
    return pytest.importorskip("geodns.fastpath.native", reason="the extension is not built")


pieces = st.sampled_from(
    [
        *("a", "B", "xn--a", "-", "_", "0", "9", ".", "..", "example", "a" * 63, "a" * 64),
        *("#", " ", "\t", "\r", "\n", "\n", "\r\n", "\ufeff", "é", "*", "/", "com", ".org\n"),
        "x." * 126,
    ]
)
lists = st.lists(pieces, max_size=30).map("".join).map(str.encode)


@settings(max_examples=400, deadline=None)
@given(lists)
@example(b"\xef\xbb\xbfa.example\r\n\rb.example \n")
@example(b"a.example\na.Example\n\n")
@example(b"\x00a.b\n" + b"a" * 300)
@example(b"")
def test_the_twins_read_the_same(native: ModuleType, data: bytes) -> None:
    assert native.plain_names(data) == plain_names_pure(data)


@given(st.binary(max_size=60))
def test_the_twins_read_the_same_octets(native: ModuleType, data: bytes) -> None:
    assert native.plain_names(data) == plain_names_pure(data)


@given(lists)
def test_plain_names_are_what_the_parser_makes_of_them(data: bytes) -> None:
    blob, starts, odd, repeats = plain_names_pure(data)
    names = NameList(blob, starts)
    assert len(set(names)) == len(names)
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    skipped = {number for number, _ in odd}
    found = {wire for _, wire in repeats} | set(names)
    for number, line in enumerate(lines, 1):
        if number in skipped or not line.strip(b" \t\r"):
            continue
        assert parse(line.decode()) in found
    for _, line in odd:
        try:
            assert parse(line.decode()) not in found or b"." in line
        except NameFault:
            pass


names = st.sampled_from([parse(text) for text in ("a", "b.a", "c.b.a", "b", "a.b", "x.y.z", "y.z")])
chunks = st.lists(st.tuples(st.lists(names, unique=True), st.integers(1, 5)), max_size=6)


def index(which: ModuleType | None, parts: list[tuple[list[bytes], int]]) -> object:
    rules: dict[tuple[int, int], int] = {}

    def add(rule: int, item: int) -> int:
        return rules.setdefault((rule, item), len(rules) + 1)

    packed = [(NameList.of(part).blob, NameList.of(part).starts, item) for part, item in parts]
    make = index_names_pure if which is None else which.index_names
    return make(packed, add, 16), rules


@given(chunks)
def test_the_twins_index_the_same(native: ModuleType, parts: list[tuple[list[bytes], int]]) -> None:
    assert index(native, parts) == index(None, parts)


@given(chunks)
def test_every_indexed_name_is_found(parts: list[tuple[list[bytes], int]]) -> None:
    (count, filter_, buckets, name_at, rule, blob), _ = index(None, parts)  # type: ignore[misc]
    wanted = {name for part, _ in parts for name in part}
    assert count == len(wanted)
    for name in [*wanted, parse("none.example"), parse("c.c.b.a")]:
        found = find_names(name, buckets, name_at, rule, memoryview(blob), filter_)
        above = [at for at in _starts(name) if name[at:] in wanted]
        assert [at for at, _ in found] == above


def _starts(name: bytes) -> list[int]:
    found, at = [], 0
    while name[at]:
        found.append(at)
        at += 1 + name[at]
    return found


def test_many_names_pack_alike(native: ModuleType) -> None:
    data = "".join(f"host{n}.dom{n % 97}.example\n" for n in range(20_000)).encode()
    blob, starts, odd, repeats = native.plain_names(data)
    assert (len(starts), odd, repeats) == (20_001, [], [])
    parts = [(blob, starts, 1), (blob, starts, 2)]
    assert native.index_names(parts, lambda rule, item: rule * 4 + item, 16) == index_names_pure(
        parts, lambda rule, item: rule * 4 + item, 16
    )


def test_a_list_that_lies_about_its_starts_is_an_error(native: ModuleType) -> None:
    with pytest.raises(IndexError):
        native.index_names([(b"\1a\0", array("I", [0, 9]), 1)], lambda rule, item: 1, 16)
