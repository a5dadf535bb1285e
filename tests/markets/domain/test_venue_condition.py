"""What people are shown of a venue."""

from datetime import UTC, datetime, timedelta

import pytest

from markets.choices import FeedStatus
from markets.domain.venue_status import VenueStanding, venue_condition

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "status", "is_enabled", "shown"),
    [
        (1, "healthy", True, "healthy"),
        (None, "healthy", True, "not-measured"),
        (61, "healthy", True, "not-measured"),
        (None, "degraded", True, "degraded"),
        (None, "failing", True, "failing"),
        (1, "healthy", False, "disabled"),
        (None, "failing", False, "disabled"),
    ],
)
def test_a_venue_is_shown_as_what_is_known_of_it(
    age: int | None, status: str, is_enabled: bool, shown: str
) -> None:
    at = None if age is None else NOW - timedelta(seconds=age)
    known = VenueStanding(clock_offset=None if at is None else 3, clock_at=at)
    found = venue_condition(known, FeedStatus(status), is_enabled=is_enabled, now=NOW)
    assert found == shown
