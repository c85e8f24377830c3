"""Giving up what only the start needs: root, for ports below 1024, and the right to gain more."""

from __future__ import annotations

import grp
import logging
import os
import pwd
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from geodns.errors import ServerError
from geodns.fastpath import choice

FILES = 65536
"""Descriptors that a worker may have; only root can allow more than the limit it was given."""

log = logging.getLogger("geodns.server")


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server becomes: name, user and group ids."""

    name: str
    uid: int
    gid: int


def find_account(user: str | None, group: str | None) -> Account | None:
    """Whom [server].user and [server].group mean; None where nobody has to be become.

    Raises ServerError where there is no such user or group, or where this process cannot
    become it.
    """
    root = os.geteuid() == 0
    if user is None:
        if group is not None:
            raise ServerError("[server].group is set without a user; set user as well")
        if root:
            log.warning("runs as root; set user in [server], and it is root only while it starts")
        return None
    try:
        entry = pwd.getpwnam(user)
        gid = entry.pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        missing = f"user {user!r}" if group is None else f"user {user!r} or group {group!r}"
        raise ServerError(f"[server]: there is no {missing}") from None
    if root:
        return Account(user, entry.pw_uid, gid)
    if os.geteuid() == entry.pw_uid:
        return None
    raise ServerError(f"only root can become {user!r}; start as root, or take [server].user out")


def give_state(state: Path, account: Account) -> None:
    """Make the state folder the account's, if it is new. Raises ServerError if it is not its own.

    A folder of somebody else is never taken over: what is in it may be somebody's links.
    """
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            state.mkdir(mode=0o700)
            os.chown(state, account.uid, account.gid, follow_symlinks=False)
        owner = state.stat().st_uid
    except OSError as error:
        raise ServerError(f"{state}: the state folder cannot be made: {error.strerror}") from None
    if owner != account.uid:
        raise ServerError(
            f"{state}: the state folder is not {account.name}'s;"
            f" chown -R {account.name} {state}, or set another state in [server]"
        )


def drop(account: Account) -> None:
    """Become the account for good, with its groups; all capabilities go with root.

    Raises ServerError if anything of root would be left.
    """
    with suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard != resource.RLIM_INFINITY and hard < FILES:
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    try:
        os.initgroups(account.name, account.gid)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError as error:
        raise ServerError(f"cannot become {account.name!r}: {error.strerror}") from None
    if account.uid != 0:
        with suppress(PermissionError):
            os.setuid(0)
            raise ServerError("root could be taken back; the server does not start like this")
    if not os.access(sys.executable, os.X_OK, effective_ids=True):
        raise ServerError(
            f"{account.name} may not run {sys.executable}, which the workers need;"
            " install geodns where others can read it"
        )
    log.info("runs as %s from now on", account.name)


def forbid_more() -> bool:
    """Forbid this process and its children to gain rights by starting programs (no_new_privs).

    Returns whether that could be said; it takes the native extension.
    """
    module = choice.choose().module
    return module is not None and bool(module.forbid_new_privileges())
