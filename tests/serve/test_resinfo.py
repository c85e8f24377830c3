"""RESINFO says what replies carry, and nothing that is not so (RFC 9606)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import geodns
from geodns.serve.resinfo import resinfo_data
from geodns.settings import Settings


def told(**sections: Any) -> dict[str, str]:
    data = resinfo_data(Settings.model_validate(sections).model_dump(mode="json"))
    found, at = {}, 0
    while at < len(data):
        key, _, value = data[at + 1 : at + 1 + data[at]].decode().partition("=")
        found[key] = value
        at += 1 + data[at]
    return found


def test_errors_and_the_page_about_the_resolver() -> None:
    assert told() == {"exterr": "0,13,15-16,18,22-23"}
    page = "https://resolver.example/about"
    assert told(errors={"info_url": page}) == {"exterr": "0,13,15-16,18,22-23", "infourl": page}
    assert told(cache={"serve_stale": 3600}) == {"exterr": "0,3,13,15-16,18-19,22-23"}


@pytest.mark.parametrize(
    "url",
    ["http://a.example", "https://", "https://a example", "https://bücher.example", "x" * 9,
     "https://a.example/" + "x" * 200],
)  # fmt: skip
def test_a_page_that_cannot_be_told_is_a_fault(url: str) -> None:
    with pytest.raises(ValueError, match="info_url"):
        Settings.model_validate({"errors": {"info_url": url}})


def test_every_code_that_the_program_names_is_told() -> None:
    """Whoever adds an EDE code finds this test, and with it the list that promises it."""
    folder = Path(geodns.__file__).parent
    named: set[int] = set()
    for path in (*folder.glob("serve/*.py"), *folder.glob("policy/*.py")):
        for line in path.read_text().splitlines():
            if match := re.match(r"(EDE_[A-Z_, ]+) = ([0-9, ]+)\Z", line):
                named.update(map(int, match[2].split(",")))
    assert named >= {0, 3, 15, 16, 18, 19}
    promised: set[int] = set()
    for part in told(cache={"serve_stale": 1})["exterr"].split(","):
        first, _, last = part.partition("-")
        promised.update(range(int(first), int(last or first) + 1))
    assert promised == named | {22, 23}
