"""Prices made from other feeds: what they are, and when there is none."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.domain.synthetic import Source, basis_seen, synthetic_price

D = Decimal
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def source(name: str, mid: str, *, spread: str = "2", age: float = 0.0) -> Source:
    half = D(spread) / 2
    return Source(name, D(mid) - half, D(mid) + half, NOW - timedelta(seconds=age))


def test_price_is_the_median_of_the_agreeing_moved_by_the_basis_and_widened() -> None:
    price = synthetic_price(
        [source("a", "1000", age=1), source("b", "1002"), source("c", "1004"), source("d", "1100")],
        basis=D("0.001"),
        minimum=2,
    )
    assert price is not None
    assert price.feed_ids == ("a", "b", "c")
    assert price.mid == D("1003.002")
    assert (price.bid, price.ask) == (
        D("1003.002") - 2 - D("0.2006004"),
        D("1003.002") + 2 + D("0.2006004"),
    )
    assert price.as_of == NOW - timedelta(seconds=1)


def test_unknown_basis_makes_a_wider_price() -> None:
    price = synthetic_price([source("a", "1000"), source("b", "1000")], basis=None, minimum=2)
    assert price is not None
    assert (price.mid, price.bid, price.ask) == (1000, 997, 1003)


@pytest.mark.parametrize(
    ("tick", "bid", "mid", "ask"),
    [
        ("0.1", "998.7", "1001", "1003.3"),
        ("0.5", "998.5", "1001", "1003.5"),
        ("2", "998", "1000", "1004"),  # of two as near the lower one
        ("25", "975", "1000", "1025"),
        (None, "998.7998", "1001", "1003.2002"),
    ],
)
def test_a_price_is_on_the_tick_and_no_narrower_for_it(
    tick: str | None, bid: str, mid: str, ask: str
) -> None:
    price = synthetic_price(
        [source("a", "1000"), source("b", "1000")],
        basis=D("0.001"),
        minimum=2,
        tick=None if tick is None else D(tick),
    )
    assert price is not None
    assert (price.bid, price.mid, price.ask) == (D(bid), D(mid), D(ask))


def test_a_price_below_the_first_tick_is_none() -> None:
    sources = [source("a", "1000"), source("b", "1000")]
    assert synthetic_price(sources, basis=D(0), minimum=2, tick=D(2000)) is None


@pytest.mark.parametrize(
    ("mids", "minimum", "is_made"),
    [
        ((), 1, False),
        (("1000",), 2, False),
        (("1000",), 1, True),
        (("1000", "1001"), 3, False),
        (("1000", "1100"), 2, False),
        (("1000", "1100"), 1, False),  # of two that disagree neither is believed
        (("1000", "1001", "1100"), 2, True),
        (("1000", "1001", "1100"), 3, False),
    ],
)
def test_too_few_agreeing_sources_make_no_price(
    mids: tuple[str, ...], minimum: int, is_made: bool
) -> None:
    sources = [source(str(number), mid) for number, mid in enumerate(mids)]
    assert (synthetic_price(sources, basis=D(0), minimum=minimum) is not None) is is_made


def test_basis_moves_slowly_and_is_kept_while_the_others_are_away() -> None:
    first = basis_seen(None, mid=D(1001), others=[D(1000)])
    assert first == D("0.001")
    assert basis_seen(first, mid=D(1011), others=[D(1000)]) == D("0.002")
    assert basis_seen(first, mid=D(1011), others=[]) == first


@given(
    st.lists(st.decimals(D("0.0001"), D(10**6), places=4), max_size=6),
    st.none() | st.decimals(D("-0.05"), D("0.05"), places=5),
    st.integers(1, 4),
)
def test_a_price_made_is_positive_ordered_and_between_its_sources(
    mids: list[Decimal], basis: Decimal | None, minimum: int
) -> None:
    sources = [source(str(number), str(mid), spread="0.0001") for number, mid in enumerate(mids)]
    price = synthetic_price(sources, basis=basis, minimum=minimum)
    if price is not None:
        assert len(price.feed_ids) >= minimum
        assert 0 < price.bid <= price.mid <= price.ask
        used = [mids[int(name)] * (1 + (basis or 0)) for name in price.feed_ids]
        assert min(used) - D("1e-17") <= price.mid <= max(used) + D("1e-17")
    on_tick = synthetic_price(sources, basis=basis, minimum=minimum, tick=D("0.25"))
    if price is not None and on_tick is not None:
        assert 0 < on_tick.bid <= price.bid + D("1e-17")
        assert on_tick.bid <= on_tick.mid <= on_tick.ask
        assert price.ask - D("1e-17") <= on_tick.ask
        assert {it % D("0.25") for it in (on_tick.bid, on_tick.mid, on_tick.ask)} == {0}
