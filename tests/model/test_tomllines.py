from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns import shipped
from geodns.model.tomllines import find_line, read_lines

DOCUMENT = r'''# a comment
a = 1
"b c" = [
  "x", # ]
  'y',

  "]z\"",
]
[server]
listen.x = [{a=1, b=[2,
3]}]
m = """a
b""""
n = 1
[[f]]
k = 1
[f.v]
q = 1
[[f]]
k = 2020-01-01T00:00:00Z
'''


def test_lines_of_keys_and_items() -> None:
    tomllib.loads(DOCUMENT)
    lines = read_lines(DOCUMENT)
    assert lines[("a",)] == 2
    assert lines[("b c", 2)] == 7
    assert lines[("server",)] == 9
    assert lines[("server", "listen", "x", 0, "b", 1)] == 11
    assert lines[("server", "n")] == 14
    assert lines[("f", 0, "v", "q")] == 18
    assert lines[("f", 1, "k")] == 20


def test_windows_line_ends() -> None:
    assert read_lines(DOCUMENT.replace("\n", "\r\n")) == read_lines(DOCUMENT)


def test_what_has_no_line_takes_that_of_what_is_around_it() -> None:
    lines = read_lines("[a]\nb = [1]\n")
    assert find_line(lines, ("a", "b", 7)) == 2
    assert find_line(lines, ("a", "missing")) == 1
    assert find_line(lines, ("missing",)) is None


@given(st.text(alphabet="[]{}=\"'.,#\\\n ab1", max_size=40))
def test_whatever_tomllib_takes_is_read(text: str) -> None:
    lines = read_lines(text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(document) == {path[0] for path in lines}


@pytest.mark.parametrize("path", sorted(shipped.orders().glob("*/*.toml")), ids=lambda p: p.stem)
def test_the_shipped_orders_have_all_their_lines(path: Path) -> None:
    text = path.read_text("utf-8")
    lines = read_lines(text)
    for key, value in tomllib.loads(text).items():
        assert (key,) in lines
        for inner in value if isinstance(value, dict | list) else ():
            at = inner if isinstance(value, dict) else value.index(inner)
            assert (key, at) in lines
