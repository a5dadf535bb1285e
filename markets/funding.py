"""Writes of funding: estimates as they move, settlements once and for all.

What machines observe has no actor. A row is a settlement: an estimate until its time has come,
then the rate paid, which the venue's own history tells and nothing changes afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from controlplane.base import events
from controlplane.kernel.events import EventType, Occurrence, Severity
from markets.domain import funding
from markets.domain.quotes import venue_time
from markets.models import FundingRate, Instrument, MarketDataFeed, Venue
from markets.venues.types import FundingQuote, FundingSettlement, MarkPrice

HISTORY: Final = timedelta(days=14)
"""How far back an instrument's settlements are read when it is new."""
KEPT: Final = timedelta(days=400)
"""Settlements older than this are pruned: a year can be compared with the one before."""
ASKED_AFTER: Final = timedelta(minutes=1)
"""A venue needs a moment to write a settlement down."""
ASKED_UNTIL: Final = timedelta(days=2)
"""A settlement the venue's history still does not have then stays an estimate."""
TOLD_INTERVALS: Final = 20
"""How many changed intervals one event names."""
PRUNE_BATCH: Final = 5_000


@dataclass(frozen=True, slots=True)
class FundingSynced:
    """What came of a venue's funding. `refused` holds `venue symbol: why`."""

    written: int
    refused: tuple[str, ...]


@transaction.atomic
def funding_upsert(*, venue: Venue, quotes: Sequence[FundingQuote], now: datetime) -> FundingSynced:
    """Write the estimates of settlements to come; a changed interval is told as an event.

    What is not believed is refused and nothing is written for it; an estimate of a settlement
    that has been by now is passed over.
    """
    instruments = dict(
        venue.instruments.filter(is_active=True).values_list("venue_symbol", "instrument_id")
    )
    ours = [quote for quote in quotes if quote.venue_symbol in instruments]
    refused: dict[str, str] = {}
    believed: dict[str, FundingQuote] = {}
    for quote in ours:
        if problem := funding.estimate_problem(quote, now=now):
            refused[quote.venue_symbol] = problem
        elif funding.settlement_time(quote.next_funding_at) > now:
            believed[quote.venue_symbol] = quote
    _tell_changed_intervals(venue, instruments, believed.values())
    _store(
        FundingRate(
            instrument_id=instruments[symbol],
            rate=quote.rate,
            funding_time=funding.settlement_time(quote.next_funding_at),
            interval_hours=quote.interval_hours,
            mark_price=quote.mark_price,
            observed_at=quote.at,
        )
        for symbol, quote in believed.items()
    )
    told = tuple(f"{symbol}: {problem}" for symbol, problem in sorted(refused.items()))
    return FundingSynced(len(believed), told)


def _store(rates: Iterable[FundingRate]) -> None:
    FundingRate.objects.bulk_create(
        rates,
        update_conflicts=True,
        unique_fields=["instrument", "funding_time"],
        update_fields=["rate", "interval_hours", "mark_price", "observed_at", "is_settled"],
    )


def _tell_changed_intervals(
    venue: Venue, instruments: Mapping[str, UUID], quotes: Iterable[FundingQuote]
) -> None:
    known = _last_intervals(instruments.values())
    changes = {
        quote.venue_symbol: {"from": was, "to": quote.interval_hours}
        for quote in quotes
        if (was := known.get(instruments[quote.venue_symbol])) not in (None, quote.interval_hours)
    }
    if not changes:
        return
    names = sorted(changes)
    shown = ", ".join(names[:TOLD_INTERVALS]) + (" …" if len(names) > TOLD_INTERVALS else "")
    events.publish(
        Occurrence(
            type=EventType.CONFIG,
            message=_("%(venue)s changed how often %(symbols)s settle funding.")
            % {"venue": venue, "symbols": shown},
            severity=Severity.WARN,
            payload={"exchange": venue.pk, "fundingIntervalHours": changes},
        )
    )


