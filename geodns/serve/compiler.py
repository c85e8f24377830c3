"""Orders to snapshot files for the parent: a base, and amendments until a new base is worth it."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from geodns.errors import GeodnsError
from geodns.model.namelist import NameList
from geodns.orders.loaded import LoadedOrder
from geodns.policy.compile import amend_snapshot, compile_snapshot
from geodns.policy.layers import LayeredSnapshot
from geodns.policy.snapshot import Snapshot, write_snapshot

HEAVY_ORDERS = 64
"""Orders in an amendment past which a new base is compiled."""
HEAVY_NAMES = 5000
"""Names in an amendment past which, with an eighth of the base's, a new base is compiled."""


class Compiler:
    """Compiles what is in force, each time only what changed.

    directory: where snapshot files go. wake: called when a new base is ready, which the next
    ``compile`` takes. A new base is compiled beside the running server: an order that
    changes meanwhile is amended to the old base and does not wait.
    """

    def __init__(self, directory: Path, wake: Callable[[], None]) -> None:
        self._directory = directory
        self._wake = wake
        self._base: Snapshot | None = None
        self._never: tuple[bytes, ...] = ()
        self._next: tuple[Snapshot, tuple[bytes, ...]] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether a new base waits to be taken."""
        return self._next is not None

    async def compile(
        self, orders: Sequence[LoadedOrder], now: float, never: tuple[bytes, ...]
    ) -> tuple[Path, Snapshot]:
        """The file and the snapshot of the orders in force at ``now`` (epoch seconds).

        never: the operator's emergency list, folded names. Raises OSError if it cannot be
        written.
        """
        if self._next is not None:
            (self._base, self._never), self._next = self._next, None
        instant = datetime.fromtimestamp(now, UTC)
        if self._base is None or never != self._never:
            self._base = await asyncio.to_thread(self._compile_base, orders, instant, never)
            self._never = never
            return self._path(self._base), self._base
        found = await asyncio.to_thread(self._amend, self._base, orders, instant)
        if self._task is None and self._is_heavy(found):
            self._task = asyncio.create_task(self._rebase(orders, instant, never))
        return self._path(found), found

    async def close(self) -> None:
        """Wait for a base that is being compiled."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def clean(self, keep: Sequence[str]) -> None:
        """Remove all snapshot files but those kept (paths) and the base.

        Nothing is removed while a new base is being written, which is not known by name yet.
        """
        if self._task is not None:
            return
        kept = {Path(path).name for path in keep}
        for base in (self._base, self._next[0] if self._next else None):
            if base is not None:
                kept.add(self._path(base).name)
        with suppress(OSError):
            for path in self._directory.iterdir():
                if path.name not in kept and path.suffix == ".snapshot":
                    path.unlink()

    def _path(self, snapshot: Snapshot) -> Path:
        return self._directory / f"{snapshot.file}.snapshot"

    def _compile_base(
        self, orders: Sequence[LoadedOrder], now: datetime, never: tuple[bytes, ...]
    ) -> Snapshot:
        path = write_snapshot(compile_snapshot(orders, now, never), self._directory)
        _rest(orders)
        give_back()
        return Snapshot.open(path)

    def _amend(self, base: Snapshot, orders: Sequence[LoadedOrder], now: datetime) -> Snapshot:
        data = amend_snapshot(base, orders, now)
        amended = LayeredSnapshot(data, base)
        if amended.in_force == base.in_force and amended.next_change == base.next_change:
            return base
        write_snapshot(data, self._directory)
        _rest(orders)
        return amended

    def _is_heavy(self, found: Snapshot) -> bool:
        if self._base is None or found is self._base:
            return False
        orders = len(found.orders) - len(self._base.orders)
        names = found.names - self._base.names
        return orders > HEAVY_ORDERS or names > HEAVY_NAMES + self._base.names // 8

    async def _rebase(
        self, orders: Sequence[LoadedOrder], now: datetime, never: tuple[bytes, ...]
    ) -> None:
        try:
            base = await asyncio.to_thread(self._compile_base, orders, now, never)
            self._next = base, never
            self._wake()
        except (OSError, GeodnsError):
            # The amendment holds; the next heavy one tries again.
            pass
        finally:
            self._task = None


def _rest(orders: Sequence[LoadedOrder]) -> None:
    """Give back the memory of names that a compile has read."""
    for order in orders:
        if isinstance(order.domains, NameList):
            order.domains.rest()


def give_back() -> None:
    """Return memory that is free in this process to the system.

    The C library keeps what a compile took: for a million names some 40 MiB, for good.
    """
    with suppress(AttributeError, OSError):  # not the GNU C library
        ctypes.CDLL(None).malloc_trim(0)
