"""Root is given up for good, and systemd is told how the server is."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from geodns.errors import ServerError
from geodns.fastpath import choice
from geodns.serve import herald, privileges
from geodns.serve.privileges import Account, drop, find_account, forbid_more, give_state
from tests.serve.running import Upstream, order, running, save, write_settings

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
ME = pwd.getpwuid(os.geteuid()).pw_name


def in_child(act: Callable[[], Any]) -> Any:
    """What a function returns in a child process; its ServerError as text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                found = act()
            except ServerError as error:
                found = f"ServerError: {error}"
            os.write(write, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(told)


def status_of_this_process() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        key: " ".join(value.split()) for key, _, value in (line.partition(":") for line in lines)
    }


@as_root
def test_nothing_of_root_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    nobody = find_account("nobody", None)
    assert nobody is not None

    def act() -> dict[str, str]:
        drop(nobody)
        forbid_more()
        return status_of_this_process()

    status = in_child(act)
    uid, gid = str(nobody.uid), str(nobody.gid)
    assert status["Uid"].split() == [uid] * 4
    assert status["Gid"].split() == [gid] * 4
    assert set(status["Groups"].split()) <= {gid}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind], 16) == 0
    assert status["NoNewPrivs"] == ("1" if choice.choose().module is not None else "0")


@as_root
def test_an_account_that_cannot_run_the_program_is_no_good(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "python"
    program.write_text("")
    monkeypatch.setattr(sys, "executable", str(program))
    nobody = find_account("nobody", None)
    assert nobody is not None
    assert "may not run" in in_child(lambda: drop(nobody))


@as_root
def test_a_new_state_folder_is_given_and_that_of_another_is_not_taken(tmp_path: Path) -> None:
    account = Account("nobody", 65534, 65534)
    give_state(tmp_path / "var" / "state", account)
    assert (tmp_path / "var" / "state").stat().st_uid == 65534
    give_state(tmp_path / "var" / "state", account)
    with pytest.raises(ServerError, match="chown -R nobody"):
        give_state(tmp_path, account)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ServerError, match="chown -R nobody"):
        give_state(tmp_path / "link", account)


def test_who_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_account(None, None) is None
    for user, group in (("no-such-user", None), (ME, "no-such-group")):
        with pytest.raises(ServerError, match="there is no"):
            find_account(user, group)
    with pytest.raises(ServerError, match="without a user"):
        find_account(None, "nogroup")
    monkeypatch.setattr(privileges.os, "geteuid", lambda: pwd.getpwnam(ME).pw_uid or 1)
    if pwd.getpwnam(ME).pw_uid:
        assert find_account(ME, None) is None
    with pytest.raises(ServerError, match="only root can become"):
        find_account("root" if pwd.getpwnam(ME).pw_uid else "nobody", None)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a service manager, and an environment that names it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def until(sock: socket.socket, word: str) -> list[str]:
    """All that is told up to a line that begins with a word."""
    lines: list[str] = []
    while not any(line.startswith(word) for line in lines):
        lines += sock.recv(4096).decode().splitlines()
    return lines


def test_systemd_hears_of_a_whole_life(
    told: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    upstream = Upstream()
    try:
        settings = write_settings(tmp_path, upstream.port)
        with running(settings) as server:
            first = until(told, "READY=1")
            assert not any(line.startswith("WATCHDOG") for line in first)
            until(told, "WATCHDOG=1")
            save(tmp_path / "orders" / "IT" / "it-a.toml", order("it-a", "blocked.example"))
            assert any("1 order in force, 2 workers" in line for line in until(told, "STATUS="))
            server.process.send_signal(signal.SIGHUP)
            lines = until(told, "READY=1")
            assert any(line.startswith("MONOTONIC_USEC=") for line in lines)
            assert "RELOADING=1" in lines
        assert "STATUS=draining" in until(told, "STOPPING=1")
    finally:
        upstream.close()


def test_nobody_is_told_where_nobody_listens(tmp_path: Path) -> None:
    for address in ("", "nonsense", str(tmp_path / "gone"), "@gone"):
        herald.notify("READY=1", environment={"NOTIFY_SOCKET": address})


def test_an_abstract_socket_will_do() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        name = f"geodns-test-{os.getpid()}"
        sock.bind("\0" + name)
        herald.notify("A=1", "B=2", environment={"NOTIFY_SOCKET": f"@{name}"})
        assert sock.recv(100) == b"A=1\nB=2"


@pytest.mark.parametrize(
    ("environment", "period"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_for_whom_it_is(environment: dict[str, str], period: float | None) -> None:
    assert herald.watchdog_period(environment) == period


class Slots:
    def __init__(self, *heard: float) -> None:
        self.slots = [type("Slot", (), {"heard": each}) for each in heard]


def test_a_worker_that_stays_silent_stops_the_watchdog() -> None:
    now = 1000.0
    lively = herald.Herald(None, Slots(now, now - 15)).lively  # type: ignore[arg-type]
    assert lively(now)
    assert not lively(now + 10)


def test_silent_upstreams_are_logged_once_and_when_they_answer_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor = Slots(0.0, 0.0)
    away = [2]
    supervisor.upstreams = lambda: [{"away": away[0]}]  # type: ignore[attr-defined]
    speaker = herald.Herald(None, supervisor)  # type: ignore[arg-type]
    with caplog.at_level("INFO"):
        for now in (0, 2, 2, 1, 1):
            away[0] = now
            speaker._listen()
    assert [record.getMessage() for record in caplog.records] == [
        "no upstream answers: names that no order blocks get SERVFAIL",
        "an upstream answers again",
    ]
