"""A recorded market played through the demo's venues: its start, its end, and nothing lost."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

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
        open_sockets = sum(item["open"] and _is_quotes(item) for item in clients)
        if open_sockets < len(SYMBOLS):
            return f"{open_sockets} of {len(SYMBOLS)} feeds listen to {venue.venue_id}"
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
        left += sum(max(0, item.quotes - published.get(item.stream, 0)) for item in recorded)
    return left


def counts(venues: Sequence[DemoVenue], recorded: Sequence[Recording]) -> list[FeedCount]:
    """Count each feed's quotes as its venue sent them and as the feed read them."""
    by_symbol = {item.symbol: item for item in recorded}
    table = []
    for venue in venues:
        sent: Counter[str] = Counter()
        for client in ask(venue, "/control/streams")["clients"]:
            if _is_quotes(client):
                sent.update(client["sent"])
        for feed in MarketDataFeed.objects.filter(exchange_id=venue.venue_id):
            contract = feed.exchange.instruments.get(symbol=feed.symbol, is_active=True)
            table.append(_count(feed, sent, contract.venue_symbol, by_symbol))
    return table


def _count(
    feed: MarketDataFeed, sent: Counter[str], symbol: str, recorded: dict[str, Recording]
) -> FeedCount:
    traffic = FeedTraffic.objects.filter(feed=feed).first()
    recording = recorded.get(symbol)
    return FeedCount(
        feed=feed.pk,
        recorded=None if recording is None else recording.quotes,
        sent=sent[f"{symbol.lower()}@bookTicker"],
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


def _is_quotes(client: dict[str, Any]) -> bool:
    return str(client["path"]).startswith("/public/")
