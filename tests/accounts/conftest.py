from collections.abc import Iterator

import pytest
from django.db import connection

from accounts import observations
from accounts.observations import Observation
from tests.accounts.paper import Paper, paper_venue


@pytest.fixture
def paper(db: None) -> Iterator[Paper]:
    """A venue with one account `alpha` that is long 0.5 BTC and short 2 ETH."""
    with paper_venue(alpha={"BTC": "0.5", "ETH": "-2"}) as venue:
        yield venue


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Observation]:
    """What was published to the other apps, in order; they themselves do not hear it."""
    published: list[Observation] = []
    monkeypatch.setattr(observations, "_handlers", [published.append])
    return published


@pytest.fixture
def live_paper(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paper]:
    """The same venue, for tests in which several connections see each other's rows.

    Threads of pools keep no connection between two tasks, so the database can be dropped.
    """
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    with paper_venue(alpha={"BTC": "0.5", "ETH": "-2"}) as venue:
        yield venue
