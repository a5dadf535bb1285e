"""Scheduled work on market data: what venues list and what they fund."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from django.conf import settings
from django.utils import timezone

from controlplane.base.audit import Actor
from controlplane.base.jobs import JobRunner, job
from markets import failover, funding, listing
from markets.funding import FundingSynced
from markets.listing import InstrumentsSynced
from markets.models import Instrument, Venue
from markets.venues.errors import RateLimited, VenueError, VenueUnavailable
from markets.venues.ports import MarketClient
from markets.venues.registry import VenueRegistry
from markets.venues.types import FundingSettlement

T = TypeVar("T")

HISTORIES: Final = 10
"""Instruments of one venue whose histories one run asks for: Binance allows 500 questions in five
minutes, and a new instrument's two weeks are four pages of Pacifica's 100 credits a minute."""


@job(name="markets.sync_instruments", cluster="sync", every=timedelta(hours=1))
class SyncInstruments(JobRunner):
    """Read what each venue in use lists; one venue's trouble does not keep the others waiting."""

    def run(self, **ids: str) -> None:
        _each_venue(lambda venue: instruments_sync(venue, actor=self.actor))


@job(name="markets.sync_funding", cluster="sync", every=timedelta(minutes=1))
class SyncFunding(JobRunner):
    """Read each venue's funding; a new venue's instruments come first."""

    def run(self, **ids: str) -> None:
        _each_venue(self._refresh)

    def _refresh(self, venue: Venue) -> None:
        if not venue.instruments.exists():
            instruments_sync(venue, actor=self.actor)
        funding_sync(venue)


@job(name="markets.settle_funding", cluster="sync", every=timedelta(minutes=1))
class SettleFunding(JobRunner):
    """Read the rates that were paid from the venues' own histories, some instruments a run."""

    def run(self, **ids: str) -> None:
        _each_venue(funding_settle)


@job(name="markets.prune_funding", cluster="sync", every=timedelta(days=1))
class PruneFunding(JobRunner):
    """Delete funding rates past keeping."""

    def run(self, **ids: str) -> None:
        funding.funding_prune(now=timezone.now())


@job(name="markets.prune_synth_prices", cluster="sync", every=timedelta(days=1))
class PruneSynthPrices(JobRunner):
    """Delete synthetic prices past keeping."""

    def run(self, **ids: str) -> None:
        failover.synth_prices_prune(now=timezone.now())


def instruments_sync(venue: Venue, *, actor: Actor, believe: bool = False) -> InstrumentsSynced:
    """Read a venue's list of instruments and write it; raises VenueError, nothing written then.

    One that is cut short is no list, unless a person says that it is to be believed.
    """
    reports = _ask(venue, lambda client: client.instruments())
    return listing.listing_take(venue=venue, reports=reports, actor=actor, believe=believe)


def funding_sync(venue: Venue) -> int:
    """Write a venue's funding rates; return how many.

    Raises VenueError when nothing could be read, and after writing the others when some rates
    were not believed.
    """
    quotes = _ask(venue, lambda client: client.funding_quotes())
    return _believed(funding.funding_upsert(venue=venue, quotes=quotes, now=timezone.now()))


def funding_settle(venue: Venue) -> int:
    """Write the rates a venue's history has and we have not; return how many.

    Asks for at most HISTORIES instruments. Raises VenueError as `funding_sync` does.
    """
    now = timezone.now()
    due = [
        (instrument, funding.history_start(instrument, now=now))
        for instrument in funding.instruments_to_settle(venue, now=now, most=HISTORIES)
    ]
    if not due:
        return 0

    async def read(client: MarketClient) -> list[Sequence[FundingSettlement] | VenueError]:
        return [await _settlements(client, instrument, since) for instrument, since in due]

    written, refused = 0, []
    for (instrument, _since), found in zip(due, _ask(venue, read), strict=True):
        if isinstance(found, VenueError):
            refused.append(f"{instrument.venue_symbol}: {found.message}")
            continue
        synced = funding.funding_settle(instrument=instrument, settlements=found, now=now)
        written += synced.written
        refused += synced.refused
    return _believed(FundingSynced(written, tuple(refused)))


async def _settlements(
    client: MarketClient, instrument: Instrument, since: datetime
) -> Sequence[FundingSettlement] | VenueError:
    """Return an instrument's settlements, or why there are none: the others are asked for yet."""
    try:
        return await client.funding_settlements(instrument.venue_symbol, since=since)
    except RateLimited:
        raise
    except VenueError as error:
        return error


def _believed(synced: FundingSynced) -> int:
    if synced.refused:
        raise VenueUnavailable(f"Not believed: {', '.join(synced.refused)[:500]}")
    return synced.written


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
