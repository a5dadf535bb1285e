"""People who use the admin, and one row of every kind to look at."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from knox.models import AuthToken

from accounts.models import (
    AccountState,
    AccountSyncJob,
    EquitySample,
    FundingPayment,
    Position,
    ProxyProfile,
    ProxySession,
    RiskEnvelope,
    StopLossConfig,
    Transfer,
)
from hedging.models import (
    EmergencyStop,
    Fill,
    HedgeDust,
    HedgeExecution,
    HedgeThrottle,
    ReconciliationBreak,
    ResolutionStep,
    StoppedAccount,
    StopRule,
)
from markets.models import (
    FeedTraffic,
    FundingRate,
    Quote,
    StreamHolder,
    StreamLease,
    SynthPriceSnapshot,
    VenueBan,
)
from monitoring.models import Alert, AlertRoute, JobRun, MonitoringEvent
from strategies.models import QuarantinedAnswer, RiskLimit, UnknownClosure
from tests import factories

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def superuser(db: None) -> User:
    return User.objects.create_superuser("root", password="a-long-enough-password")


@pytest.fixture
def page(superuser: User) -> Client:
    """A signed-in superuser's browser."""
    client = Client()
    client.force_login(superuser)
    return client


@pytest.fixture
def clerk(db: None) -> Client:
    """Staff without any permission."""
    client = Client()
    client.force_login(User.objects.create_user("clerk", password="x" * 20, is_staff=True))
    return client


@pytest.fixture
def rows(db: None) -> dict[str, Any]:
    """One row of every registered model, by its label."""
    return make_rows(0)


def make_rows(number: int) -> dict[str, Any]:
    venue = factories.venue()
    instrument = factories.instrument(venue=venue)
    feed = factories.feed(exchange=venue)
    account = factories.account(exchange=venue)
    profile = ProxyProfile.objects.create(profile_id=f"pool-{number}", name="Pool")
    module = factories.module()
    intent = factories.intent(account=account, module=module, instrument=instrument)
    hedge = HedgeExecution.objects.create(
        book=f"{account.pk}",
        symbol="BTC",
        primary_account=account,
        delta_before=Decimal("0.01"),
        threshold=Decimal("0.0005"),
        trigger_reason="delta",
        decision_inputs={"mid": "60000"},
    )
    hedge.intents.add(intent)
    event = MonitoringEvent.objects.create(type="hedge", message="hedged", account_id=account.pk)
    user = User.objects.create_user(f"user-{number}", password="x" * 20)
    made = [
        StreamLease.objects.create(
            lease_id=f"feed/{feed.pk}", kind="feed", holder="host-1-a", fence=1, expires_at=NOW
        ),
        StreamHolder.objects.create(holder_id=f"feed/host-1-{number}", kind="feed", expires_at=NOW),
        VenueBan.objects.create(
            key=f"fapi.binance.com direct {number}", banned_until=NOW, reason="-1003", told_at=NOW
        ),
        venue,
        instrument,
        feed,
        account,
        profile,
        module,
        intent,
        hedge,
        event,
        user,
        factories.allocation(account=account, module=module),
        RiskLimit.objects.create(scope="account", account=account, max_order_value=Decimal(100)),
        RiskEnvelope.objects.get(account=account),
        AccountState.objects.get(account=account),
        ProxySession.objects.create(proxy_profile=profile, ip="10.0.0.1", port=1080, auth="a:b"),
        StopLossConfig.objects.create(
            stop_loss_config_id=f"stop-{number}", name="Stop", max_position_loss=Decimal(100)
        ),
        AccountSyncJob.objects.create(account=account, started_at=NOW),
        Position.objects.create(
            account=account, instrument=instrument, size=Decimal("0.5"), observed_at=NOW
        ),
        EquitySample.objects.create(account=account, equity=Decimal(1000), at=NOW),
        Quote.objects.create(
            feed=feed,
            bid=Decimal(100),
            ask=Decimal(101),
            bid_size=Decimal(1),
            ask_size=Decimal(1),
            venue_at=NOW,
            received_at=NOW,
            sequence=1,
        ),
        FeedTraffic.objects.create(
            feed=feed,
            since=NOW,
            quotes=7,
            connections=1,
            delay_p99=3,
            delay_worst=9,
            observed_at=NOW,
        ),
        SynthPriceSnapshot.objects.create(
            symbol="BTC", mid_price=100, bid=99, ask=101, timestamp=NOW, reason="manual"
        ),
        FundingRate.objects.create(
            instrument=instrument,
            rate=Decimal("0.0001"),
            funding_time=NOW,
            interval_hours=8,
            observed_at=NOW,
        ),
        Fill.objects.create(
            account=account,
            instrument=instrument,
            intent=intent,
            trade_id="1",
            side="buy",
            amount=Decimal("0.01"),
            price=Decimal(60000),
            venue_at=NOW,
        ),
        ReconciliationBreak.objects.create(account=account, kind="position-mismatch"),
        HedgeThrottle.objects.create(
            scope="book", target=f"live:{account.pk}", cause="failures", count=10
        ),
        HedgeDust.objects.create(
            book=f"live:{account.pk}", symbol="BTC", delta_base=1, delta_btc=1, seen_at=NOW
        ),
        StopRule.objects.create(
            stop_rule_id=f"rule-{number}", trigger="rejects", account=account, threshold=5
        ),
        stop := EmergencyStop.objects.create(
            scope="account", target=account.pk, reason="fire", engaged_by="ann"
        ),
        StoppedAccount.objects.create(
            stop=stop,
            account=account,
            book=f"live:{account.pk}",
            prior_status="active",
            blocked_at=NOW,
            next_try_at=NOW,
            deadline_at=NOW,
        ),
        ResolutionStep.objects.create(
            intent=intent,
            at=NOW,
            by_id="not-found",
            listed="not-asked",
            trades="not-asked",
            position="not-asked",
            verdict="unknown",
        ),
        QuarantinedAnswer.objects.create(intent=intent, reason="cut", body="{"),
        UnknownClosure.objects.create(intent=intent, proposed_by=user, proposed_reason="gone"),
        FundingPayment.objects.create(
            account=account,
            instrument=instrument,
            venue_symbol="BTCUSDT",
            payment_id="1",
            amount=Decimal("-0.1"),
            asset="USDT",
            venue_at=NOW,
        ),
        Transfer.objects.create(
            account=account,
            venue_transfer_id="1",
            kind="TRANSFER",
            amount=Decimal("-5"),
            asset="USDT",
            venue_at=NOW,
        ),
        AlertRoute.objects.create(route_id=f"route-{number}", name="Route", target="json://x"),
        Alert.objects.create(event=event),
        JobRun.objects.create(job="accounts.sync", cluster="sync", started_at=NOW),
        Group.objects.create(name=f"desk-{number}"),
        AuthToken.objects.create(user)[0],
    ]
    return {row._meta.label: row for row in made}
