"""``geodns orders approve``, and what other commands say of orders that wait for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from geodns.cli.main import call
from tests.orders.sample import good, write

SETTINGS = """\
[server]
state = "state"
[geoip]
databases = []
geofeeds = ["feed.csv"]
[orders]
directories = ["orders"]
approvals = 2
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = call(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    monkeypatch.chdir(tmp_path)
    settings = SETTINGS
    for name in ("Anna", "Bert"):
        code, out, _ = run(capsys, "orders", "approve", "--new-key", f"{name}.key", "--json")
        assert code == 0
        settings += f'[[orders.approvers]]\nname = "{name}"\nkey = "{json.loads(out)["key"]}"\n'
    (tmp_path / "geodns.toml").write_text(settings)
    (tmp_path / "feed.csv").write_text("127.39.0.0/16,IT,,,\n")
    dated = "effective = 2024-01-01\ndeadline = 2024-01-02"
    write(tmp_path / "orders", "IT", "a", good("a").replace("effective = 2024-01-01", dated))
    return tmp_path


def test_two_people_bring_an_order_into_force(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (folder / "Anna.key").stat().st_mode & 0o777 == 0o600
    file = "orders/IT/a.toml"
    code, out, _ = run(capsys, "orders", "check")
    assert code == 1
    assert "needs 2 approvals and has 0" in out
    assert "not approved" in run(capsys, "orders", "list")[1]
    told = run(capsys, "explain", "example.org", "--from", "127.39.0.1")[1]
    assert "not in force: too few approvals: see the faults" in told
    assert "warning: " in told
    assert "needs 2 approvals and has 0" in told
    assert "too few people have approved it" in run(capsys, "orders", "due", "--within", "1d")[1]
    code, out, _ = run(capsys, "orders", "approve", file, "--key", "Anna.key", "--yes")
    assert code == 0
    assert "approved by Anna; 2 needed" in out
    code, out, _ = run(capsys, "orders", "approve", file, "--key", "Anna.key", "--yes", "--json")
    (document,) = json.loads(out)
    assert document["approvals"] == ["Anna"]  # nobody counts twice
    code, out, _ = run(capsys, "orders", "approve", file, "--key", "Bert.key", "--yes", "--json")
    (document,) = json.loads(out)
    assert (code, document["signed"], document["approvals"]) == (0, True, ["Anna", "Bert"])
    code, out, _ = run(capsys, "orders", "check")
    assert (code, "approvals" in out) == (0, False)
    assert "in force" in run(capsys, "orders", "list")[1]


def test_an_approval_of_a_former_edition_is_dropped(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = "orders/IT/a.toml"
    run(capsys, "orders", "approve", file, "--key", "Anna.key", "--yes")
    write(folder / "orders", "IT", "a", good("a", "other.example"))
    run(capsys, "orders", "approve", file, "--key", "Bert.key", "--yes")
    text = (folder / "orders" / "IT" / "a.approvals").read_text()
    assert ("Anna" in text, "Bert" in text) == (False, True)


def test_what_cannot_be_signed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "orders", "IT", "b", "id = ")
    run(capsys, "orders", "approve", "--new-key", "eve.key")
    good_file, bad_file = "orders/IT/a.toml", "orders/IT/b.toml"
    for arguments, told in (
        ((), "FILE is missing"),
        ((good_file,), "--key is missing"),
        ((good_file, "--key", "Anna.key"), "--yes is missing"),
        ((good_file, "--key", "eve.key", "--yes"), "is that of no approver"),
        ((good_file, "--key", "none.key", "--yes"), "none.key"),
        ((good_file, "--key", "geodns.toml", "--yes"), "no Ed25519 key"),
        ((good_file, bad_file, "--key", "Anna.key", "--yes"), "is no TOML"),
        (("orders/IT/c.toml", "--key", "Anna.key", "--yes"), "is no file"),
        (("--new-key", "Anna.key"), "is there already"),
    ):
        code, out, err = run(capsys, "orders", "approve", *arguments)
        assert (code, out) == (2, ""), arguments
        assert told in err
    assert not list(folder.glob("orders/IT/*.approvals*"))


def test_settings_under_which_nothing_could_come_into_force(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "geodns.toml").read_text()
    for old, new, told in (
        ("approvals = 2", "approvals = 3", "there are 2 approvers"),
        ('"Bert"', '"Anna"', "twice"),
        ('key = "', 'key = "xx', "no Ed25519 public key"),
    ):
        (folder / "geodns.toml").write_text(text.replace(old, new))
        code, _, err = run(capsys, "orders", "list")
        assert code == 2
        assert told in err


def test_what_is_shown_is_what_is_signed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "orders", "IT", "b", good("b", "innocent.example"))
    asked: list[str] = []

    def exchange(question: str) -> bool:
        asked.append(question)
        # While she reads the first order, somebody exchanges the second.
        write(folder / "orders", "IT", "b", good("b", "evil.example"))
        return True

    monkeypatch.setattr("typer.confirm", exchange)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    files = ("orders/IT/a.toml", "orders/IT/b.toml")
    code, out, err = run(capsys, "orders", "approve", *files, "--key", "Anna.key")
    assert code == 2
    assert "innocent.example" in out
    assert "b.toml: was changed meanwhile" in err
    assert len(asked) == 2
    assert not (folder / "orders" / "IT" / "b.approvals").exists()


def test_nothing_is_signed_without_a_yes(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.confirm", lambda _: False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    code, out, _ = run(capsys, "orders", "approve", "orders/IT/a.toml", "--key", "Anna.key")
    assert (code, "approved by nobody" in out) == (1, True)
    assert "domains    example.org" in out


def test_one_key_is_one_person_however_it_is_spelt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "geodns.toml").read_text()
    key = re.findall(r'key = "(.*)"', text)[0]
    # The last letter before the = holds two bits that mean nothing.
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = key[:-2] + letters[letters.index(key[-2]) ^ 1] + "="
    assert twin != key
    other = re.findall(r'key = "(.*)"', text)[1]
    (folder / "geodns.toml").write_text(text.replace(other, twin))
    code, _, err = run(capsys, "orders", "list")
    assert (code, "twice" in err) == (2, True)


@pytest.mark.parametrize("name", ["a\\u0000b", "../../secret", "feed:x"])
def test_certificates_lie_beside_the_order(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    feed = '\n[[feeds]]\nurl = "https://l.example/"\nsignature = "https://l.example/s"\n'
    feed += f'openpgp = "{name}"\n'
    write(folder / "orders", "IT", "b", good("b") + feed)
    for arguments in (
        ("check",),
        ("approve", "orders/IT/b.toml", "--key", "Anna.key", "--yes"),
    ):
        code, out, err = run(capsys, "orders", *arguments)
        assert code == 2
        assert "is not a file in the order's folder" in out + err
