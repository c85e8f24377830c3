"""What all tests of feeds have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from geodns.orders.feeds import fetch as fetching_module
from tests.orders.feeds.shield_api import (
    CREDENTIALS,
    ShieldApi,
    shielding,
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between two tries, which nobody waits for here."""
    pauses: list[float] = []
    monkeypatch.setattr(fetching_module.time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShieldApi]:
    """The API of Piracy Shield, and its credentials in the environment."""
    monkeypatch.setenv("SHIELD_LOGIN", CREDENTIALS)
    with shielding() as found:
        yield found
