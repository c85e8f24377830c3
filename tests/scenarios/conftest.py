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


@pytest.fixture(params=["native", "pure"])
def twin(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test that asks for this runs with both fast paths."""
    if request.param == "pure":
        monkeypatch.setenv("GEODNS_PURE", "1")
    else:
        pytest.importorskip("geodns.fastpath.native")
        monkeypatch.delenv("GEODNS_PURE", raising=False)
