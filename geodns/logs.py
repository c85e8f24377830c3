"""The log on stderr: lines for people, or one JSON document a line for machines.

Everything is logged through the standard library's logging; here is only what a line looks
like. No line holds a client's address.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any, TextIO

    _Stream = logging.StreamHandler[TextIO]
else:
    _Stream = logging.StreamHandler

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]
Process = Literal["parent", "worker", "block page"]

FIELDS = ("digest", "orders", "parsed", "took", "trigger", "worker", "order", "target", "uses")
"""Keys that a JSON line may have besides those of every line; docs/metrics.md says what they hold.
A caller gives them as ``extra``."""
_STAMP = "%Y-%m-%dT%H:%M:%S%z"


class _Lines(_Stream):
    """Our handler of the root logger, which tells it from others that somebody installed."""


def start(form: Format, level: Level, *, process: Process = "parent") -> None:
    """Log to stderr, unless the log goes somewhere already.

    process: which this is; lines of others than the parent say so.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_Lines(sys.stderr))
    change(form, level, process=process)


def change(form: Format, level: Level, *, process: Process = "parent") -> None:
    """Change what lines look like, and which there are; nothing where another handles them."""
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, _Lines):
            handler.setFormatter(_as_json(process) if form == "json" else _as_text(process))
            root.setLevel(level.upper())


def _as_text(process: Process) -> logging.Formatter:
    who = "" if process == "parent" else f" {process} process {os.getpid()}:"
    return logging.Formatter(f"%(asctime)s %(levelname)s{who} %(message)s", _STAMP)


def _as_json(process: Process) -> logging.Formatter:
    # Only where it is wanted: it takes a tenth of a second and some memory in each process.
    import structlog

    def arrange(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        first = {key: event.pop(key) for key in ("time", "level", "logger", "event")}
        return {**first, "process": process, "pid": os.getpid(), **event}

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(allow=FIELDS),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            arrange,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
