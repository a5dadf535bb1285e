"""Scheduled work on market data: what venues list, what they fund, how fast they answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

from django.conf import settings

from controlplane.base.audit import Actor
from controlplane.base.jobs import JobRunner, job
from markets import services
from markets.models import Venue
from markets.services import InstrumentsSynced
from markets.venues.errors import VenueError, VenueUnavailable
from markets.venues.ports import MarketClient
from markets.venues.registry import VenueRegistry
from markets.venues.types import FundingQuote

T = TypeVar("T")

PROBES: Final = 5


@job(name="markets.sync_instruments", cluster="sync", every=timedelta(hours=1))
class SyncInstruments(JobRunner):
    """Read what each venue in use lists; one venue's trouble does not keep the others waiting."""

    def run(self, **ids: str) -> None:
        _each_venue(lambda venue: instruments_sync(venue, actor=self.actor))


@job(name="markets.sync_funding", cluster="sync", every=timedelta(minutes=1))
class SyncFunding(JobRunner):
    """Read each venue's funding and time its answers; a new venue's instruments come first."""

    def run(self, **ids: str) -> None:
        _each_venue(self._refresh)

    def _refresh(self, venue: Venue) -> None:
        if not venue.instruments.exists():
            instruments_sync(venue, actor=self.actor)
        funding_sync(venue)


def instruments_sync(venue: Venue, *, actor: Actor) -> InstrumentsSynced:
    """Read a venue's list of instruments and write it; raises VenueError, nothing written then."""
    reports = _ask(venue, lambda client: client.instruments())
    if not reports:
        raise VenueUnavailable(f"{venue} lists no instruments; that is not believed.")
    return services.instruments_upsert(venue=venue, reports=reports, actor=actor)


def funding_sync(venue: Venue) -> int:
    """Write a venue's funding rates and how fast it answers; return the number of rates.

    The HTTP p95 is the slowest of PROBES small requests on a warm connection. Raises VenueError,
    nothing written then.
    """
    quotes, seconds = _ask(venue, _funding_and_pace)
    services.http_latency_observe(venue=venue, p95_ms=round(max(seconds) * 1000))
    return services.funding_upsert(venue=venue, quotes=quotes)


async def _funding_and_pace(client: MarketClient) -> tuple[Sequence[FundingQuote], list[float]]:
    quotes = await client.funding_quotes()
    seconds = []
    for _probe in range(PROBES):
        started = time.monotonic()
        await client.server_time()
        seconds.append(time.monotonic() - started)
    return quotes, seconds


def _ask(venue: Venue, read: Callable[[MarketClient], Awaitable[T]]) -> T:
    registry = VenueRegistry(allow_loopback=settings.ALLOW_LOOPBACK_VENUES)

    async def ask() -> T:
        client = registry.market_client(venue.dialect, venue.endpoint())
        try:
            return await read(client)
        finally:
            await client.close()

    return asyncio.run(ask())


def _each_venue(work: Callable[[Venue], object]) -> None:
    troubles: list[str] = []
    for venue in Venue.objects.in_use():
        try:
            work(venue)
        except VenueError as error:
            troubles.append(f"{venue}: {error.message}")
    if troubles:
        raise VenueUnavailable("; ".join(troubles))
