"""Writing snapshots: whole or not at all. What they hold is in tests/properties."""

from __future__ import annotations

from pathlib import Path

import pytest

from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot, write_snapshot
from tests.policy.making import NOW, order

DATA = compile_snapshot([order("o", domains=["a.b"])], NOW)


def test_the_file_is_named_by_the_digest(tmp_path: Path) -> None:
    path = write_snapshot(DATA, tmp_path)
    assert path.name == f"{Snapshot(DATA).file}.snapshot"
    assert len(Snapshot(DATA).digest) == 64


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_snapshot(DATA, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_mapped_snapshot_outlives_its_file(tmp_path: Path) -> None:
    path = write_snapshot(DATA, tmp_path)
    snapshot = Snapshot.open(path)
    path.unlink()
    assert [at for at, _ in snapshot.name_rules(b"\1x\1a\1b\0")] == [2]
