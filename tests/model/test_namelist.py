"""Many names in little memory: a sequence like any other, wherever its octets are."""

from __future__ import annotations

from pathlib import Path

import pytest

from geodns.fastpath.index import index_names, index_names_pure
from geodns.model.name import parse
from geodns.model.namelist import AWAY, NameList


def long_list() -> tuple[list[bytes], NameList]:
    names = [parse(f"name{number}.example") for number in range(AWAY // 16)]
    names.append(parse("a.example"))
    return names, NameList.of(names)


def test_it_is_a_sequence() -> None:
    names = [parse("a.example"), parse("b.b.example"), b"\0"]
    packed = NameList.of(names)
    assert list(packed) == names
    assert packed[1] == packed[-2] == names[1]
    assert packed[1:] == names[1:]
    assert packed == NameList.of(names)
    assert hash(packed) == hash(NameList.of(names))
    with pytest.raises(IndexError):
        packed[3]


def test_names_put_away_are_the_same_names(tmp_path: Path) -> None:
    names, packed = long_list()
    packed.put_away(tmp_path)
    assert not list(tmp_path.iterdir()), "the file has no name"
    assert isinstance(packed.starts, memoryview), "they were put away"
    for _ in range(2):
        assert list(packed) == names
        assert packed[-1] == names[-1]
        assert packed == names
        assert packed == NameList.of(names)
        assert hash(packed) == hash(NameList.of(names))
        packed.rest()
    packed.put_away(tmp_path / "not there")


def test_a_short_list_stays(tmp_path: Path) -> None:
    packed = NameList.of([parse("a.example")])
    packed.put_away(tmp_path)
    packed.rest()
    assert isinstance(packed.blob, bytes)


def test_where_there_is_no_room_the_list_stays_as_it_was(tmp_path: Path) -> None:
    names, packed = long_list()
    with pytest.raises(OSError):
        packed.put_away(tmp_path / "not there")
    assert isinstance(packed.blob, bytes)
    assert list(packed) == names


@pytest.mark.parametrize("index", [index_names, index_names_pure])
def test_both_indexes_read_names_that_were_put_away(tmp_path: Path, index: object) -> None:
    _, packed = long_list()
    assert callable(index)
    before = index([(packed.blob, packed.starts, 1)], lambda rule, item: item, 16)
    packed.put_away(tmp_path)
    assert index([(packed.blob, packed.starts, 1)], lambda rule, item: item, 16) == before
