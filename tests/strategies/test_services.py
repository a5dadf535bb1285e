"""Reports and fills move an intent forward, once, whatever order they come in."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from controlplane.kernel.errors import Conflict, Denied, IllegalMove
from controlplane.kernel.units import BaseAmount, Price
from markets.venues.types import OrderReport, OrderStatus, Side
from monitoring.models import MonitoringEvent
from strategies import services
from strategies.domain.intent import IntentEvent
from strategies.models import OrderIntent
from tests import factories
from tests.strategies.conftest import Stage

pytestmark = pytest.mark.django_db
D = Decimal


@dataclass(frozen=True)
class Trade:
    amount: Decimal
    price: Decimal
    fee: Decimal = Decimal()
    fee_asset: str = "USDT"


def report(intent: OrderIntent, status: str, filled: str = "0") -> OrderReport:
    return OrderReport(
        venue_symbol=intent.instrument.venue_symbol,
        venue_order_id="77",
        client_order_id=intent.client_order_id,
        side=Side(intent.side),
        status=OrderStatus(status),
        amount=BaseAmount(intent.amount),
        filled=BaseAmount(D(filled)),
        price=None,
        average_price=Price(D(60_000)) if D(filled) else None,
        reduce_only=False,
        at=datetime.now(UTC),
    )


def sending(stage: Stage, **fields: Any) -> OrderIntent:
    intent = stage.wish(**fields)
    locked = services.intent_locked(intent.pk)
    now = datetime.now(UTC)
    return services.intent_move(
        locked,
        IntentEvent.CLAIM,
        actor=stage.actor,
        claim_fence=1,
        claimed_by="test",
        signed_at=now,
        expires_at=now + timedelta(seconds=10),
    )


def apply(stage: Stage, intent: OrderIntent, *reports: OrderReport) -> OrderIntent:
    for each in reports:
        services.order_report_apply(intent=intent, report=each, actor=stage.actor)
    intent.refresh_from_db()
    return intent


@pytest.mark.parametrize(
    ("statuses", "place", "filled"),
    [
        ([("open", "0")], ("submitted", "acknowledged"), "0"),
        ([("open", "0"), ("partially-filled", "0.004")], ("submitted", "acknowledged"), "0.004"),
        ([("partially-filled", "0.004"), ("open", "0")], ("submitted", "acknowledged"), "0.004"),
        ([("filled", "0.01"), ("partially-filled", "0.004")], ("filled", "acknowledged"), "0.01"),
        ([("expired", "0.004")], ("cancelled", "acknowledged"), "0.004"),
        ([("cancelled", "0")], ("cancelled", "acknowledged"), "0"),
        ([("cancelled", "0.004"), ("open", "0")], ("cancelled", "acknowledged"), "0.004"),
        ([("cancelled", "0"), ("filled", "0.01")], ("filled", "acknowledged"), "0.01"),
        ([("rejected", "0")], ("failed", "acknowledged"), "0"),
        ([("rejected", "0"), ("partially-filled", "0.004")], ("failed", "acknowledged"), "0.004"),
    ],
)
def test_reports_lead_to_one_place_in_any_order(
    still: Stage, statuses: list[tuple[str, str]], place: tuple[str, str], filled: str
) -> None:
    intent = sending(still)
    apply(still, intent, *(report(intent, *status) for status in statuses))
    assert (intent.state, intent.submission) == place
    assert intent.filled_amount == D(filled)
    assert intent.venue_order_id == "77"


def test_a_report_seen_twice_changes_nothing(still: Stage) -> None:
    intent = sending(still)
    seen = report(intent, "partially-filled", "0.004")
    before = OrderIntent.objects.values().get(pk=apply(still, intent, seen).pk)
    events = MonitoringEvent.objects.count()
    apply(still, intent, seen, seen)
    assert OrderIntent.objects.values().get(pk=intent.pk) == before
    assert MonitoringEvent.objects.count() == events


@pytest.mark.parametrize(
    "lie",
    [
        {"client_order_id": "somebody-else"},
        {"venue_symbol": "ETHUSDT"},
        {"side": Side.SELL},
        {"amount": D("999")},
        {"filled": D("999")},
        {"filled": D("-1")},
        {"filled": D("Infinity")},
        {"filled": D("NaN")},
        {"venue_order_id": ""},
        {"status": OrderStatus.FILLED},
    ],
)
def test_a_report_about_something_else_is_not_believed(still: Stage, lie: dict[str, Any]) -> None:
    intent = sending(still)
    with pytest.raises(Conflict):
        services.order_report_apply(
            intent=intent, report=replace(report(intent, "open"), **lie), actor=still.actor
        )
    intent.refresh_from_db()
    assert (intent.state, intent.submission, intent.filled_amount) == ("submitted", "sending", 0)


def test_an_order_we_never_sent_is_no_quiet_matter(still: Stage) -> None:
    intent = still.wish()
    with pytest.raises(IllegalMove):
        services.order_report_apply(intent=intent, report=report(intent, "open"), actor=still.actor)
    services.orders_record(
        account_id=still.account.pk, reports=[report(intent, "open")], actor=still.actor
    )
    assert MonitoringEvent.objects.filter(severity="CRITICAL", type="order").count() == 1
    intent.refresh_from_db()
    assert (intent.state, intent.submission) == ("pending", "none")


def test_late_fill_after_cancel_is_booked(still: Stage) -> None:
    intent = sending(still)
    apply(still, intent, report(intent, "cancelled"))
    trades = [Trade(D("0.004"), D(60_000), D("0.12"))]
    services.intent_fill_apply(intent=intent, fills=trades, actor=still.actor)
    intent.refresh_from_db()
    assert (intent.state, intent.filled_amount, intent.fee) == ("cancelled", D("0.004"), D("0.12"))


def test_fills_are_summed_once_however_often_they_come(still: Stage) -> None:
    intent = sending(still)
    trades = [
        Trade(D("0.004"), D(60_000), D("0.12")),
        Trade(D("0.006"), D(60_100), D("0.000001"), "BTC"),
        Trade(D("0.000"), D(1), D(9), "BNB"),
    ]
    for _ in range(2):
        services.intent_fill_apply(intent=intent, fills=trades, actor=still.actor)
    intent.refresh_from_db()
    assert (intent.state, intent.submission) == ("filled", "acknowledged")
    assert intent.average_price == D("60060")
    assert intent.fee == D("0.1801")


def test_fills_know_the_price_better_than_an_earlier_report(still: Stage) -> None:
    intent = sending(still)
    apply(still, intent, report(intent, "filled", "0.01"))
    services.intent_fill_apply(
        intent=intent, fills=[Trade(D("0.01"), D(60_050), D("0.3"))], actor=still.actor
    )
    intent.refresh_from_db()
    assert (intent.average_price, intent.fee) == (D(60_050), D("0.3"))


def test_more_fills_than_asked_for_raise_the_alarm_and_never_overfill(still: Stage) -> None:
    intent = sending(still)
    services.intent_fill_apply(
        intent=intent, fills=[Trade(D("0.02"), D(60_000))], actor=still.actor
    )
    intent.refresh_from_db()
    assert (intent.state, intent.filled_amount) == ("filled", D("0.01"))
    assert MonitoringEvent.objects.filter(severity="CRITICAL").count() == 1


def test_a_withdrawn_intent_is_never_claimed(still: Stage) -> None:
    intent = still.wish()
    services.intent_withdraw(intent=intent, reason="not needed", actor=still.actor)
    intent.refresh_from_db()
    assert (intent.state, intent.submission, intent.reason) == ("cancelled", "none", "not needed")
    with pytest.raises(IllegalMove):
        services.intent_move(
            services.intent_locked(intent.pk), IntentEvent.CLAIM, actor=still.actor
        )


def test_a_sent_intent_cannot_be_withdrawn(still: Stage) -> None:
    intent = sending(still)
    with pytest.raises(IllegalMove):
        services.intent_withdraw(intent=intent, reason="too late", actor=still.actor)
    intent.refresh_from_db()
    assert (intent.state, intent.submission) == ("submitted", "sending")


def test_two_intents_point_at_each_other_and_at_nobody_else(still: Stage) -> None:
    a, b, c = still.wish(), still.wish(side="sell"), still.wish()
    services.intents_pair(a, b)
    a.refresh_from_db()
    b.refresh_from_db()
    assert (a.hedge_pair_intent, b.hedge_pair_intent) == (b, a)
    with pytest.raises(Conflict):
        services.intents_pair(c, a)
    a.refresh_from_db()
    c.refresh_from_db()
    assert (a.hedge_pair_intent, c.hedge_pair_intent) == (b, None)


@pytest.mark.parametrize("rule", ["dry_run_enabled", "requires_sandbox"])
def test_a_module_bound_to_the_sandbox_never_gets_a_live_intent(still: Stage, rule: str) -> None:
    still.module = factories.module(**{"dry_run_enabled": False, rule: True})
    with pytest.raises(Denied) as denied:
        still.wish()
    assert denied.value.code == "LIVE_NOT_ALLOWED"
    assert not OrderIntent.objects.exists()
    assert still.wish(sandbox=True).sandbox


def test_a_sandbox_allocation_never_gets_a_live_intent(still: Stage) -> None:
    factories.allocation(module=still.module, account=still.account, sandbox_mode=True)
    with pytest.raises(Denied):
        still.wish()
    assert not OrderIntent.objects.exists()


def test_an_instrument_of_another_venue_is_refused(still: Stage) -> None:
    with pytest.raises(Denied):
        still.wish(instrument=factories.instrument())
    assert not OrderIntent.objects.exists()
