"""Defaults that depend on what lies on the disk."""

from __future__ import annotations

import os
from pathlib import Path

from geodns import shipped


def default_state() -> Path:
    """Where state is kept unless set: systemd's directory, else the user's XDG state folder."""
    if systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "geodns"


def default_databases(base: Path | None = None) -> tuple[Path, ...]:
    """``data/*.mmdb`` below ``base`` (the current folder), else the database that ships."""
    local = (base or Path.cwd()) / "data"
    folder = local if any(local.glob("*.mmdb")) else shipped.data()
    return tuple(sorted(path.resolve() for path in folder.glob("*.mmdb")))


def default_directories(base: Path | None = None) -> tuple[Path, ...]:
    """``orders`` below ``base`` (the current folder), else the orders that ship."""
    local = (base or Path.cwd()) / "orders"
    return ((local if local.is_dir() else shipped.orders()).resolve(),)


DEFAULTS_ON_DISK = {
    ("geoip", "databases"): default_databases,
    ("orders", "directories"): default_directories,
}
"""Keys whose default depends on what lies beside the settings file."""
