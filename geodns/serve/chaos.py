"""Class CH: what this server says of itself, where the operator lets it (RFC 4892)."""

from __future__ import annotations

from geodns.model.message import ANY, CH, Query
from geodns.model.name import from_labels
from geodns.serve import reply

_TXT = 16
_VERSION = frozenset((from_labels([b"version", b"bind"]), from_labels([b"version", b"server"])))
_IDENTITY = frozenset((from_labels([b"id", b"server"]), from_labels([b"hostname", b"bind"])))


def chaos(query: Query, version: str | None, identity: str | None, limit: int) -> bytes | None:
    """The reply to ``version.bind`` and ``id.server``; None to all other queries, and where the
    text is not set. limit: octets of the reply at most."""
    if query.qclass != CH or query.qtype not in (_TXT, ANY):
        return None
    for names, text in ((_VERSION, version), (_IDENTITY, identity)):
        if text and query.folded in names:
            return reply.text_answer(query, text, limit)
    return None
