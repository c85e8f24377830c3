"""What order files cost until they are in force: read, compiled, written, mapped.

``python -m bench.compiling ORDERS FOLDER`` prints one JSON line: seconds of each, names, the
size of the snapshot in MiB, and the largest resident memory on the way in MiB.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from geodns.orders.load import OrderLoader
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot, write_snapshot


def main(orders: Path, folder: Path) -> None:
    """Measure."""
    marks = [time.monotonic()]
    loaded = OrderLoader([orders], None).load()
    marks.append(time.monotonic())
    data = compile_snapshot(loaded.orders, datetime.now(UTC))
    marks.append(time.monotonic())
    path = write_snapshot(data, folder)
    marks.append(time.monotonic())
    Snapshot.open(path)  # once, so that the file is in memory
    again = time.monotonic()
    Snapshot.open(path)
    opened = time.monotonic() - again
    read, compiled, written = (after - now for now, after in pairwise(marks))
    print(
        json.dumps(
            {
                "read": read,
                "compile": compiled,
                "write": written,
                "open": opened,
                "orders": len(loaded.orders),
                "faults": len(loaded.faults),
                "size_mib": path.stat().st_size / 2**20,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
