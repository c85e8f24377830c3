"""The operator's settings as models: every key, its default, its bounds and its meaning.

Only the parent and the commands import this package; workers get the settings as JSON
(``settings.model_dump(mode="json")``).
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, PrivateAttr

from geodns.settings.defaults import (
    DEFAULTS_ON_DISK,
    default_databases,
    default_directories,
    default_state,
)
from geodns.settings.kinds import PageLanguage, Section
from geodns.settings.ordering import Feeds, Geoip, Ledger, Orders
from geodns.settings.serving import Cache, Errors, Limits, Server, Trust, Upstream
from geodns.settings.telling import BlockPage, Log, Metrics

__all__ = [
    "DEFAULTS_ON_DISK",
    "BlockPage",
    "Cache",
    "Errors",
    "Feeds",
    "Geoip",
    "Ledger",
    "Limits",
    "Log",
    "Metrics",
    "Orders",
    "PageLanguage",
    "Section",
    "Server",
    "Settings",
    "Trust",
    "Upstream",
    "default_databases",
    "default_directories",
    "default_state",
]


class Settings(Section):
    """The whole of geodns.toml. Every key has a default; unknown keys are faults."""

    server: Server = Field(default_factory=Server)
    upstream: Upstream = Field(default_factory=Upstream)
    cache: Cache = Field(default_factory=Cache)
    geoip: Geoip = Field(default_factory=Geoip)
    trust: Trust = Field(default_factory=Trust)
    orders: Orders = Field(default_factory=Orders)
    limits: Limits = Field(default_factory=Limits)
    metrics: Metrics = Field(default_factory=Metrics)
    feeds: Feeds = Field(default_factory=Feeds)
    ledger: Ledger = Field(default_factory=Ledger)
    log: Log = Field(default_factory=Log)
    blockpage: BlockPage = Field(default_factory=BlockPage)
    errors: Errors = Field(default_factory=Errors)

    _path: Path | None = PrivateAttr(default=None)
    _filled: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def path(self) -> Path | None:
        """The settings file, absolute; None when the defaults are used without one."""
        return self._path

    @property
    def unset(self) -> frozenset[str]:
        """Which of DEFAULTS_ON_DISK nobody set: their values are what was found at reading."""
        return frozenset(
            f"{section}.{key}"
            for section, key in DEFAULTS_ON_DISK
            if f"{section}.{key}" in self._filled
            or key not in getattr(self, section).model_fields_set
        )

    def worker_count(self) -> int:
        """How many workers are started: as set, or one for each core this process may use."""
        return self.server.workers or len(os.sched_getaffinity(0))
