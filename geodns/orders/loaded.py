"""An order as the rest of the house uses it: checked, folded, resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from geodns.orders.schema import Order

Network = IPv4Network | IPv6Network
EventKind = Literal["suspend", "resume", "lift", "lift-targets", "amend-end"]
Level = Literal["info", "warn", "hold"]


@dataclass(frozen=True, slots=True)
class Held:
    """A target that is kept out of force until a person acknowledges it in the order file.

    field: where it stands (``targets.domains``). finding: what ``[[acknowledge]]`` calls the
    reason. reason: one line for people.
    """

    target: bytes | Network
    field: str
    finding: str
    reason: str


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's signature under one edition (approval.py).

    by: a name of the settings. at: aware, in UTC. edition: what is signed (hex). signature: base64.
    """

    by: str
    at: datetime
    edition: str
    signature: str


@dataclass(frozen=True, slots=True)
class Dated:
    """An event of an order, resolved. kind: as in the file. at: its first instant, aware.

    targets: what lift-targets lifts; of these carved: names that lie below a target, and idle: what
    is no target and below none. end: what amend-end makes of ``expires``. reason: or empty.
    """

    kind: EventKind
    at: datetime
    targets: frozenset[bytes | Network]
    end: datetime | None
    reason: str
    carved: frozenset[bytes] = frozenset()
    idle: frozenset[bytes | Network] = frozenset()


@dataclass(frozen=True, slots=True)
class LoadedOrder:
    """One order file with its lists, ready to compile.

    path: the file as found under the directory given. place: the folder's, the authority's
    place. domains, exact, below, exempt: folded wire-format names without repeats; names of
    list files are in domains. jurisdiction: canonical places, None where the order is
    global. Instants are aware, with the fixed offset that the order's time zone has then;
    effective is the first instant in force, expires the first after it. edition: SHA-256
    (hex) over the bytes of the file and its lists. last_good: an earlier edition, standing
    in for a file that is faulty now. held: targets that are in the lists, and out of force.
    events: in the order of time; what they make of the order at an instant says force.as_of.
    approvals: those of this edition that count. signed: whether they are as many as the settings
    want. waiting: it has no force until they are. certificates: the files that ``openpgp`` of its
    feeds names.
    """

    order: Order
    path: str
    place: str
    domains: Sequence[bytes]
    exact: tuple[bytes, ...]
    below: tuple[bytes, ...]
    exempt: tuple[bytes, ...]
    networks: tuple[Network, ...]
    jurisdiction: tuple[str, ...] | None
    except_: tuple[str, ...]
    effective: datetime
    expires: datetime | None
    deadline: datetime | None
    review: datetime | None
    issued: datetime | None
    edition: str
    last_good: bool = False
    held: tuple[Held, ...] = ()
    events: tuple[Dated, ...] = ()
    approvals: tuple[Approval, ...] = ()
    signed: bool = True
    waiting: bool = False
    certificates: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def may_have_force(self) -> bool:
        """Whether it has force at any instant, as far as its status and events say."""
        if self.waiting:
            return False
        status = self.order.status
        return status in ("active", "shadow") or (
            status == "suspended" and any(event.kind == "resume" for event in self.events)
        )
