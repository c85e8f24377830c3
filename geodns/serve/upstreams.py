"""What the workers know of the upstream servers, added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Known = Mapping[str, Mapping[str, Any]]
"""One worker's knowledge, as Pipeline.upstreams tells it."""


def silent(rows: Sequence[Mapping[str, Any]], workers: int) -> bool:
    """Whether every server is avoided by every worker, since it does not answer.

    rows: as ``Upstreams.summed`` gives them.
    """
    return bool(rows) and all(row["away"] >= workers > 0 for row in rows)


class Upstreams:
    """Adds up what workers tell; what dead ones had told stays in the sums."""

    def __init__(self) -> None:
        self._retired: dict[str, tuple[int, float]] = {}

    def retire(self, known: Known) -> None:
        """Keep the sums of a worker that has ended."""
        for server, told in known.items():
            answers, seconds = self._retired.get(server, (0, 0.0))
            self._retired[server] = answers + told["answers"], seconds + told["seconds"]

    def summed(self, workers: Iterable[Known]) -> list[dict[str, Any]]:
        """A row for each server that a worker knows now.

        rtt: the mean of the workers' smoothed round trip times, None where none has
        measured it. away: how many workers avoid it now.
        """
        told: dict[str, list[Mapping[str, Any]]] = {}
        for known in workers:
            for server, row in known.items():
                told.setdefault(server, []).append(row)
        rows = []
        for server, each in told.items():
            answers, seconds = self._retired.get(server, (0, 0.0))
            rtts = [row["rtt"] for row in each if row["rtt"] is not None]
            rows.append(
                {
                    "server": server,
                    "answers": answers + sum(row["answers"] for row in each),
                    "seconds": round(seconds + sum(row["seconds"] for row in each), 6),
                    "rtt": round(sum(rtts) / len(rtts), 6) if rtts else None,
                    "away": sum(row["away"] for row in each),
                }
            )
        return rows
