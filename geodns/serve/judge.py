"""Rulings for the pipeline, and what is counted and logged of them."""

from __future__ import annotations

from collections import Counter

from geodns.locate.client import Client
from geodns.model.message import Query
from geodns.model.ruling import Ruling
from geodns.policy.rule import Exemption, Named, Recorder
from geodns.serve import counts
from geodns.serve.asked import Asked
from geodns.serve.inforce import InForce, Located
from geodns.serve.rulings import RulingLog
from geodns.upstream.cache import Entry


class Judge:
    """Rules on questions and on answers. counted: the pipeline's counters.

    placed: blocks by order and place, see Pipeline.blocks.
    """

    def __init__(self, counted: Counter[str]) -> None:
        self.placed: Counter[str] = Counter()
        self.log = RulingLog()
        self._counts = counted

    def on_question(
        self, in_force: InForce, client: Client, query: Query, transport: str
    ) -> tuple[Located, Ruling, Exemption]:
        """Locate a client and rule on the name it asks for, and on its type like any other."""
        located = in_force.locate(client)
        rules = in_force.rules
        recorder = Recorder([], set()) if rules.has_shadow else None
        ruling, exemption = rules.rule_question(query.folded, located.scope_class, recorder)
        if exemption.never_block:
            # Only now it is worth the grounds: once more, to know which orders were stopped.
            recorder = Recorder([], set())
            rules.rule_question(query.folded, located.scope_class, recorder)
        if recorder is not None:
            self._unblocked(recorder, in_force, located, query, transport, [])
        return located, ruling, exemption

    def on_answer(self, asked: Asked, named: Named) -> Ruling:
        """Rule on what orders name in an answer."""
        rules = asked.in_force.rules
        watched = rules.has_shadow or asked.in_force.snapshot.never
        recorder = Recorder([], set()) if watched else None
        ruling = rules.rule_answer(named, asked.located.scope_class, asked.exemption, recorder)
        if recorder is not None:
            aliases = [alias for alias, _ in named.aliases]
            self._unblocked(
                recorder, asked.in_force, asked.located, asked.query, asked.transport, aliases
            )
        return ruling

    def blocked(self, asked: Asked, ruling: Ruling) -> None:
        """Count a block, and log it by choice."""
        order = asked.in_force.snapshot.orders[ruling.order]
        self._counts["blocked"] += 1
        self._counts[f"order/{order.id}"] += 1
        self._counts[f"blocked_in/{asked.located.location.country}"] += 1
        self.placed[counts.placed("block", order.id, asked.located.location)] += 1
        if self.log.on:
            self.log.block(asked, ruling)

    def _unblocked(
        self,
        found: Recorder,
        in_force: InForce,
        located: Located,
        query: Query,
        transport: str,
        aliases: list[bytes],
    ) -> None:
        """Count, and log by choice, what ``shadow`` or the emergency list kept from a block."""
        self._counts.update(counts.shadows(in_force, found))
        for order in found.shadows:
            ident = in_force.snapshot.orders[order].id
            self.placed[counts.placed("shadow", ident, located.location)] += 1
        self._counts.update(counts.never_block(in_force, found, [query.folded, *aliases]))
        if self.log.on:
            self.log.unblocked(found, in_force, located, query, transport)


def named_in(in_force: InForce, entry: Entry) -> Named | None:
    """What orders name in an answer; kept beside it for as long as the snapshot lasts."""
    response = entry.response
    if not response.aliases and not response.addresses:
        return None
    note = entry.note
    token = in_force.rules.token
    if isinstance(note, tuple) and note[0] is token:
        kept: Named | None = note[1]
        return kept
    named = in_force.rules.names_in(response.aliases, response.addresses)
    # Rules are numbered anew in each of them. A token and not the rules: an idle entry must
    # not keep an old snapshot mapped.
    entry.note = token, named
    return named
