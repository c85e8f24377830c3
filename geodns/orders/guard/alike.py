"""Names that look like a popular name and are another one."""

from __future__ import annotations

from functools import cache

import idna

from geodns.model.name import labels

# Characters of host names that look like letters, where fonts differ little.
DIGITS = bytes.maketrans(b"015", b"ols")


@cache
def _latin() -> dict[str, str]:
    """Character -> the ASCII letter or digit that it is confusable with (UTS 39's data)."""
    from confusable_homoglyphs.confusables import confusables_data

    found: dict[str, str] = {}
    for char, others in confusables_data.items():
        for other in others:
            if len(char) == 1 and not char.isascii() and other["c"].isascii():
                found.setdefault(char, other["c"].lower())
    return found


def skeleton(name: bytes) -> bytes | None:
    """The ASCII name that an internationalised one (folded wire format) looks like, or None.

    None too where a label is none that IDNA 2008 knows, or looks like no ASCII label.
    """
    latin = _latin()
    found: list[bytes] = []
    for label in labels(name):
        if not label.startswith(b"xn--"):
            found.append(label)
            continue
        try:
            shown = idna.ulabel(label.decode("ascii"))
        except (idna.IDNAError, UnicodeError):
            return None
        folded = "".join(char if char.isascii() else latin.get(char, char) for char in shown)
        if not folded.isascii() or not 0 < len(folded) <= 63:
            return None
        found.append(folded.encode("ascii"))
    return b"".join(bytes((len(label),)) + label for label in found) + b"\0"
