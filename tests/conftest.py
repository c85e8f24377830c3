"""What all tests share: no test reads or writes the state of the person who runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

if build := os.environ.get("GEODNS_TEST_BUILD"):
    # The native extension of another build, such as the one of ``make sanitize``.
    from tests.fuzz.sanitized import use

    use(Path(build))


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    patch.delenv("STATE_DIRECTORY", raising=False)
    patch.delenv("GEODNS_REQUIRE_NATIVE", raising=False)
    yield
    patch.undo()
