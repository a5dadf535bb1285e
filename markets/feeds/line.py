"""One feed's place on the quote board: its newest top of book, and how it arrives.

Written by the streams on the event loop, one short call a message.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from controlplane.kernel.clock import Clock
from markets.choices import FeedSource, FeedStatus, SynthReason
from markets.domain.health import Health
from markets.domain.jumps import NO_BAND, JumpGuard
from markets.domain.quotes import is_older, later, mid
from markets.feeds.clocks import ClockReading, VenueClock
from markets.feeds.disbelief import Disbelief
from markets.feeds.latency import LatencyWindow
from markets.venues.types import BookTop, MarketEvent, MarkPrice, Quarantined

logger = logging.getLogger(__name__)

BURST_QUIET_SECONDS: Final = 10.0
"""Bad frames closer together than this are one burst, and one line in the log."""
CONNECTED: Final = "connected"
OLDER_DROPPED: Final = 20
"""So many tops older than the last one of the connection before are dropped; a stream that goes on
so is a venue that has set its clock and its numbers back."""
BACK_MS: Final = 60_000
"""A top dated so long before the one before it is no news of now: venues' clocks do not go back."""
HTTP_PATIENCE_MS: Final = 750
"""How long after the freshness threshold the venue may take to answer over HTTP before a synthetic
price stands in; at most half the threshold."""


@dataclass(frozen=True, slots=True)
class Latest:
    """A feed's newest top of book as it stood when asked; `received` is monotonic seconds."""

    feed_id: str
    top: BookTop
    mark: Decimal | None
    received: float


