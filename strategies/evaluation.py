"""From a module's signals to pairs of intents: both legs pass the gate, or neither is written."""

from datetime import datetime
from typing import Final

from django.db import transaction
from django.utils import timezone

from accounts.models import ExchangeAccount
from controlplane.base import events
from controlplane.base.audit import Actor
from controlplane.kernel.errors import Denied
from controlplane.kernel.events import EventType, Occurrence, Severity
from markets.models import Instrument
from strategies import gate, plugins, selectors, services
from strategies.choices import ModuleStatus
from strategies.domain.config import config_problems
from strategies.models import OrderIntent, StrategyModule
from strategies.moment import Moment
from strategies.plugins.port import Leg, Signal

PROBLEMS_SHOWN: Final = 3


@transaction.atomic
def module_evaluate(*, module: StrategyModule, actor: Actor) -> list[OrderIntent]:
    """Write the intents that the module's strategy wishes for now; the caller has them sent.

    A signal is taken when it meets the module's profit target and while fewer than
    `max_concurrent_signals` are open. Raises Denied when the configuration does not fit the
    strategy's schema. The module's row is locked: two evaluations never double a signal.
    """
    locked = StrategyModule.objects.select_for_update(no_key=True).get(pk=module.pk)
    plugin = plugins.plugin_of(locked.type)
    if plugin is None or locked.status != ModuleStatus.ENABLE:
        return []
    if problems := config_problems(locked.config, dict(plugin.config_schema)):
        raise Denied("CONFIG_INVALID", f"CONFIG_INVALID: {'; '.join(problems[:PROBLEMS_SHOWN])}")
    room = locked.max_concurrent_signals - selectors.signals_open(locked)
    if room <= 0:
        return []
    now = timezone.now()
    accounts = selectors.account_view(locked, now=now)
    market = selectors.market_view({account.venue_id for account in accounts}, now=now)
    signals = plugin.evaluate(market, accounts, locked.config, now)
    worthwhile = [signal for signal in signals if signal.meets(locked.profit_after_fee_target)]
    return [
        intent
        for signal in worthwhile[:room]
        for intent in _pair_place(locked, signal, now=now, actor=actor)
    ]


def _pair_place(
    module: StrategyModule, signal: Signal, *, now: datetime, actor: Actor
) -> tuple[OrderIntent, ...]:
    """Write both legs, pointing at each other; when the gate refuses one, write neither."""
    try:
        legs = [_leg_draft(module, signal, leg) for leg in signal.legs]
        moment = Moment(now)
        for _leg, refusal in gate.preview(legs, moment):
            if refusal is not None:
                raise refusal
        a, b = services.intents_write(legs, actor=actor, moment=moment)
        services.intents_pair(a, b)
    except Denied as refusal:
        events.publish(
            Occurrence(
                type=EventType.ORDER,
                message=f"{module.pk} {signal.symbol}: {refusal.message}",
                severity=Severity.WARN,
                module_id=module.pk,
                payload={"symbol": signal.symbol, "code": refusal.code, **refusal.details},
            )
        )
        return ()
    return a, b


def _leg_draft(module: StrategyModule, signal: Signal, leg: Leg) -> OrderIntent:
    return services.intent_draft(
        module=module,
        account=ExchangeAccount.objects.select_related("exchange", "risk_envelope").get(
            pk=leg.account_id
        ),
        instrument=Instrument.objects.get(pk=leg.instrument_id),
        side=leg.side,
        type=leg.type,
        amount=leg.amount,
        price=leg.price,
        expected_profit_after_fee=leg.expected_profit_after_fee,
        sandbox=signal.sandbox,
        reason=signal.reason,
    )
