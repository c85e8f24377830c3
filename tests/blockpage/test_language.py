"""The page's own words: complete in every language, and chosen as RFC 9110 and 4647 say."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import get_args

import pytest

from geodns.blockpage import wording
from geodns.blockpage.language import Words, best, languages, preferences
from geodns.policy.snapshot import Disclosed
from geodns.settings import PageLanguage

ENGLISH = languages()["en"]


def gaps(text: str) -> set[str]:
    return set(re.findall(r"\{(\w*)\}", text))


@pytest.mark.parametrize("words", languages().values(), ids=lambda words: words.tag)
def test_every_language_is_complete(words: Words) -> None:
    raw = tomllib.loads(
        files("geodns.blockpage").joinpath(f"strings/{words.tag}.toml").read_text("utf-8")
    )
    assert raw.keys() == {"name", "direction", "date", "moment", "months", "text"}
    assert len(set(words.months)) == 12
    assert words.direction in ("ltr", "rtl")
    assert gaps(words.date) == {"day", "month", "year"}
    assert gaps(words.moment) == {"date", "time", "zone"}
    assert list(words.text) == list(ENGLISH.text)
    for key, sentence in words.text.items():
        assert sentence == sentence.strip(), key
        assert sentence, key
        assert gaps(sentence) == gaps(ENGLISH[key]), key
        assert "'" not in sentence, key


def test_no_sentence_was_left_in_english() -> None:
    for words in languages().values():
        if words is not ENGLISH:
            same = {key for key, text in words.text.items() if text == ENGLISH[key]}
            assert same <= {"set_BENELUX", "kind_police"}, (words.tag, same)


def test_settings_offer_the_languages_that_there_are() -> None:
    assert set(get_args(PageLanguage)) == set(languages())


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("", []),
        ("de", ["de"]),
        ("de-CH, fr;q=0.9, *;q=0.1", ["de-ch", "fr", "*"]),
        ("fr;q=0.2,it;q=0.8, es ; q=0.5", ["it", "es", "fr"]),
        ("de;q=0, fr;q=0.001", ["fr"]),
        ("de;q=x, fr", ["fr"]),
        ("<b>, fr;q=9", []),
        ("a,,b", ["a", "b"]),
    ],
)
def test_preferences(field: str, wanted: list[str]) -> None:
    assert preferences(field) == wanted


def test_preferences_are_bounded() -> None:
    assert len(preferences("de," * 100_000)) <= 20


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["de-ch-1996"], "de"),
        (["pt", "zh-hant-tw"], "zh-Hant"),
        (["zh"], None),
        (["*"], None),
        ([], None),
        (["de-x-private"], "de"),
    ],
)
def test_lookup(wanted: list[str], chosen: str | None) -> None:
    assert best(wanted, ["en", "de", "zh-Hant"]) == chosen


def test_places_in_words() -> None:
    german = languages()["de"]
    assert wording.place(german, "IT") == "Italien"
    assert wording.place(german, "US-CA") == "Kalifornien (Vereinigte Staaten)"
    assert wording.place(german, "EU") == "Europäische Union"
    assert wording.place(german, "FR+overseas") == "Frankreich und zugehörige Gebiete"
    assert wording.place(german, "AS3269") == "Netz AS3269"
    assert wording.place(german, "XK") == "Kosovo"
    disclosed = Disclosed(places=("IT", "SM"), except_=("IT-32",))
    assert wording.jurisdiction(ENGLISH, disclosed).startswith("Italy, San Marino (except ")
    assert wording.jurisdiction(ENGLISH, Disclosed()) == "all places"


def test_every_named_set_has_a_name() -> None:
    from geodns.model.place import NAMED_SETS

    for words in languages().values():
        for place in NAMED_SETS:
            assert wording.place(words, place) not in ("", place) or place == "BENELUX"


def test_instants_in_words() -> None:
    midnight, noon = 1720735200.0, 1720778400.0
    assert wording.instant(languages()["it"], midnight, "Europe/Rome") == "12 luglio 2024"
    told = wording.instant(languages()["de"], noon, "Europe/Rome")
    assert told == "12. Juli 2024, 12:00 Uhr (CEST)"
