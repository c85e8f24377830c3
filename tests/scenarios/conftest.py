"""One event loop in a thread for all scenarios."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.world import Loop


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()
