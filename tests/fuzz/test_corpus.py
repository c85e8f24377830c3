"""Every kept input passes, and so do some thousands made of them, the same each time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

pytest.importorskip("geodns.fastpath.native")

from tests.fuzz.run import KEPT, LONGEST, mutated
from tests.fuzz.targets import TARGETS

MUTATIONS = {
    "answer": 8000, "proxied": 8000, "query": 8000, "response": 8000, "lists": 3000, "tables": 200,
    "upstream": 300, "orders": 1500, "settings": 200, "geofeeds": 3000, "feeds": 3000,
    "databases": 200, "damaged": 1500, "control": 500, "options": 5000,
    "flight": 1500,
}  # fmt: skip


def inputs(target: str) -> list[Path]:
    found = sorted((KEPT / target).iterdir())
    assert found
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_kept_inputs_pass(target: str) -> None:
    for path in inputs(target):
        try:
            TARGETS[target](path.read_bytes())
        except Exception as fault:
            raise AssertionError(f"{path}: {fault!r}") from fault


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_inputs_pass(target: str) -> None:
    corpus = [path.read_bytes() for path in inputs(target)]
    roll = random.Random(target)
    for _ in range(MUTATIONS[target]):
        data = mutated(roll, corpus)[: LONGEST.get(target, 700)]
        try:
            TARGETS[target](data)
        except Exception as fault:
            raise AssertionError(f"{data.hex()}: {fault!r}") from fault


def test_every_target_has_a_corpus_and_no_input_is_large() -> None:
    assert {path.name for path in KEPT.iterdir()} == set(TARGETS)
    paths = [path for target in TARGETS for path in inputs(target)]
    assert max(path.stat().st_size for path in paths) <= 1000
    assert sum(path.stat().st_size for path in paths) < 500_000
