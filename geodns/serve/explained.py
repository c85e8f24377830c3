"""Block replies that explain themselves: structured errors, from the one order record.

draft-ietf-dnsop-structured-dns-error (revision 27): a client asks by an empty EDNS option;
the EXTRA-TEXT of the Extended DNS Error is then an I-JSON object (RFC 7493) instead of plain text.
"""

from __future__ import annotations

import json

from geodns.model.message import OPTION_EDE, Edns
from geodns.policy.snapshot import OrderRecord

LEAST_TTL, MOST_TTL = 10, 60
"""Seconds that such a reply lives: what it explains may change, or be mended, soon."""
_GENERIC_LANGUAGE = "en"


def asks_for_structure(edns: Edns | None, option: int | None) -> bool:
    """Whether a query asks for structured errors.

    option: the code of the option that says so; data in it is a reason to ignore it. An EDE option
    that says nothing, empty or with info code 0 alone, is what earlier revisions had.
    """
    if edns is None:
        return False
    return any(
        (code == option and not data) or (code == OPTION_EDE and data in (b"", b"\0\0"))
        for code, data in edns.options
    )


def structured_ttl(ttl: int) -> int:
    """The TTL of a reply with a structured error, for an order that wants ``ttl`` seconds."""
    return min(max(ttl, LEAST_TTL), MOST_TTL)


def structured_texts(order: OrderRecord) -> tuple[str, ...]:
    """The EXTRA-TEXT of an order as minified I-JSON: the whole, then without prose.

    c: contacts, as mailto: and tel: URIs. j: why, and o: who ordered it, in the language l;
    o only where the order discloses anything. fdbs: its entry of a public database. Never s, which
    code 16 forbids. What has neither c nor j would be discarded, and is left out.
    """
    told = order.disclosed
    facts: dict[str, object] = {}
    if told.contact:
        facts["c"] = list(told.contact)
    links: dict[str, object] = {}
    if told.incident is not None:
        database, entry = told.incident
        links["fdbs"] = [{"db": database, "id": entry}]
    prose: dict[str, object] = {"j": order.text, "l": _GENERIC_LANGUAGE}
    if told.text is not None:
        prose = {"j": order.text, "l": told.language, "o": order.authority}
    whole = _minified({**facts, **prose, **links})
    return (whole, _minified({**facts, **links})) if facts else (whole,)


def _minified(document: dict[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
