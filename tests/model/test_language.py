from __future__ import annotations

import pytest

from geodns.model.language import parse_language


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("de", "de"),
        ("PT-br", "pt-BR"),
        ("zh-hANT-hk", "zh-Hant-HK"),
        ("es-419", "es-419"),
        ("de-ch-1901", "de-CH-1901"),
        ("sl-rozaj-biske", "sl-rozaj-biske"),
        ("zh-yue", "zh-yue"),
        ("en-u-co-phonebk-x-ours", "en-u-co-phonebk-x-ours"),
        ("und", "und"),
    ],
)
def test_tags_get_their_usual_case(text: str, tag: str) -> None:
    assert parse_language(text) == tag
    assert parse_language(tag) == tag


@pytest.mark.parametrize(
    "text",
    ["", "d", "de_DE", "de-", "-de", "de--CH", "deutschland", "de-DE-DE", "x-ours", "i-klingon",
     "de-x", "dé", "de\n", "en-u", "ſ", "de-abcdefghi", "1234"],
)  # fmt: skip
def test_what_is_no_tag_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="no language tag"):
        parse_language(text)
