"""A moved price has the books looked at that it leaves out of their thresholds, and no others."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from hedging import trigger
from hedging.domain.books import Book
from hedging.domain.delta import btc_equivalent
from hedging.exposures import BookLine, ExposureTable
from tests.hedging.world import holds, market, trader

SYMBOLS = ("BTC", "ETH", "SOL")
prices = st.decimals("0.001", "100000", places=3)
sizes = st.decimals("-50", "50", places=4)


@given(
    books=st.lists(
        st.tuples(
            st.decimals("0.0001", "10", places=4),
            st.dictionaries(st.sampled_from(SYMBOLS), sizes),
        ),
        min_size=1,
        max_size=6,
    ),
    first=st.fixed_dictionaries(dict.fromkeys(SYMBOLS, prices)),
    ticks=st.lists(st.tuples(st.sampled_from(SYMBOLS), prices), min_size=1, max_size=12),
)
def test_ticks_name_the_books_that_exact_numbers_call_out(
    books: list[tuple[Decimal, dict[str, Decimal]]],
    first: dict[str, Decimal],
    ticks: list[tuple[str, Decimal]],
) -> None:
    lines = [BookLine(str(n), threshold, held) for n, (threshold, held) in enumerate(books)]
    table, known = ExposureTable(lines, first), dict(first)
    for symbol, price in ticks:
        named = set(table.tick(symbol, price))
        known[symbol] = price
        moved = SYMBOLS if symbol == "BTC" else (symbol,)
        for line in lines:
            deltas = {s: exact(s, held, known) for s, held in line.sizes.items()}
            out = any(abs(deltas[s]) > line.threshold_btc for s in moved if s in deltas)
            # A delta on the very edge may be named too: it is looked at with exact numbers.
            near = any(
                abs(abs(deltas[s]) / line.threshold_btc - 1) < Decimal("1e-8")
                for s in moved
                if s in deltas
            )
            assert near or (line.key in named) == out
    for symbol in set(SYMBOLS) & {s for line in lines for s in line.sizes}:
        for line, value in zip(lines, table.deltas(symbol), strict=True):
            wanted = exact(symbol, line.sizes.get(symbol, Decimal(0)), known)
            assert abs(Decimal(float(value)) - wanted) < Decimal("1e-6")


def exact(symbol: str, held: Decimal, known: dict[str, Decimal]) -> Decimal:
    value = btc_equivalent(held, reference=known[symbol], btc_reference=known["BTC"], symbol=symbol)
    assert value is not None
    return value


def line(key: str = "live:a", threshold: str = "0.01", **held: str) -> BookLine:
    return BookLine(key, Decimal(threshold), {s: Decimal(size) for s, size in held.items()})


def test_a_symbol_without_a_price_is_out_of_nothing_until_it_has_one() -> None:
    table = ExposureTable([line(ETH="-1", BTC="0.005")], {})
    assert table.tick("ETH", Decimal(2000)) == ()
    assert table.tick("BTC", Decimal(200_001)) == ()
    assert table.tick("ETH", Decimal(2001)) == ["live:a"]
    assert table.tick("XRP", Decimal(1)) == ()


def test_a_delta_exactly_at_its_threshold_is_looked_at() -> None:
    table = ExposureTable([line(ETH="0.3")], {"BTC": Decimal(30), "ETH": Decimal("0.1")})
    assert table.tick("ETH", Decimal(1)) == ["live:a"]  # 0.3 × 1 ÷ 30 is 0.01


def test_a_moved_position_counts_from_the_next_tick_on() -> None:
    known = {"BTC": Decimal(100), "ETH": Decimal(10)}
    table = ExposureTable([line(ETH="1"), line("live:b", ETH="0.01")], known)
    assert table.tick("ETH", Decimal(10)) == ["live:a"]
    table.move("live:a", "ETH", Decimal("0.05"))
    table.move("live:b", "ETH", Decimal("-2"))
    assert table.tick("ETH", Decimal(10)) == ["live:b"]
    assert table.deltas("ETH").tolist() == pytest.approx([0.005, -0.2])


class Ticking:
    """A clock a test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> Any:
        raise AssertionError("the trigger needs no wall clock")


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The books of each look, in order; nothing is hedged."""
    looks: list[list[str]] = []

    def evaluate(*, books: list[Book], **_: Any) -> list[Any]:
        looks.append([book.key for book in books])
        return []

    monkeypatch.setattr(trigger, "books_evaluate", evaluate)
    return looks


@pytest.mark.django_db
def test_a_price_looks_at_the_books_it_leaves_out_and_asks_nothing_for_the_others(
    looked: list[list[str]],
) -> None:
    ether = market("ETH")
    market("BTC", venue=ether.venue)
    small, large = (trader(ether, delta_threshold="0.01") for _ in range(2))
    holds(small, ether, "0.1")
    holds(large, ether, "-0.19")
    clock = Ticking()
    watch = trigger.PriceWatch(clock)
    watch.price_moved("ETH", Decimal(2500))
    with CaptureQueriesContext(connection) as queries:
        watch.price_moved("ETH", Decimal(2510))
        watch.price_moved("BTC", Decimal(50_500))
    assert (looked, len(queries)) == ([], 0)
    watch.price_moved("ETH", Decimal(2800))
    assert looked == [[f"live:{large.pk}"]]
    # Between two looks books gather.
    watch.price_moved("BTC", Decimal(10_000))
    assert len(looked) == 1
    clock.at += trigger.REST_SECONDS + 0.01
    watch.price_moved("DOGE", Decimal(1))
    assert looked[1:] == [sorted(f"live:{account.pk}" for account in (small, large))]


@pytest.mark.django_db
def test_positions_are_read_again_while_prices_move(looked: list[list[str]]) -> None:
    bitcoin = market("BTC")
    account = trader(bitcoin, delta_threshold="0.01")
    clock = Ticking()
    watch = trigger.PriceWatch(clock)
    watch.price_moved("BTC", Decimal(50_000))
    holds(account, bitcoin, "0.02")
    watch.price_moved("BTC", Decimal(50_001))
    assert looked == []
    clock.at += trigger.READ_SECONDS + 0.01
    watch.price_moved("BTC", Decimal(50_002))
    assert looked == [[f"live:{account.pk}"]]


@pytest.mark.django_db
def test_simulated_and_live_positions_of_an_account_are_different_books(
    looked: list[list[str]],
) -> None:
    bitcoin = market("BTC")
    account = trader(bitcoin, delta_threshold="0.01")
    holds(account, bitcoin, "0.02", sandbox=True)
    holds(account, bitcoin, "0.001")
    trigger.PriceWatch(Ticking()).price_moved("BTC", Decimal(50_001))
    assert looked == [[f"sandbox:{account.pk}"]]


@pytest.mark.django_db
def test_what_cannot_be_read_raises_nothing_and_is_read_later(
    looked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bitcoin = market("BTC")
    holds(trader(bitcoin, delta_threshold="0.01"), bitcoin, "1")

    def broken() -> tuple[Book, ...]:
        raise RuntimeError("away")

    clock = Ticking()
    watch = trigger.PriceWatch(clock)
    with monkeypatch.context() as away:
        away.setattr(trigger, "topology", broken)
        watch.price_moved("BTC", Decimal(50_000))
    assert looked == []
    clock.at += trigger.READ_SECONDS + 0.01
    watch.price_moved("BTC", Decimal(50_000))
    assert len(looked) == 1
