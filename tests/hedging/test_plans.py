"""A plan is held to the gate before any of its orders is written."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AccountState, ExchangeAccount, Position
from controlplane.base.audit import Actor, Surface
from hedging import selectors
from hedging.choices import TriggerReason
from hedging.domain.planning import Plan
from hedging.models import HedgeExecution
from hedging.services import book_evaluate
from markets.models import Instrument
from strategies.models import OrderIntent, RiskLimit
from tests import factories
from tests.hedging import world

pytestmark = pytest.mark.django_db

ACTOR = Actor(name="test", surface=Surface.SENTINEL)
BOOK = "live:a"


@pytest.fixture
def btc() -> Instrument:
    return world.market("BTC")


@pytest.fixture
def book(btc: Instrument) -> tuple[ExchangeAccount, ...]:
    """Three accounts in a book whose first is long two bitcoin."""
    accounts = tuple(world.trader(btc, account_id=name) for name in ("a", "b", "c"))
    world.join(*accounts)
    # Held where nothing trades any more, so that no position can be reduced.
    gone = world.market("BTC", is_active=False)
    world.holds(accounts[0], gone, "2")
    ExchangeAccount.objects.update(max_position_value=Decimal(75_000))
    return accounts


def planned() -> Plan:
    (proposal,) = selectors.proposals(BOOK, now=timezone.now())
    assert proposal.plan is not None
    return proposal.plan


def shape(plan: Plan) -> list[tuple[str, str]]:
    return [(order.account_id, str(order.amount.normalize())) for order in plan.orders]


def test_a_hedge_is_split_over_accounts(book: tuple[ExchangeAccount, ...]) -> None:
    assert shape(planned()) == [("a", "1.5"), ("b", "0.5")]


@pytest.mark.parametrize(
    ("model", "change", "code"),
    [
        (AccountState, {"reconciled_at": None}, "ACCOUNT_NOT_RECONCILED"),
        (AccountState, {"equity": None}, "MARGIN_UNKNOWN"),
        (AccountState, {"initial_margin": Decimal(800_000)}, "UTILIZATION"),
        (Position, {"disputed_at": timezone.now()}, "POSITION_DISPUTED"),
    ],
)
def test_an_account_whose_claim_would_be_denied_is_not_planned_for(
    book: tuple[ExchangeAccount, ...], btc: Instrument, model: Any, change: Any, code: str
) -> None:
    world.holds(book[0], btc, "0.001")
    world.holds(book[1], btc, "-0.001")
    changed = model.objects.filter(account="a")
    (changed.filter(instrument=btc) if model is Position else changed).update(**change)
    plan = planned()
    assert ("a", code) in plan.skipped
    assert [order.account_id for order in plan.orders if not order.reduce_only] == ["b", "c"]


def test_nothing_is_planned_to_be_opened_where_the_contract_is_frozen(
    book: tuple[ExchangeAccount, ...], btc: Instrument
) -> None:
    Instrument.objects.filter(pk=btc.pk).update(frozen_at=timezone.now())
    plan = planned()
    assert ("b", "INSTRUMENT_FROZEN") in plan.skipped
    assert shape(plan) == []


def test_orders_of_one_plan_keep_a_common_limit_together(
    book: tuple[ExchangeAccount, ...],
) -> None:
    RiskLimit.objects.create(scope="firm", max_short_value=Decimal(80_000))
    plan = planned()
    # 75,000 and then 5,000 short at 50,000; the second is sized a thousandth below the rest.
    assert shape(plan) == [("a", "1.5"), ("b", "0.099")]
    assert plan.residual == Decimal("0.401")


def test_a_limit_that_leaves_nothing_is_told_by_its_code(
    book: tuple[ExchangeAccount, ...],
) -> None:
    RiskLimit.objects.create(scope="firm", max_orders_per_minute=1)
    plan = planned()
    assert shape(plan) == [("a", "1.5")]
    assert ("b", "ORDER_RATE_EXCEEDED") in plan.skipped


def test_e03_nothing_is_written_when_the_gate_denies_every_order(
    book: tuple[ExchangeAccount, ...],
) -> None:
    RiskLimit.objects.create(scope="firm", max_gross_value=Decimal(1))
    made = book_evaluate(key=BOOK, trigger_reason=TriggerReason.DELTA, actor=ACTOR)
    assert made is None
    assert not HedgeExecution.objects.exists()
    assert not OrderIntent.objects.exists()


def test_where_the_venue_refused_lately_is_tried_last(
    book: tuple[ExchangeAccount, ...], btc: Instrument
) -> None:
    world.refused(factories.intent(account=book[0], instrument=btc, side="sell"))
    assert shape(planned()) == [("b", "1.5"), ("c", "0.5")]


def test_a_hedge_goes_where_the_contract_is_not_frozen(
    book: tuple[ExchangeAccount, ...], btc: Instrument
) -> None:
    elsewhere = world.trader(world.market("BTC"), account_id="d")
    world.join(*book, elsewhere)
    ExchangeAccount.objects.update(max_position_value=Decimal(75_000))
    Instrument.objects.filter(pk=btc.pk).update(frozen_at=timezone.now())
    assert shape(planned()) == [("d", "1.5")]


def test_a_hedge_is_decided_in_few_queries(btc: Instrument) -> None:
    """Each thing is read once: what a hedge adds grows with its orders by the gate's sums alone."""

    def queries(name: str, *, adds: bool) -> int:
        accounts = [world.trader(btc, account_id=f"{name}{number}") for number in range(3)]
        world.join(*accounts)
        world.holds(accounts[0], btc if not adds else world.market("BTC", is_active=False), "2")
        with CaptureQueriesContext(connection) as captured:
            made = book_evaluate(
                key=f"live:{name}0", trigger_reason=TriggerReason.DELTA, actor=ACTOR
            )
        assert made is not None
        assert {order["reduceOnly"] for order in made.orders} == {not adds}
        return len(captured)

    assert queries("reduces", adds=False) <= 30
    assert queries("adds", adds=True) <= 38
