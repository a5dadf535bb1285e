"""Latency by two clocks: exact where the venue's is known, and never before it was sent."""

import pytest
from asgiref.sync import sync_to_async

from markets.feeds.clocks import CLOCK_READINGS, ClockReading, VenueClock
from markets.feeds.latency import LatencyWindow
from markets.models import FeedTraffic, MarketDataFeed
from markets.venues.paper.server import PaperVenue
from tests import factories
from tests.markets.feeds.running import row_until, running_feeds
from tests.markets.venues.conftest import paper_config


def filled(took_ms: int, *, venue_ahead_ms: int) -> LatencyWindow:
    window = LatencyWindow()
    for number in range(100):
        late = 40 if number >= 90 else 0
        window.add((number * 10 + took_ms + late) / 1000, number * 10 + venue_ahead_ms)
    return window


@pytest.mark.parametrize("venue_ahead_ms", [-1_270, 0, 86_400_000])
def test_latency_is_absolute_within_its_error_once_the_venues_clock_is_known(
    venue_ahead_ms: int,
) -> None:
    window = filled(15, venue_ahead_ms=venue_ahead_ms)
    assert window.roll(ClockReading(venue_ahead_ms, 2.5)) == 55
    assert window.error_ms == 3


def test_latency_within_the_error_below_nothing_counts_as_none() -> None:
    window = filled(0, venue_ahead_ms=0)
    assert window.roll(ClockReading(-8.0, 10.0)) == 40
    assert window.error_ms == 10


def test_clock_that_messages_refute_is_not_used() -> None:
    window = filled(15, venue_ahead_ms=1_270)
    assert window.roll(ClockReading(0.0, 10.0)) == 40
    assert window.error_ms is None


def test_p95_is_of_the_last_minute_alone() -> None:
    window = LatencyWindow()
    window.add(0.0, 0)
    window.add(0.5, 0)
    assert window.roll() == 500
    for second in range(1, 60):
        window.add(float(second), second * 1000)
        window.roll()
    assert window.per_second == pytest.approx(61 / 60)
    for second in range(60, 121):
        window.add(float(second), second * 1000 - 7)
        p95 = window.roll()
    assert (p95, window.worst()) == (0, 500)
    assert window.per_second == 1.0


def test_clock_reading_is_bounded_by_half_the_round_trip_and_the_best_one_counts() -> None:
    clock = VenueClock()
    assert (clock.reading(), clock.http_p95()) == (None, None)
    clock.answered(50_000, asked=10.0, answered=10.2)
    clock.answered(51_000, asked=11.05, answered=11.07)
    clock.answered(52_000, asked=12.0, answered=12.4)
    reading = clock.reading()
    assert reading is not None
    assert reading.offset_ms == pytest.approx(39_940.0)
    assert reading.error_ms == pytest.approx(11.0)
    assert clock.http_p95() == 200
    for _ in range(CLOCK_READINGS):
        clock.failed()
    assert (clock.reading(), clock.http_p95()) == (None, 200)


@pytest.mark.django_db(transaction=True)
async def test_running_feed_knows_its_venues_clock_and_pace() -> None:
    def is_known() -> bool:
        traffic = FeedTraffic.objects.filter(feed=feed, latency_error__isnull=False).first()
        row = MarketDataFeed.objects.get(pk=feed.pk)
        is_timed = row.ws_latency_p95 is not None and row.http_latency_p95 is not None
        return is_timed and traffic is not None and abs(traffic.clock_offset or 0) < 60_000

    async with PaperVenue.start(paper_config(start_paused=False)) as venue:
        row = await sync_to_async(factories.venue)(
            rest_endpoint=venue.rest_url, ws_endpoint=venue.ws_url
        )
        await sync_to_async(factories.instrument)(venue=row)
        feed = await sync_to_async(factories.feed)(exchange=row)
        async with running_feeds():
            await row_until(is_known, True, seconds=20)


def test_delays_that_vary_widely_are_kept_in_few_counts() -> None:
    window = LatencyWindow()
    for second in range(20_000):
        window.add(second + 0.001 * (second * 7_919 % 60_000), second * 1000)
        window.roll()
    assert len(window._delays) <= 100 + 90 + 90 + 51
    worst, p99 = window.worst(), window.p99()
    assert worst is not None
    assert p99 is not None
    assert 55_000 < p99 <= worst <= 60_000
    assert p99 % 1000 == 0


def test_window_of_widely_varying_delays_keeps_few_counts_and_gives_them_back() -> None:
    window = LatencyWindow()
    for second in range(120):
        window.add(float(second), second * 1000)  # one comes at once
        for number in range(100):
            late = (second * 100 + number) * 7_919 % 60_000
            window.add(second + late / 1000, second * 1000)
        window.roll()
    assert len(window._window) <= 100 + 90 + 90 + 51
    for second in range(120, 181):
        window.add(float(second), second * 1000)
        assert window.roll() is not None
    assert window._window == {0: 60}
    assert (window.per_second, window.roll()) == (1, 0)
