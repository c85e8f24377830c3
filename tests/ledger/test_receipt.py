"""Receipts: what they say of an order's life, on paper and to machines."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from geodns.cli.main import call
from geodns.ledger.paper import page, read_page
from geodns.ledger.read import Ledger
from geodns.ledger.receipt import RECEIPT, heads, instant, receipt
from geodns.ledger.seal import Seal, document_message
from geodns.ledger.verify import verify
from geodns.ledger.writer import Writer
from geodns.model.signature import holds

AT = 1_700_000_000.0
EVIL = "</script><script>alert(1)</script><b>&amp;"


def described(edition: str, **more: Any) -> dict[str, Any]:
    return {
        "edition": edition,
        "place": "IT",
        "authority": EVIL,
        "kind": "court",
        "reference": None,
        "title": EVIL,
        "status": "active",
        "jurisdiction": ["IT", "SM"],
        "issued": None,
        "effective": "2022-07-11T00:00:00+02:00",
        "deadline": None,
        "expires": None,
        "targets": {"domains": 3, "exact": 0},
        **more,
    }


def enforced(edition: str) -> dict[str, Any]:
    return {"edition": edition, "form": edition, "workers": 2, "seconds": 1.5, "shadow": False}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def made(path: Path) -> dict[str, Any]:
    ledger = Ledger(path)
    try:
        return receipt("it-x", ledger.entries(), verify(path), AT + 100)
    finally:
        ledger.close()


def life(writer: Writer) -> None:
    for at, kind, order, facts in (
        (0, "received", "it-x", described("a")),
        (0, "loaded", "it-x", {"edition": "a"}),
        (1, "started", None, {"version": "1", "node": "ns1"}),
        (2, "enforced", "it-x", enforced("a")),
        (3, "enforced", "it-other", enforced("z")),
        (4, "counts", "it-x", {"hour": 0, "blocks": {"IT": 5}, "shadow": {}}),
        (5, "received", "it-x", described("b", status="suspended")),
        (5, "loaded", "it-x", {"edition": "b"}),
        (6, "lifted", "it-x", {"edition": "a", "why": "suspended"}),
        (7, "stopped", None, {"version": "1", "node": "ns1"}),
        (8, "started", None, {"version": "1", "node": "ns1"}),
        (9, "loaded", "it-x", {"edition": "a"}),
        (10, "enforced", "it-x", enforced("a")),
        (11, "counts", "it-x", {"hour": 0, "blocks": {"IT": 2, "SM": 1}, "shadow": {}}),
        (12, "received", "it-other", described("c")),
        (20, "started", None, {"version": "1", "node": "ns2"}),
    ):
        writer.append(kind, facts, order=order, digest="d", at=AT + at)


def test_periods_and_interruptions(path: Path) -> None:
    life(Writer(path))
    found = made(path)
    assert found["in_force"]
    assert found["nodes"] == ["ns1", "ns2"]
    spans = [(each["from"][17:19], (each["until"] or "")[17:19]) for each in found["periods"]]
    assert spans == [("22", "26"), ("30", "")]
    assert [each["why"] for each in found["periods"]] == ["suspended", None]
    # The stop fell into no period; what was received before a start says nothing of running.
    (crash,) = found["interruptions"]
    assert (crash["from"][17:19], crash["until"][17:19]) == ("31", "40")
    assert found["blocked"] == {"IT": 7, "SM": 1}
    assert found["about"]["status"] == "active"
    assert [each["kind"] for each in found["events"]].count("received") == 2


def test_a_stopped_server_has_nothing_in_force(path: Path) -> None:
    writer = Writer(path)
    life(writer)
    writer.append("stopped", {}, at=AT + 30)
    assert not made(path)["in_force"]
    assert "In force until the server was stopped" in page(made(path))


def test_an_order_that_was_received_only_has_never_been_in_force(path: Path) -> None:
    Writer(path).append("received", described("a"), order="it-x", at=AT)
    assert "has never been in force" in page(made(path))


class Scripts(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_what_an_order_says_stays_text(path: Path) -> None:
    life(Writer(path))
    text = page(made(path))
    parser = Scripts()
    parser.feed(text)
    assert [attrs for tag, attrs in parser.tags if tag == "script"] == [
        {"type": "application/json", "id": "receipt"}
    ]
    assert not [tag for tag, _ in parser.tags if tag in ("b", "img", "link")]
    assert "http" not in text
    assert read_page(text)["about"]["title"] == EVIL


def test_a_page_holds_its_signed_text(path: Path, tmp_path: Path) -> None:
    life(Writer(path))
    seal = Seal.of(tmp_path / "key")
    document = seal.document(RECEIPT, made(path))
    found = read_page(page(document))
    assert found == document
    signed = found["signed"]
    assert holds(signed["key"], signed["signature"], document_message(RECEIPT, found))
    assert not holds(signed["key"], signed["signature"], document_message("proof", found))
    found["in_force"] = False
    assert not holds(signed["key"], signed["signature"], document_message(RECEIPT, found))
    assert verify(path, heads=heads(document)).whole
    assert not verify(path, heads={**heads(document), 2: "00" * 32}).whole


def test_a_broken_ledger_proves_nothing(path: Path) -> None:
    import sqlite3

    life(Writer(path))
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER entry_stays")
        connection.execute("UPDATE entry SET at = at - 1 WHERE seq = 4")
    connection.close()
    text = page(made(path))
    assert "BROKEN" in text
    assert "entry 4" in text


@pytest.mark.parametrize("text", ["", "{}", "[]", "<html></html>", '{"receipt": 1'])
def test_what_is_no_receipt_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        heads(read_page(text))


def test_a_page_that_says_another_thing_than_its_signed_text_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "geodns.toml").write_text('[server]\nstate = "."\n')
    life(Writer(tmp_path / "ledger.sqlite"))
    seal = Seal.of(tmp_path / "ledger.key")
    text = page(seal.document(RECEIPT, made(tmp_path / "ledger.sqlite")))
    paper = tmp_path / "receipt.html"
    paper.write_text(text)
    assert call(["verify", "--receipt", "receipt.html"]) == 0
    capsys.readouterr()
    # What the eye reads is changed, and not what the machine reads.
    head, script, rest = text.partition("<script")
    assert head.count("3 domains") == 1
    paper.write_text(head.replace("3 domains", "2 domains") + script + rest)
    assert call(["verify", "--receipt", "receipt.html"]) == 1
    out, err = capsys.readouterr()
    assert "the page does not say what its signed text says" in out
    assert "receipt.html: the receipt does NOT hold; the ledger does" in err
    assert call(["verify", "--key", "abc"]) == 2
    assert "--key: 'abc' is no Ed25519 public key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("deadline", "met"), [(3, "met"), (1, "late"), (None, None)], ids=["met", "late", "none"]
)
def test_whether_the_deadline_was_met(path: Path, deadline: int | None, met: str | None) -> None:
    moment = None if deadline is None else instant(AT + deadline)
    writer = Writer(path)
    writer.append("received", described("a", deadline=moment), order="it-x", at=AT)
    found = made(path)["deadline"]
    assert (found and found["met"]) == (None if met is None else "missed"), "asked 100 s later"
    writer.append("loaded", {"edition": "a"}, order="it-x", at=AT)
    writer.append("enforced", enforced("a"), order="it-x", at=AT + 2)
    writer.close()
    found = made(path)["deadline"]
    assert (found and found["met"]) == met
    assert (met is not None) == ("Deadline" in page(made(path)))
