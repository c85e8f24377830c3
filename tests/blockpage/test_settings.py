"""[blockpage] in the settings: what is taken, what is refused, what a reload changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from geodns.config import parse_settings
from geodns.errors import SettingsError
from geodns.serve.adopt import adopt
from geodns.settings import Settings


def read(text: str) -> Settings:
    return parse_settings(text, Path("geodns.toml"))


def test_whoever_listens_says_who_blocks() -> None:
    with pytest.raises(SettingsError, match="operator_url is required with listen"):
        read('[blockpage]\nlisten = ["127.0.0.1:80"]\n')
    assert read('[blockpage]\nlanguage = "it"\n').blockpage.listen == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('operator_url = "rete.example"', "no web address"),
        ('operator_url = "https://rete.example/>; rel=x"', "no web address"),
        ('operator_url = "https://r\\u00e9te.example/"', "no web address"),
        ('operator_url = "javascript:alert(1)"', "no web address"),
        ('operator = ""', "no name"),
        ('operator = "a\\nb"', "no name"),
        ('contact = ["abuse@rete.example"]', "no contact"),
        ('contact = ["javascript:alert(1)"]', "no contact"),
        ('language = "tlh"', "language|input|must be"),
        ('listen = ["127.0.0.1:80", "127.0.0.1:80"]', "twice"),
        ('listen = ["localhost:80"]', "IP address"),
        ("connections = 0", "greater than or equal"),
    ],
)
def test_faults(line: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read(f"[blockpage]\n{line}\n")


def test_a_reload_changes_all_but_where_it_listens() -> None:
    page = '[blockpage]\nlisten = ["127.0.0.1:{}"]\noperator_url = "https://{}.example/"\n'
    old = read(page.format(80, "a"))
    adopted = adopt(old, read(page.format(81, "b")))
    assert adopted.restart_needed == ("blockpage.listen",)
    assert adopted.settings.blockpage.listen == ("127.0.0.1:80",)
    assert adopted.settings.blockpage.operator_url == "https://b.example/"
    gone = adopt(old, read(""))
    assert gone.restart_needed == ("blockpage.listen",)
    assert gone.settings.blockpage.operator_url == "https://a.example/"
    same = adopt(old, read(page.format(80, "b")))
    assert same.restart_needed == ()
