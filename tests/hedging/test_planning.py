"""Where a decided hedge is traded, how much on each account and at what limit."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain.headroom import Bound, Headroom
from controlplane.kernel.units import BaseAmount, BtcEquivalent, Price, QuoteAmount, Ratio
from hedging.domain.decision import Decision, HedgeTerms, TradingState, decide
from hedging.domain.delta import Holding, net_exposures
from hedging.domain.planning import Candidate, Plan, Skip, Top, collar_price, plan_hedge
from markets.domain.instrument import InstrumentSpec
from markets.venues.types import Side

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = InstrumentSpec(
    venue_symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    contract_size=Decimal(1),
    tick=Decimal("0.5"),
    lot=Decimal("0.001"),
    min_qty=Decimal("0.001"),
    min_notional=Decimal(100),
    max_qty=Decimal(50),
)
TOP = Top(Price(Decimal(49_999)), Price(Decimal(50_001)))


def decision(delta: str, *, may_increase: bool = True) -> Decision:
    (exposure,) = net_exposures(
        [Holding("x", "BTC", BaseAmount(Decimal(delta)))], [], {"BTC": Decimal(50_000)}
    )
    return decide(
        exposure,
        HedgeTerms(BtcEquivalent(Decimal("0.0005"))),
        TradingState(may_increase=may_increase, may_reduce=True),
        now=NOW,
    )


def candidate(account_id: str, position: str = "0", **fields: Any) -> Candidate:
    values: dict[str, Any] = {
        "account_id": account_id,
        "instrument_id": UUID(int=ord(account_id)),
        "spec": SPEC,
        "top": TOP,
        "position": BaseAmount(Decimal(position)),
        "open_buy": BaseAmount(Decimal(0)),
        "open_sell": BaseAmount(Decimal(0)),
        "taker_fee": Ratio(Decimal("0.0005")),
        "slippage": Ratio(Decimal("0.005")),
        "max_position_value": QuoteAmount(Decimal(1_000_000)),
        "may_increase": True,
        "may_reduce": True,
        "has_unknown_intent": False,
        **fields,
    }
    return Candidate(**values)


def shape(plan: Plan) -> list[tuple[str, str, Decimal, bool]]:
    return [(o.account_id, str(o.side), o.amount, o.reduce_only) for o in plan.orders]


def test_the_position_that_shrinks_carries_the_hedge_even_when_dearer() -> None:
    plan = plan_hedge(
        decision("0.1"), [candidate("b", "-1"), candidate("a", "1.1", taker_fee=Decimal("0.01"))]
    )
    assert shape(plan) == [("a", "sell", Decimal("0.1"), True)]
    assert plan.residual == 0


def test_what_shrinking_cannot_close_goes_to_the_cheapest_account() -> None:
    candidates = [
        candidate("a", taker_fee=Ratio(Decimal("0.0006"))),
        candidate("b", top=Top(Price(Decimal(49_900)), Price(Decimal(50_100)))),
        candidate("c"),
        candidate("d", "0.3", taker_fee=Ratio(Decimal("0.01"))),
    ]
    assert shape(plan_hedge(decision("1"), candidates)) == [
        ("d", "sell", Decimal("0.3"), True),
        ("c", "sell", Decimal("0.7"), False),
    ]


def test_an_order_already_on_its_way_is_not_shrunk_twice() -> None:
    busy = candidate("a", "0.5", open_sell=BaseAmount(Decimal("0.4")), may_increase=False)
    assert shape(plan_hedge(decision("1"), [busy])) == [("a", "sell", Decimal("0.1"), True)]


@pytest.mark.parametrize(
    ("fields", "skip"),
    [
        ({"top": None}, Skip.QUOTE_STALE),
        ({"has_unknown_intent": True}, Skip.OUTCOME_UNKNOWN),
        ({"may_reduce": False}, Skip.STOPPED),
    ],
)
def test_an_account_that_cannot_be_relied_on_is_not_used(
    fields: dict[str, Any], skip: Skip
) -> None:
    plan = plan_hedge(decision("1"), [candidate("a", "1", **fields), candidate("b")])
    assert shape(plan) == [("b", "sell", Decimal(1), False)]
    assert plan.skipped == (("a", skip), ("b", Skip.REDUCE_ONLY))


def test_a_paused_account_only_shrinks() -> None:
    plan = plan_hedge(decision("-1"), [candidate("a", "-0.4", may_increase=False)])
    assert shape(plan) == [("a", "buy", Decimal("0.4"), True)]
    assert plan.residual == Decimal("0.6")


def test_a_book_that_may_only_reduce_opens_nothing() -> None:
    plan = plan_hedge(decision("1", may_increase=False), [candidate("a", "0.2"), candidate("b")])
    assert shape(plan) == [("a", "sell", Decimal("0.2"), True)]


def test_what_the_best_price_does_not_hold_makes_a_candidate_dearer() -> None:
    thin = candidate("a", top=replace(TOP, bid_size=Decimal("0.01"), ask_size=Decimal(100)))
    deep = replace(TOP, bid_size=Decimal(100), ask_size=Decimal(100))
    usable = [thin, candidate("b", top=deep, taker_fee=Ratio(Decimal("0.00051")))]
    assert shape(plan_hedge(decision("0.01"), usable)) == [("a", "sell", Decimal("0.01"), False)]
    assert shape(plan_hedge(decision("1"), usable)) == [("b", "sell", Decimal(1), False)]


def test_contracts_of_one_account_share_its_headroom() -> None:
    room = Headroom(QuoteAmount(Decimal(75_000)), Bound.UTILIZATION)
    usable = [
        candidate("a", headroom=room, max_position_value=QuoteAmount(Decimal(50_000))),
        candidate("a", headroom=room, instrument_id=UUID(int=7)),
        candidate("b", taker_fee=Ratio(Decimal("0.001"))),
    ]
    plan = plan_hedge(decision("2"), usable)
    assert [(o.account_id, o.amount) for o in plan.orders] == [
        ("a", Decimal(1)),
        ("a", Decimal("0.5")),
        ("b", Decimal("0.5")),
    ]


def test_a_venue_that_refused_lately_comes_after_every_other_way() -> None:
    refused = candidate("a", "2", was_rejected=True)
    assert shape(plan_hedge(decision("1"), [refused, candidate("b")])) == [
        ("b", "sell", Decimal(1), False)
    ]
    assert shape(plan_hedge(decision("1"), [refused])) == [("a", "sell", Decimal(1), True)]


@pytest.mark.parametrize(("delta", "amount"), [("0.0039", "0.003"), ("0.0039999", "0.003")])
def test_size_is_rounded_down_to_the_lot(delta: str, amount: str) -> None:
    plan = plan_hedge(decision(delta), [candidate("a")])
    assert shape(plan) == [("a", "sell", Decimal(amount), False)]
    assert plan.residual == Decimal(delta) - Decimal(amount)


def test_dust_below_the_minimum_is_left_alone() -> None:
    plan = plan_hedge(decision("0.0019"), [candidate("a")])  # 0.001 BTC is worth less than 100
    assert (plan.orders, plan.residual) == ((), Decimal("0.0019"))
    assert ("a", Skip.BELOW_MINIMUM) in plan.skipped


def test_the_smallest_notional_does_not_bind_a_reduction() -> None:
    plan = plan_hedge(decision("0.0019"), [candidate("a", "0.0019")])
    assert shape(plan) == [("a", "sell", Decimal("0.001"), True)]


def test_the_largest_position_value_and_the_largest_order_split_a_hedge() -> None:
    small = candidate("a", max_position_value=QuoteAmount(Decimal(100_000)))
    rich = QuoteAmount(Decimal(10**9))
    plan = plan_hedge(
        decision("60"), [small, candidate("b", max_position_value=rich), candidate("c")]
    )
    assert shape(plan) == [
        ("a", "sell", Decimal(2), False),
        ("b", "sell", Decimal(50), False),
        ("c", "sell", Decimal(8), False),
    ]


@pytest.mark.parametrize(
    ("side", "reference", "price"),
    [
        (Side.BUY, "50010", "50200.5"),  # 50000.9 x 1.004, rounded down
        (Side.BUY, "49900", "50099.5"),  # the reference is nearer
        (Side.SELL, "49990", "49799.5"),
        (Side.SELL, "50100", "49900"),
        (Side.BUY, "49000", None),
        (Side.SELL, "51000", None),
    ],
    ids=str,
)
def test_the_limit_stays_inside_the_tolerance_of_best_and_reference(
    side: Side, reference: str, price: str | None
) -> None:
    top = Top(Price(Decimal("49999.1")), Price(Decimal("50000.9")))
    found = collar_price(candidate("a"), top, side, Decimal(reference))
    assert found == (None if price is None else Decimal(price))


positions = st.decimals("-2", "2", places=3)
candidates = st.lists(
    st.builds(
        lambda name, position, may_increase, fee: candidate(
            name, str(position), may_increase=may_increase, taker_fee=fee
        ),
        st.sampled_from("abcdef"),
        positions,
        st.booleans(),
        st.decimals("0", "0.001", places=5),
    ),
    unique_by=lambda item: item.account_id,
    max_size=5,
)


@given(positions.filter(lambda size: abs(size) > Decimal("0.0005")), candidates)
def test_planned_sizes_never_sum_to_more_than_the_delta(
    delta: Decimal, usable: list[Candidate]
) -> None:
    plan = plan_hedge(decision(str(delta)), usable)
    planned = sum((order.amount for order in plan.orders), Decimal(0))
    assert planned + plan.residual == abs(delta)
    assert plan.residual >= 0
    assert all(order.side is (Side.SELL if delta > 0 else Side.BUY) for order in plan.orders)


@given(positions.filter(lambda size: abs(size) > Decimal("0.0005")), candidates)
def test_reduce_only_orders_never_turn_a_position(delta: Decimal, usable: list[Candidate]) -> None:
    held = {item.account_id: item.position for item in usable}
    for order in plan_hedge(decision(str(delta)), usable).orders:
        if order.reduce_only:
            after = held[order.account_id] + order.side.sign * order.amount
            assert abs(after) < abs(held[order.account_id])
            assert after * held[order.account_id] >= 0
