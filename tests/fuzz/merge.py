"""Take into the kept corpus what the fuzzer found and what reaches something new.

    tests/fuzz/sanitized.sh .venv/bin/python -m tests.fuzz.merge [TARGET ...]

An input counts if it reaches a line after another line, or a place in the native code about so
many times, that no shorter input reaches. The kept ones stay.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.run import FOUND, INSTRUMENTED, KEPT

COUNTERS = 1 << 15
"""As in cover.c."""


def reached(target: Callable[[bytes], None], data: bytes, counters: Any) -> set[Any]:
    """What an input reaches."""
    found: set[Any] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_globals.get("__name__") not in INSTRUMENTED:
            return None
        before = frame.f_lineno

        def line(frame: FrameType, event: str, _: object) -> Any:
            nonlocal before
            found.add((frame.f_code, before, frame.f_lineno))
            before = frame.f_lineno
            return line

        return line

    ctypes.memset(counters, 0, COUNTERS)
    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(None)
    octets = bytes(counters)
    found.update((at, octets[at].bit_length()) for at in range(COUNTERS) if octets[at])
    return found


def main() -> None:
    """Merge the targets that are named, or all."""
    from tests.fuzz.sanitized import use

    use(Path(os.environ["GEODNS_TEST_BUILD"]))
    from tests.fuzz.targets import TARGETS

    counters = (ctypes.c_uint8 * COUNTERS).in_dll(ctypes.CDLL(None), "cover_counters")
    for name in sys.argv[1:] or TARGETS:
        target = TARGETS[name]
        target(b"")  # what is made once is nobody's merit
        kept, found = (sorted(path.glob("*"), key=_size) for path in (KEPT / name, FOUND / name))
        known: set[Any] = set()
        taken = 0
        for path in (*kept, *found):
            data = path.read_bytes()
            fresh = reached(target, data, counters) - known
            known |= fresh
            if fresh and path in found:
                (KEPT / name / sha256(data).hexdigest()[:16]).write_bytes(data)
                taken += 1
        print(f"{name}: {taken} of {len(found)} taken, {len(kept) + taken} kept")


def _size(path: Path) -> tuple[int, str]:
    return path.stat().st_size, path.name


if __name__ == "__main__":
    main()
