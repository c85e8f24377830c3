"""Bases and amendments as files: what is written, kept and cleaned."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from geodns.policy.layers import LayeredSnapshot, open_snapshot
from geodns.serve import compiler
from geodns.serve.compiler import Compiler
from tests.policy.making import NOW, order

SECONDS = NOW.timestamp()
BASE = [order("base", domains=["a.b"])]


def many(count: int) -> list[compiler.LoadedOrder]:
    return BASE + [order(f"o{n}", domains=[f"n{n}.b"]) for n in range(count)]


async def test_a_change_is_an_amendment_and_its_undoing_the_base(tmp_path: Path) -> None:
    made = Compiler(tmp_path, lambda: None)
    base_path, base = await made.compile(BASE, SECONDS, ())
    path, amended = await made.compile(many(1), SECONDS, ())
    assert isinstance(amended, LayeredSnapshot)
    assert path != base_path
    assert [o.id for o in open_snapshot(path).in_force] == ["base", "o0"]
    assert (await made.compile(BASE, SECONDS, ()))[1] is base
    # Another emergency list is another base.
    assert (await made.compile(BASE, SECONDS, (b"\1x\0",)))[1].base is None


async def test_a_base_being_written_is_not_cleaned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken, go_on = asyncio.Event(), threading.Event()
    made = Compiler(tmp_path, woken.set)
    await made.compile(BASE, SECONDS, ())
    write = made._compile_base

    def slow(*arguments: object) -> object:
        base = write(*arguments)  # type: ignore[arg-type]
        assert go_on.wait(10)
        return base

    monkeypatch.setattr(made, "_compile_base", slow)
    await made.compile(many(70), SECONDS, ())
    async with asyncio.timeout(10):
        while len(list(tmp_path.iterdir())) < 3:
            await asyncio.sleep(0.01)
    made.clean(())
    assert len(list(tmp_path.iterdir())) == 3
    go_on.set()
    async with asyncio.timeout(20):
        await woken.wait()
    assert made.ready
    await made.close()
    made.clean(())
    path, snapshot = await made.compile(many(70), SECONDS, ())
    assert snapshot.base is None
    assert len(open_snapshot(path).in_force) == 71
    path, snapshot = await made.compile(many(71), SECONDS, ())
    assert len(open_snapshot(path).in_force) == 72


async def test_a_base_that_cannot_be_written_leaves_the_amendment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Compiler(tmp_path, lambda: None)
    await made.compile(BASE, SECONDS, ())

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiler, "compile_snapshot", full)
    path, _ = await made.compile(many(70), SECONDS, ())
    await made.close()
    assert not made.ready
    assert len(open_snapshot(path).in_force) == 71
