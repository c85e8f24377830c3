from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from geodns.model.name import parse, to_text
from geodns.orders import scan as scanning
from geodns.orders.load import Loaded, OrderLoader, load_path
from tests.orders.sample import age, good, write

BAD = "id = "


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "orders").mkdir()
    return tmp_path / "orders"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "state" / "orders"


def ids(loaded: Loaded) -> list[str]:
    return [order.order.id for order in loaded.orders]


def domain(loaded: Loaded, ident: str) -> bytes:
    return next(order.domains[0] for order in loaded.orders if order.order.id == ident)


def stands_in(loaded: Loaded, ident: str) -> bool:
    return next(order.last_good for order in loaded.orders if order.order.id == ident)


def told(loaded: Loaded) -> str:
    return "\n".join(map(str, loaded.faults))


def with_list(ident: str, name: str = "list.txt") -> str:
    return good(ident).replace('domains = ["example.org"]', f'files = ["{name}"]')


def test_orders_of_all_folders_sorted_by_id(root: Path) -> None:
    for place, ident in (("IT", "z"), ("FR", "m"), ("FR+overseas", "a"), ("US-CA", "b")):
        write(root, place, ident)
    loaded = OrderLoader([root], None).load()
    assert ids(loaded) == ["a", "b", "m", "z"]
    assert [order.place for order in loaded.orders] == ["FR+overseas", "US-CA", "FR", "IT"]
    assert loaded.orders[0].path == str(root / "FR+overseas" / "a.toml")
    assert loaded.faults == loaded.refused == loaded.findings == ()
    assert loaded.parsed == 4


def test_several_directories_and_one_given_twice(root: Path, tmp_path: Path) -> None:
    write(root, "IT", "a")
    other = tmp_path / "more"
    write(other, "IT", "b")
    assert ids(OrderLoader([root, other, root], None).load()) == ["a", "b"]


def test_only_what_changed_is_parsed_again(root: Path) -> None:
    paths = [write(root, "IT", ident) for ident in "abc"]
    loader = OrderLoader([root], None)
    first = loader.load()
    assert first.parsed == 3
    second = loader.load()
    assert second.parsed == 0
    assert second.orders == first.orders
    write(root, "IT", "b", good("b", "new.example"))
    third = loader.load()
    assert third.parsed == 1
    assert domain(third, "b") == parse("new.example")
    assert third.orders[0] is first.orders[0]
    paths[0].touch()
    assert loader.load().parsed == 0


def test_files_that_did_not_change_are_not_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(write(root, "IT", "a", with_list("a")))
    (root / "IT" / "list.txt").write_text("a.example")
    age(root / "IT" / "list.txt")
    loader = OrderLoader([root], None)
    loader.load()
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened"))
    assert ids(loader.load()) == ["a"]


def test_a_write_within_one_tick_of_the_clock_is_seen(root: Path) -> None:
    path = write(root, "IT", "a", good("a", "one.example"))
    loader = OrderLoader([root], None)
    loader.load()
    entry = loader._entries[str(path)]
    path.write_text(good("a", "two.example"))
    # As if the clock had stood still: the signature is the one of before.
    entry.signature = scanning.signature(path.stat())
    assert domain(loader.load(), "a") == parse("two.example")


def test_a_list_belongs_to_its_order(root: Path) -> None:
    age(write(root, "IT", "a", with_list("a")))
    loader = OrderLoader([root], None)
    missing = loader.load()
    assert missing.refused == (str(root / "IT" / "a.toml"),)
    assert "does not exist" in told(missing)
    assert missing.faults[0].line == 16
    (root / "IT" / "list.txt").write_text("one.example\n")
    age(root / "IT" / "list.txt")
    assert domain(loader.load(), "a") == parse("one.example")
    (root / "IT" / "list.txt").write_text("two.example\n")
    changed = loader.load()
    assert (domain(changed, "a"), changed.parsed) == (parse("two.example"), 1)
    (root / "IT" / "list.txt").unlink()
    gone = loader.load()
    assert (domain(gone, "a"), stands_in(gone, "a")) == (parse("two.example"), True)


