"""Language tags (BCP 47, RFC 5646): read and put into their usual letter case."""

from __future__ import annotations

import re

UNDETERMINED = "und"
"""The tag of a text whose language nobody told."""

_TAG = re.compile(
    r"""
    (?P<language>[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4}|[a-z]{5,8})
    (?:-(?P<script>[a-z]{4}))?
    (?:-(?P<region>[a-z]{2}|[0-9]{3}))?
    (?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)
    (?P<rest>(?:-[a-wy-z0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?)
    """,
    re.VERBOSE,
)


def parse_language(text: str) -> str:
    """Check that a tag is well-formed (RFC 5646 section 2.1) and give it in its usual case.

    ``PT-br`` becomes ``pt-BR`` and ``zh-hant`` ``zh-Hant`` (section 2.1.1). Grandfathered tags and
    those for private use only are refused: they say nothing to a reader. ValueError otherwise.
    """
    match = _TAG.fullmatch(text.lower()) if text.isascii() else None
    if match is None:
        raise ValueError(f"{text!r} is no language tag; write one such as de, pt-BR or zh-Hant")
    parts = [match["language"]]
    if match["script"]:
        parts.append(match["script"].title())
    if match["region"]:
        parts.append(match["region"].upper())
    return "-".join(parts) + match["variants"] + match["rest"]
