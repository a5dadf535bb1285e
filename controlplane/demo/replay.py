"""A recorded market played through the demo's venues: its start, its end, and nothing lost."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.demo.captures import Recording
from controlplane.demo.control import ask
from controlplane.demo.layout import SYMBOLS, DemoVenue
from markets.models import FeedTraffic, MarketDataFeed

STEP_SECONDS: Final = 0.25
TELL_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class FeedCount:
    """One feed's quotes, counted at both ends of its socket. Delays in ms."""

    feed: str
    recorded: int | None
    sent: int
    read: int
    dropped: int
    connections: int
    delay_p99: int | None
    delay_worst: int | None
    recorded_p99: int | None
    recorded_worst: int | None

    @property
    def is_whole(self) -> bool:
        """True when every quote recorded was sent, and every one sent was read."""
        is_sent = self.recorded is None or self.recorded == self.sent
        return is_sent and self.sent == self.read and not self.dropped


def waiting(venues: Sequence[DemoVenue]) -> str:
    """Say which venue's feeds do not listen yet; empty when all do."""
    for venue in venues:
        clients = ask(venue, "/control/streams")["clients"]
        heard = {stream for item in clients if item["open"] for stream in item["streams"]}
        listening = sum(venue.quote_stream(base) in heard for base in SYMBOLS)
        if listening < len(SYMBOLS):
            return f"{listening} of {len(SYMBOLS)} feeds listen to {venue.venue_id}"
    return ""


def begin(venues: Sequence[DemoVenue]) -> None:
    """Start all venues' prices, and with them the captures."""
    for venue in venues:
        ask(venue, "/control/resume", {})


def begin_when_heard(venues: Sequence[DemoVenue]) -> None:
    """Wait for the feeds, start the captures, and stay until told to stop."""
    while _waiting_or_starting(venues):
        time.sleep(STEP_SECONDS)
    begin(venues)
    while True:
        time.sleep(3600)


def _waiting_or_starting(venues: Sequence[DemoVenue]) -> str:
    try:
        return waiting(venues)
    except OSError as error:  # a venue that is not up yet
        return str(error)


def unplayed(venues: Sequence[DemoVenue], recorded: Sequence[Recording]) -> int:
    """Return how many recorded quotes the venues have yet to send."""
    left = 0
    for venue in venues:
        published = ask(venue, "/control/streams")["published"]
        left += sum(
            max(0, item.quotes - published.get(venue.quote_stream(item.base), 0))
            for item in recorded
        )
    return left


def counts(venues: Sequence[DemoVenue], recorded: Sequence[Recording]) -> list[FeedCount]:
    """Count each feed's quotes as its venue sent them and as the feed read them."""
    by_base = {item.base: item for item in recorded}
    table = []
    for venue in venues:
        sent: Counter[str] = Counter()
        for client in ask(venue, "/control/streams")["clients"]:
            sent.update(client["sent"])
        for feed in MarketDataFeed.objects.filter(exchange_id=venue.venue_id):
            there = sent[venue.quote_stream(feed.symbol)]
            table.append(_count(feed, there, by_base.get(feed.symbol)))
    return table


def _count(feed: MarketDataFeed, sent: int, recording: Recording | None) -> FeedCount:
    traffic = FeedTraffic.objects.filter(feed=feed).first()
    return FeedCount(
        feed=feed.pk,
        recorded=None if recording is None else recording.quotes,
        sent=sent,
        read=0 if traffic is None else traffic.quotes,
        dropped=0 if traffic is None else sum(traffic.dropped.values()),
        connections=0 if traffic is None else traffic.connections,
        delay_p99=None if traffic is None else traffic.delay_p99,
        delay_worst=None if traffic is None else traffic.delay_worst,
        recorded_p99=None if recording is None else recording.delay_p99,
        recorded_worst=None if recording is None else recording.delay_worst,
    )


def lost(table: Sequence[FeedCount]) -> str:
    """Say which feed's quotes do not add up; empty when all do."""
    return "; ".join(
        f"{item.feed}: {item.recorded} recorded, {item.sent} sent, {item.read} read, "
        f"{item.dropped} dropped"
        for item in table
        if not item.is_whole
    )
