"""One stored row of every entity, whoever writes it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from accounts.models import (
    AccountState,
    AccountSyncJob,
    EquitySample,
    ExchangeAccount,
    FundingPayment,
    Position,
    ProxyProfile,
    ProxySession,
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
from markets.models import FeedTraffic, FundingRate, Quote, SynthPriceSnapshot
from monitoring.models import Alert, AlertRoute, JobRun, MonitoringEvent
from strategies.models import QuarantinedAnswer, RiskLimit, UnknownClosure
from tests import factories

CANARY = "canary-7f3a9c"
"""Part of every secret stored here."""


def make_rows() -> dict[str, Any]:
    """Store one row of every entity; return route -> row."""
    now = timezone.now()
    venue = factories.venue()
    instrument = factories.instrument(venue=venue)
    feed = factories.feed(exchange=venue)
    quote = Quote.objects.create(
        feed=feed,
        bid=Decimal(100),
        ask=Decimal(101),
        bid_size=Decimal(1),
        ask_size=Decimal(2),
        venue_at=now,
        received_at=now,
        sequence=1,
    )
    synth = SynthPriceSnapshot.objects.create(
        symbol="BTC",
        mid_price=Decimal("100.5"),
        bid=Decimal(100),
        ask=Decimal(101),
        timestamp=now,
        reason="ws-failover",
    )
    synth.source_feeds.set([feed])
    funding = FundingRate.objects.create(
        instrument=instrument,
        rate=Decimal("0.0001"),
        funding_time=now + timedelta(hours=len(FundingRate.objects.all())),
        interval_hours=8,
        observed_at=now,
    )
    account = _account(venue)
    rows: dict[str, Any] = {
        "venues": venue,
        "instruments": instrument,
        "market-feeds": feed,
        "quotes": quote,
        "feed-traffic": FeedTraffic.objects.create(
            feed=feed, since=now, quotes=7, connections=1, observed_at=now
        ),
        "synth-prices": synth,
        "funding-rates": funding,
        **_of_account(account, instrument),
        **_of_trading(account, instrument),
    }
    return rows


def _account(venue: Any) -> ExchangeAccount:
    number = ExchangeAccount.objects.count()
    profile = ProxyProfile.objects.create(profile_id=f"pool-{number}", name="Pool")
    profile.venues.set([venue])
    session = ProxySession.objects.create(
        proxy_profile=profile, ip="192.0.2.1", port=1000 + number, auth=f"user:{CANARY}-auth"
    )
    config = StopLossConfig.objects.create(
        stop_loss_config_id=f"stop-{number}", name="Stop", max_position_loss=Decimal(100)
    )
    secrets = ("public_key", "api_key", "api_secret", "passphrase", "agent_key")
    return factories.account(
        exchange=venue,
        proxy_profile=profile,
        proxy_session=session,
        stop_loss_config=config,
        **{name: f"{CANARY}-{name}" for name in secrets},
    )


def _of_account(account: Any, instrument: Any) -> dict[str, Any]:
    now = timezone.now()
    state = AccountState.objects.get(account=account)
    AccountState.objects.filter(pk=state.pk).update(equity=Decimal(1000), balance_at=now)
    return {
        "accounts": account,
        "risk-envelopes": account.risk_envelope,
        "proxy-profiles": account.proxy_profile,
        "proxy-sessions": account.proxy_session,
        "stop-loss-configs": account.stop_loss_config,
        "account-states": state,
        "sync-jobs": AccountSyncJob.objects.create(
            account=account, proxy_session=account.proxy_session, started_at=now
        ),
        "positions": Position.objects.create(
            account=account, instrument=instrument, size=Decimal("-0.5"), observed_at=now
        ),
        "equity-samples": EquitySample.objects.create(
            account=account, equity=Decimal(1000), at=now
        ),
        "funding-payments": FundingPayment.objects.create(
            account=account,
            instrument=instrument,
            venue_symbol=instrument.venue_symbol,
            payment_id="1",
            amount=Decimal("-0.1"),
            asset="USDT",
            venue_at=now,
        ),
        "transfers": Transfer.objects.create(
            account=account,
            venue_transfer_id="1",
            kind="TRANSFER",
            amount=Decimal("-5"),
            asset="USDT",
            venue_at=now,
        ),
    }


def _of_trading(account: Any, instrument: Any) -> dict[str, Any]:
    now = timezone.now()
    module = factories.module()
    pair = factories.intent(account=account, instrument=instrument, module=module)
    intent = factories.intent(
        account=account, instrument=instrument, module=module, hedge_pair_intent=pair
    )
    hedge = HedgeExecution.objects.create(
        book=f"live:{account.pk}",
        symbol="BTC",
        primary_account=account,
        delta_before=Decimal("0.5"),
        threshold=Decimal("0.0005"),
        trigger_reason="delta",
    )
    hedge.intents.set([intent])
    event = MonitoringEvent.objects.create(
        type="hedge", message="A hedge.", account_id=account.pk, module_id=module.pk
    )
    stop = EmergencyStop.objects.create(
        scope="account", target=account.pk, reason="fire", engaged_by="ann"
    )
    return {
        "strategy-modules": module,
        "hedge-throttles": HedgeThrottle.objects.create(
            scope="book", target=f"live:{account.pk}", cause="failures", count=10
        ),
        "hedge-dust": HedgeDust.objects.create(
            book=f"live:{account.pk}",
            symbol="BTC",
            delta_base=Decimal("0.0009"),
            delta_btc=Decimal("0.0009"),
            seen_at=now,
        ),
        "stop-rules": StopRule.objects.create(
            stop_rule_id=f"rule-{account.pk}", trigger="rejects", account=account, threshold=5
        ),
        "emergency-stops": stop,
        "stopped-accounts": StoppedAccount.objects.create(
            stop=stop,
            account=account,
            book=f"live:{account.pk}",
            prior_status="active",
            blocked_at=now,
            next_try_at=now,
            deadline_at=now,
        ),
        "allocations": factories.allocation(account=account, module=module),
        "risk-limits": RiskLimit.objects.create(
            scope="account", account=account, max_gross_value=Decimal(1000)
        ),
        "order-intents": intent,
        "hedge-executions": hedge,
        "fills": Fill.objects.create(
            account=account,
            instrument=instrument,
            intent=intent,
            trade_id="1",
            side="buy",
            amount=Decimal("0.01"),
            price=Decimal(100),
            venue_at=now,
        ),
        "reconciliation-breaks": ReconciliationBreak.objects.create(
            account=account, kind="position-mismatch"
        ),
        "resolution-steps": ResolutionStep.objects.create(
            intent=intent,
            at=now,
            by_id="not-found",
            listed="not-asked",
            trades="not-asked",
            position="not-asked",
            verdict="unknown",
        ),
        "quarantined-answers": QuarantinedAnswer.objects.create(intent=intent, reason="cut"),
        "unknown-closures": UnknownClosure.objects.create(
            intent=intent,
            proposed_by=User.objects.create_user(f"proposer-{User.objects.count()}"),
            proposed_reason="gone",
        ),
        "monitoring-events": event,
        "alerts": Alert.objects.create(event=event),
        "alert-routes": AlertRoute.objects.create(
            route_id=f"route-{AlertRoute.objects.count()}",
            name="Route",
            target=f"mailto://{CANARY}-target",
        ),
        "job-runs": JobRun.objects.create(job="accounts.sync", cluster="sync", started_at=now),
    }
