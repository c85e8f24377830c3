"""``python -m geodns``: the same program as the ``geodns`` script."""

from __future__ import annotations

from geodns.cli.main import run

if __name__ == "__main__":
    run()
