"""Word of changed market configuration, for the consumers that hold the venue sockets."""

from controlplane import bus
from markets.groups import CONSOLE, FEEDS
from markets.models import MarketDataFeed, Venue


def feed_changed(feed: MarketDataFeed) -> None:
    """Tell the consumer of this feed, and the console."""
    _tell(feed.pk)


def venue_changed(venue: Venue) -> None:
    """Tell the consumers of every feed of this venue."""
    _tell(*venue.feeds.values_list("pk", flat=True))


def _tell(*feed_ids: str) -> None:
    for feed_id in feed_ids:
        bus.send(FEEDS, "feed.changed", feed_id=feed_id)
    bus.send(CONSOLE, "console.changed", topic="feeds")
