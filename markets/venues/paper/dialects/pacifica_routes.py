"""What each route of the Pacifica dialect does."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from markets.venues.paper.dialects import pacifica_render as render
from markets.venues.paper.dialects.pacifica_errors import malformed
from markets.venues.paper.dialects.pacifica_rest import Call, Handler, Post
from markets.venues.paper.model import Builder, Income, Order, OrderKind, TimeInForce, floor_to
from markets.venues.paper.rules import NewOrder, Reason, Refused
from markets.venues.types import Side

_SIDES: Final = {"bid": Side.BUY, "ask": Side.SELL}
_TIFS: Final = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "ALO": TimeInForce.GTX}
_HUNDRED: Final = Decimal(100)
_BUILDER_CODE: Final = re.compile(r"[A-Za-z0-9]{1,16}", re.ASCII)
_WRITTEN_AFTER_MS: Final = 1_500


# Reads, open to everybody


def info(call: Call) -> Any:
    markets = call.venue.engine.markets.values()
    return [render.market(market) for market in markets if market.listed and market.known]


def prices(call: Call) -> Any:
    return render.prices(call.venue.engine.markets.values(), now_ms=call.now_ns // 1_000_000)


def book(call: Call) -> Any:
    return render.book(call.market())


def nothing(call: Call) -> Any:
    return []


def account(call: Call) -> Any:
    engine = call.venue.engine
    rules = next(iter(engine.markets.values())).instrument
    return render.account(
        call.account, engine.margin(call.account), (rules.maker_fee, rules.taker_fee)
    )


def settings(call: Call) -> Any:
    """List the contracts that are not at the venue's default: cross, highest leverage."""
    account = call.account
    return [
        {
            "symbol": symbol,
            "isolated": symbol in account.isolated,
            "leverage": account.leverage_of(symbol),
            "created_at": 0,
            "updated_at": 0,
        }
        for symbol, market in call.venue.engine.markets.items()
        if symbol in account.isolated
        or account.leverage_of(symbol) != market.instrument.max_leverage
    ]


def positions(call: Call) -> Any:
    return render.positions(call.account)


def orders(call: Call) -> Any:
    return [render.open_order(order) for order in call.account.open_orders.values()]


def order_history(call: Call) -> Any:
    return call.page(
        [(item.order_id, render.past_order(item)) for item in call.account.orders.values()]
    )


def order_by_id(call: Call) -> Any:
    order_id = call.whole("order_id")
    return [
        render.order_event(item)
        for account in call.venue.engine.accounts.values()
        if (item := call.view(account).orders.get(order_id)) is not None
    ]


def trades(call: Call) -> Any:
    symbol, since_ms = call.params.get("symbol"), call.whole("start_time")
    return call.page(
        [
            (item.trade_id, render.trade(item))
            for item in call.account.trades
            if (symbol is None or item.symbol == symbol) and render.ms(item.at_ns) >= since_ms
        ]
    )


def funding(call: Call) -> Any:
    markets = call.venue.engine.markets
    return call.page(
        [
            (
                item.income_id,
                render.payment(
                    item, call.account.size(item.symbol), markets[item.symbol].funding_rate
                ),
            )
            for item in call.account.income
            if item.kind == "FUNDING_FEE"
        ]
    )


def balance_history(call: Call) -> Any:
    """List every change of the balance, a trade's result and fee as one, and what it left."""
    left, rows = call.account.wallet, []
    trades = {trade.trade_id: trade for trade in call.account.trades}
    for item, amount in reversed(_by_event(call.account.income)):
        kind = render.balance_kind(item, trades.get(item.trade_id or 0), amount)
        rows.append((item.income_id, render.balance_event(kind, amount, left, item.at_ns)))
        left -= amount
    return call.page(rows)


def _by_event(income: Sequence[Income]) -> list[tuple[Income, Decimal]]:
    """Return each event's first line and what all its lines add up to, oldest first."""
    sums: dict[int, tuple[Income, Decimal]] = {}
    for item in income:
        event = item.trade_id or item.income_id
        first, before = sums.get(event, (item, Decimal(0)))
        sums[event] = (first, before + item.amount)
    return list(sums.values())


def funding_rates(call: Call) -> Any:
    """Past settlements; each is written down some time into its hour."""
    return call.page(
        [
            (
                item.at_ns,
                {
                    "oracle_price": render.text(item.mark),
                    "bid_impact_price": render.text(item.mark),
                    "ask_impact_price": render.text(item.mark),
                    "funding_rate": render.text(item.rate),
                    "next_funding_rate": render.text(item.rate),
                    "created_at": render.ms(item.at_ns) + _WRITTEN_AFTER_MS,
                },
            )
            for item in call.market().settlements
        ]
    )


def approvals(call: Call) -> Any:
    return [
        {"builder_code": builder.code, "max_fee_rate": render.text(builder.fee_rate)}
        for builder in call.account.builders.values()
    ]


