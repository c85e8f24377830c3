"""Names as people read them: punycode with its Unicode form beside it."""

from __future__ import annotations


def unicode_of(name: str) -> str | None:
    """The Unicode form (IDNA 2008) of a name in presentation format, where it is another."""
    if "xn--" not in name:
        return None
    import idna

    labels = name.split(".")
    for at, label in enumerate(labels):
        if label.startswith("xn--"):
            try:
                labels[at] = idna.ulabel(label)
            except (idna.IDNAError, UnicodeError):
                continue  # an order may name what no registry would take
    found = ".".join(labels)
    return found if found != name else None


def readable(name: str) -> str:
    """``xn--bcher-kva.example (bücher.example)``; a name without punycode as it is."""
    found = unicode_of(name)
    return name if found is None else f"{name} ({found})"
