"""Carries the board into the database: quotes, health, and word to the console.

The sockets never wait for the database. While it is away the newest quotes stay on the board and
are written when it is back.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db import Error, close_old_connections, connection, transaction
from django.utils import timezone

from controlplane.base.agreed_time import clock_look
from controlplane.kernel.clock import Clock
from markets import failover, funding, leases, services
from markets.choices import FeedSource, FeedStatus, SynthReason
from markets.domain.quotes import venue_time
from markets.failover import PriceGap
from markets.feeds.board import QuoteBoard
from markets.feeds.holding import Holding
from markets.feeds.line import FeedLine, Latest
from markets.feeds.ticks import TickRelay
from markets.models import FeedTraffic, Quote
from markets.services import FeedObservation
from markets.venues.types import MarkPrice, Quarantined

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.1
HEALTH_SECONDS: Final = 1.0
CONSOLE_SECONDS: Final = 0.25
FUNDING_SECONDS: Final = 10.0
"""How often the funding estimates of mark-price streams are written."""
SYNTHETIC_SECONDS: Final = 1.0
"""How often a price is made anew while a feed has none of its own; at least twice while a quote
counts as fresh."""
LAST_SECONDS: Final = 3.0
"""How long the last flush may take: a hanging database does not keep a process from stopping."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one pass writes."""

    quotes: Sequence[Quote]
    health: Sequence[FeedObservation]
    gaps: Sequence[PriceGap]
    console: bool
    funding: Mapping[str, MarkPrice]
    holder: str
    fences: Mapping[str, int]

    def held(self, feed_ids: Iterable[str]) -> set[str]:
        """Return those of these feeds that are still ours; so they stay in the transaction."""
        fences = {key: self.fences[key] for key in feed_ids if key in self.fences}
        return leases.still_held(holder=self.holder, kind="feed", fences=fences)


@dataclass(frozen=True, slots=True)
class _Written:
    """What came of a pass: feeds whose quote was refused, feeds that got a synthetic price."""

    refused: Collection[str]
    synthesized: Collection[str]


