"""The chain on disk: what is appended comes back, and every change to it is found."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.errors import LedgerError
from geodns.ledger.entry import GENESIS, KINDS
from geodns.ledger.read import Ledger
from geodns.ledger.seal import Seal
from geodns.ledger.verify import verify
from geodns.ledger.writer import Draft, Writer

AT = 1_700_000_000.1234


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def filled(path: Path, count: int = 5) -> Writer:
    writer = Writer(path)
    for number in range(count):
        writer.append("received", {"edition": f"e{number}"}, order=f"it-{number}", at=AT + number)
    return writer


def meddle(path: Path, *statements: str) -> None:
    """Change a ledger as one who may write the file can: without its triggers."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER entry_stays")
        connection.execute("DROP TRIGGER entry_remains")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_the_hash_is_the_one_that_the_documentation_says(path: Path) -> None:
    entry = Writer(path).append("received", {"b": "è", "a": [1, None]}, "it-x", "d1", AT)
    text = '[1,1700000000123,"received","it-x","d1",{"a":[1,null],"b":"è"},"' + "00" * 32 + '"]'
    assert entry.hash == sha256(text.encode()).digest()
    assert entry.previous == GENESIS
    assert entry.at == 1_700_000_000.123


def test_what_is_appended_comes_back(path: Path) -> None:
    with_order = Writer(path).append("lifted", {"edition": "e", "why": "expired"}, "it-x", at=AT)
    without = Writer(path).append("started", {"version": "1", "node": "n"}, at=AT + 1)
    assert list(Ledger(path).entries()) == [with_order, without]
    assert Ledger(path).last() == without


def test_entries_are_found_by_kind_order_and_time(path: Path) -> None:
    writer = filled(path)
    writer.append("enforced", {"edition": "e1"}, order="it-1", at=AT + 10)
    ledger = Ledger(path)
    assert [each.seq for each in ledger.entries(order="it-1")] == [2, 6]
    assert [each.seq for each in ledger.entries(["enforced"], order="it-1")] == [6]
    assert [each.seq for each in ledger.entries([])] == []
    found = ledger.entries(["received"], since=round(AT + 1, 3), until=round(AT + 3, 3))
    assert [each.seq for each in found] == [2, 3]


def test_entries_can_be_read_while_more_are_written(path: Path) -> None:
    writer = filled(path)
    reading = Ledger(path).entries()
    assert next(reading).seq == 1
    writer.append("stopped", {})
    assert [each.seq for each in reading][:4] == [2, 3, 4, 5]


def test_the_file_is_for_its_owner(path: Path) -> None:
    filled(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("statement", ["UPDATE entry SET at = 0", "DELETE FROM entry"])
def test_entries_are_neither_changed_nor_removed(path: Path, statement: str) -> None:
    filled(path)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="never"):
        connection.execute(statement)
    connection.close()


def test_facts_that_are_no_json_are_refused_and_nothing_is_kept(path: Path) -> None:
    writer = filled(path, 1)
    for facts in ({"x": float("nan")}, {"x": object()}):
        with pytest.raises(LedgerError, match="JSON"):
            writer.append("received", facts)
    with pytest.raises(LedgerError, match="kind"):
        writer.append("rumour", {})
    good = Draft("received", {}, None, None, AT)
    with pytest.raises(LedgerError):
        writer.append_all([good, Draft("received", {"x": {1j}}, None, None, AT)])
    assert len(list(Ledger(path).entries())) == 1


def test_file_names_that_are_no_text_are_kept_readable(path: Path) -> None:
    file = os.fsdecode(b"orders/\xff.toml")
    Writer(path).append("refused", {"file": file, "faults": []})
    assert next(Ledger(path).entries()).facts["file"] == "orders/\\udcff.toml"
    assert verify(path).whole


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=4))
def test_any_facts_are_kept_and_verified(tmp_path_factory: pytest.TempPathFactory, several) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("any") / "ledger.sqlite"
    writer = Writer(path)
    entries = writer.append_all([Draft("feed", facts, None, None, AT) for facts in several])
    writer.close()
    assert list(Ledger(path).entries()) == entries
    assert verify(path).whole


# Verifying


def test_a_whole_ledger_is_told_whole(path: Path, tmp_path: Path) -> None:
    seal = Seal.of(tmp_path / "key")
    writer = filled(path)
    writer.append("checkpoint", seal.checkpoint(*writer.last()))
    last = writer.append("stopped", {})
    verdict = verify(path, seal.key)
    assert verdict.whole
    assert (verdict.entries, verdict.sealed, verdict.checkpoints) == (7, 5, 1)
    assert verdict.head == (7, last.hash.hex())
    assert verdict.keys == [seal.key]


def test_an_empty_ledger_is_whole(path: Path) -> None:
    Writer(path).close()
    assert verify(path).whole


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", "at + 0.001"),
        ("kind", "'lifted'"),
        ("order_id", "'it-other'"),
        ("order_id", "NULL"),
        ("digest", "'d'"),
        ("facts", """'{"edition":"forged"}'"""),
        ("facts", """'{"edition": "e2"}'"""),
        ("facts", """'{"edition":"e9","edition":"e2"}'"""),
        ("facts", "'['"),
        ("facts", "x'ff00'"),
        ("hash", "zeroblob(32)"),
        ("hash", "'text'"),
        ("previous", "zeroblob(32)"),
    ],
)
def test_a_changed_entry_is_found_where_it_is(path: Path, column: str, value: str) -> None:
    filled(path).close()
    meddle(path, f"UPDATE entry SET {column} = {value} WHERE seq = 3")
    verdict = verify(path)
    assert verdict.breaks[0].seq in (3, None)
    assert "3" in str(verdict.breaks[0])