@pytest.mark.parametrize("restart", [False, True])
def test_a_faulty_file_keeps_its_own_last_good_edition(
    root: Path, kept: Path, restart: bool
) -> None:
    write(root, "IT", "a", with_list("a"))
    (root / "IT" / "list.txt").write_text("good.example\n")
    write(root, "IT", "b")
    loader = OrderLoader([root], kept)
    before = loader.load()
    write(root, "IT", "a", BAD)
    (root / "IT" / "list.txt").write_text("other.example\n")
    write(root, "IT", "b", good("b", "new.example"))
    if restart:
        loader = OrderLoader([root], kept)
    loaded = loader.load()
    assert domain(loaded, "a") == parse("good.example")
    assert loaded.orders[0].edition == before.orders[0].edition
    assert stands_in(loaded, "a")
    assert not stands_in(loaded, "b")
    assert domain(loaded, "b") == parse("new.example")
    assert [fault.file for fault in loaded.faults] == [str(root / "IT" / "a.toml")]
    assert loaded.refused == ()
    assert loader.load().orders == loaded.orders
    write(root, "IT", "a", good("a", "mended.example"))
    mended = loader.load()
    assert (domain(mended, "a"), stands_in(mended, "a")) == (parse("mended.example"), False)
    assert mended.faults == ()


def test_without_a_last_good_edition_a_faulty_file_is_refused(root: Path, kept: Path) -> None:
    write(root, "IT", "a", BAD)
    write(root, "IT", "b")
    loaded = OrderLoader([root], kept).load()
    assert ids(loaded) == ["b"]
    assert loaded.refused == (str(root / "IT" / "a.toml"),)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data.replace(b"example.org", b"example.net"),
        lambda data: data.replace(b'"IT"', b'"FR"'),
        lambda data: b"geodns last good order 1\n{}",
    ],
)
def test_a_damaged_last_good_edition_is_not_used(root: Path, kept: Path, damage: object) -> None:
    write(root, "IT", "a")
    OrderLoader([root], kept).load()
    (file,) = kept.iterdir()
    data = file.read_bytes()
    assert damage(data) != data  # type: ignore[operator]
    file.write_bytes(damage(data))  # type: ignore[operator]
    write(root, "IT", "a", BAD)
    loaded = OrderLoader([root], kept).load()
    assert loaded.orders == ()
    assert loaded.refused == (str(root / "IT" / "a.toml"),)


def test_a_removed_file_takes_its_last_good_edition_along(root: Path, kept: Path) -> None:
    path = write(root, "IT", "a")
    write(root, "IT", "b")
    loader = OrderLoader([root], kept)
    loader.load()
    path.unlink()
    assert ids(loader.load()) == ["b"]
    assert len(list(kept.iterdir())) == 1
    write(root, "IT", "a", BAD)
    assert loader.load().refused == (str(path),)


def test_a_file_removed_while_nobody_looked_leaves_nothing(root: Path, kept: Path) -> None:
    write(root, "IT", "a").rename(root / "moved")
    write(root, "IT", "b")
    OrderLoader([root], kept).load()
    (root / "IT" / "b.toml").unlink()
    assert OrderLoader([root], kept).load().orders == ()
    assert list(kept.iterdir()) == []


def test_each_edition_takes_the_place_of_the_one_before(root: Path, kept: Path) -> None:
    loader = OrderLoader([root], kept)
    for name in ("one.example", "two.example", "three.example"):
        write(root, "IT", "a", good("a", name))
        loader.load()
        assert len(list(kept.iterdir())) == 1
    write(root, "IT", "a", BAD)
    assert domain(OrderLoader([root], kept).load(), "a") == parse("three.example")


def test_good_editions_that_cannot_be_kept_are_said(root: Path, tmp_path: Path) -> None:
    write(root, "IT", "a")
    (tmp_path / "state").write_text("a file in the way")
    loaded = OrderLoader([root], tmp_path / "state" / "orders").load()
    assert ids(loaded) == ["a"]
    assert "cannot be kept" in told(loaded)


def test_an_id_is_used_once_and_the_first_keeps_it(root: Path, kept: Path) -> None:
    write(root, "IT", "a")
    loader = OrderLoader([root], kept)
    loader.load()
    # The newcomer comes first in the alphabet; it is the newcomer all the same.
    double = write(root, "FR", "a", good("a", "other.example"))
    for _ in range(2):
        loaded = loader.load()
        assert [order.place for order in loaded.orders] == ["IT"]
        (fault,) = loaded.faults
        assert (fault.file, fault.field) == (str(double), "id")
        assert str(root / "IT" / "a.toml") in fault.message
        assert loaded.refused == (str(double),)
        loader = OrderLoader([root], kept)
    (root / "IT" / "a.toml").unlink()
    assert [order.place for order in loader.load().orders] == ["FR"]


