"""How this process starts others of its own program."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import geodns


def worker_command() -> list[str]:
    """The command line that starts a worker, without its descriptors."""
    return [sys.executable, "-P", "-m", "geodns.serve.worker"]


def child_environment() -> dict[str, str]:
    """The environment in which a child process finds the same geodns as this one."""
    root = Path(geodns.__file__).resolve().parent.parent
    environment = dict(os.environ)
    if root.name not in ("site-packages", "dist-packages"):
        paths = [str(root), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment
