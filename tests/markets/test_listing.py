"""What a venue changes of a contract freezes it until a person has accepted that."""

from decimal import Decimal
from typing import Any

import pytest

from controlplane import doctor
from controlplane.base import events as event_bus
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import Conflict
from markets import listing
from markets.models import Instrument, Venue
from markets.venues.errors import VenueUnavailable
from monitoring.models import MonitoringEvent
from tests import factories
from tests.markets.feeds.test_services import audit_rows, report

pytestmark = pytest.mark.django_db
JOB = Actor(name="sync_instruments", surface=Surface.JOB)
PERSON = Actor(name="ada", surface=Surface.ADMIN)


@pytest.fixture
def venue() -> Venue:
    venue = factories.venue()
    listing.instruments_upsert(venue=venue, reports=[report()], actor=JOB)
    return venue


def sync(venue: Venue, **changes: Any) -> listing.InstrumentsSynced:
    return listing.instruments_upsert(venue=venue, reports=[report(**changes)], actor=JOB)


def events(code: str) -> list[dict[str, Any]]:
    rows = MonitoringEvent.objects.filter(payload__code=code).order_by("event_id")
    return [row.payload for row in rows]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("tick", Decimal("0.5"), "tick"),
        ("lot", Decimal("0.01"), "lot"),
        ("contract_size", Decimal(1000), "contractSize"),
        ("base", "LUNA", "symbol"),
        ("quote", "USDC", "quoteAsset"),
    ],
)
def test_b14_a_changed_contract_is_frozen_by_the_rules_it_has_now(
    venue: Venue, name: str, value: Any, shown: str
) -> None:
    assert sync(venue, **{name: value}).frozen == 1
    row = Instrument.objects.get(venue=venue)
    assert row.frozen_at is not None
    assert set(row.frozen_for) == {shown}
    assert getattr(row, {"base": "symbol", "quote": "quote_asset"}.get(name, name)) == value
    [event] = events("instrument_frozen")
    assert (event["instrument"], event["changes"]) == (str(row), row.frozen_for)


def test_b14_a_contract_that_is_listed_no_more_is_frozen_and_stays_so(venue: Venue) -> None:
    outcome = listing.instruments_upsert(venue=venue, reports=[report("ETHUSDT")], actor=JOB)
    assert (outcome.retired, outcome.frozen, outcome.created) == (1, 1, 1)
    row = Instrument.objects.get(venue_symbol="BTCUSDT")
    assert row.frozen_for == {"listed": {"from": "true", "to": "false"}}
    with pytest.raises(Conflict, match="not listed"):
        listing.instrument_accept(instrument=row, actor=PERSON, reason="gone")
    sync(venue)  # it is back, under the same name
    row.refresh_from_db()
    assert (row.is_active, row.frozen_at is not None) == (True, True)


def test_rules_that_cannot_be_freeze_the_contract_they_are_told_of(venue: Venue) -> None:
    for _again in range(2):
        assert sync(venue, tick=Decimal(0)).refused == ("BTCUSDT: tick 0",)
    row = Instrument.objects.get()
    assert row.frozen_for == {"listed": {"from": "true", "to": "tick 0"}}
    assert row.tick == report().tick
    assert len(events("instrument_frozen")) == 1


@pytest.mark.parametrize(
    "change",
    [{"min_notional": Decimal(20)}, {"taker_fee": Decimal("0.001")}, {"is_active": False}],
    ids=lambda change: next(iter(change)),
)
def test_what_leaves_the_contract_the_same_freezes_nothing(
    venue: Venue, change: dict[str, Any]
) -> None:
    outcome = sync(venue, **change)
    assert (outcome.changed, outcome.frozen) == (1, 0)
    assert Instrument.objects.get().frozen_at is None


def test_a_second_change_is_told_against_what_was_accepted_last(venue: Venue) -> None:
    sync(venue, tick=Decimal("0.5"))
    since = Instrument.objects.get().frozen_at
    sync(venue, tick=Decimal("0.5"))
    assert len(events("instrument_frozen")) == 1
    sync(venue, tick=Decimal("0.05"), lot=Decimal("0.01"))
    row = Instrument.objects.get()
    assert row.frozen_at == since
    assert {name: Decimal(change["to"]) for name, change in row.frozen_for.items()} == {
        "tick": Decimal("0.05"),
        "lot": Decimal("0.01"),
    }
    assert Decimal(row.frozen_for["tick"]["from"]) == report().tick


def test_a_person_accepts_a_change_with_a_reason(venue: Venue) -> None:
    sync(venue, lot=Decimal("0.01"))
    row = Instrument.objects.get()
    accepted = listing.instrument_accept(instrument=row, actor=PERSON, reason="announced")
    assert (accepted.frozen_at, accepted.frozen_for) == (None, {})
    entry = audit_rows(accepted).latest("pgh_id")
    assert (entry.pgh_context["actor"], entry.pgh_context["reason"]) == ("ada", "announced")
    [event] = events("instrument_accepted")
    assert Decimal(event["changes"]["lot"]["to"]) == Decimal("0.01")
    assert sync(venue, lot=Decimal("0.01")).frozen == 0
    with pytest.raises(Conflict, match="not frozen"):
        listing.instrument_accept(instrument=row, actor=PERSON, reason="again")


MANY = [report(f"{base}USDT") for base in ("BTC", "ETH", "SOL", "XRP", "DOGE")]


@pytest.mark.parametrize("listed", [0, 1, 2])
def test_a_list_cut_short_is_no_list_and_is_told_once_until_it_is_whole(listed: int) -> None:
    venue = factories.venue()
    listing.listing_take(venue=venue, reports=MANY, actor=JOB)
    for _again in range(3):
        with pytest.raises(VenueUnavailable, match=f"lists {listed} contracts, and 5 are known"):
            listing.listing_take(venue=venue, reports=MANY[:listed], actor=JOB)
    rows = Instrument.objects.filter(venue=venue)
    assert {(row.is_active, row.frozen_at) for row in rows} == {(True, None)}
    told = {"code": "listing_short", "venue": venue.pk, "listed": listed, "known": 5}
    assert events("listing_short") == [told]
    (finding,) = [one for one in doctor.venue_use(Venue.objects.all()) if "instruments" in one.name]
    assert (finding.verdict, venue.pk in finding.advice) == (doctor.Verdict.WARN, True)

    assert listing.listing_take(venue=venue, reports=MANY, actor=JOB).unchanged == 5
    assert not [one for one in doctor.venue_use(Venue.objects.all()) if "instruments" in one.name]
    with pytest.raises(VenueUnavailable):
        listing.listing_take(venue=venue, reports=MANY[:listed], actor=JOB)
    assert events("listing_short") == [told, told]


def test_half_a_list_is_taken_and_what_is_gone_is_told_in_one_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = factories.venue()
    listing.listing_take(venue=venue, reports=MANY, actor=JOB)
    batches: list[int] = []
    monkeypatch.setattr(event_bus, "_subscribers", [lambda told: batches.append(len(told))])
    assert listing.listing_take(venue=venue, reports=MANY[:3], actor=JOB).frozen == 2
    assert batches == [2]


def test_a_person_may_say_that_a_short_list_is_whole() -> None:
    venue = factories.venue()
    listing.listing_take(venue=venue, reports=MANY, actor=JOB)
    took = listing.listing_take(venue=venue, reports=MANY[:1], actor=PERSON, believe=True)
    assert (took.retired, took.frozen) == (4, 4)
    with pytest.raises(VenueUnavailable, match="lists 0 contracts"):
        listing.listing_take(venue=venue, reports=[], actor=PERSON, believe=True)
