"""Fuzz one or all targets: ``python -m tests.fuzz.run [--seconds N] [TARGET ...]``.

Uses libFuzzer through atheris, guided by the coverage of the Python code and, in the build of
``make sanitize``, of the native code. Where atheris is not installed the kept corpus is mutated
blindly instead. New inputs land in build/fuzz/TARGET; merge.py takes those that reach something
new into the kept corpus. A finding is written to build/fuzz/TARGET-crash-*; put it into
the kept corpus when it is mended, so that it stays mended.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE / "corpus"
FOUND = HERE.parents[1] / "build" / "fuzz"
LONGEST = {"tables": 61, "lists": 400, "databases": 61, "damaged": 61, "control": 200}
"""Octets of an input at most; 700 for the others, so that packets of any size class fit."""
INSTRUMENTED = [
    "geodns.fastpath.index",
    "geodns.fastpath.lookup",
    "geodns.fastpath.packet",
    "geodns.fastpath.pure",
    "geodns.locate.client",
    "geodns.locate.geofeed",
    "geodns.locate.geoip",
    "geodns.model.message",
    "geodns.model.name",
    "geodns.model.proxy",
    "geodns.model.response",
    "geodns.model.scrub",
    "geodns.orders.feeds.take",
    "geodns.orders.read",
    "geodns.orders.targets",
    "geodns.upstream.flight",
]


def main() -> int:
    """Run the targets one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=[])
    parser.add_argument("--seconds", type=int, default=60, help="in all")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return _one(args.one, args.seconds)
    known = sorted(path.name for path in KEPT.iterdir())
    chosen = args.targets or known
    if strange := set(chosen) - set(known):
        parser.error(f"no such target: {', '.join(strange)}; there are {', '.join(known)}")
    if find_spec("atheris") is None:
        print("atheris is not installed: the kept corpus is mutated blindly", flush=True)
    seconds = max(1, args.seconds // len(chosen))
    for target in chosen:
        print(f"--- {target}, {seconds} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz.run", "--one", target]
        command += ["--seconds", str(seconds)]
        done = subprocess.run(
            command,
            check=False,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        # Of what libFuzzer says, only how many inputs it tried matters while nothing is found.
        count = re.search(r"(?:number_of_executed_units: +|^)(\d+)", done.stdout, re.MULTILINE)
        if done.returncode or count is None:
            print(done.stdout[-20_000:], f"{target} failed; see {FOUND}", sep="\n", flush=True)
            return done.returncode or 1
        print(f"{count[1]} inputs, no finding", flush=True)
    return 0


def _environment() -> dict[str, str]:
    """Says where libFuzzer is, for cover.c."""
    spec = find_spec("atheris")
    if spec is None or spec.origin is None:
        return dict(os.environ)
    (fuzzer,) = Path(spec.origin).parent.glob("core_with_libfuzzer.*.so")
    return {**os.environ, "GEODNS_LIBFUZZER": str(fuzzer)}


def _one(target: str, seconds: int) -> int:
    kept, found = KEPT / target, FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    if build := os.environ.get("GEODNS_TEST_BUILD"):
        from tests.fuzz.sanitized import use

        use(Path(build))
    longest = LONGEST.get(target, 700)
    if find_spec("atheris") is None:
        return _blindly(target, seconds, longest)
    import atheris

    from tests.fuzz.targets import TARGETS

    for code in _python_code():
        atheris.instrument_func(code)
    if (tell := getattr(ctypes.CDLL(None), "cover_tell", None)) is not None:
        tell()  # the counters of the native code
    options = [f"-max_len={longest}", f"-artifact_prefix={FOUND / target}-", "-timeout=20"]
    options += [f"-max_total_time={seconds}", "-verbosity=0", "-print_final_stats=1"]
    options += [str(found), str(kept)]
    TARGETS[target](b"")  # what is made once is not part of an input's coverage
    atheris.Setup([target, *options], TARGETS[target], enable_python_coverage=True)
    atheris.Fuzz()
    return 0


def _python_code() -> Iterator[Any]:
    """The functions and methods whose coverage guides the fuzzer."""
    for name in INSTRUMENTED:
        module = import_module(name)
        for thing in vars(module).values():
            for each in vars(thing).values() if isinstance(thing, type) else (thing,):
                if isinstance(each, FunctionType) and each.__module__ == name:
                    yield each


def _blindly(target: str, seconds: int, longest: int) -> int:
    from tests.fuzz.targets import TARGETS

    corpus = [path.read_bytes() for path in sorted((KEPT / target).iterdir())]
    roll = random.Random(os.urandom(8))
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        data = mutated(roll, corpus)[:longest]
        try:
            TARGETS[target](data)
        except BaseException:
            path = FOUND / f"{target}-crash-{abs(hash(data)):x}"
            path.write_bytes(data)
            print(f"{path}: {data.hex()}", flush=True)
            raise
        count += 1
    print(count)
    return 0


def mutated(roll: random.Random, corpus: list[bytes]) -> bytes:
    """An input of the corpus, or two of them spliced, with a few changes."""
    data = bytearray(roll.choice(corpus))
    if roll.random() < 0.2:
        other = roll.choice(corpus)
        data[roll.randint(0, len(data)) :] = other[roll.randint(0, len(other)) :]
    for _ in range(roll.choice((1, 1, 2, 4, 8))):
        at = roll.randint(0, len(data))
        how = roll.randrange(5)
        if how == 0 and at < len(data):
            data[at] ^= 1 << roll.randrange(8)
        elif how == 1 and at < len(data):
            data[at] = roll.choice((0, 1, 12, 41, 63, 64, 127, 128, 192, 255))
        elif how == 2:
            data[at:at] = roll.randbytes(roll.randint(1, 4))
        elif how == 3:
            del data[at : at + roll.randint(1, 8)]
        else:
            start = roll.randint(0, len(data))
            data[at:at] = data[start : start + roll.randint(1, 16)]
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())
