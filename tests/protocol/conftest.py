"""One event loop in a thread for all transcripts."""

from __future__ import annotations

from tests.scenarios.conftest import loop

__all__ = ["loop"]
