"""Approval of orders by several people: which signatures count, and what has force without them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from geodns.ledger.seal import Seal
from geodns.model.name import parse
from geodns.orders.approval import (
    Approvers,
    message,
    read_approvals,
    signed_edition,
    write_approvals,
)
from geodns.orders.feeds.due import fed
from geodns.orders.load import Loaded, OrderLoader, load_path
from geodns.orders.loaded import Approval
from geodns.policy.compile import select_in_force
from tests.orders.sample import good, write

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ANNA, BERT, EVE = (Seal(Ed25519PrivateKey.generate()) for _ in range(3))
TWO = Approvers(2, {"Anna": ANNA.key, "Bert": BERT.key})


def signed(path: Path, *people: tuple[str, Seal], at: datetime = NOW) -> list[Approval]:
    (loaded,) = load_path(path).orders
    lists = {name: (path.parent / name).read_bytes() for name in loaded.order.targets.files}
    digest = signed_edition(path.read_bytes(), lists)
    return [
        Approval(by, at, digest, seal.sign(message(loaded, digest, by, at))) for by, seal in people
    ]


def sign(path: Path, *people: tuple[str, Seal]) -> None:
    path.with_suffix(".approvals").write_text(write_approvals(signed(path, *people)))


def in_force(loaded: Loaded) -> dict[str, list[bytes]]:
    return {one.order.id: list(one.domains) for one in select_in_force(loaded.orders, NOW)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "orders"


@pytest.fixture
def loader(root: Path, tmp_path: Path) -> Callable[[], OrderLoader]:
    return lambda: OrderLoader([root], tmp_path / "kept", approvers=TWO)


def test_an_order_has_force_once_enough_people_have_signed(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    path = write(root, "IT", "a")
    reading = loader()
    loaded = reading.load()
    assert in_force(loaded) == {}
    assert loaded.faults == loaded.refused == ()
    (told,) = loaded.unapproved
    assert "needs 2 approvals and has 0;" in told.message
    assert "has no force" in told.message
    sign(path, ("Anna", ANNA))
    loaded = reading.load()
    assert in_force(loaded) == {}
    assert "has 1 (Anna)" in loaded.unapproved[0].message
    assert [each.by for each in loaded.orders[0].approvals] == ["Anna"]
    sign(path, ("Anna", ANNA), ("Bert", BERT))
    loaded = reading.load()
    assert in_force(loaded) == {"a": [parse("example.org")]}
    assert loaded.unapproved == ()
    assert [each.by for each in loaded.orders[0].approvals] == ["Anna", "Bert"]
    assert reading.load().parsed == 0


def test_a_changed_order_waits_while_its_former_edition_stays(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    path = write(root, "IT", "a")
    sign(path, ("Anna", ANNA), ("Bert", BERT))
    reading = loader()
    before = reading.load()
    write(root, "IT", "a", good("a", "other.example"))
    for each in (reading, loader()):  # from memory, and from the disk after a restart
        loaded = each.load()
        assert in_force(loaded) == in_force(before) == {"a": [parse("example.org")]}
        assert "that of Anna is of another edition" in loaded.unapproved[0].message
        assert "the former one stays in force" in loaded.unapproved[0].message
    sign(path, ("Bert", BERT), ("Anna", ANNA))
    assert in_force(reading.load()) == {"a": [parse("other.example")]}


def test_a_list_beside_the_order_is_signed_with_it(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    text = good("a").replace('domains = ["example.org"]', 'files = ["a.domains.txt"]')
    path = write(root, "IT", "a", text)
    (path.parent / "a.domains.txt").write_text("one.example\n")
    (loaded,) = load_path(path).orders
    # So that a receipt and an approval name the same edition.
    assert signed(path, ("Anna", ANNA))[0].edition == loaded.edition
    sign(path, ("Anna", ANNA), ("Bert", BERT))
    reading = loader()
    assert in_force(reading.load()) == {"a": [parse("one.example")]}
    (path.parent / "a.domains.txt").write_text("one.example\ntwo.example\n")
    loaded_again = reading.load()
    assert in_force(loaded_again) == {"a": [parse("one.example")]}
    assert loaded_again.unapproved


def test_signatures_that_do_not_count(root: Path, loader: Callable[[], OrderLoader]) -> None:
    path = write(root, "IT", "a")
    (anna,) = signed(path, ("Anna", ANNA))
    (forged,) = signed(path, ("Bert", EVE))
    (stranger,) = signed(path, ("Eve", EVE))
    later = Approval("Bert", NOW, anna.edition, anna.signature)
    file = path.with_suffix(".approvals")
    for rows, told in (
        ([anna, forged], "that of Bert has a signature that does not hold"),
        ([anna, later], "that of Bert has a signature that does not hold"),
        ([anna, stranger], "1 of nobody whom the settings name count for nothing"),
        ([anna, anna], "has 1 (Anna)"),
    ):
        file.write_text(write_approvals(rows))
        loaded = loader().load()
        assert in_force(loaded) == {}, told
        assert told in loaded.unapproved[0].message


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"approval = 1",
        b"[[approval]]\nby = 'Anna'",
        b"x = 1",
        b"[[approval]]\nby=1\nat=2026-01-01T00:00:00Z\nedition='a'\nsignature='b'",
        b"[[approval]]\nby='A'\nat=2026-01-01T00:00:00\nedition='a'\nsignature='b'",
        b"[[approval]]\nby='A'\nat=2026-01-01T00:00:00.5Z\nedition='a'\nsignature='b'",
        b"[[approval]]\nby='A'\nat=0001-01-01T00:00:00+14:00\nedition='a'\nsignature='b'",
        b"#" * 70_000,
    ],
)
def test_a_damaged_approvals_file_approves_nothing_and_is_told(
    root: Path, loader: Callable[[], OrderLoader], content: bytes
) -> None:
    path = write(root, "IT", "a")
    path.with_suffix(".approvals").write_bytes(content)
    loaded = loader().load()
    assert in_force(loaded) == {}
    assert "a.approvals: " in loaded.unapproved[0].message


@pytest.mark.parametrize("status", ["suspended", "lifted", "draft"])
def test_what_only_ends_an_order_needs_nobody(
    root: Path, loader: Callable[[], OrderLoader], status: str
) -> None:
    path = write(root, "IT", "a")
    sign(path, ("Anna", ANNA), ("Bert", BERT))
    reading = loader()
    assert in_force(reading.load())
    write(root, "IT", "a", good("a").replace('"active"', f'"{status}"'))
    loaded = reading.load()
    assert in_force(loaded) == {}
    assert loaded.unapproved == ()


def test_a_suspended_order_that_will_resume_needs_them(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    text = good("a").replace('"active"', '"suspended"')
    text += '\n[[events]]\nkind = "resume"\nat = 2025-01-01\n'
    write(root, "IT", "a", text)
    assert loader().load().unapproved


def test_a_faulty_order_does_not_bring_an_edition_into_force_that_waits(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    write(root, "IT", "a")
    reading = loader()
    reading.load()
    write(root, "IT", "a", good("a").replace("domains", "domians"))
    loaded = reading.load()
    assert loaded.faults
    assert in_force(loaded) == {}
    assert in_force(loader().load()) == {}


def test_what_is_written_is_read(root: Path) -> None:
    names = ('A "quoted" \\ name', "Łukasz", "two\nlines", "\x7f\x00\t\u2028", "\U0001f600")
    rows = [Approval(name, NOW, "ab", "cd") for name in names]
    assert read_approvals(write_approvals(rows).encode()) == rows


def test_a_signature_is_for_the_place_that_the_order_lies_in(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    path = write(root, "IT", "a")
    sign(path, ("Anna", ANNA), ("Bert", BERT))
    other = root / "FR"
    other.mkdir()
    for file in (path, path.with_suffix(".approvals")):
        file.rename(other / file.name)
    loaded = loader().load()
    assert in_force(loaded) == {}
    assert "that of Anna has a signature that does not hold" in loaded.unapproved[0].message


def test_a_file_that_nobody_has_approved_takes_no_id_from_one_that_is(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    sign(write(root, "IT", "a"), ("Anna", ANNA), ("Bert", BERT))
    write(root, "AT", "a", good("a", "squatted.example"))
    loaded = loader().load()
    assert in_force(loaded) == {"a": [parse("example.org")]}
    assert (loaded.faults, loaded.refused) == ((), ())
    assert any("an id is used once" in fault.message for fault in loaded.unapproved)


FEED = '\n[[feeds]]\nurl = "https://lists.example/l"\ncredentials = "SECRET"\n'


@pytest.mark.parametrize("status", ["active", "draft"])
def test_no_list_is_fetched_for_what_nobody_has_approved(
    root: Path, loader: Callable[[], OrderLoader], status: str
) -> None:
    """Whoever can write an order file could send credentials anywhere otherwise."""
    path = write(root, "IT", "a", good("a").replace('"active"', f'"{status}"') + FEED)
    reading = loader()
    assert not list(fed(reading.load().orders, root))
    sign(path, ("Anna", ANNA), ("Bert", BERT))
    assert len(list(fed(reading.load().orders, root))) == 1
    write(root, "IT", "a", "id = ")
    # The last good edition of what had force was approved; of another nobody knows.
    assert len(list(fed(loader().load().orders, root))) == (status == "active")


def test_the_certificate_of_a_list_is_signed_with_the_order(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    more = 'signature = "https://lists.example/l.sig"\nopenpgp = "key.asc"\n'
    path = write(root, "IT", "a", good("a") + FEED + more)
    certificate = path.parent / "key.asc"
    assert "'key.asc' cannot be read" in loader().load().faults[0].message
    certificate.write_bytes(b"theirs")
    (loaded,) = load_path(path).orders
    digest = signed_edition(path.read_bytes(), {"key.asc": b"theirs"})
    rows = [
        Approval(by, NOW, digest, seal.sign(message(loaded, digest, by, NOW)))
        for by, seal in (("Anna", ANNA), ("Bert", BERT))
    ]
    path.with_suffix(".approvals").write_text(write_approvals(rows))
    reading = loader()
    (each,) = fed(reading.load().orders, root)
    assert each.certificate == b"theirs"
    certificate.write_bytes(b"another's")
    loaded_again = reading.load()
    assert loaded_again.unapproved
    (each,) = fed(loaded_again.orders, root)
    assert each.certificate == b"theirs"


def test_an_order_that_waits_is_not_read_again_and_again(
    root: Path, loader: Callable[[], OrderLoader]
) -> None:
    write(root, "IT", "a")
    reading = loader()
    assert [reading.load().parsed for _ in range(3)] == [1, 0, 0]
