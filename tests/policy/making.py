"""Loaded orders made from plain text, for tests of what comes after loading."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from geodns.orders.loaded import LoadedOrder
from geodns.orders.schema import Order

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
EARLY = datetime(2020, 1, 1, tzinfo=UTC)


def wire(text: str) -> bytes:
    """Wire format of a plain ASCII name, made by hand: geodns' own parser stays out of it."""
    labels = text.split(".") if text else []
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def order(
    ident: str,
    *,
    domains: Sequence[str] = (),
    exact: Sequence[str] = (),
    below: Sequence[str] = (),
    exempt: Sequence[str] = (),
    networks: Sequence[str] = (),
    places: Sequence[str] | None = ("IT",),
    except_: Sequence[str] = (),
    status: str = "active",
    effective: datetime = EARLY,
    expires: datetime | None = None,
    supersedes: Sequence[str] = (),
    on_unknown: str = "allow",
    on_stale: str = "keep",
    action: str = "nxdomain",
    addresses: Sequence[str] = (),
    ttl: int = 60,
    text: str | None = None,
    kind: str = "court",
    title: str = "An order",
    reference: str | None = None,
    disclosure: dict[str, Any] | None = None,
    **more: Any,
) -> LoadedOrder:
    """An order in force in Italy unless told otherwise. places=None: global. disclosure:
    keys beside its text; more: keys of the file's top level."""
    response: dict[str, Any] = {"action": action, "ttl": ttl, "addresses": list(addresses)}
    authority: dict[str, Any] = {"name": "Tribunale", "kind": kind}
    if reference is not None:
        authority["reference"] = reference
    raw: dict[str, Any] = {
        "id": ident,
        "title": title,
        "status": status,
        "jurisdiction": "global" if places is None else list(places) or None,
        "global_reason": "the court says so" if places is None else None,
        "except": list(except_),
        "on_unknown": on_unknown,
        "on_stale": on_stale,
        "supersedes": list(supersedes),
        "authority": authority,
        "dates": {"effective": effective},
        "targets": {
            "domains": list(domains),
            "exact": list(exact),
            "below": list(below),
            "exempt": list(exempt),
            "networks": list(networks),
        },
        "response": response,
        "disclosure": {**({"text": text} if text else {}), **(disclosure or {})},
        **more,
    }
    return LoadedOrder(
        order=Order.model_validate(raw),
        path=f"orders/IT/{ident}.toml",
        place="IT",
        domains=tuple(map(wire, domains)),
        exact=tuple(map(wire, exact)),
        below=tuple(map(wire, below)),
        exempt=tuple(map(wire, exempt)),
        networks=tuple(ip_network(network) for network in networks),
        jurisdiction=None if places is None else tuple(places),
        except_=tuple(except_),
        effective=effective,
        expires=expires,
        deadline=None,
        review=None,
        issued=None,
        edition=hashlib.sha256(repr(raw).encode()).hexdigest(),
    )
