"""Settings of the property tests, and what no test may inherit from the one before."""

import pytest
from hypothesis import HealthCheck, settings

from markets.venues.ratelimit import limiter

# A busy machine is no failure.
settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared-machine")


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a limiter of its own: another test's venue may have had the same port."""
    before = limiter.limiter()
    fresh = limiter.Limiter()
    fresh.share(before._board, processes=before._processes)
    monkeypatch.setattr(limiter, "_LIMITER", fresh)