READS: Final[Mapping[str, Handler]] = {
    "account/builder_codes/approvals": approvals,
    "info": info,
    "info/prices": prices,
    "book": book,
    "trades": nothing,
    "account": account,
    "account/balance/history": balance_history,
    "account/settings": settings,
    "positions": positions,
    "orders": orders,
    "orders/history": order_history,
    "orders/history_by_id": order_by_id,
    "trades/history": trades,
    "funding/history": funding,
    "funding_rate/history": funding_rates,
}


# Acts, signed


def create(call: Call) -> Any:
    """Accept a limit order; one that may only make and would take is rejected after the answer."""
    tif = _TIFS.get(call.text("tif"))
    if tif is None:
        raise malformed("Invalid request: tif")
    price = call.decimal("price")
    if price <= 0:
        raise malformed("Invalid request: price")
    return _place(call, OrderKind.LIMIT, tif, price)


def create_market(call: Call) -> Any:
    """Accept an order that takes up to `slippage_percent` beyond the mid; the rest is cancelled."""
    market = call.market()
    slippage = call.decimal("slippage_percent") / _HUNDRED
    side = _side(call)
    bound = market.mark * (1 + side.sign * slippage)
    return _place(call, OrderKind.MARKET, TimeInForce.IOC, floor_to(bound, market.instrument.tick))


def _place(call: Call, kind: OrderKind, tif: TimeInForce, price: Decimal) -> Any:
    amount = call.decimal("amount")
    if amount <= 0:
        raise malformed("Invalid request: amount")
    new = NewOrder(
        symbol=call.market().instrument.symbol,
        side=_side(call),
        kind=kind,
        tif=tif,
        amount=amount,
        price=price,
        client_id=call.client_id() or f"none-{call.now_ns}",
        reduce_only=call.flag("reduce_only"),
        builder=_builder(call),
    )
    engine = call.venue.engine
    try:
        order = engine.place(call.account, new, now_ns=call.now_ns)
    except Refused as refused:
        if refused.reason is not Reason.POST_ONLY_CROSSES:
            raise
        order = engine.turn_away(call.account, new, now_ns=call.now_ns)
    return {"order_id": order.order_id}


def cancel(call: Call) -> Any:
    call.venue.engine.cancel(call.account, _asked_order(call), now_ns=call.now_ns)


def cancel_all(call: Call) -> Any:
    engine = call.venue.engine
    symbols = list(engine.markets) if call.flag("all_symbols") else [call.text("symbol")]
    gone = [
        order
        for symbol in symbols
        for order in engine.cancel_all(call.account, symbol, now_ns=call.now_ns)
    ]
    return {"cancelled_count": len(gone)}


def leverage(call: Call) -> Any:
    call.venue.engine.set_leverage(
        call.account, call.market().instrument.symbol, call.whole("leverage")
    )


def margin_mode(call: Call) -> Any:
    call.venue.engine.set_margin_mode(
        call.account, call.market().instrument.symbol, isolated=call.flag("is_isolated")
    )


def approve_builder(call: Call) -> Any:
    """Approve a builder's code up to a fee; approving it again replaces the fee."""
    code, rate = call.text("builder_code"), call.decimal("max_fee_rate")
    if not _BUILDER_CODE.fullmatch(code):
        raise malformed("Invalid request: builder_code")
    if rate < 0:
        raise malformed("Invalid request: max_fee_rate")
    call.account.builders[code] = Builder(code, rate)


def revoke_builder(call: Call) -> Any:
    if call.account.builders.pop(call.text("builder_code"), None) is None:
        raise Refused(Reason.BUILDER_NOT_APPROVED)


def _builder(call: Call) -> Builder | None:
    """Return whom an order pays; his own fee, which he tells only the venue, is all he may take."""
    if call.params.get("builder_code") is None:
        return None
    code = call.text("builder_code")
    return call.account.builders.get(code) or Builder(code, Decimal(0))


def _asked_order(call: Call) -> Order:
    return call.venue.engine.find_order(
        call.account,
        call.text("symbol"),
        order_id=call.whole("order_id") if "order_id" in call.params else None,
        client_id=call.client_id(),
    )


def _side(call: Call) -> Side:
    side = _SIDES.get(call.text("side"))
    if side is None:
        raise malformed("Invalid request: side")
    return side


POSTS: Final[Mapping[str, Post]] = {
    "orders/create": Post("create_order", create),
    "orders/create_market": Post("create_market_order", create_market),
    "orders/cancel": Post("cancel_order", cancel, cost=5),
    "orders/cancel_all": Post("cancel_all_orders", cancel_all, cost=5),
    "account/leverage": Post("update_leverage", leverage),
    "account/margin": Post("update_margin_mode", margin_mode),
    "account/builder_codes/approve": Post("approve_builder_code", approve_builder),
    "account/builder_codes/revoke": Post("revoke_builder_code", revoke_builder),
}
