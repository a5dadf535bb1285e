"""The paper engine's rules: matching, margin, funding, liquidation, exact money."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.venues.paper.config import symbol_config
from markets.venues.paper.engine import Engine
from markets.venues.paper.model import (
    Account,
    Market,
    OrderKind,
    Position,
    Quote,
    TimeInForce,
)
from markets.venues.paper.rules import EngineEvent, NewOrder, OrderChanged, Reason, Refused
from markets.venues.types import OrderStatus, Side


def quote(bid: str = "60000", ask: str = "60000.1", size: str = "1") -> Quote:
    return Quote(Decimal(bid), Decimal(size), Decimal(ask), Decimal(size), 1, 1)


class Bench:
    """An engine with one market, one account and everything it told."""

    def __init__(self, wallet: str = "100000") -> None:
        self.told: list[EngineEvent] = []
        self.account = Account("alpha", "USDT", Decimal(wallet), 0)
        config = symbol_config("BTC")
        self.market = Market(config.instrument, quote(), Decimal("0.0001"), 10**18)
        self.engine = Engine([self.market], [self.account], first_id=0, listener=self.told.append)

    def place(self, side: Side, amount: str, price: str = "0", **changes: Any) -> Any:
        values: dict[str, Any] = {
            "symbol": "BTCUSDT",
            "side": side,
            "kind": OrderKind.LIMIT if price != "0" else OrderKind.MARKET,
            "tif": TimeInForce.GTC,
            "amount": Decimal(amount),
            "price": Decimal(price),
            "client_id": f"c{len(self.told)}",
        }
        return self.engine.place(self.account, NewOrder(**{**values, **changes}), now_ns=2)

    @property
    def size(self) -> Decimal:
        return self.account.size("BTCUSDT")


def test_market_order_walks_the_levels_one_fill_each() -> None:
    bench = Bench()
    order = bench.place(Side.BUY, "2.5")
    assert [(trade.price, trade.amount) for trade in bench.account.trades] == [
        (Decimal("60000.1"), Decimal(1)),
        (Decimal("60000.2"), Decimal("1.5")),
    ]
    assert order.average_price == (
        Decimal("60000.1") + Decimal("60000.2") * Decimal("1.5")
    ) / Decimal("2.5")
    assert bench.size == Decimal("2.5")


def test_fees_and_profit_reach_the_wallet_exactly() -> None:
    bench = Bench()
    bench.place(Side.BUY, "1")
    bench.engine.set_quote("BTCUSDT", quote("61000", "61000.1"))
    bench.place(Side.SELL, "1")
    fees = (Decimal("60000.1") + Decimal(61000)) * Decimal("0.0005")
    assert bench.account.wallet == 100_000 + (61000 - Decimal("60000.1")) - fees
    assert sum(item.amount for item in bench.account.income) == bench.account.wallet - 100_000


def test_resting_order_fills_at_its_own_price_as_maker_when_crossed() -> None:
    bench = Bench()
    order = bench.place(Side.BUY, "1.5", "59990")
    filled = [order.filled]
    for bid, ask in (("59989", "59990"), ("59980", "59981")):
        bench.engine.set_quote("BTCUSDT", quote(bid, ask))
        filled.append(order.filled)
    assert filled == [0, 1, Decimal("1.5")]
    assert order.status is OrderStatus.FILLED
    assert {trade.price for trade in bench.account.trades} == {Decimal(59990)}
    assert all(trade.is_maker for trade in bench.account.trades)
    assert bench.account.open_orders == {}


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"amount": "0.0005"}, Reason.AMOUNT_NOT_ON_LOT),
        ({"amount": "0.001", "price": "57100"}, None),
        ({"amount": "0.01", "price": "60000.05"}, Reason.PRICE_NOT_ON_TICK),
        ({"amount": "0.01", "price": "64000"}, Reason.PRICE_TOO_HIGH),
        ({"amount": "100", "price": "59000"}, Reason.INSUFFICIENT_MARGIN),
        ({"amount": "999999"}, Reason.AMOUNT_TOO_LARGE),
        ({"amount": "1", "price": "60000.1", "tif": TimeInForce.GTX}, Reason.POST_ONLY_CROSSES),
        ({"amount": "2", "price": "60000.1", "tif": TimeInForce.FOK}, Reason.FOK_UNFILLED),
        ({"amount": "1", "reduce_only": True}, Reason.REDUCE_ONLY),
        ({"amount": "1", "symbol": "NOPE"}, Reason.UNKNOWN_SYMBOL),
    ],
)
def test_refusal_changes_nothing(order: dict[str, Any], reason: Reason | None) -> None:
    bench = Bench()
    if reason is None:
        assert bench.place(Side.BUY, **order).status is OrderStatus.OPEN
        return
    with pytest.raises(Refused) as refused:
        bench.place(Side.BUY, **order)
    assert refused.value.reason is reason
    assert bench.told == []
    assert bench.account.orders == {}


def test_smallest_notional_spares_reduce_only() -> None:
    bench = Bench()
    bench.market.quote = quote("1000", "1000.1")
    bench.engine.seed_position(bench.account, "BTCUSDT", Decimal("0.01"), now_ns=1)
    with pytest.raises(Refused) as refused:
        bench.place(Side.SELL, "0.001")
    assert refused.value.reason is Reason.NOTIONAL_TOO_SMALL
    assert bench.place(Side.SELL, "0.001", reduce_only=True).status is OrderStatus.FILLED


def test_client_id_is_free_again_once_its_order_is_closed() -> None:
    bench = Bench()
    bench.place(Side.BUY, "0.01", "59000", client_id="same")
    with pytest.raises(Refused) as refused:
        bench.place(Side.BUY, "0.01", "59000", client_id="same")
    assert refused.value.reason is Reason.DUPLICATE_CLIENT_ID
    bench.engine.cancel_all(bench.account, "BTCUSDT", now_ns=3)
    assert bench.place(Side.BUY, "0.01", "59000", client_id="same").status is OrderStatus.OPEN


def test_initial_margin_counts_the_worse_side_of_open_orders() -> None:
    bench = Bench()
    bench.engine.seed_position(bench.account, "BTCUSDT", Decimal(1), now_ns=1)
    mark = bench.market.mark
    bench.place(Side.SELL, "0.5", "60500")
    assert bench.engine.margin(bench.account).initial_margin == mark / 20
    bench.place(Side.BUY, "0.5", "59500")
    state = bench.engine.margin(bench.account)
    assert state.initial_margin == Decimal("1.5") * mark / 20
    assert state.position_margin == mark / 20


def test_resting_reduce_only_order_ends_when_nothing_is_left_to_reduce() -> None:
    bench = Bench()
    bench.engine.seed_position(bench.account, "BTCUSDT", Decimal("0.5"), now_ns=1)
    resting = bench.place(Side.SELL, "0.5", "60500", reduce_only=True)
    bench.place(Side.SELL, "0.5")
    assert bench.size == 0
    assert resting.status is OrderStatus.EXPIRED


def test_longs_pay_shorts_when_the_rate_is_positive() -> None:
    for size, sign in (("1", -1), ("-1", 1)):
        bench = Bench()
        bench.engine.seed_position(bench.account, "BTCUSDT", Decimal(size), now_ns=1)
        bench.engine.settle_funding("BTCUSDT", now_ns=5, next_ns=6)
        expected = sign * bench.market.mark * Decimal("0.0001")
        assert bench.account.wallet == 100_000 + expected
        assert [(i.kind, i.amount) for i in bench.account.income] == [("FUNDING_FEE", expected)]


def test_account_below_maintenance_margin_is_liquidated() -> None:
    bench = Bench(wallet="4000")
    bench.engine.seed_position(bench.account, "BTCUSDT", Decimal(1), now_ns=1)
    bench.place(Side.BUY, "0.01", "59000")
    bench.engine.set_quote("BTCUSDT", quote("59000.1", "59000.2"))
    bench.engine.liquidate(now_ns=3)
    assert bench.size == 1
    bench.engine.set_quote("BTCUSDT", quote("56100", "56100.1"))
    bench.engine.liquidate(now_ns=4)
    assert bench.size == 0
    assert bench.account.open_orders == {}
    last = bench.account.trades[-1]
    assert last.client_id.startswith("autoclose-")
    assert last.external


def test_lower_leverage_is_refused_when_positions_could_not_be_carried() -> None:
    bench = Bench(wallet="4000")
    bench.engine.seed_position(bench.account, "BTCUSDT", Decimal(1), now_ns=1)
    with pytest.raises(Refused) as refused:
        bench.engine.set_leverage(bench.account, "BTCUSDT", 5)
    assert refused.value.reason is Reason.INSUFFICIENT_MARGIN
    assert bench.account.leverage_of("BTCUSDT") == 20


SIZES = st.integers(-5000, 5000).filter(bool).map(lambda lots: Decimal(lots) / 1000)
PRICES = st.integers(10_000, 900_000).map(lambda ticks: Decimal(ticks) / 10)


@given(st.lists(st.tuples(SIZES, PRICES), min_size=1, max_size=12), PRICES)
def test_profit_is_conserved_whatever_the_order_of_fills(
    fills: list[tuple[Decimal, Decimal]], mark: Decimal
) -> None:
    position = Position()
    realized = sum((position.add(size, price) for size, price in fills), Decimal(0))
    cash = -sum((size * price for size, price in fills), Decimal(0))
    assert position.size == sum(size for size, _ in fills)
    worth = cash + position.size * mark
    booked = realized + position.size * (mark - position.entry)
    assert abs(worth - booked) < Decimal("1e-6")


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 400)), max_size=15))
def test_what_is_told_adds_up_to_the_position(orders: list[tuple[Side, int]]) -> None:
    bench = Bench()
    for side, lots in orders:
        bench.place(side, str(Decimal(lots) / 1000))
    told = [event.trade for event in bench.told if isinstance(event, OrderChanged) and event.trade]
    assert sum(trade.amount * trade.side.sign for trade in told) == bench.size
    assert len({trade.trade_id for trade in told}) == len(told)
