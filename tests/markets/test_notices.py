"""Word of a changed feed: once, from whatever door, and only when something changed."""

import json
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import connection

from controlplane import bus
from markets.models import MarketDataFeed, Venue
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard() -> Iterator[Callable[[], Counter[str]]]:
    """Return what the bus carried since it was last asked."""
    with psycopg.connect(**bus.listening_parameters()) as listening:
        listening.autocommit = True
        listening.execute(f"LISTEN {bus.CHANNEL}")

        def collect() -> Counter[str]:
            said = [json.loads(item.payload) for item in listening.notifies(timeout=0.1)]
            return Counter(
                f"{item['type']} {item.get('feed_id', item.get('topic'))}" for item in said
            )

        yield collect


def raw(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        lambda feed: raw("UPDATE markets_marketdatafeed SET freshness_threshold = 900"),
        lambda feed: raw("DELETE FROM markets_marketdatafeed"),
        lambda feed: MarketDataFeed.objects.update(is_enabled=False),
        lambda feed: Venue.objects.update(ws_endpoint="wss://elsewhere.example"),
        lambda feed: raw("UPDATE markets_venue SET is_enabled = false"),
    ],
)
def test_changed_feed_is_told_once(
    change: Callable[[MarketDataFeed], None], heard: Callable[[], Counter[str]]
) -> None:
    feed = factories.feed()
    assert heard() == Counter([f"feed.changed {feed.pk}", "console.changed feeds"])
    change(feed)
    assert heard() == Counter([f"feed.changed {feed.pk}", "console.changed feeds"])


def test_what_machines_observe_is_no_change_of_a_feed(heard: Callable[[], Counter[str]]) -> None:
    factories.feed()
    heard()
    MarketDataFeed.objects.update(status="healthy", ws_latency_p95=3)
    Venue.objects.update(name="Renamed")
    assert heard() == Counter()


def test_venue_tells_of_its_own_feeds_alone(heard: Callable[[], Counter[str]]) -> None:
    feed, other = factories.feed(), factories.feed()
    assert feed.exchange != other.exchange
    heard()
    Venue.objects.filter(pk=feed.exchange_id).update(rest_endpoint="https://elsewhere.example")
    assert heard() == Counter([f"feed.changed {feed.pk}", "console.changed feeds"])
