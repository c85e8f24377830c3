"""Which order a visitor is told of: the ruling that the resolver gave them, made again."""

from __future__ import annotations

from dataclasses import dataclass, field

from geodns.locate.client import Client
from geodns.model.response import Response
from geodns.policy.rule import Exemption
from geodns.policy.snapshot import OrderRecord
from geodns.serve.inforce import InForce, Located


@dataclass(frozen=True, slots=True)
class Choice:
    """A client, and the order that blocks a name for it.

    order: None where none does. target: its target that names it, folded wire format; empty for
    a network. alias: through which it is blocked, or None.
    """

    located: Located
    order: OrderRecord | None = None
    target: bytes = b""
    alias: bytes | None = None
    exemption: Exemption = field(default_factory=Exemption)


def choose(in_force: InForce, client: Client, name: bytes | None) -> Choice:
    """Rule on a name (folded wire format, None for an IP literal) for a client."""
    located = in_force.locate(client)
    if name is None:
        return Choice(located)
    ruling, exemption = in_force.rules.rule_question(name, located.scope_class)
    if not ruling.block:
        return Choice(located, exemption=exemption)
    return Choice(located, in_force.snapshot.orders[ruling.order], ruling.target)


def choose_by_answer(in_force: InForce, choice: Choice, response: Response) -> Choice:
    """Rule on the answer for a name that is not blocked itself. in_force: that of the choice."""
    named = in_force.rules.names_in(response.aliases, response.addresses)
    if named is None:
        return choice
    ruling = in_force.rules.rule_answer(named, choice.located.scope_class, choice.exemption)
    if not ruling.block:
        return choice
    order = in_force.snapshot.orders[ruling.order]
    return Choice(choice.located, order, ruling.target, ruling.alias)