class FeedLine:
    """One feed's place on the board.

    `streamed`, `marked` and `polled` are when its stream, its mark price and the venue's answer
    over HTTP were last believed, `confirmed` when that answer was last what the stream had said.
    All are monotonic seconds, None for never.
    """

    def __init__(
        self,
        feed_id: str,
        symbol: str,
        *,
        fresh_ms: int,
        failover_ms: int,
        since: datetime,
        is_polled: bool = False,
        forced: FeedSource | None = None,
        synthetic_sources: int = 2,
        venue_clock: VenueClock | None = None,
    ) -> None:
        self.feed_id = feed_id
        self.symbol = symbol
        self.fresh_ms = fresh_ms
        self._gap_seconds = fresh_ms / 1000
        self.failover_ms = failover_ms
        self.is_polled = is_polled
        self.forced = forced
        self.synthetic_sources = synthetic_sources
        self.top: BookTop | None = None
        self.streamed: float | None = None
        self.mark: Decimal | None = None
        self.funding: MarkPrice | None = None
        self.marked: float | None = None
        self.polled_top: BookTop | None = None
        self.polled: float | None = None
        self.poll_trouble = ""
        self.confirmed: float | None = None
        self.synthesized: float | None = None
        self.basis: Decimal | None = None
        self.quotes = 0
        self.gaps = 0
        self.disbelief = Disbelief()
        self.connections = 0
        self.since = since
        self.latency_p95: int | None = None
        self.link = "not connected"
        self._up_at: float | None = None
        self._health = Health(fresh_ms, failover_ms)
        self._guard = JumpGuard()
        self._low, self._high = NO_BAND
        self._before: BookTop | None = None
        self._older = 0
        self._not_before = 0
        self._backward = 0
        self.marks_trouble = ""
        self.marks_are_silent = False
        self._marks_awaited: float | None = None
        self._latency = LatencyWindow()
        self._venue_clock = venue_clock or VenueClock()
        self._stored: tuple[BookTop, float] | None = None
        self._dropped_at = float("-inf")

    def take(self, events: Sequence[MarketEvent], received: float) -> None:
        """Put what a frame said on the board; the only work done for each message."""
        for event in events:
            if isinstance(event, BookTop):
                if (
                    event.bid < self._low
                    or event.ask > self._high
                    or event.venue_ms < self._not_before
                ) and (doubt := self._doubt(event, received)):
                    self._drop(doubt, received)
                    continue
                if self.streamed is not None and received - self.streamed > self._gap_seconds:
                    self.gaps += 1
                self.top = event
                self._not_before = event.venue_ms - BACK_MS
                self.streamed = received
                self.quotes += 1
                self._latency.add(received, event.venue_ms)
            elif isinstance(event, MarkPrice):
                self._take_mark(event, received)
            else:
                self._drop(event, received)

    def take_polled(self, top: BookTop, asked: float) -> None:
        """Put the venue's answer over HTTP on the board; it is as old as the question."""
        self.poll_trouble = ""
        said = self.top
        doubt = None
        if said is not None and is_older(top, said):
            doubt = Quarantined("out-of-order", "an older answer over HTTP")
        elif top.bid < self._low or top.ask > self._high:
            doubt = self._doubt(top, asked)
        if doubt is not None:
            self._drop(doubt, asked)
            return
        self.polled_top, self.polled = top, asked
        if said is not None and (said.bid, said.ask) == (top.bid, top.ask):
            self.confirmed = asked

    def _take_mark(self, event: MarkPrice, received: float) -> None:
        top_is_fresh = self._is_fresh(self.received, received)
        if self._guard.believes_mark(event.mark, received, top_is_fresh=top_is_fresh):
            self.mark, self.marked = event.mark, received
            self.funding = event
        else:
            self._drop(Quarantined("jump", f"mark {event.mark}"), received)

    def _doubt(self, top: BookTop, received: float) -> Quarantined | None:
        """Look closely at a top that is not near the last one; return why it is not believed."""
        if top.venue_ms < self._not_before:
            self._backward += 1
            if self._backward <= OLDER_DROPPED:
                return Quarantined("past", f"{top.venue_ms - self._not_before - BACK_MS} ms")
        before = self._before
        if before is not None and is_older(top, before):
            self._older += 1
            if self._older <= OLDER_DROPPED:
                return Quarantined("out-of-order", f"{top.sequence} after {before.sequence}")
        mark_is_fresh = self._is_fresh(self.marked, received)
        middle = mid(top.bid, top.ask)
        if not self._guard.believes_top(middle, received, mark_is_fresh=mark_is_fresh):
            return Quarantined("jump", f"{top.bid}/{top.ask}")
        self._before, self._older, self._backward = None, 0, 0
        self._low, self._high = self._guard.band()
        return None

    def _drop(self, event: Quarantined, received: float) -> None:
        self.disbelief.note(event, received)
        if received - self._dropped_at > BURST_QUIET_SECONDS:
            logger.warning(
                "Feed %s: a frame was not believed and dropped (%s: %s); %d so far.",
                self.feed_id,
                event.reason,
                event.detail,
                self.drops.total(),
            )
        self._dropped_at = received

    @property
    def drops(self) -> Counter[str]:
        """What was not believed and dropped, by reason."""
        return self.disbelief.counts

    # How old and how good it is

    @property
    def received(self) -> float | None:
        """When what the venue said last, by stream or over HTTP, was known to be true."""
        return later(self.streamed, self.polled)

    def age_ms(self, now: float) -> float | None:
        """Return the age of the newest data, None when there never was any."""
        received = self.received
        return None if received is None else (now - received) * 1000.0

    def status(self, now: float) -> FeedStatus:
        if self.link == CONNECTED:
            self._up_at = now
        main = None if self.forced else later(self.streamed, self._proven_quiet(now))
        heard = main if self.forced is FeedSource.SYNTHETIC else later(main, self.polled)
        return self._health.look(now, main=main, any_source=heard)

    def _proven_quiet(self, now: float) -> float | None:
        """Return until when a stream that says nothing is known to have nothing to say.

        Its connection stands, marks arrive, and the venue's answer over HTTP is still what the
        stream said last. Any one alone proves nothing: quotes and marks come by different sockets.
        """
        if self.confirmed is None or self.marked is None or not self._is_fresh(self._up_at, now):
            return None
        return min(self.confirmed, self.marked)

    def watch_marks(self, now: float) -> None:
        """Note whether marks, and funding with them, stay away while quotes flow.

        That is after the failover deadline; a venue that is silent altogether is no such case,
        nor is one asked over HTTP alone, which has no stream of marks.
        """
        if self.is_polled or self.forced is not None or not self._is_fresh(self.streamed, now):
            self._marks_awaited = None
            return
        if self._marks_awaited is None:
            self._marks_awaited = now
        heard = max(self._marks_awaited, self.marked or self._marks_awaited)
        if self._is_fresh(self.marked, now):
            self.marks_are_silent = False
        elif (now - heard) * 1000 > self.failover_ms:
            self.marks_are_silent = True

    def source(self, now: float) -> FeedSource:
        """Return where the price comes from at `now`."""
        is_well = self.status(now) is FeedStatus.HEALTHY
        if is_well:
            return FeedSource.HTTP if self.is_polled else FeedSource.WEBSOCKET
        if self.forced is not FeedSource.SYNTHETIC and self._is_fresh(self.polled, now):
            return FeedSource.HTTP
        if self.forced is None and self._is_fresh(self.streamed, now) and self.top is not None:
            return FeedSource.HTTP if self.is_polled else FeedSource.WEBSOCKET
        if self._is_fresh(self.synthesized, now):
            return FeedSource.SYNTHETIC
        return FeedSource.NONE

    def wants_poll(self, now: float) -> bool:
        """Tell whether the venue is to be asked over HTTP: in an outage, and when it is quiet."""
        if self._is_flowing(now):
            return False
        if self.is_polled or self.forced is not None:
            return self.forced is FeedSource.HTTP
        if self.status(now) is not FeedStatus.HEALTHY:
            return True
        is_waiting = self.streamed is None or (now - self.streamed) * 2000 > self.fresh_ms
        return is_waiting and self._is_fresh(self.marked, now)

    def _is_flowing(self, now: float) -> bool:
        """Tell, at little cost, of a feed that nothing is wrong with, as most are at any time."""
        return (
            self.forced is None
            and self.streamed is not None
            and (now - self.streamed) * 2000 <= self.fresh_ms
            and self._health.status is FeedStatus.HEALTHY
        )

    def wants_synthetic(self, now: float) -> SynthReason | None:
        """Return why a price must be made from other feeds, None while the venue says its own."""
        if self.forced is FeedSource.SYNTHETIC:
            return SynthReason.MANUAL
        if self._health.is_starting and not self.poll_trouble:
            return None
        age, patience = self.age_ms(now), min(HTTP_PATIENCE_MS, self.fresh_ms / 2)
        if age is not None and age <= self.fresh_ms + patience:
            return None
        if self.forced is not None:
            return SynthReason.MANUAL
        return SynthReason.HTTP_TIMEOUT if self.poll_trouble else SynthReason.WS_FAILOVER

    def fresh_mid(self, now: float) -> Decimal | None:
        """Return the middle of the newest top while it is fresh."""
        newest = self._newest_top()
        if newest is None or not self._is_fresh(newest[1], now):
            return None
        return mid(newest[0].bid, newest[0].ask)

    def _newest_top(self) -> tuple[BookTop, float] | None:
        top, streamed = self.top, self.streamed
        polled_top, polled = self.polled_top, self.polled
        is_streams_newer = top is not None and streamed is not None and streamed >= (polled or 0)
        if polled_top is not None and polled is not None and not is_streams_newer:
            return polled_top, polled
        return None if top is None or streamed is None else (top, streamed)

    def _is_fresh(self, at: float | None, now: float) -> bool:
        return at is not None and (now - at) * 1000 <= self.fresh_ms

    def remember(self, last_heartbeat: datetime, clock: Clock) -> None:
        """Take over the age of data an earlier process had, so a restart is no outage."""
        age = max(0.0, (clock.now() - last_heartbeat).total_seconds())
        self.streamed = clock.monotonic() - age

    def resume(self, status: FeedStatus) -> None:
        """Go on from a status on record: what was degraded must prove itself, restart or not."""
        if status is FeedStatus.DEGRADED:
            self._health.status, self._health.is_starting = status, False

    def unstored(self) -> Latest | None:
        """Return the newest top of book unless it is already in the database."""
        newest = self._newest_top()
        if newest is None or self._stored == newest:
            return None
        return Latest(self.feed_id, newest[0], self.mark, newest[1])

    def was_stored(self, latest: Latest) -> None:
        self._stored = latest.top, latest.received

    def roll(self) -> None:
        """Close a second of the latency window."""
        self.latency_p95 = self._latency.roll(self._venue_clock.reading())

    @property
    def latency_error(self) -> int | None:
        """By how many ms the p95 may be off; None when it counts from the fastest message."""
        return self._latency.error_ms

    @property
    def clock(self) -> ClockReading | None:
        """The venue's clock on our monotonic one, None while unknown."""
        return self._venue_clock.reading()

    @property
    def http_p95(self) -> int | None:
        """The p95 of the venue's answers over HTTP in ms, None without any."""
        return self._venue_clock.http_p95()

    @property
    def per_second(self) -> Decimal:
        """Quotes a second over the last minute."""
        return Decimal(round(self._latency.per_second * 10)) / 10

    @property
    def delays(self) -> tuple[int | None, int | None]:
        """p99 and worst delay in ms since counting began, None before any."""
        return self._latency.p99(), self._latency.worst()

    def connected(self, is_up: bool, reason: str, /) -> None:
        """Note that the connection stands, or why not; on a new one the first top is held close."""
        self.connections += is_up
        self.link = CONNECTED if is_up else reason
        if is_up:
            self._before, self._older = self.top, 0
            self._low, self._high = NO_BAND

    def marks_connected(self, is_up: bool, reason: str, /) -> None:
        """Note how the stream of mark prices stands, which has a socket of its own."""
        self.marks_trouble = "" if is_up else reason