@pytest.mark.parametrize(
    ("place", "words"),
    [("Italy", "did you mean IT?"), ("UK", "GB"), ("AS3269", "network"), ("drafts", "no place")],
)
def test_a_folder_that_is_no_place_is_a_fault(root: Path, place: str, words: str) -> None:
    path = write(root, place, "a")
    loaded = OrderLoader([root], None).load()
    assert loaded.refused == (str(path),)
    (fault,) = loaded.faults
    assert fault.file == str(root / place)
    assert words in fault.message


def test_order_files_in_the_wrong_depth_are_faults(root: Path) -> None:
    write(root, "IT", "b")
    (root / "a.toml").write_text(good("a"))
    write(root / "IT", "deep", "c")
    loaded = OrderLoader([root], None).load()
    assert ids(loaded) == ["b"]
    assert set(loaded.refused) == {str(root / "a.toml"), str(root / "IT" / "deep" / "c.toml")}
    assert {fault.file for fault in loaded.faults} == set(loaded.refused)


def test_temporary_and_foreign_files_are_not_orders(root: Path) -> None:
    write(root, "IT", "a")
    names = (".a.toml", ".a.toml.swp", "a.toml~", "#a.toml#", "a.toml.tmp", "x.toml.swp", "4913")
    for name in (*names, "README.md", "~$a.toml"):
        (root / "IT" / name).write_text(BAD)
    (root / ".git").mkdir()
    (root / ".git" / "x.toml").write_text(BAD)
    (root / "README.md").write_text("# Orders")
    loaded = OrderLoader([root], None).load()
    assert (ids(loaded), loaded.faults) == (["a"], ())


def test_what_is_no_regular_file_is_a_fault(root: Path) -> None:
    write(root, "IT", "ok")
    (root / "IT" / "dir.toml").mkdir()
    os.mkfifo(root / "IT" / "pipe.toml")
    (root / "IT" / "dangling.toml").symlink_to("nowhere")
    (root / "IT" / "loop.toml").symlink_to("loop.toml")
    os.mkfifo(root / "IT" / "list.txt")
    write(root, "IT", "piped", with_list("piped"))
    loaded = OrderLoader([root], None).load()
    assert ids(loaded) == ["ok"]
    assert {Path(path).stem for path in loaded.refused} == {
        "dangling", "dir", "loop", "pipe", "piped",
    }  # fmt: skip
    assert told(loaded).count("not a regular file") == 3


def test_links_to_orders_and_lists_are_followed(root: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "one").write_text(with_list("a"))
    (store / "list").write_text("linked.example")
    (root / "IT").mkdir()
    (root / "IT" / "a.toml").symlink_to(store / "one")
    (root / "IT" / "list.txt").symlink_to(store / "list")
    (root / "FR").symlink_to(store / "fr")
    write(store, "fr", "b")
    loader = OrderLoader([root], None)
    loaded = loader.load()
    assert ids(loaded) == ["a", "b"]
    (store / "list").write_text("changed.example")
    assert domain(loader.load(), "a") == parse("changed.example")


@pytest.mark.parametrize("restart", [False, True])
def test_a_directory_that_cannot_be_listed_keeps_its_orders(
    root: Path, kept: Path, restart: bool
) -> None:
    write(root, "IT", "a")
    loader = OrderLoader([root], kept)
    loader.load()
    root.rename(root.with_name("away"))
    if restart:
        loader = OrderLoader([root], kept)
    for _ in range(2):
        loaded = loader.load()
        assert (ids(loaded), stands_in(loaded, "a")) == (["a"], True)
        assert "cannot be listed" in told(loaded)
        assert loaded.faults[0].file == str(root)
    root.with_name("away").rename(root)
    back = loader.load()
    assert (ids(back), stands_in(back, "a"), back.faults) == (["a"], False, ())


def test_a_missing_directory_is_a_fault(tmp_path: Path) -> None:
    loaded = OrderLoader([tmp_path / "none"], None).load()
    assert loaded.orders == ()
    assert "No such file" in told(loaded)