def _last_intervals(instrument_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return each instrument's interval as its newest estimate has it."""
    estimates = FundingRate.objects.filter(instrument=OuterRef("pk"), is_settled=False)
    newest = estimates.order_by("-observed_at")
    rows = Instrument.objects.filter(pk__in=list(instrument_ids)).annotate(
        last_interval=newest.values("interval_hours")[:1]
    )
    return {pk: hours for pk, hours in rows.values_list("pk", "last_interval") if hours is not None}


@transaction.atomic
def funding_from_marks(*, marks: Mapping[str, MarkPrice], now: datetime) -> FundingSynced:
    """Write the estimates that mark-price streams told, by feed.

    A stream tells no interval: an instrument whose interval no listing has told yet is passed over.
    """
    feeds = MarketDataFeed.objects.enabled().filter(pk__in=marks).select_related("exchange")
    by_venue: dict[Venue, list[MarkPrice]] = {}
    for feed in feeds:
        by_venue.setdefault(feed.exchange, []).append(marks[feed.pk])
    written, refused = 0, []
    for venue, told in by_venue.items():
        synced = funding_upsert(venue=venue, quotes=_quotes(venue, told, now), now=now)
        written += synced.written
        refused += [f"{venue}:{problem}" for problem in synced.refused]
    return FundingSynced(written, tuple(refused))


def _quotes(venue: Venue, marks: Sequence[MarkPrice], now: datetime) -> list[FundingQuote]:
    symbols = [mark.venue_symbol for mark in marks]
    instruments = dict(
        venue.instruments.filter(venue_symbol__in=symbols).values_list("venue_symbol", "pk")
    )
    hours = _last_intervals(instruments.values())
    return [
        FundingQuote(
            venue_symbol=mark.venue_symbol,
            rate=mark.funding_rate,
            mark_price=mark.mark,
            next_funding_at=venue_time(mark.next_funding_ms),
            interval_hours=hours[instruments[mark.venue_symbol]],
            at=now,
        )
        for mark in marks
        if mark.funding_rate is not None
        and mark.next_funding_ms is not None
        and instruments.get(mark.venue_symbol) in hours
    ]


def instruments_to_settle(venue: Venue, *, now: datetime, most: int) -> list[Instrument]:
    """Return instruments whose settlements are to be asked for: a new one, or one that has settled.

    At most so many, those of feeds first and the others by chance, so that one of which a
    venue tells nothing does not keep the others waiting.
    """
    rates = FundingRate.objects.filter(instrument=OuterRef("pk"))
    due = rates.due(now - ASKED_AFTER).filter(funding_time__gt=now - ASKED_UNTIL)
    fed = MarketDataFeed.objects.filter(exchange=OuterRef("venue"), symbol=OuterRef("symbol"))
    wanted = venue.instruments.filter(is_active=True).annotate(
        is_fed=Exists(fed.filter(is_enabled=True))
    )
    wanted = wanted.filter(Exists(due) | ~Exists(rates.filter(is_settled=True)))
    return list(wanted.order_by("-is_fed", "?")[:most])


def history_start(instrument: Instrument, *, now: datetime) -> datetime:
    """Return from when on an instrument's settlements are still to be asked for."""
    settled = instrument.funding_rates.filter(is_settled=True).order_by("-funding_time")
    last: datetime | None = settled.values_list("funding_time", flat=True).first()
    return max(last + timedelta(seconds=1), now - HISTORY) if last else now - HISTORY


@transaction.atomic
def funding_settle(
    *, instrument: Instrument, settlements: Sequence[FundingSettlement], now: datetime
) -> FundingSynced:
    """Write rates that were paid, for good."""
    refused: list[str] = []
    paid: dict[datetime, FundingSettlement] = {}
    for settlement in settlements:
        if problem := funding.settlement_problem(settlement, now=now):
            refused.append(f"{instrument.venue_symbol}: {problem}")
        else:
            paid[funding.settlement_time(settlement.at)] = settlement
    times = sorted(paid)
    usual = _last_intervals([instrument.pk]).get(instrument.pk, funding.USUAL_HOURS)
    hours = funding.intervals(times, usual=usual)
    _store(
        FundingRate(
            instrument=instrument,
            rate=paid[at].rate,
            funding_time=at,
            interval_hours=interval,
            mark_price=paid[at].mark_price,
            observed_at=now,
            is_settled=True,
        )
        for at, interval in zip(times, hours, strict=True)
    )
    return FundingSynced(len(paid), tuple(refused))


def funding_prune(*, now: datetime) -> int:
    """Delete settlements past keeping, in batches; return how many."""
    gone = 0
    old = FundingRate.objects.filter(funding_time__lt=now - KEPT)
    while batch := list(old.values_list("pk", flat=True)[:PRUNE_BATCH]):
        gone += FundingRate.objects.filter(pk__in=batch).delete()[0]
    return gone
