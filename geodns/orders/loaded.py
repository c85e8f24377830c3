"""An order as the rest of the house uses it: checked, folded, resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from geodns.orders.schema import Order

Network = IPv4Network | IPv6Network
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
class LoadedOrder:
    """One order file with its lists, ready to compile.

    path: the file as found under the directory given. place: the folder's, the authority's
    place. domains, exact, below, exempt: folded wire-format names without repeats; names of
    list files are in domains. jurisdiction: canonical places, None where the order is
    global. Instants are aware, with the fixed offset that the order's time zone has then;
    effective is the first instant in force, expires the first after it. edition: SHA-256
    (hex) over the bytes of the file and its lists. last_good: an earlier edition, standing
    in for a file that is faulty now. held: targets that are in the lists, and out of force.
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
