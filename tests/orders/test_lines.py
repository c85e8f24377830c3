from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from geodns.orders.lines import find_lines, line_of

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
    lines = find_lines(TEXT)
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
        ("t", "u"): 12,
        ("t", "u", "h"): 13,
        ("t", "u", "i"): 14,
        ("t", "u", "i", "j"): 14,
        ("k", 0): 15,
        ("k", 0, "l"): 16,
        ("k", 1): 17,
        ("k", 1, "l"): 18,
    }


def test_what_is_not_there_has_the_line_of_what_holds_it() -> None:
    lines = find_lines(TEXT)
    assert line_of(lines, ("t", "u", "missing")) == 12
    assert line_of(lines, ("missing",)) is None


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
    lines = find_lines(text)
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
