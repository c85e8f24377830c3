"""Names as people read them: punycode with its Unicode form beside it."""

from __future__ import annotations

from geodns.model.name import unicode_of

__all__ = ["readable", "unicode_of"]


def readable(name: str) -> str:
    """``xn--bcher-kva.example (bücher.example)``; a name without punycode as it is."""
    found = unicode_of(name)
    return name if found is None else f"{name} ({found})"
