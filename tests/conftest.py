"""Settings of the property tests, the schema, and what no test may inherit from the one before."""

from collections.abc import Iterator

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker

from markets import bans
from markets.venues.generic import exchange
from markets.venues.ratelimit import limiter
from markets.venues.shared import server_clock
from monitoring import console
from tests.schema import schema_template

# A busy machine is no failure.
settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared-machine")


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, django_db_blocker: DjangoDbBlocker
) -> None:
    """Copy the schema into the test database instead of building it there."""
    with django_db_blocker.unblock():
        connection.settings_dict["TEST"]["TEMPLATE"] = schema_template()


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a limiter of its own: another test's venue may have had the same port.

    What listened for bans in the test ends with it, as the database may.
    """
    before = limiter.limiter()
    fresh = limiter.Limiter()
    fresh.share(before._board, processes=before._processes)
    monkeypatch.setattr(limiter, "_LIMITER", fresh)
    yield
    bans.LISTENER.close()


@pytest.fixture(autouse=True)
def unmet_venues() -> None:
    """Forget clocks and listings by address: another test's venue may have had the same port."""
    server_clock.cache_clear()
    exchange._listing.cache_clear()


@pytest.fixture(autouse=True)
def unseen_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare tests in one transaction the last look at stops, which another thread makes.

    On a slow machine every order is held up long enough for it, and sees none of their rows.
    """
    if "transactional_db" not in request.fixturenames:
        monkeypatch.setattr("strategies.execution.LOOK_AGAIN", 3600.0)


@pytest.fixture(autouse=True)
def nothing_rendered_yet() -> None:
    """Forget the console's panels: one rendering serves for a moment, also the next test."""
    console._rendered.clear()
