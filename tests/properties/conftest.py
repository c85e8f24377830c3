"""One hypothesis profile for all properties: no deadlines, they only measure the machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "geodns",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("geodns")
