"""What of an order has force at an instant: its status and end then, and which targets are left."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import overload

from geodns.orders.events import carved_at, end_at, lifted_at, status_at
from geodns.orders.loaded import LoadedOrder, Network


def as_of(loaded: LoadedOrder, now: datetime) -> LoadedOrder:
    """The order as it is at an instant (aware): itself where nothing happened and nothing is held.

    Targets that are held or lifted are out of its lists. Its edition is another one wherever what
    has force is not what the file says by itself.
    """
    status, end, lifted = status_at(loaded, now), end_at(loaded, now), lifted_at(loaded, now)
    if status != loaded.order.status:
        loaded = replace(loaded, order=loaded.order.model_copy(update={"status": status}))
    if end == loaded.expires and not lifted and not loaded.held:
        return loaded
    gone = frozenset(held.target for held in loaded.held) | lifted
    domains, exact, below = (
        _less(names, gone) for names in (loaded.domains, loaded.exact, loaded.below)
    )
    exempt = sorted(carved_at(loaded, now))
    digest = sha256(f"{loaded.edition}\n{end}\n".encode())
    for line in sorted([f"out {target!s}\n" for target in gone]):
        digest.update(line.encode())
    for line in sorted(f"lifted {target!s}\n" for target in lifted):
        digest.update(line.encode())
    return replace(
        loaded,
        domains=domains,
        exact=tuple(exact),
        below=tuple(below),
        exempt=tuple(dict.fromkeys((*loaded.exempt, *exempt))),
        networks=tuple(network for network in loaded.networks if network not in gone),
        expires=end,
        edition=digest.hexdigest(),
    )


def _less(names: Sequence[bytes], gone: Collection[bytes | Network]) -> Sequence[bytes]:
    return Without(names, gone) if gone and names else names


class Without(Sequence[bytes]):
    """A sequence of names without some of them; long ones are passed over only when read."""

    __slots__ = ("_gone", "_names")

    def __init__(self, names: Sequence[bytes], gone: Collection[bytes | Network]) -> None:
        self._names = names
        self._gone = gone

    def __iter__(self) -> Iterator[bytes]:
        gone = self._gone
        return (name for name in self._names if name not in gone)

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | Sequence[bytes]:
        return list(self)[at]