def test_a_removed_entry_is_found(path: Path) -> None:
    filled(path).close()
    meddle(path, "DELETE FROM entry WHERE seq = 3")
    assert [str(each) for each in verify(path).breaks] == ["entry 4: entry 3 is missing before it"]


def test_entries_that_changed_places_are_found(path: Path) -> None:
    filled(path).close()
    meddle(
        path,
        "UPDATE entry SET seq = 100 WHERE seq = 2",
        "UPDATE entry SET seq = 2 WHERE seq = 3",
        "UPDATE entry SET seq = 3 WHERE seq = 100",
    )
    assert {each.seq for each in verify(path).breaks} == {2, 3, 4}


def test_a_chain_that_was_written_anew_has_no_good_signature(path: Path, tmp_path: Path) -> None:
    seal, other = Seal.of(tmp_path / "key"), Seal.of(tmp_path / "other")
    writer = filled(path)
    head = writer.last()
    facts = seal.checkpoint(*head)
    writer.append("checkpoint", facts)
    writer.close()
    path.unlink()
    forged = filled(path, 4)
    forged.append("received", {"edition": "forged"}, at=AT)
    forged.append("checkpoint", facts)
    assert "another entry" in verify(path).breaks[0].what
    # Signed again, with a key of the forger's own.
    path.unlink()
    forged = filled(path, 4)
    forged.append("received", {"edition": "forged"}, at=AT)
    forged.append("checkpoint", other.checkpoint(*forged.last()))
    assert verify(path).whole
    assert verify(path).keys == [other.key]
    assert "another key" in verify(path, seal.key).breaks[0].what
    assert "another hash" in verify(path, heads={5: head[1].hex()}).breaks[0].what


def test_a_ledger_that_was_cut_off_is_found_by_what_is_known_of_it(path: Path) -> None:
    writer = filled(path)
    seq, head = writer.last()
    writer.close()
    meddle(path, "DELETE FROM entry WHERE seq >= 4")
    assert verify(path).whole
    assert "cut off" in verify(path, heads={seq: head.hex()}).breaks[0].what


def test_a_signature_of_something_else_is_found(path: Path, tmp_path: Path) -> None:
    seal = Seal.of(tmp_path / "key")
    writer = filled(path)
    seq, head = writer.last()
    writer.append("checkpoint", {**seal.checkpoint(seq, head), "signature": seal.sign(b"other")})
    assert "signature" in verify(path).breaks[0].what


def test_nothing_follows_a_last_entry_that_was_changed(path: Path) -> None:
    filled(path).close()
    meddle(path, "UPDATE entry SET kind = 'lifted' WHERE seq = 5")
    with pytest.raises(LedgerError, match=r"last entry \(5\) was changed"):
        Writer(path)


def test_what_is_no_ledger_is_told(path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger"):
        verify(path)
    path.write_bytes(b"no database at all, but long enough to be read as a header" * 10)
    for opens in (Writer, Ledger, verify):
        with pytest.raises(LedgerError, match="not a database"):
            opens(path)


def test_a_copy_that_nobody_can_write_is_read(path: Path, tmp_path: Path) -> None:
    filled(path).close()
    copy = tmp_path / "court"
    copy.mkdir()
    (copy / "ledger.sqlite").write_bytes(path.read_bytes())
    copy.chmod(0o500)
    try:
        assert verify(copy / "ledger.sqlite").entries == 5
    finally:
        copy.chmod(0o700)


def test_a_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    made = Seal.of(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert Seal.of(tmp_path / "key").key == made.key
    assert [each.name for each in tmp_path.iterdir()] == ["key"]
    (tmp_path / "key").write_text("nonsense")
    with pytest.raises(LedgerError, match="no Ed25519 key"):
        Seal.of(tmp_path / "key")


# Faults

WRITING = """
import sys
from pathlib import Path
from geodns.ledger.writer import Writer
writer = Writer(Path(sys.argv[1]))
while True:
    entry = writer.append("feed", {"number": 1, "filling": "x" * 2000})
    print(entry.seq, entry.hash.hex(), flush=True)
"""


def test_no_acknowledged_entry_is_lost_by_kill_9(path: Path) -> None:
    acknowledged: dict[int, str] = {}
    for round_ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITING, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for count, line in enumerate(child.stdout):
                seq, head = line.split()
                acknowledged[int(seq)] = head
                if count == 3 + round_ * 7:
                    child.send_signal(signal.SIGKILL)
    verdict = verify(path, heads=acknowledged)
    assert verdict.whole, verdict.breaks
    assert verdict.entries >= len(acknowledged) > 50


def _small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))


FILLING = """
import json, sys
from pathlib import Path
from geodns.errors import LedgerError
from geodns.ledger.writer import Writer
writer = Writer(Path(sys.argv[1]))
heads, refused = {}, 0
for number in range(200):
    try:
        entry = writer.append("feed", {"number": number, "filling": "x" * (number % 7 * 300)})
        heads[entry.seq] = entry.hash.hex()
    except LedgerError as error:
        refused += 1
        told = str(error)
print(json.dumps([heads, refused, told]))
"""


def test_no_acknowledged_entry_is_lost_by_a_full_disk(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(path)],
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=_small_files,
    )
    heads, refused, told = json.loads(done.stdout)
    acknowledged = {int(seq): head for seq, head in heads.items()}
    assert refused > 10
    assert str(path) in told
    assert len(acknowledged) > 10
    assert verify(path, heads=acknowledged).whole
    # There is room again.
    assert Writer(path).append("feed", {}).seq == len(acknowledged) + 1
    assert verify(path, heads=acknowledged).whole


def test_every_kind_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []
