"""Hedging that ran wild is off until a named person releases it; dust is recorded, not traded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import ExchangeAccount, Position
from controlplane.base.audit import Actor, Surface
from controlplane.kernel.errors import Conflict, Denied
from hedging import selectors
from hedging.choices import TriggerReason
from hedging.domain.decision import Decision, Reason
from hedging.domain.throttle import Pace, ThrottleCause, exceeded
from hedging.facts import BookFacts, book_facts, topology
from hedging.models import HedgeDust, HedgeExecution, HedgeThrottle
from hedging.services import book_evaluate, facts_evaluate, throttle_release
from hedging.services.watching import BookWatch
from markets.models import Instrument
from monitoring.models import MonitoringEvent
from strategies.models import StrategyModule
from tests import factories
from tests.hedging import world

pytestmark = pytest.mark.django_db

ACTOR = Actor(name="test", surface=Surface.SENTINEL)
BOOK = "live:a"


@pytest.fixture
def btc() -> Instrument:
    return world.market("BTC", min_qty=Decimal("0.01"))


@pytest.fixture
def book(btc: Instrument) -> ExchangeAccount:
    """An account of a hedging module, long one bitcoin."""
    account = world.trader(btc, account_id="a")
    world.join(account, module_id="hedger")
    world.holds(account, btc, "1")
    return account


@dataclass(frozen=True)
class Decided:
    """Decides always alike."""

    decision: Decision

    def __call__(self, *, now: datetime) -> list[Decision]:
        return [self.decision]


def person() -> Actor:
    user = get_user_model().objects.create_user("ann")
    return Actor(name="ann", surface=Surface.ADMIN, user_id=user.pk)


def evaluate(**fields: Any) -> HedgeExecution | None:
    wish = {"trigger_reason": TriggerReason.DELTA, "actor": ACTOR, **fields}
    return book_evaluate(key=BOOK, **wish)


def past(account: ExchangeAccount, count: int, **fields: Any) -> None:
    for _ in range(count):
        HedgeExecution.objects.create(
            book=BOOK,
            symbol="ETH",
            primary_account=account,
            delta_before=1,
            threshold=1,
            finished_at=timezone.now(),
            **{"result": "success", "trigger_reason": "delta", **fields},
        )


def view() -> selectors.BookView:
    found = selectors.book(BOOK, now=timezone.now())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("pace", "cause"),
    [
        (Pace(99, 9, 4), None),
        (Pace(100, 0, 0), ThrottleCause.EXECUTIONS),
        (Pace(0, 10, 0), ThrottleCause.FAILURES),
        (Pace(0, 0, 5), ThrottleCause.REJECTS),
    ],
)
def test_each_count_has_a_most(pace: Pace, cause: ThrottleCause | None) -> None:
    assert exceeded(pace, Pace(100, 10, 5)) is cause


@pytest.mark.parametrize(
    ("count", "fields", "cause"),
    [(7, {}, "executions"), (3, {"result": "fail"}, "failures")],
)
def test_r6_a_book_that_ran_wild_is_off_until_a_named_person_releases_it(
    book: ExchangeAccount, settings: Any, count: int, fields: dict[str, Any], cause: str
) -> None:
    settings.HEDGE_THROTTLE_EXECUTIONS, settings.HEDGE_THROTTLE_FAILURES = 7, 3
    past(book, count, **fields)
    assert evaluate() is None
    throttle = HedgeThrottle.objects.get()
    assert (throttle.scope, throttle.target, throttle.cause, throttle.count) == (
        "book",
        BOOK,
        cause,
        count,
    )
    (told,) = MonitoringEvent.objects.filter(severity="CRITICAL", type="hedge")
    assert told.payload["code"] == "hedge-throttle"
    assert (view().state, view().reason) == ("halted", "THROTTLED")
    # It holds a person's wish too, and time, here a day, releases nothing.
    HedgeThrottle.objects.update(tripped_at=timezone.now() - timedelta(days=1))
    assert evaluate(trigger_reason=TriggerReason.MANUAL) is None
    assert not HedgeExecution.objects.running().exists()

    for actor, reason in ((person(), " "), (ACTOR, "because")):
        with pytest.raises(Denied):
            throttle_release(throttle=throttle, actor=actor, reason=reason)
    ann = Actor(name="ann", surface=Surface.ADMIN, user_id=get_user_model().objects.get().pk)
    throttle_release(throttle=throttle, actor=ann, reason="the feed is mended")
    with pytest.raises(Conflict):
        throttle_release(throttle=throttle, actor=ann, reason="again")
    assert evaluate() is not None  # what was counted before the release counts no more


def test_r6_a_module_whose_orders_venues_refuse_is_off_everywhere(
    book: ExchangeAccount, btc: Instrument, settings: Any
) -> None:
    settings.HEDGE_THROTTLE_REJECTS = 2
    past(book, 1)
    module = StrategyModule.objects.get(pk="hedger")
    for _ in range(2):
        refused = world.refused(factories.intent(account=book, instrument=btc, module=module))
        HedgeExecution.objects.get().intents.add(refused)
    assert evaluate() is None
    assert str(HedgeThrottle.objects.get()) == "module hedger"
    assert view().reason == "THROTTLED"


@pytest.mark.parametrize(
    "way",
    [
        (("submitted", "sending"), ("failed", "none")),  # it never left
        (("submitted", "sending"), ("submitted", "unknown"), ("failed", "none")),  # never accepted
    ],
)
def test_r6_what_no_venue_took_was_refused_by_none(
    book: ExchangeAccount, btc: Instrument, settings: Any, way: Sequence[tuple[str, str]]
) -> None:
    settings.HEDGE_THROTTLE_REJECTS = 2
    past(book, 1)
    module = StrategyModule.objects.get(pk="hedger")
    for _ in range(2):
        lost = factories.intent(account=book, instrument=btc, module=module)
        world.moved(lost, *way)
        HedgeExecution.objects.get().intents.add(lost)
    assert evaluate() is not None
    assert not HedgeThrottle.objects.exists()


def test_hedges_by_hand_count_for_nothing(book: ExchangeAccount, settings: Any) -> None:
    settings.HEDGE_THROTTLE_EXECUTIONS = 2
    past(book, 2, trigger_reason="manual")
    assert evaluate() is not None


def test_a_released_throttle_is_history(book: ExchangeAccount) -> None:
    throttle = HedgeThrottle.objects.create(scope="book", target="x", cause="failures", count=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        HedgeThrottle.objects.create(scope="book", target="x", cause="failures", count=1)
    throttle_release(throttle=throttle, actor=person(), reason="fine")
    for change in ({"released_at": None}, {"count": 7}):
        with pytest.raises(Exception, match="throttle"), transaction.atomic():
            HedgeThrottle.objects.filter(pk=throttle.pk).update(**change)


def test_dust_is_recorded_once_shown_and_closed_when_it_is_gone(
    book: ExchangeAccount, btc: Instrument
) -> None:
    Position.objects.update(size=Decimal("0.009"))
    now = timezone.now()
    watch = BookWatch()
    for seconds in range(6):
        assert evaluate() is None
        watch.look(book_facts(topology(), now=now), now=now + timedelta(seconds=seconds))
    dust = HedgeDust.objects.get()
    assert (dust.book, dust.symbol, dust.delta_btc) == (BOOK, "BTC", Decimal("0.009"))
    assert ["a", "BELOW_MINIMUM"] in dust.skipped
    assert not HedgeExecution.objects.exists()
    assert (view().state, view().reason) == ("breach", "DUST")
    (told,) = MonitoringEvent.objects.filter(type="delta-alert")
    assert (told.severity, told.payload["reason"]) == ("WARN", "DUST")
    with pytest.raises(CommandError):  # it stays unhedged, and is said so
        call_command("hedge", BOOK, "--dry-run")

    Position.objects.update(size=Decimal("0.0004"))
    looks = book_facts(topology(), now=timezone.now())
    facts_evaluate(looks, trigger_reason=TriggerReason.DELTA, actor=ACTOR, now=timezone.now())
    assert HedgeDust.objects.get().closed_at is not None
    assert view().state == "neutral"


def test_a_book_out_of_its_threshold_is_told_of_after_ten_seconds_though_reasons_change(
    book: ExchangeAccount,
) -> None:
    now, watch = timezone.now(), BookWatch()
    (facts,) = book_facts(topology(), now=now)
    (real,) = facts.decisions(now=now)
    told = []
    for seconds in range(26):
        reason = (Reason.BREACH, Reason.IN_FLIGHT, Reason.BACKING_OFF)[seconds % 3]
        if seconds == 13:
            reason = Reason.WITHIN_THRESHOLD
        looked = SimpleNamespace(book=facts.book, decisions=Decided(replace(real, reason=reason)))
        watch.look([cast(BookFacts, looked)], now=now + timedelta(seconds=seconds))
        told.append(MonitoringEvent.objects.filter(type="delta-alert", severity="CRITICAL").count())
    assert [told.index(count) for count in (1, 2)] == [10, 24]
    assert told[-1] == 2


def test_dust_that_has_grown_is_hedged(book: ExchangeAccount) -> None:
    Position.objects.update(size=Decimal("0.009"))
    assert evaluate() is None
    Position.objects.update(size=Decimal("0.012"))
    assert evaluate() is not None
    assert HedgeDust.objects.get().closed_at is not None
