from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from geodns.errors import ServerError
from geodns.serve.control import Control, ask, lock_state


async def asked(state: Path, command: str) -> object:
    return await asyncio.to_thread(ask, state, command)


async def test_a_document_is_asked_for(tmp_path: Path) -> None:
    control = Control(tmp_path, {"status": lambda: {"digest": "ab", "text": "é"}})
    await control.open()
    assert await asked(tmp_path, "status") == {"digest": "ab", "text": "é"}
    with pytest.raises(ServerError, match="unknown command; known: status"):
        await asked(tmp_path, "reboot")
    mode = (tmp_path / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    await control.close()
    with pytest.raises(ServerError, match=r"no geodns server runs.*geodns serve"):
        await asked(tmp_path, "status")


async def test_a_deep_folder_is_no_obstacle(tmp_path: Path) -> None:
    state = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 6)
    state.mkdir(parents=True)
    assert len(os.fsencode(state)) > 108
    control = Control(state, {"status": lambda: 1})
    await control.open()
    assert await asked(state, "status") == 1
    await control.close()


async def test_nonsense_is_answered_and_does_not_end_the_service(tmp_path: Path) -> None:
    control = Control(tmp_path, {"status": lambda: 1})
    await control.open()
    path = str(tmp_path / "control.sock")
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"[]\n{}\nnot json\n\xff\n")
    for _ in range(4):
        assert b"unknown command" in await reader.readline()
    writer.write(b"x" * 100_000)
    assert await reader.read() == b""
    writer.close()
    assert await asked(tmp_path, "status") == 1
    await control.close()


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    with pytest.raises(ServerError, match="no geodns server runs"):
        await asked(tmp_path, "status")
    control = Control(tmp_path, {"status": lambda: 1})
    await control.open()
    assert await asked(tmp_path, "status") == 1
    await control.close()


def test_one_server_a_state_folder(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    first = lock_state(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    with pytest.raises(ServerError, match=rf"process {os.getpid()}\) uses this state folder"):
        lock_state(state)
    first.close()
    lock_state(state).close()


def test_a_state_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="cannot be used"):
        lock_state(tmp_path / "file" / "state")
