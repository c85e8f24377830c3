"""What the running server says of itself, as one JSON-ready document."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from geodns.metrics.health import Health, Phase, Worker
from geodns.orders.due import due
from geodns.serve.page import BlockPage
from geodns.serve.record import Record
from geodns.serve.reload import WARN_DAYS, Reloader
from geodns.serve.sockets import Listener
from geodns.serve.supervisor import GAUGES, SILENCE_BOUND, Slot, Supervisor

_BORN = time.time()
_PAGE = os.sysconf("SC_PAGE_SIZE")


def describe(
    reloader: Reloader,
    supervisor: Supervisor,
    listeners: Sequence[Listener],
    page: BlockPage | None = None,
) -> dict[str, Any]:
    """The document of ``geodns status --json``: times are ISO 8601 in UTC."""
    now = time.time()
    load = reloader.load
    settings = reloader.settings
    last = reloader.records[-1]
    last_good = {loaded.order.id for loaded in reloader.orders if loaded.last_good}
    held = {loaded.order.id: len(loaded.held) for loaded in reloader.orders if loaded.held}
    workers = [_worker(slot, load.digest, supervisor.generation) for slot in supervisor.slots]
    return {
        "pid": os.getpid(),
        "version": _version(),
        "fast_path": next((each.fast_path for each in supervisor.slots if each.fast_path), None),
        "started": _instant(_BORN),
        "settings": None if settings.path is None else str(settings.path),
        "order_directories": [str(path) for path in settings.orders.directories],
        "defaults": sorted(settings.unset),
        "listen": [[each.address.host, each.address.port] for each in listeners],
        "digest": load.digest,
        "generation": supervisor.generation,
        "next_change": _instant(reloader.snapshot.next_change),
        "current": all(worker["current"] for worker in workers),
        "workers": workers,
        "restarts": sum(slot.restarts for slot in supervisor.slots),
        "orders": [
            {
                "id": order.id,
                "title": order.title,
                "status": "shadow" if order.shadow else "active",
                "last_good": order.id in last_good,
                "held": held.get(order.id, 0),
            }
            for order in sorted(reloader.snapshot.in_force, key=lambda one: one.id)
        ],
        "coming": [
            {
                "id": loaded.order.id,
                "title": loaded.order.title,
                "status": loaded.order.status,
                "effective": _instant(loaded.effective.timestamp()),
            }
            for loaded in sorted(reloader.orders, key=lambda one: (one.effective, one.order.id))
            if loaded.may_have_force and loaded.effective.timestamp() > now
        ],
        "due": [row.as_json() for row in due(reloader.orders, datetime.fromtimestamp(now, UTC))],
        "reload": _record(last),
        "reloads": reloader.reloads,
        "failures": reloader.failures,
        "faults": [fault.as_json() for fault in reloader.faults],
        "restart_needed": list(reloader.restart_needed),
        "warnings": list(reloader.warnings),
        "sources": [
            {
                "name": source.name,
                "kind": source.kind,
                "path": source.path,
                "built": _instant(source.built),
                "age_days": int((now - source.built) // 86400),
                "networks": source.networks,
                "stale": index in load.stale,
                "old": source.kind != "geofeed" and now - source.built > WARN_DAYS * 86400,
            }
            for index, source in enumerate(reloader.table.sources)
        ],
        "scope_classes": max(
            (each.scope_classes for each in supervisor.slots if each.scope_classes is not None),
            default=None,
        ),
        "upstreams": supervisor.upstreams(),
        "blockpage": None if page is None else page.describe(),
        "counters": {**supervisor.totals(), **({} if page is None else page.counters())},
        "gauges": sorted(GAUGES),
    }


def health(reloader: Reloader, supervisor: Supervisor, phase: Phase) -> Health:
    """How the workers are: cheap, and never waiting for anything."""
    if phase == "starting":
        return Health(phase)
    # While a load is handed out, some workers have it already and the others do not yet.
    good = {reloader.load.digest}
    if supervisor.current is not None:
        good.add(supervisor.current.digest)
    now = time.monotonic()
    workers = []
    for slot in supervisor.slots:
        alive = slot.writer is not None and now - slot.heard < SILENCE_BOUND
        workers.append(Worker(alive and slot.digest is not None, alive and slot.digest in good))
    return Health(phase, workers)


def _worker(slot: Slot, digest: str, generation: int) -> dict[str, Any]:
    alive = slot.writer is not None and slot.process is not None
    return {
        "index": slot.index,
        "pid": slot.process.pid if slot.process is not None and alive else None,
        "digest": slot.digest,
        "generation": slot.generation,
        "current": alive and slot.digest == digest and slot.generation >= generation,
        "restarts": slot.restarts,
        "heard_ago": round(time.monotonic() - slot.heard, 2),
        "resident": _resident(slot.process.pid) if slot.process is not None and alive else None,
        "counters": dict(slot.counters),
    }


def _resident(pid: int) -> int | None:
    """Octets of a process that are in memory (proc(5), statm); None where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return None


@cache
def _version() -> str:
    return version("geodns")


def _record(record: Record) -> dict[str, Any]:
    return {
        "at": _instant(record.at),
        "took": round(record.took, 3),
        "trigger": record.trigger,
        "parsed": record.parsed,
        "changed": record.changed,
        "everywhere": record.everywhere,
        "changes": str(record.changes),
    }


def _instant(epoch: float | None) -> str | None:
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")
