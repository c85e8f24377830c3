"""The server's hold on its ledger: what waits, what is lost, and that it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from geodns.ledger.read import Ledger
from geodns.ledger.verify import verify
from geodns.ledger.writer import Draft
from geodns.serve import book as module
from geodns.serve.book import Book


def draft(number: int) -> Draft:
    return Draft("lifted", {"edition": str(number), "why": "removed"}, "it-x", None, float(number))


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger.sqlite", tmp_path / "key")


async def test_what_happens_while_it_cannot_be_written_is_written_later_in_order(
    book: Book,
) -> None:
    book.path.mkdir()
    await book.open()
    assert book.fault is not None
    await book.keep([draft(1)])
    await book.keep([draft(2)])
    assert book.waiting == 2
    assert not await book.first([draft(3)])
    assert book.waiting == 2
    book.path.rmdir()
    assert await book.first([draft(3)])
    assert (book.waiting, book.fault, book.failing_since) == (0, None, None)
    found = [each.facts["edition"] for each in Ledger(book.path).entries()]
    assert found == ["1", "2", "3"]
    await book.close()


async def test_what_there_is_no_room_for_is_lost_and_recorded_as_a_gap(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    book.path.mkdir()
    await book.open()
    await book.keep([draft(1), draft(2)])
    await book.keep([draft(3), draft(4), draft(5)])
    await book.keep([draft(6)])
    assert (book.waiting, book.lost) == (3, 3)
    book.path.rmdir()
    await book.keep([])
    entries = list(Ledger(book.path).entries())
    assert sorted(each.kind for each in entries) == ["gap", "lifted", "lifted", "lifted"]
    assert next(each for each in entries if each.kind == "gap").facts["entries"] == 3
    assert verify(book.path).whole
    await book.close()


async def test_a_file_that_is_moved_away_is_noticed(book: Book) -> None:
    await book.open()
    await book.keep([draft(1)])
    for path in book.path.parent.glob("ledger.sqlite*"):
        path.rename(path.with_name(f"old-{path.name}"))
    await book.keep([draft(2)])
    assert book.waiting == 1
    assert await book.flush()
    assert book.openings == 2
    assert [each.facts["edition"] for each in Ledger(book.path).entries()] == ["2"]
    await book.close()


async def test_a_checkpoint_is_written_once_where_nothing_is_new(book: Book) -> None:
    await book.open()
    await book.sign(None)
    await book.keep([draft(1)])
    await book.sign("d")
    await book.sign("d")
    assert [each.kind for each in Ledger(book.path).entries()] == ["lifted", "checkpoint"]
    found = verify(book.path, book.public_key)
    assert found.whole
    assert found.sealed == 1
    await book.close()


async def test_a_key_that_cannot_be_used_is_a_fault(book: Book, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("nonsense")
    await book.open()
    assert book.fault is not None
    assert "no Ed25519 key" in book.fault
