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


@pytest.mark.parametrize("text", ["a=[}", "a=[\n}]", "a={b=]", "a={b=,c=1}", "a=[[}]"])
def test_what_is_no_toml_ends_too(text: str) -> None:
    assert read_lines(text) == {}


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


TEXT = r'''# comment [x]
a = 1
"b c".d = """
x = 3
""\"""" # ]
e = [ "]", # comma,
  'x', [ 1,
  2 ], { f = [
  1], "g" = '#' },
]

[t.u]   # table
h = 2024-01-01T00:00:00Z
i.j = "\"[z]"
[[k]]
l = true
[[k]]
l = false
'''


def test_keys_elements_and_tables_have_their_lines() -> None:
    tomllib.loads(TEXT)
    lines = read_lines(TEXT)
    assert lines == {
        ("a",): 2,
        ("b c",): 3,
        ("b c", "d"): 3,
        ("e",): 6,
        ("e", 0): 6,
        ("e", 1): 7,
        ("e", 2): 7,
        ("e", 2, 0): 7,
        ("e", 2, 1): 8,
        ("e", 3): 8,
        ("e", 3, "f"): 8,
        ("e", 3, "f", 0): 9,
        ("e", 3, "g"): 9,
        ("t",): 12,
        ("t", "u"): 12,
        ("t", "u", "h"): 13,
        ("t", "u", "i"): 14,
        ("t", "u", "i", "j"): 14,
        ("k",): 15,
        ("k", 0): 15,
        ("k", 0, "l"): 16,
        ("k", 1): 17,
        ("k", 1, "l"): 18,
    }


KEY = st.sampled_from(["a", "b-c", '"d e"', "'f'", "g.h"])
VALUE = st.recursive(
    st.sampled_from(["1", '"x"', '"\\"]"', "'#'", "2024-01-01", '"""\nm\n"""', "'''\n'n''''"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: "[\n" + ",\n".join(items) + "]"),
    max_leaves=5,
)


@given(st.lists(st.tuples(KEY, VALUE), max_size=5), st.booleans())
def test_every_value_of_a_valid_text_is_found(pairs: list[tuple[str, str]], table: bool) -> None:
    seen: set[str] = set()
    text = "[t]\n" if table else ""
    for key, value in pairs:
        if key not in seen:
            seen.add(key)
            text += f"{key} = {value} # c\n"
    document = tomllib.loads(text)
    lines = read_lines(text)
    written = text.split("\n")

    def check(value: object, path: tuple[str | int, ...]) -> None:
        if path:
            assert path in lines
            if isinstance(path[-1], str):
                assert path[-1] in written[lines[path] - 1]
        if isinstance(value, dict):
            for key, inner in value.items():
                check(inner, (*path, key))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                check(inner, (*path, index))

    check(document, ())
