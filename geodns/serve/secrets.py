"""The secrets that cookies are made with: a file, so that workers, restarts and clusters agree.

One secret a line, 32 hexadecimal digits; the first makes cookies, the others are still good.
Nothing of them is ever shown or logged.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from geodns.fastpath.cookie import MOST_SECRETS, SECRET_SIZE

FILE = "cookie-secrets"
"""Its name in [server].state, where no file is set."""
LIFE = 86400.0
"""Seconds that a secret of our own makes cookies (RFC 7873 section 7.1: a day to 36)."""

LOOK = 600.0
"""Seconds between two looks at whether it is due."""

log = logging.getLogger("geodns.secrets")


def path_of(server: dict[str, Any]) -> Path | None:
    """The file of secrets that [server] (as JSON) means; None where cookies are switched off."""
    if not server["cookies"]:
        return None
    return Path(server["cookie_secrets"] or Path(server["state"]) / FILE)


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """Read a file of secrets. Raises OSError, or ValueError that says which line is wrong."""
    found = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            secret = bytes.fromhex(text)
        except ValueError:
            secret = b""
        if len(secret) != SECRET_SIZE or len(text) != 2 * SECRET_SIZE:
            raise ValueError(f"line {number} is no secret of {2 * SECRET_SIZE} hexadecimal digits")
        found.append(secret)
    if not 1 <= len(found) <= MOST_SECRETS:
        raise ValueError(f"has {len(found)} secrets; give 1 to {MOST_SECRETS}")
    return tuple(found)


def roll_secrets(state: Path, now: float | None = None) -> None:
    """Make our own file of secrets, or put a new one in front of the last where that is due.

    now: wall clock, epoch seconds. Raises OSError.
    """
    path = state / FILE
    before: tuple[bytes, ...] = ()
    with suppress(FileNotFoundError, ValueError):
        age = (time.time() if now is None else now) - path.stat().st_mtime
        before = read_secrets(path)[:1]
        if 0 <= age < LIFE:
            return
    part = path.with_name(f".{FILE}.part")
    part.unlink(missing_ok=True)
    lines = [secret.hex() for secret in (secrets.token_bytes(SECRET_SIZE), *before)]
    part.touch(0o600, exist_ok=False)
    part.write_text("\n".join(lines) + "\n")
    part.replace(path)


class Secrets:
    """A worker's view of the file: read again when it changes, kept while it is faulty."""

    def __init__(self) -> None:
        self._seen: tuple[Path, int, int] | None = None
        self._secrets: tuple[bytes, ...] = ()

    def current(self, path: Path | None) -> tuple[bytes, ...]:
        """The secrets in use now; none where cookies are switched off."""
        if path is None:
            self._seen, self._secrets = None, ()
            return ()
        with suppress(OSError, ValueError):
            found = path.stat()
            seen = path, found.st_mtime_ns, found.st_ino
            if seen != self._seen:
                self._secrets = read_secrets(path)
                self._seen = seen
        return self._secrets


async def keep_rolling(state: Path) -> None:
    """Renew our own secrets as they fall due, for ever."""
    while True:
        await asyncio.sleep(LOOK)
        try:
            await asyncio.to_thread(roll_secrets, state)
        except OSError as error:
            log.warning("the cookie secrets cannot be renewed: %s", error.strerror)