def test_a_file_that_cannot_be_read_keeps_its_edition(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(root, "IT", "a")
    loader = OrderLoader([root], None)
    loader.load()
    write(root, "IT", "a", good("a", "new.example"))
    real = os.open

    def refuse(file: str, *rest: int) -> int:
        if file == str(path):
            raise PermissionError(13, "Permission denied", file)
        return real(file, *rest)

    monkeypatch.setattr(os, "open", refuse)
    loaded = loader.load()
    assert (domain(loaded, "a"), stands_in(loaded, "a")) == (parse("example.org"), True)
    assert "Permission denied" in told(loaded)
    monkeypatch.undo()
    assert domain(loader.load(), "a") == parse("new.example")


def test_a_file_that_vanishes_between_scan_and_read_is_just_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "IT", "a")
    path = write(root, "IT", "b")
    real = os.open

    def vanish(file: str, *rest: int) -> int:
        if file == str(path):
            path.unlink(missing_ok=True)
        return real(file, *rest)

    monkeypatch.setattr(os, "open", vanish)
    loaded = OrderLoader([root], None).load()
    assert (ids(loaded), loaded.faults, loaded.refused) == (["a"], (), ())


def test_a_file_that_is_away_for_a_moment_is_not_gone(
    root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(root, "IT", "a")
    loader = OrderLoader([root], kept)
    loader.load()
    path.rename(root / "IT" / "a.toml~")
    monkeypatch.setattr(
        "geodns.orders.load.time.sleep", lambda _: write(root, "IT", "a", good("a", "new.example"))
    )
    assert domain(loader.load(), "a") == parse("new.example")


def test_a_file_written_while_it_is_read_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(root, "IT", "a", good("a", "one.example"))
    real, once = os.fstat, []

    def fstat(handle: int) -> os.stat_result:
        status = real(handle)
        if not once:
            once.append(handle)
            path.write_text(good("a", "longer-name.example"))
        return status

    monkeypatch.setattr(os, "fstat", fstat)
    assert domain(OrderLoader([root], None).load(), "a") == parse("longer-name.example")


def test_orders_stay_whole_while_files_are_written_all_the_time(root: Path, kept: Path) -> None:
    for number in range(5):
        write(root, "IT", f"o{number}")
    stop = threading.Event()

    def churn() -> None:
        chance = random.Random(7)
        while not stop.is_set():
            number = chance.randrange(5)
            write(root, "IT", f"o{number}", good(f"o{number}", f"n{chance.randrange(99)}.example"))
            (root / "IT" / ".o.swp").write_text("x")
            extra = root / "IT" / "extra.toml"
            write(root, "IT", "extra")
            extra.unlink()

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        loader = OrderLoader([root], kept)
        for _ in range(40):
            loaded = loader.load()
            assert {"o0", "o1", "o2", "o3", "o4"} <= set(ids(loaded))
            assert loaded.faults == ()
    finally:
        stop.set()
        writer.join()
    loaded = loader.load()
    for order in loaded.orders:
        text = Path(order.path).read_text()
        assert f'domains = ["{to_text(order.domains[0])}"]' in text


def test_progress_counts_the_files_that_are_read(root: Path) -> None:
    write(root, "IT", "a")
    write(root, "IT", "b")
    seen: list[tuple[int, int]] = []
    OrderLoader([root], None).load(lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_one_path_by_itself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(root, "IT", "a")
    write(root, "IT", "b", good("b").replace("sources", 'supersedes = ["zz"]\nsources'))
    write(root, "FR", "c")
    assert ids(load_path(path)) == ["a"]
    assert ids(load_path(root / "IT")) == ["a", "b"]
    assert load_path(root / "IT").findings == ()
    assert ids(load_path(root)) == ["a", "b", "c"]
    assert "no order file" in told(load_path(root / "IT" / "list.txt"))
    monkeypatch.chdir(root / "IT")
    assert load_path(Path("a.toml")).orders[0].place == "IT"


def test_superseded_orders_are_looked_for_in_all_folders(root: Path) -> None:
    write(root, "IT", "a", good("a").replace("sources", 'supersedes = ["b", "zz"]\nsources'))
    write(root, "FR", "b")
    (finding,) = OrderLoader([root], None).load().findings
    assert (finding.order, finding.field, finding.level) == ("a", "supersedes.1", "warn")
    assert "'zz'" in finding.message
