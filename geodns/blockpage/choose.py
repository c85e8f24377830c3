"""Which order a visitor is told of: the ruling that the resolver gave them, made again."""

from __future__ import annotations

from dataclasses import dataclass

from geodns.locate.client import Client
from geodns.policy.snapshot import OrderRecord
from geodns.serve.inforce import InForce, Located


@dataclass(frozen=True, slots=True)
class Choice:
    """order: the one that blocks the name for this client, or None. target: its target that
    names it, folded wire format. alias: through which it is blocked, or None."""

    located: Located
    order: OrderRecord | None = None
    target: bytes = b""
    alias: bytes | None = None


def choose(in_force: InForce, client: Client, name: bytes | None) -> Choice:
    """Rule on a name (folded wire format, None for an IP literal) for a client."""
    located = in_force.locate(client)
    if name is None:
        return Choice(located)
    ruling, _ = in_force.rules.rule_question(name, located.scope_class)
    if not ruling.block:
        return Choice(located)
    return Choice(located, in_force.snapshot.orders[ruling.order], ruling.target)
