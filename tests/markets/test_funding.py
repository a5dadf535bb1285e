"""Funding: estimates until the settlement, then the rate paid, and nothing a liar says."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from controlplane.base.jobs import execute
from controlplane.kernel.units import Price, Ratio
from markets import funding
from markets.domain.funding import intervals
from markets.feeds import publisher
from markets.funding import FundingSynced
from markets.models import FundingRate, Instrument, Venue
from markets.venues.checks import BadAnswer
from markets.venues.fapi import parsing as fapi
from markets.venues.pacifica import parsing as pacifica
from markets.venues.paper.faults import Fault, FaultKind
from markets.venues.paper.server import PaperVenue
from markets.venues.types import FundingQuote, FundingSettlement, MarkPrice
from monitoring.models import JobRun, MonitoringEvent
from tests import factories
from tests.markets.feeds.running import row_until, running_feeds
from tests.markets.venues.conftest import paper_config

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DUE = datetime(2026, 3, 1, 16, tzinfo=UTC)


def quote(rate: str = "0.0001", **fields: Any) -> FundingQuote:
    values: dict[str, Any] = {
        "venue_symbol": "BTCUSDT",
        "rate": Ratio(Decimal(rate)),
        "mark_price": Price(Decimal(100)),
        "next_funding_at": DUE,
        "interval_hours": 8,
        "at": NOW,
    }
    return FundingQuote(**{**values, **fields})


def paid(rate: str, at: datetime = DUE) -> FundingSettlement:
    return FundingSettlement("BTCUSDT", Ratio(Decimal(rate)), Price(Decimal(99)), at)


def upsert(venue: Venue, *quotes: FundingQuote, now: datetime = NOW) -> FundingSynced:
    return funding.funding_upsert(venue=venue, quotes=quotes, now=now)


def settle(
    instrument: Instrument, *settlements: FundingSettlement, now: datetime = DUE
) -> FundingSynced:
    return funding.funding_settle(instrument=instrument, settlements=settlements, now=now)


def test_an_estimate_is_replaced_until_its_settlement() -> None:
    instrument = factories.instrument()
    unknown = quote(venue_symbol="XUSDT")
    assert upsert(instrument.venue, quote(), unknown) == FundingSynced(1, ())
    upsert(instrument.venue, quote("-0.0003", mark_price=Price(Decimal(101))))
    row = FundingRate.objects.get()
    assert (row.instrument_id, row.rate, row.mark_price, row.is_settled) == (
        instrument.pk,
        Decimal("-0.0003"),
        101,
        False,
    )


def test_an_estimate_of_a_settlement_that_has_been_changes_nothing() -> None:
    instrument = factories.instrument()
    upsert(instrument.venue, quote("0.0001"))
    late = upsert(instrument.venue, quote("0.0009"), now=DUE + timedelta(seconds=2))
    assert late == FundingSynced(0, ())
    assert FundingRate.objects.get().rate == Decimal("0.0001")


def test_the_rate_paid_replaces_the_estimate_and_is_never_changed_again() -> None:
    instrument = factories.instrument()
    upsert(instrument.venue, quote("0.0001"))
    # Some milliseconds past the hour it is still the same settlement.
    settle(instrument, paid("0.00012", DUE + timedelta(milliseconds=8)))
    row = FundingRate.objects.get()
    assert (row.funding_time, row.rate, row.is_settled) == (DUE, Decimal("0.00012"), True)
    settle(instrument, paid("0.5"), paid("0.00099"))
    upsert(instrument.venue, quote("0.0007"))
    assert FundingRate.objects.filter(pk=row.pk).update(rate=1) == 0
    assert FundingRate.objects.get().rate == Decimal("0.00012")


@pytest.mark.parametrize(
    ("lie", "problem"),
    [
        ({"rate": Ratio(Decimal("0.11"))}, "a rate of 0.11"),
        ({"rate": Ratio(Decimal("-25"))}, "a rate of -25"),
        ({"rate": Ratio(Decimal("NaN"))}, "a rate of NaN"),
        ({"interval_hours": 0}, "an interval of 0 h"),
        ({"interval_hours": 200}, "an interval of 200 h"),
        (
            {"next_funding_at": NOW + timedelta(hours=9)},
            "the next settlement at 2026-03-01T18:30:00+00:00",
        ),
        (
            {"next_funding_at": NOW - timedelta(hours=1)},
            "the next settlement at 2026-03-01T08:30:00+00:00",
        ),
    ],
)
def test_a_lying_estimate_is_refused_and_the_others_are_written(
    lie: dict[str, Any], problem: str
) -> None:
    instrument = factories.instrument()
    factories.instrument(venue=instrument.venue, symbol="ETH")
    synced = upsert(instrument.venue, quote(**lie), quote(venue_symbol="ETHUSDT"))
    assert synced == FundingSynced(1, (f"BTCUSDT: {problem}",))
    assert FundingRate.objects.get().instrument.symbol == "ETH"


def test_a_lying_history_is_refused() -> None:
    instrument = factories.instrument()
    future = paid("0.0001", DUE + timedelta(hours=8))
    assert settle(instrument, paid("0.3"), future).refused == (
        "BTCUSDT: a rate of 0.3",
        "BTCUSDT: a settlement at 2026-03-02T00:00:00+00:00",
    )
    assert not FundingRate.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"lastFundingRate": '"NaN"'},
        {"lastFundingRate": '"Infinity"'},
        {"nextFundingTime": "1772380800"},  # seconds
        {"nextFundingTime": "1772380800000000"},  # microseconds
        {"markPrice": '"-1"'},
    ],
)
def test_a_row_that_cannot_be_read_is_left_out_alone(fields: dict[str, str]) -> None:
    rows = b'[{"symbol":"ETHUSDT","markPrice":"1","lastFundingRate":"0.0001",'
    rows += b'"nextFundingTime":1772380800000,"time":1772357400000},'
    bad = {
        "symbol": '"BTCUSDT"',
        "markPrice": '"100"',
        "lastFundingRate": '"0.0001"',
        "nextFundingTime": "1772380800000",
        "time": "1772357400000",
        **fields,
    }
    rows += b"{" + ",".join(f'"{k}":{v}' for k, v in bad.items()).encode() + b"}]"
    info = b'[{"symbol":"ETHUSDT","fundingIntervalHours":4}]'
    [read] = fapi.funding_quotes(rows, info)
    assert (read.venue_symbol, read.interval_hours) == ("ETHUSDT", 4)


def test_mixed_units_in_a_history_are_no_history() -> None:
    row = b'[{"symbol":"BTCUSDT","fundingRate":"0.0001","fundingTime":1772380800,"markPrice":""}]'
    with pytest.raises(BadAnswer, match="bad-time"):
        fapi.funding_settlements(row, venue_symbol="BTCUSDT")
    row = b'{"success":true,"data":[{"funding_rate":"1e400","created_at":1772380800000}]}'
    with pytest.raises(BadAnswer, match="bad-number"):
        pacifica.funding_settlements(row, venue_symbol="BTC")


def test_a_changed_interval_is_told_once() -> None:
    instrument = factories.instrument()
    upsert(instrument.venue, quote())
    for minute in (1, 2):
        at = NOW + timedelta(minutes=minute)
        sooner = quote(interval_hours=4, next_funding_at=DUE - timedelta(hours=4), at=at)
        upsert(instrument.venue, sooner, now=at)
    [event] = MonitoringEvent.objects.all()
    assert (event.type, event.severity) == ("config", "WARN")
    assert event.payload == {
        "exchange": instrument.venue_id,
        "fundingIntervalHours": {"BTCUSDT": {"from": 8, "to": 4}},
    }


def test_intervals_of_a_history_follow_its_times_and_a_gap_says_nothing() -> None:
    hours = [0, 8, 12, 16, 17, 40]
    times = [NOW + timedelta(hours=hour) for hour in hours]
    assert intervals(times, usual=8) == [8, 8, 4, 4, 1, 8]


def test_a_stream_tells_the_estimate_of_an_instrument_whose_interval_is_known() -> None:
    instrument = factories.instrument()
    feed = factories.feed(exchange=instrument.venue)
    mark = MarkPrice(
        venue_symbol="BTCUSDT",
        mark=Price(Decimal(105)),
        index=None,
        funding_rate=Ratio(Decimal("0.0004")),
        next_funding_ms=int(DUE.timestamp() * 1000),
        venue_ms=int(NOW.timestamp() * 1000),
    )
    marks = {feed.pk: mark}
    assert funding.funding_from_marks(marks=marks, now=NOW).written == 0
    upsert(instrument.venue, quote("0.0001", interval_hours=8))
    assert funding.funding_from_marks(marks=marks, now=NOW).written == 1
    row = FundingRate.objects.get()
    assert (row.rate, row.mark_price, row.interval_hours) == (Decimal("0.0004"), 105, 8)


def test_what_is_past_keeping_is_pruned() -> None:
    instrument = factories.instrument()
    now = timezone.now()
    old, kept = (now - funding.KEPT + timedelta(hours=hours) for hours in (-1, 1))
    settle(instrument, paid("0.0001", old), paid("0.0002", kept), now=now)
    execute("markets.prune_funding", {})
    assert JobRun.objects.get().status == "success"
    assert FundingRate.objects.get().rate == Decimal("0.0002")


@pytest_asyncio.fixture
async def paper() -> AsyncIterator[tuple[PaperVenue, Venue]]:
    async with PaperVenue.start(paper_config()) as running:
        yield (
            running,
            await sync_to_async(factories.venue)(
                rest_endpoint=running.rest_url, ws_endpoint=running.ws_url
            ),
        )
    await sync_to_async(lambda: connection.close())()  # the worker thread's own


@pytest.mark.django_db(transaction=True)
async def test_a_new_instruments_settlements_are_read_from_the_venue(
    paper: tuple[PaperVenue, Venue],
) -> None:
    running, venue = paper
    await sync_to_async(factories.feed)(exchange=venue)
    await sync_to_async(execute)("markets.sync_funding", {})
    await sync_to_async(execute)("markets.settle_funding", {})
    for symbol, market in running.engine.markets.items():
        rows = FundingRate.objects.filter(
            instrument__venue_symbol=symbol, is_settled=True
        ).order_by("funding_time")
        told = [(row.funding_time, row.rate, row.interval_hours) async for row in rows]
        assert told == [
            (datetime.fromtimestamp(item.at_ns / 1e9, UTC), item.rate, 8)
            for item in market.settlements
        ]
    assert await FundingRate.objects.filter(is_settled=False).acount() == 2
    assert [run.status async for run in JobRun.objects.all()] == ["success", "success"]
    # All is known: nobody is asked again.
    asked = len(running.ledger.since(kind="request"))
    await sync_to_async(execute)("markets.settle_funding", {})
    assert len(running.ledger.since(kind="request")) == asked


@pytest.mark.django_db(transaction=True)
async def test_one_instruments_trouble_does_not_keep_the_others_waiting(
    paper: tuple[PaperVenue, Venue],
) -> None:
    running, venue = paper
    await sync_to_async(factories.feed)(exchange=venue)
    await sync_to_async(execute)("markets.sync_funding", {})
    running.faults.add(Fault(FaultKind.ANSWER, "GET", "/fapi/v1/fundingRate", body=b"{}"))
    await sync_to_async(execute)("markets.settle_funding", {})
    settled = FundingRate.objects.filter(is_settled=True).values("instrument").distinct()
    assert await settled.acount() == 1
    run = await JobRun.objects.aget(job="markets.settle_funding")
    assert run.status == "failed"
    assert "malformed" in run.error


@pytest.mark.django_db(transaction=True)
async def test_a_feeds_mark_stream_moves_the_estimate(
    paper: tuple[PaperVenue, Venue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "FUNDING_SECONDS", 0.2)
    running, venue = paper
    await sync_to_async(factories.feed)(exchange=venue)
    await sync_to_async(execute)("markets.sync_funding", {})
    running.engine.markets["BTCUSDT"].funding_rate = Decimal("-0.00077")

    def rate() -> Decimal:
        rows = FundingRate.objects.to_come(timezone.now())
        return rows.get(instrument__venue_symbol="BTCUSDT").rate

    async with running_feeds():
        await row_until(rate, Decimal("-0.00077"), seconds=20)
