"""Both sides of a book shrink alike, and its net delta stays what it was."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kernel.units import BaseAmount
from hedging.domain.reduction import LegReduction, ReducibleLeg, reduce_both
from markets.domain.instrument import InstrumentSpec

SPEC = InstrumentSpec(
    venue_symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    contract_size=Decimal(1),
    tick=Decimal("0.1"),
    lot=Decimal("0.001"),
    min_qty=Decimal("0.002"),
)


def leg(name: str, size: str, lot: str = "0.001", **rules: Any) -> ReducibleLeg:
    spec = replace(SPEC, **{"lot": Decimal(lot), **rules})
    return ReducibleLeg(name, UUID(int=ord(name)), spec, BaseAmount(Decimal(size)))


def shape(orders: tuple[LegReduction, ...]) -> list[tuple[str, str, str]]:
    return [(item.account_id, str(item.side), str(item.amount.normalize())) for item in orders]


def test_longs_and_shorts_are_closed_by_the_same_size_in_the_order_given() -> None:
    legs = [leg("a", "0.4"), leg("b", "1"), leg("c", "-0.5"), leg("d", "-2")]
    assert shape(reduce_both(legs, Decimal("0.7"))) == [
        ("a", "sell", "0.4"),
        ("c", "buy", "0.5"),
        ("b", "sell", "0.3"),
        ("d", "buy", "0.2"),
    ]


def test_what_has_no_counterpart_is_left_alone() -> None:
    assert reduce_both([leg("a", "1"), leg("b", "3")], Decimal(1)) == ()
    assert shape(reduce_both([leg("a", "1"), leg("b", "-0.25")], Decimal(5))) == [
        ("a", "sell", "0.25"),
        ("b", "buy", "0.25"),
    ]


@pytest.mark.parametrize(
    ("lots", "amount", "closed"),
    [
        (("0.001", "0.01"), "0.0199", "0.01"),
        (("0.004", "0.006"), "0.1", "0.096"),  # twelve thousandths is whole in both
        (("0.001", "0.001"), "0.0019", "0"),  # below the smallest order
    ],
)
def test_a_pair_trades_only_what_both_contracts_can(
    lots: tuple[str, str], amount: str, closed: str
) -> None:
    orders = reduce_both([leg("a", "1", lots[0]), leg("b", "-1", lots[1])], Decimal(amount))
    assert [item.amount for item in orders] == [Decimal(closed)] * (2 if closed != "0" else 0)


def test_no_order_is_larger_than_its_venue_takes() -> None:
    small = leg("a", "5", max_qty=Decimal("0.5"))
    assert shape(reduce_both([small, leg("b", "-5")], Decimal(5))) == [
        ("a", "sell", "0.5"),
        ("b", "buy", "0.5"),
    ]


legs = st.lists(
    st.builds(
        leg,
        st.sampled_from("abcdefgh"),
        st.decimals("-3", "3", places=4).map(str),
        st.sampled_from(["0.001", "0.002", "0.005", "0.03", "0.25"]),
    ),
    unique_by=lambda item: item.account_id,
    max_size=6,
)


@given(legs, st.decimals("0", "5", places=4))
def test_a_reduction_keeps_the_net_delta_and_turns_no_position(
    held: list[ReducibleLeg], amount: Decimal
) -> None:
    sizes = {item.account_id: item for item in held}
    orders = reduce_both(held, amount)
    assert sum((order.side.sign * order.amount for order in orders), Decimal(0)) == 0
    assert sum((order.amount for order in orders), Decimal(0)) <= 2 * amount
    assert len({order.account_id for order in orders}) == len(orders)
    for order in orders:
        item = sizes[order.account_id]
        after = item.size + order.side.sign * order.amount
        assert after * item.size >= 0
        assert abs(after) < abs(item.size)
        assert order.amount == item.spec.floor_size(order.amount) >= item.spec.min_qty
