"""The state folder's lock and control socket: one server a folder, and how to ask it things.

The socket takes one JSON object a line, ``{"command": "status"}``, and answers each with one
line: the document asked for, or ``{"error": "..."}``.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from geodns.errors import ServerError

SOCKET = "control.sock"
LOCK = "lock"
_LINE_LIMIT = 1 << 16
_PATH_LIMIT = 100
"""Octets of a UNIX socket's path (sun_path holds 108, the last one a zero)."""

Commands = Mapping[str, Callable[[], Any]]


def lock_state(state: Path) -> IO[str]:
    """Take a state folder, made if need be, for this process until the file is closed.

    Raises ServerError if another server has it, or it cannot be written.
    """
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (state / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise ServerError(
            f"{state}: the state folder cannot be used: {error.strerror or error};"
            " set state in [server] to a folder that can be written"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read(32).strip()
        file.close()
        process = f" (process {owner})" if owner.isdigit() else ""
        raise ServerError(
            f"{state}: another geodns server{process} uses this state folder;"
            " stop it, or set another state in [server]"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


class Control:
    """Listens on the control socket. The state folder must be locked by this process."""

    def __init__(self, state: Path, commands: Commands) -> None:
        """commands: name -> function that returns a JSON-ready document."""
        self._path = state / SOCKET
        self._commands = commands
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Begin to listen, in place of a socket that a crashed server left. ServerError if not."""
        try:
            # Whoever holds the lock owns the socket, so an old one belongs to nobody.
            self._path.unlink(missing_ok=True)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            before = os.umask(0o177)
            try:
                with _short(self._path) as path:
                    sock.bind(path)
            finally:
                os.umask(before)
        except OSError as error:
            raise ServerError(
                f"{self._path}: cannot make the control socket: {error.strerror or error}"
            ) from None
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=_LINE_LIMIT)

    async def close(self) -> None:
        """Listen no more and remove the socket."""
        if self._server is not None:
            self._server.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    def _answer(self, line: bytes) -> Any:
        try:
            command = json.loads(line)["command"]
            answer = self._commands[command]
        except (ValueError, KeyError, TypeError, RecursionError):
            known = ", ".join(sorted(self._commands))
            return {"error": f"unknown command; known: {known}"}
        return answer()


def ask(state: Path, command: str, timeout: float = 5.0) -> Any:
    """Ask the server that runs on a state folder; returns its document.

    Raises ServerError if none runs, or it does not answer within ``timeout`` seconds.
    """
    path = state / SOCKET
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            with _short(path) as short:
                sock.connect(short)
            sock.sendall(json.dumps({"command": command}).encode() + b"\n")
            with sock.makefile("rb") as file:
                document = json.loads(file.readline())
        except (FileNotFoundError, ConnectionRefusedError):
            raise ServerError(
                f"no geodns server runs on the state folder {state}; start one with: geodns serve"
            ) from None
        except PermissionError:
            raise ServerError(f"{path}: only the server's own user may ask it") from None
        except (OSError, ValueError) as error:
            raise ServerError(f"{path}: the server does not answer: {error}") from None
    if isinstance(document, dict) and set(document) == {"error"}:
        raise ServerError(f"{path}: {document['error']}")
    return document


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of the path that fits into a socket address, however deep the folder is."""
    if len(os.fsencode(path)) <= _PATH_LIMIT:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
