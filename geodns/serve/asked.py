"""One query on its way, and who asks it."""

from __future__ import annotations

from dataclasses import dataclass

from geodns.locate.client import (
    Client,
    Ecs,
    Networks,
    client_from_ecs,
    client_from_peer,
    client_from_proxy,
    read_ecs,
)
from geodns.model.message import OPTION_ECS, Query
from geodns.model.proxy import BadHeader, NoHeader, read_header
from geodns.model.ruling import Ruling
from geodns.policy.rule import Exemption
from geodns.serve.inforce import InForce, Located


@dataclass(slots=True)
class Asked:
    """One query on its way: what each step found, for the steps after it.

    limit: octets of its reply at most. ecs: the client's subnet option, if its peer is trusted;
    None otherwise. transport: ``udp`` or ``tcp``.
    """

    query: Query
    limit: int
    client: Client
    ecs: Ecs | None
    in_force: InForce
    located: Located
    ruling: Ruling
    exemption: Exemption
    transport: str

    def ecs_option(self, *, named: bool) -> tuple[Ecs, int] | None:
        """The ECS option owed to a trusted peer (RFC 7871 section 7.2.1); None to others.

        named: whether an order that depends on the place names what was asked or answered.
        """
        if self.ecs is None:
            return None
        if not named or self.ecs.source == 0:
            return self.ecs, 0
        return self.ecs, self.in_force.ecs_scope(self.client)


def unwrap(datagram: bytes) -> tuple[bytes, bytes | None, bool]:
    """What follows the PROXY header of a datagram, whom it names (packed address, None for
    nobody), and whether it is missing. Raises BadHeader where there is one, and it is none."""
    try:
        header = read_header(datagram)
    except NoHeader:
        return datagram, None, True
    if header is None:
        raise BadHeader
    return datagram[header.size :], header.source, False


def identify(
    query: Query, peer: bytes, source: bytes | None, trusted: Networks
) -> tuple[Client, Ecs | None]:
    """Who is judged: whom a proxy names, else the socket's peer; and where that one is trusted
    with ECS, whom its option names.

    peer: packed address. source: packed address that a PROXY header told, if one did. Malformed ECS
    is ValueError for anybody.
    """
    client = client_from_peer(peer) if source is None else client_from_proxy(source)
    if query.edns is None or not query.edns.options:
        return client, None
    found = [data for code, data in query.edns.options if code == OPTION_ECS]
    if not found:
        return client, None
    if len(found) > 1:
        raise ValueError("two ECS options")
    ecs = read_ecs(found[0])
    # A proxy's own trust in ECS is not lent to the clients for whom it speaks.
    if (peer if source is None else source) not in trusted:
        return client, None
    return (client_from_ecs(ecs) if ecs.source else client), ecs
