"""What there is to tell a visitor, before any markup: the same facts for HTML and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from geodns.blockpage.choose import Choice
from geodns.blockpage.host import Host
from geodns.model.language import UNDETERMINED
from geodns.model.name import to_text
from geodns.policy.snapshot import OrderRecord

_INCIDENTS = {"lumen": "https://lumendatabase.org/notices/{id}"}
"""Public databases of orders, and where an entry of them is read."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs this server. name: as people know it. url: its page on blocking, the entity
    that ``rel="blocked-by"`` names. contact: mailto:, tel: and web addresses."""

    name: str
    url: str
    contact: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Operator:
        """From the JSON form of [blockpage]."""
        url = settings["operator_url"]
        name = settings["operator"] or urlsplit(url).hostname or url
        return cls(name, url, tuple(settings["contact"]))


@dataclass(frozen=True, slots=True)
class Notice:
    """One page. status: 451, or 421 where no order blocks the host for this visitor, or 400
    and 501 for requests that are none. host: None only for the last two."""

    status: int
    operator: Operator
    host: Host | None = None
    choice: Choice | None = None

    @property
    def order(self) -> OrderRecord | None:
        """The order that blocks, for a 451."""
        return None if self.choice is None else self.choice.order

    @property
    def country(self) -> str | None:
        """ISO 3166-1 code of the visitor's country, as far as it is known."""
        return None if self.choice is None else self.choice.located.location.country


def incident_url(database: str, entry: str) -> str | None:
    """Where an entry of a public database is read, for the databases known here."""
    pattern = _INCIDENTS.get(database.lower())
    return None if pattern is None else pattern.format(id=quote(entry, safe=""))


def order_facts(choice: Choice) -> dict[str, Any]:
    """What may be told of the order that blocks, JSON-ready; only keys that have a value.

    An order that discloses nothing tells its identifier and its authority only.
    """
    order = choice.order
    assert order is not None
    disclosed = order.disclosed
    if disclosed.text is None:
        return {"id": order.id, "authority": {"name": order.authority}}
    incident = None
    if disclosed.incident is not None:
        database, entry = disclosed.incident
        incident = _filled({"db": database, "id": entry, "url": incident_url(database, entry)})
    return _filled(
        {
            "id": order.id,
            "title": order.title,
            "text": disclosed.text,
            "language": None if disclosed.language == UNDETERMINED else disclosed.language,
            "translations": dict(disclosed.translations),
            "authority": _filled(
                {
                    "name": order.authority,
                    "kind": order.authority_kind,
                    "place": order.place,
                    "reference": order.reference,
                    "url": order.url,
                }
            ),
            "legal_basis": order.legal_basis,
            "jurisdiction": ["global"] if disclosed.places is None else list(disclosed.places),
            "except": list(disclosed.except_),
            "issued": _iso(disclosed.issued, order.timezone),
            "effective": _iso(order.effective, order.timezone),
            "expires": _iso(order.expires, order.timezone),
            "review": _iso(disclosed.review, order.timezone),
            "target": to_text(choice.target) if choice.target else None,
            "alias": to_text(choice.alias) if choice.alias else None,
            "contact": list(disclosed.contact),
            "url": disclosed.url,
            "incident": incident,
        }
    )


def _filled(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value not in (None, "", [], {})}


def _iso(epoch: float | None, timezone: str) -> str | None:
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, ZoneInfo(timezone)).isoformat()
