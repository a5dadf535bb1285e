"""What keeps an order from being sent: the gate in its claim, its environment, a last look."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError

from accounts import egress
from accounts.models import AccountState, ExchangeAccount
from markets.models import Quote
from markets.venues.errors import OutcomeUnknown
from monitoring.models import MonitoringEvent
from strategies import execution
from strategies.models import OrderIntent
from strategies.sandbox import SandboxClient
from tests.strategies.conftest import Stage, VenueThread, stage
from tests.strategies.sending import Line, echo, place, raising, submit

D = Decimal


# The gate, at the moment of the claim


def _paused(stage: Stage) -> None:
    ExchangeAccount.objects.filter(pk=stage.account.pk).update(status="paused")


def _venue_off(stage: Stage) -> None:
    stage.account.exchange.is_enabled = False
    stage.account.exchange.save()


def _module_off(stage: Stage) -> None:
    stage.module.status = "disable"
    stage.module.save()


def _no_price(stage: Stage) -> None:
    Quote.objects.all().delete()


def _no_positions(stage: Stage) -> None:
    AccountState.objects.update(positions_at=None)


def _old_positions(stage: Stage) -> None:
    AccountState.objects.update(positions_at=datetime.now(UTC) - timedelta(seconds=61))


def _small(stage: Stage) -> None:
    ExchangeAccount.objects.filter(pk=stage.account.pk).update(max_position_value=D(599))


def _dry(stage: Stage) -> None:
    stage.module.dry_run_enabled = True
    stage.module.save()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_paused, "ACCOUNT_NOT_ACTIVE"),
        (_venue_off, "VENUE_DISABLED"),
        (_module_off, "MODULE_NOT_ENABLED"),
        (_no_price, "PRICE_STALE: reference=None"),
        (_no_positions, "POSITION_UNKNOWN"),
        (_old_positions, "POSITION_UNKNOWN"),
        (_small, "NOTIONAL_EXCEEDS_MAXIMUM: notional=600, maximum=599"),
        (_dry, "LIVE_NOT_ALLOWED"),
    ],
)
def test_what_changed_since_the_wish_stops_the_send(
    still: Stage, on_the_line: Callable[..., Line], change: Callable[[Stage], None], code: str
) -> None:
    line = on_the_line(echo)
    intent = still.wish()
    change(still)
    submit(still, intent)
    assert place(intent) == ("failed", "none")
    assert intent.reason.startswith(code)
    assert line.sent == []
    assert MonitoringEvent.objects.latest("event_id").message.endswith(intent.reason)


@pytest.mark.parametrize("change", [_paused, _module_off, _no_price, _no_positions, _small])
def test_nothing_but_form_stops_a_reduce_only_order(
    still: Stage, on_the_line: Callable[..., Line], change: Callable[[Stage], None]
) -> None:
    line = on_the_line(echo)
    intent = still.wish(reduce_only=True)
    change(still)
    assert place(submit(still, intent)) == ("submitted", "acknowledged")
    assert len(line.sent) == 1


def test_an_unknown_order_blocks_new_exposure_there(
    still: Stage, on_the_line: Callable[..., Line]
) -> None:
    on_the_line(raising(OutcomeUnknown("cut off")))
    assert place(submit(still, still.wish())) == ("submitted", "unknown")
    line = on_the_line(echo)
    blocked = submit(still, still.wish())
    assert (place(blocked), blocked.reason) == (("failed", "none"), "ORDER_OUTCOME_UNKNOWN")
    assert line.sent == []
    assert place(submit(still, still.wish(reduce_only=True)))[0] == "submitted"


# Environments never mix


def test_a_sandbox_intent_never_reaches_a_venue(
    live: Stage, paper: VenueThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = live.wish(sandbox=True)
    monkeypatch.setattr(
        execution, "client_for", lambda intent, **_: egress.execution_client(intent.account)
    )
    submit(live, intent)
    assert place(intent) == ("failed", "none")
    assert intent.reason.startswith("ENVIRONMENT_MISMATCH")
    assert paper.orders() == []


def test_a_live_intent_never_ends_in_the_sandbox(
    still: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = still.wish()
    monkeypatch.setattr(execution, "client_for", lambda intent, **_: SandboxClient(intent.account))
    submit(still, intent)
    assert place(intent) == ("failed", "none")
    assert intent.reason.startswith("ENVIRONMENT_MISMATCH")


@pytest.mark.django_db(transaction=True)
def test_dry_run_opens_no_socket(
    live: Stage, paper: VenueThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(account: ExchangeAccount) -> None:
        raise AssertionError("a dry run asked for a venue's client")

    monkeypatch.setattr(egress, "execution_client", refuse)
    live.module.dry_run_enabled = True
    live.module.save()
    intent = submit(live, live.wish(sandbox=True))
    assert place(intent) == ("filled", "acknowledged")
    assert paper.venue.ledger.since(kind="request") == []


def test_an_order_that_waited_is_kept_here_when_nobody_can_say_whether_it_was_stopped(
    transactional_db: None, paper: VenueThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stage(paper.venue.rest_url)
    answers = iter([None])

    def ask(intent: OrderIntent) -> None:
        if next(answers, "gone") == "gone":
            raise OperationalError("The database is away.")

    monkeypatch.setattr(execution, "LOOK_AGAIN", 0.0)
    monkeypatch.setattr(execution.selectors, "stop_problem", ask)
    intent = submit(made, made.wish())
    assert (intent.state, intent.submission) == ("failed", "none")
    assert intent.reason.endswith("Stops cannot be asked for: OperationalError")
    assert paper.orders() == []
