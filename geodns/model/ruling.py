"""The words of a decision: action, ground and ruling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Action = Literal["nxdomain", "nodata", "refused", "sinkhole"]
TargetKind = Literal["domain", "exact", "below", "network"]


@dataclass(frozen=True, slots=True)
class Ground:
    """One order that reaches this query, and how.

    order: order id. target: the target as text; kind: which list of the order holds it.
    via: None for the queried name, else the alias (text) or the address through which the
    order reaches the query. effect: ``blocks`` for the ground that won, ``also`` for one
    that would have blocked too, ``shadow`` for an order that only records, ``exempt`` for an
    order whose exemption covers the name, ``never_block`` for the operator's emergency list,
    ``elsewhere`` for an order that names it but has no force at this location.
    reason: one sentence, why it has that effect.
    """

    order: str
    target: str
    kind: TargetKind | Literal["exempt", "never_block"]
    effect: Literal["blocks", "also", "shadow", "exempt", "never_block", "elsewhere"]
    reason: str
    via: str | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """Allow or block, with grounds.

    order: index of the winning order in the snapshot, or -1 when allowed.
    target: the winning target's folded wire-format name (empty for a network).
    alias: the alias (folded wire format) through which it is blocked, or None.
    named: whether any order that is not global names the question, an alias or an address:
    then the answer may differ by place and an ECS scope is owed (RFC 7871 section 7.2.1).
    """

    order: int = -1
    target: bytes = b""
    alias: bytes | None = None
    named: bool = False
    grounds: tuple[Ground, ...] = field(default=())

    @property
    def block(self) -> bool:
        """Whether the ruling is a block."""
        return self.order >= 0