class Publisher:
    """Writes the board down every FLUSH_SECONDS, in a thread of its own."""

    def __init__(self, board: QuoteBoard, holding: Holding, *, clock: Clock) -> None:
        self._holding = holding
        self._board = board
        self._clock = clock
        self._relay = TickRelay(clock)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="quotes")
        self._states: dict[str, tuple[FeedStatus, FeedSource]] = {}
        self._synthesized_at: dict[str, float] = {}
        self._health_at = float("-inf")
        self._console_at = float("-inf")
        self._funding_at = float("-inf")
        self._funding: dict[str, tuple[Decimal | None, int | None]] = {}
        self._is_away = False
        self.stored = 0

    async def run(self) -> None:
        """Run until cancelled; what is on the board then is written once more."""
        try:
            while True:
                await self.flush()
                await asyncio.sleep(FLUSH_SECONDS)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self.flush()
                    await self._relay.close()
            self._thread.submit(lambda: connection.close())  # that thread's own
            self._thread.shutdown(wait=False)

    async def flush(self) -> None:
        """Write what is new and tell moved prices; while the database is away, try again."""
        if await self._written():
            self._relay.offer(self._board.references())

    async def _written(self) -> bool:
        """Bring the database up to the board; tell whether that is so."""
        now = self._clock.monotonic()
        is_second = now - self._health_at >= HEALTH_SECONDS
        if is_second:
            self._health_at = now
            self._board.learn_bases(now)
            await self._board.roll(now)
            now = self._clock.monotonic()
        latest = self._board.unstored()
        states = {line.feed_id: (line.status(now), line.source(now)) for line in self._board}
        health_due = is_second or states != self._states
        gaps = self._gaps(now)
        console_due = bool(latest or health_due) and now - self._console_at >= CONSOLE_SECONDS
        if console_due:
            self._console_at = now
        batch = _Batch(
            [self._row(item) for item in latest],
            [self._observation(line, now) for line in self._board] if health_due else (),
            gaps,
            console_due,
            self._moved_funding(now),
            self._holding.holder,
            self._holding.fences("feed"),
        )
        if not (batch.quotes or batch.health or batch.gaps or batch.funding):
            return True
        loop = asyncio.get_running_loop()
        try:
            written = await loop.run_in_executor(self._thread, _write, batch)
        except Error as error:
            self._lost(error)
            return False
        self._is_away = False
        self._funding |= {key: _terms(mark) for key, mark in batch.funding.items()}
        self._board.were_stored(latest)
        self.stored += len(latest) - len(written.refused)
        self._settle(written, now)
        if health_due:
            self._states = states
            self._were_told(batch.health)
        return True

    def _were_told(self, health: Sequence[FeedObservation]) -> None:
        told = {seen.feed_id: seen.disbelieved for seen in health}
        for line in self._board:
            line.disbelief.told(told.get(line.feed_id, ()))

    def _gaps(self, now: float) -> list[PriceGap]:
        """Return the feeds to make a price for: at once when the gap opens, then each second."""
        gaps = []
        for line in self._board:
            reason = line.wants_synthetic(now)
            last = self._synthesized_at.get(line.feed_id)
            if reason is None:
                self._synthesized_at.pop(line.feed_id, None)
            elif last is None or now - last >= min(SYNTHETIC_SECONDS, line.fresh_ms / 2000):
                self._synthesized_at[line.feed_id] = now
                gaps.append(_gap(line, reason))
        return gaps

    def _settle(self, written: _Written, now: float) -> None:
        self._drop(written.refused, now)
        for line in self._board:
            if line.feed_id in written.synthesized:
                line.synthesized = now

    def _moved_funding(self, now: float) -> dict[str, MarkPrice]:
        """Return, now and then, the funding estimates that have not been written yet."""
        if now - self._funding_at < FUNDING_SECONDS:
            return {}
        self._funding_at = now
        return {
            line.feed_id: line.funding
            for line in self._board
            if line.funding is not None and _terms(line.funding) != self._funding.get(line.feed_id)
        }

    def _drop(self, refused: Collection[str], now: float) -> None:
        for line in self._board:
            if line.feed_id in refused:
                line.take((Quarantined("refused", "the database refused the quote"),), now)

    def _row(self, latest: Latest) -> Quote:
        top = latest.top
        return Quote(
            feed_id=latest.feed_id,
            bid=top.bid,
            ask=top.ask,
            bid_size=top.bid_size,
            ask_size=top.ask_size,
            mark=latest.mark,
            venue_at=venue_time(top.venue_ms),
            received_at=self._board.wall_time(latest.received),
            sequence=top.sequence,
        )

    def _observation(self, line: FeedLine, now: float) -> FeedObservation:
        heard = None if line.received is None else self._board.wall_time(line.received)
        return FeedObservation(
            feed_id=line.feed_id,
            status=line.status(now),
            source=line.source(now),
            last_heartbeat=heard,
            ws_latency_p95=line.latency_p95,
            link="; marks: ".join(filter(None, (line.link, line.marks_trouble)))[:200],
            traffic=self._traffic(line),
            http_latency_p95=line.http_p95,
            disbelieved=line.disbelief.news(),
        )

    def _traffic(self, line: FeedLine) -> FeedTraffic:
        p99, worst = line.delays
        return FeedTraffic(
            feed_id=line.feed_id,
            since=line.since,
            quotes=line.quotes,
            dropped=dict(line.drops),
            message_rate=line.per_second,
            gaps=line.gaps,
            connections=line.connections,
            delay_p99=p99,
            delay_worst=worst,
            latency_error=line.latency_error,
            clock_offset=self._clock_offset(line),
            marks_are_silent=line.marks_are_silent,
            observed_at=self._clock.now(),
        )

    def _clock_offset(self, line: FeedLine) -> int | None:
        """Return the venue's clock less our wall clock, in ms."""
        if (reading := line.clock) is None:
            return None
        wall_ms = self._clock.now().timestamp() * 1000
        return round(self._clock.monotonic() * 1000 + reading.offset_ms - wall_ms)

    def _lost(self, error: Error) -> None:
        if not self._is_away:
            logger.warning(
                "Quotes cannot be written (%s); the newest are kept until they can.",
                type(error).__name__,
            )
        self._is_away = True


def _gap(line: FeedLine, reason: SynthReason) -> PriceGap:
    return PriceGap(
        feed_id=line.feed_id,
        symbol=line.symbol,
        reason=reason,
        basis=line.basis,
        minimum=line.synthetic_sources,
        fresh_ms=line.fresh_ms,
    )


def _write(batch: _Batch) -> _Written:
    close_old_connections()
    clock_look()
    try:
        refused = _write_quotes(batch) if batch.quotes else []
        made = _write_gaps(batch) if batch.gaps else ()
        if batch.health:
            _write_health(batch)
        if batch.funding:
            _write_funding(batch.funding)
        if batch.console:
            services.feeds_changed_tell()
    except Error:
        connection.close()
        raise
    return _Written(refused, made)


@transaction.atomic
def _write_quotes(batch: _Batch) -> list[str]:
    held = batch.held(row.feed_id for row in batch.quotes)
    return services.quotes_store(quotes=[row for row in batch.quotes if row.feed_id in held])


@transaction.atomic
def _write_gaps(batch: _Batch) -> list[str]:
    held = batch.held(gap.feed_id for gap in batch.gaps)
    gaps = [gap for gap in batch.gaps if gap.feed_id in held]
    return failover.prices_synthesize(gaps=gaps, now=timezone.now())


@transaction.atomic
def _write_health(batch: _Batch) -> None:
    held = batch.held(seen.feed_id for seen in batch.health)
    services.feeds_observe(observations=[seen for seen in batch.health if seen.feed_id in held])


def _terms(mark: MarkPrice) -> tuple[Decimal | None, int | None]:
    return mark.funding_rate, mark.next_funding_ms


def _write_funding(marks: Mapping[str, MarkPrice]) -> None:
    synced = funding.funding_from_marks(marks=marks, now=timezone.now())
    if synced.refused:
        logger.warning("Funding was not believed: %s", ", ".join(synced.refused)[:300])
