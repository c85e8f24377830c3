"""Which of newly read settings the running server takes over, and which it cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geodns.errors import Fault, InputFaults
from geodns.model.tomllines import find_line, read_lines
from geodns.orders.guard.judge import known_with
from geodns.serve.record import listed
from geodns.serve.secrets import read_secrets
from geodns.settings import DEFAULTS_ON_DISK, Section, Settings

FIXED = (
    *(("server", key) for key in ("listen", "workers", "state", "user", "group")),
    ("metrics", "listen"),
    ("blockpage", "listen"),
    *(("ledger", key) for key in ("path", "node", "probe")),
)
"""Keys that take a restart."""

log = logging.getLogger("geodns.reload")


@dataclass(frozen=True, slots=True)
class Adopted:
    """settings: to be used from now on. restart_needed: keys that changed and were not taken."""

    settings: Settings
    restart_needed: tuple[str, ...]


def adopt(old: Settings, new: Settings) -> Adopted:
    """Take over what a running server can.

    A default that was found on disk at the start holds while its key is unset: a folder that
    appears beside the settings file must not take the orders in force away unasked.
    """
    restart = []
    update: dict[str, Section] = {}
    for section, key in FIXED:
        value = getattr(getattr(old, section), key)
        if getattr(getattr(new, section), key) != value:
            restart.append(f"{section}.{key}")
            update[section] = update.get(section, getattr(new, section)).model_copy(
                update={key: value}
            )
    if old.blockpage.listen and new.blockpage.operator_url is None:
        # It needs one, and goes on listening.
        url = {"operator_url": old.blockpage.operator_url}
        update["blockpage"] = update["blockpage"].model_copy(update=url)
    unset = old.unset & new.unset
    for section, key in DEFAULTS_ON_DISK:
        if f"{section}.{key}" in unset:
            value = getattr(getattr(old, section), key)
            update[section] = update.get(section, getattr(new, section)).model_copy(
                update={key: value}
            )
    # The copies' keys count as set; what was found at reading is still nobody's word.
    settings = new.model_copy(update=update)
    settings._filled = new.unset
    return Adopted(settings, tuple(restart))


def other_defaults(settings: Settings) -> tuple[str, ...]:
    """A line for each key that nobody set and whose default would be another at a restart."""
    base = settings.path.parent if settings.path else None
    told = []
    for (section, key), default in DEFAULTS_ON_DISK.items():
        if f"{section}.{key}" in settings.unset:
            used, now = getattr(getattr(settings, section), key), default(base)
            if now != used:
                told.append(
                    f"[{section}].{key} is not set: {_paths(used)} stays in use, the default found"
                    f" at the start; a restart would switch to {_paths(now)}. Set the key to say"
                    " which"
                )
    return tuple(told)


def describe_sources(settings: Settings) -> str:
    """What is read, and which of it by default: one line for the log."""
    unset = settings.unset

    def told(what: str, key: str, paths: tuple[Path, ...]) -> str:
        default = f" (the default: {key} is not set)" if key in unset else ""
        return f"{what} {_paths(paths)}{default}"

    return "; ".join(
        (
            f"settings {settings.path or 'none, all defaults'}",
            told("orders from", "orders.directories", settings.orders.directories),
            told("databases", "geoip.databases", settings.geoip.databases),
            f"geofeeds {_paths(settings.geoip.geofeeds)}",
        )
    )


def missing(
    settings: Settings, has_kept: Callable[[Path], bool], *, forwards: bool = True
) -> tuple[Fault, ...]:
    """All that a server needs and that is not there.

    has_kept: whether good editions of a folder's orders are kept, which stand in for it.
    forwards: whether it asks upstreams, as all but the block page alone do.
    """
    found: list[tuple[tuple[str | int, ...], str]] = []
    if forwards and not settings.upstream.servers:
        told = "no servers to forward to; for example: servers = ['9.9.9.9']"
        found.append((("upstream", "servers"), told))
    geoip = settings.geoip
    if not geoip.databases and not geoip.geofeeds:
        told = "no database and no geofeed is configured, so nobody can be located"
        found.append((("geoip", "databases"), told))
    for key, what in (("databases", "database"), ("geofeeds", "geofeed")):
        found += [
            (("geoip", key, index), f"there is no such {what}: {path}")
            for index, path in enumerate(getattr(geoip, key))
            if not path.exists()
        ]
    found += [
        (("orders", "directories", index), f"there is no such folder of orders: {path}")
        for index, path in enumerate(settings.orders.directories)
        if not path.is_dir() and not has_kept(path)
    ]
    try:
        known_with(settings.orders.popular)
    except InputFaults as error:
        told = f"{settings.orders.popular}: {error.faults[0].message}"
        found.append((("orders", "popular"), told))
    ledger = settings.ledger.path
    if ledger is not None and not ledger.parent.is_dir():
        found.append((("ledger", "path"), f"there is no such folder: {ledger.parent}"))
    rulings = settings.log.rulings
    if rulings is not None and not rulings.parent.is_dir():
        found.append((("log", "rulings"), f"there is no such folder: {rulings.parent}"))
    if settings.server.cookies and settings.server.cookie_secrets is not None:
        try:
            read_secrets(settings.server.cookie_secrets)
        except (OSError, ValueError) as error:
            told = getattr(error, "strerror", None) or str(error)
            where = settings.server.cookie_secrets
            found.append((("server", "cookie_secrets"), f"{where}: {told}"))
    return _placed(settings.path, found) if found else ()


def _placed(path: Path | None, found: list[tuple[tuple[str | int, ...], str]]) -> tuple[Fault, ...]:
    lines: dict[tuple[str | int, ...], int] = {}
    if path is not None:
        try:
            lines = read_lines(path.read_bytes().decode("utf-8-sig", "replace"))
        except OSError:
            pass
    return tuple(
        Fault(
            told,
            str(path) if path else None,
            find_line(lines, keys) if lines else None,
            ".".join(map(str, keys)),
        )
        for keys, told in found
    )


def _paths(paths: tuple[Path, ...]) -> str:
    return listed([str(path) for path in paths]) or "none"
