"""Accounts above their band are brought back by shrinking both sides of their book alike."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kernel.units import QuoteAmount
from hedging.domain.planning import Candidate, PlannedOrder
from hedging.domain.utilization import (
    AccountUse,
    Transfer,
    confirm,
    plan_reduction,
    propose_transfer,
)
from tests.hedging.test_planning import candidate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRICE = Decimal(50_000)


def use(name: str, margin: str | None, equity: str | None = "1000", **fields: Any) -> AccountUse:
    values = {"low": Decimal("0.4"), "high": Decimal("0.8"), "read_at": NOW, "asset": "USDT"}
    return AccountUse(
        name,
        None if equity is None else Decimal(equity),
        None if margin is None else Decimal(margin),
        **{**values, **fields},
    )


def uses(*given: AccountUse) -> Mapping[str, AccountUse]:
    return {item.account_id: item for item in given}


def shape(orders: tuple[PlannedOrder, ...]) -> list[tuple[str, str, Decimal]]:
    assert all(order.reduce_only for order in orders)
    return [(order.account_id, str(order.side), order.amount) for order in orders]


@pytest.mark.parametrize(
    ("margin", "share"),
    [("800", "0"), ("801", None), ("1000", "0.3"), ("1400", "0.5"), ("300", "0"), (None, "0")],
)
def test_an_account_above_its_band_is_brought_a_quarter_into_it(
    margin: str | None, share: str | None
) -> None:
    found = use("a", margin).share_to_close
    if share is None:
        assert 0 < found < Decimal("0.127")
    else:
        assert found == Decimal(share)


def test_unknown_margin_or_lost_equity_is_never_above() -> None:
    assert not use("a", "900", None).is_above
    assert not use("a", "900", "-5").is_above


def test_one_reading_proves_nothing_and_coming_back_starts_anew() -> None:
    hot, later = use("a", "900"), NOW + timedelta(seconds=5)
    first, none = confirm({}, [hot])
    assert none == frozenset()
    assert confirm(first, [hot])[1] == frozenset()  # the same reading again
    _since, sure = confirm(first, [use("a", "900", read_at=later)])
    assert sure == {"a"}
    back, _none = confirm(first, [use("a", "500", read_at=later)])
    assert back == {}


def test_the_other_side_is_closed_where_utilization_is_highest() -> None:
    held = [candidate("a", "1"), candidate("b", "-0.2"), candidate("c", "-0.9")]
    known = uses(use("a", "1000"), use("b", "100"), use("c", "700"))
    assert shape(plan_reduction(known["a"], held, known, reference=PRICE)) == [
        ("a", "sell", Decimal("0.3")),
        ("c", "buy", Decimal("0.3")),
    ]


@pytest.mark.parametrize(
    "fields",
    [{"top": None}, {"may_reduce": False}, {"has_unknown_intent": True}, {"cannot_reduce": "X"}],
)
def test_both_sides_are_reduced_or_neither(fields: dict[str, Any]) -> None:
    known = uses(use("a", "1000"), use("b", "100"))
    for names in (("a", "b"), ("b", "a")):
        held = [candidate(names[0], "1"), candidate(names[1], "-1", **fields)]
        assert plan_reduction(known["a"], held, known, reference=PRICE) == ()


def test_a_side_that_could_not_be_priced_keeps_both_open() -> None:
    known = uses(use("a", "1000"), use("b", "100"))
    held = [candidate("a", "1"), candidate("b", "-1")]
    assert plan_reduction(known["a"], held, known, reference=Decimal(48_000)) == ()


sides = st.lists(
    st.builds(
        lambda name, size: candidate(name, str(size)),
        st.sampled_from("abcdef"),
        st.decimals("-2", "2", places=3),
    ),
    unique_by=lambda item: item.account_id,
    min_size=2,
    max_size=6,
)


@given(sides, st.decimals("801", "3000", places=1))
def test_a_reduction_keeps_the_net_delta_and_enlarges_nothing(
    held: list[Candidate], margin: Decimal
) -> None:
    name = held[0].account_id
    known = uses(use(name, str(margin)))
    orders = plan_reduction(known[name], held, known, reference=PRICE)
    assert sum((order.side.sign * order.amount for order in orders), Decimal(0)) == 0
    sizes = {item.account_id: item.position for item in held}
    for order in orders:
        after = sizes[order.account_id] + order.side.sign * order.amount
        assert abs(after) < abs(sizes[order.account_id])
        assert after * sizes[order.account_id] >= 0
    mine = [order.amount for order in orders if order.account_id == name]
    assert sum(mine) <= known[name].share_to_close * abs(sizes[name])


def test_a_transfer_is_proposed_from_who_has_most_to_spare() -> None:
    hot = use("a", "1000")  # 1000 / 0.7 - 1000 = 428.57
    poor, rich = use("b", "300", "600"), use("c", "300", "2000")
    assert propose_transfer(hot, [hot, poor, rich]) == Transfer(
        "c", "a", QuoteAmount(Decimal(428)), "USDT"
    )
    assert propose_transfer(hot, [hot, poor]) == Transfer(
        "b", "a", QuoteAmount(Decimal(100)), "USDT"
    )
    other = use("d", "0", "9000", asset="USDC")
    assert propose_transfer(hot, [hot, other, use("e", "900"), use("f", None)]) is None
    assert propose_transfer(use("a", "500"), [rich]) is None
