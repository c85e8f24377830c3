"""Ruling as the server does, question and answer: for explain and matrix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from geodns.config import Settings
from geodns.errors import Fault, GeodnsError, InputFaults
from geodns.model.message import IN
from geodns.model.response import Response
from geodns.model.ruling import Ground, Ruling
from geodns.policy.rule import Recorder
from geodns.serve.inforce import InForce, Located

Ask = Callable[[bytes], Response]


def rule(
    in_force: InForce, name: bytes, located: Located, ask: Ask | None
) -> tuple[Ruling, list[Ground], Response | None]:
    """Rule on a name for a client, and on its answer if ``ask`` gives one.

    ask: from a name to the upstream's response; called only if the name itself is not
    blocked. Returns the ruling, its grounds and the response that was ruled on.
    """
    location, scope_class = located.location, located.scope_class
    stale = location.source in in_force.stale
    recorder = Recorder([], set(), (location, located.asn, stale))
    ruling, exemption = in_force.rules.rule_question(name, scope_class, recorder)
    if ask is None or ruling.block:
        return ruling, recorder.grounds, None
    response = ask(name)
    found = in_force.rules.names_in(response.aliases, response.addresses)
    if found is not None:
        ruling = in_force.rules.rule_answer(found, scope_class, exemption, recorder)
    return ruling, recorder.grounds, response


def asking(settings: Settings, qtype: int) -> Ask:
    """What asks [upstream] for the records of a type, each name once. Raises InputFaults."""
    if not settings.upstream.servers:
        raise InputFaults([Fault("--resolve needs [upstream] servers in the settings")])
    kept: dict[bytes, Response] = {}

    def ask(name: bytes) -> Response:
        if name not in kept:
            kept[name] = _ask(settings, name, qtype)
        return kept[name]

    return ask


def _ask(settings: Settings, name: bytes, qtype: int) -> Response:
    from geodns.app import make_forwarder
    from geodns.upstream.forward import TooManyMisses, UpstreamFailure

    upstream = settings.upstream

    async def ask() -> Response:
        forwarder = make_forwarder(upstream.model_dump(mode="json"), 1)
        try:
            question = name + qtype.to_bytes(2, "big") + IN.to_bytes(2, "big")
            return await forwarder.resolve(question, dnssec_ok=False, checking_disabled=False)
        finally:
            forwarder.close()

    try:
        return asyncio.run(ask())
    except (UpstreamFailure, TooManyMisses) as failure:
        told = failure.text if isinstance(failure, UpstreamFailure) else "too many questions"
        servers = ", ".join(upstream.servers)
        raise GeodnsError(
            f"--resolve: {told} (asked {servers}, the settings' [upstream])"
        ) from None
