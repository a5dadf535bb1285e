"""What the routes of the /fapi dialects do. Weights are ccxt's cost table for Binance."""

from decimal import Decimal
from typing import Final

from markets.venues.paper.dialects import fapi_render as render
from markets.venues.paper.dialects.fapi_errors import FapiError, malformed
from markets.venues.paper.dialects.fapi_orders import ORDER_ROUTES
from markets.venues.paper.dialects.fapi_rest import Call, Route, Routes, Security, done
from markets.venues.paper.dialects.fapi_usage import WEIGHT_PER_MINUTE
from markets.venues.types import Side


def ping(call: Call) -> object:
    return {}


def server_time(call: Call) -> object:
    return {"serverTime": call.now_ms}


def exchange_info(call: Call) -> object:
    return render.exchange_info(
        call.venue.engine.markets.values(), now_ms=call.now_ms, weight_limit=WEIGHT_PER_MINUTE
    )


def book_ticker(call: Call) -> object:
    return _one_or_all(call, [render.book_ticker(market) for market in call.markets()])


def premium_index(call: Call) -> object:
    rows = [render.premium_index(market, now_ms=call.now_ms) for market in call.markets()]
    return _one_or_all(call, rows)


def price_ticker(call: Call) -> object:
    rows = [
        {
            "symbol": market.instrument.symbol,
            "price": render.text(market.quote.bid),
            "time": call.now_ms,
        }
        for market in call.markets()
    ]
    return _one_or_all(call, rows)


def depth(call: Call) -> object:
    market = call.market()
    quote, tick = market.quote, market.instrument.tick
    limit = call.limit(20, 1000)

    def side(taker: Side) -> list[list[str]]:
        rows = [
            [render.text(price), render.text(size)] for price, size in quote.levels(taker, tick)
        ]
        return rows[:limit]

    at = render.ms(quote.at_ns)
    return {
        "lastUpdateId": quote.update_id,
        "E": at,
        "T": at,
        "bids": side(Side.SELL),
        "asks": side(Side.BUY),
    }


def leverage_bracket(call: Call) -> object:
    return [render.leverage_bracket(market) for market in call.markets()]


def account_v2(call: Call) -> object:
    return _account(call, v2=True)


def account_v3(call: Call) -> object:
    return _account(call, v2=False)


def _account(call: Call, *, v2: bool) -> object:
    engine = call.venue.engine
    state = engine.margin(call.account)
    return render.account(call.account, state, engine.markets, v2=v2)


def balance(call: Call) -> object:
    return render.balances(call.account, call.venue.engine.margin(call.account))


def position_risk_v2(call: Call) -> object:
    return render.positions(call.account, call.markets(), v2=True)


def position_risk_v3(call: Call) -> object:
    touched = call.account.touched()
    held = [market for market in call.markets() if market.instrument.symbol in touched]
    return render.positions(call.account, held, v2=False)


def commission_rate(call: Call) -> object:
    rules = call.market().instrument
    return {
        "symbol": rules.symbol,
        "makerCommissionRate": render.text(rules.maker_fee),
        "takerCommissionRate": render.text(rules.taker_fee),
    }


def get_position_mode(call: Call) -> object:
    return {"dualSidePosition": call.account.hedge_mode}


def set_position_mode(call: Call) -> object:
    if call.flag("dualSidePosition") is call.account.hedge_mode:
        raise FapiError(-4059, "No need to change position side.")
    raise FapiError(-4068, "Position side cannot be changed on this venue.")


def get_multi_assets(call: Call) -> object:
    return {"multiAssetsMargin": False}


def set_margin_type(call: Call) -> object:
    symbol, kind = call.market().instrument.symbol, call.text("marginType")
    if kind not in ("CROSSED", "ISOLATED"):
        raise malformed("marginType")
    isolated = kind == "ISOLATED"
    if isolated == (symbol in call.account.isolated):
        raise FapiError(-4046, "No need to change margin type.")
    call.venue.engine.set_margin_mode(call.account, symbol, isolated=isolated)
    return done()


def symbol_config(call: Call) -> object:
    return [render.symbol_config(call.account, market) for market in call.markets()]


def set_leverage(call: Call) -> object:
    symbol = call.market().instrument.symbol
    leverage = call.integer("leverage")
    call.venue.engine.set_leverage(call.account, symbol, leverage)
    return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": "100000000"}


def user_trades(call: Call) -> object:
    symbol = call.market().instrument.symbol
    first, last = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
    from_id = call.integer("fromId", 0)
    rows = [
        render.trade(item)
        for item in call.account.trades
        if item.symbol == symbol
        and item.trade_id >= from_id
        and first <= render.ms(item.at_ns) <= last
    ]
    limit = call.limit(500, 1000)
    # Without a starting point the newest are meant, as at the venue.
    return rows[:limit] if first or from_id else rows[-limit:]


def income(call: Call) -> object:
    kind, symbol = call.params.get("incomeType"), call.params.get("symbol")
    first, last = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
    rows = [
        render.income(item)
        for item in call.account.income
        if (kind is None or item.kind == kind)
        and (symbol is None or item.symbol == symbol)
        and first <= render.ms(item.at_ns) <= last
    ]
    limit = call.limit(100, 1000)
    return rows[:limit] if first else rows[-limit:]


def funding_rate(call: Call) -> object:
    """Past settlements: the oldest from `startTime` on, else the newest."""
    first, last = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
    rows = [
        {
            "symbol": market.instrument.symbol,
            "fundingRate": render.text(item.rate),
            "fundingTime": render.ms(item.at_ns),
            "markPrice": render.money(item.mark),
        }
        for market in call.markets()
        for item in market.settlements
        if first <= render.ms(item.at_ns) <= last
    ]
    limit = call.limit(100, 1000)
    return rows[:limit] if first else rows[-limit:]


def ticker_24h(call: Call) -> object:
    rows = [
        {
            "symbol": market.instrument.symbol,
            "lastPrice": render.text(market.quote.bid),
            "openPrice": render.text(market.quote.bid),
            "highPrice": render.text(market.quote.ask),
            "lowPrice": render.text(market.quote.bid),
            "priceChange": "0",
            "priceChangePercent": "0",
            "weightedAvgPrice": render.money(market.mark),
            "lastQty": render.text(market.quote.bid_size),
            "volume": render.text(Decimal(0)),
            "quoteVolume": render.text(Decimal(0)),
            "openTime": call.now_ms - 86_400_000,
            "closeTime": call.now_ms,
            "firstId": 0,
            "lastId": 0,
            "count": 0,
        }
        for market in call.markets()
    ]
    return _one_or_all(call, rows)


def _one_or_all(call: Call, rows: list[render.Json]) -> object:
    return rows[0] if "symbol" in call.params else rows


def set_multi_assets(call: Call) -> object:
    if call.flag("multiAssetsMargin"):
        raise FapiError(-4171, "Multi-Assets mode is not offered.")
    return done()


_NONE, _SIGNED = Security.NONE, Security.SIGNED

# By name; each venue puts its own version before it.
PUBLIC_ROUTES: Final[Routes] = {
    ("GET", "ping"): Route(ping, 1, _NONE),
    ("GET", "time"): Route(server_time, 1, _NONE),
    ("GET", "exchangeInfo"): Route(exchange_info, 1, _NONE),
    ("GET", "ticker/bookTicker"): Route(book_ticker, 2, _NONE),
    ("GET", "ticker/price"): Route(price_ticker, 1, _NONE),
    ("GET", "ticker/24hr"): Route(ticker_24h, 1, _NONE),
    ("GET", "premiumIndex"): Route(premium_index, 1, _NONE),
    ("GET", "fundingRate"): Route(funding_rate, 1, _NONE),
    ("GET", "depth"): Route(depth, 2, _NONE),
}
ACCOUNT_ROUTES: Final[Routes] = {
    ("GET", "leverageBracket"): Route(leverage_bracket, 1, _SIGNED),
    ("GET", "commissionRate"): Route(commission_rate, 20, _SIGNED),
    ("GET", "positionSide/dual"): Route(get_position_mode, 30, _SIGNED),
    ("POST", "positionSide/dual"): Route(set_position_mode, 1, _SIGNED),
    ("GET", "multiAssetsMargin"): Route(get_multi_assets, 30, _SIGNED),
    ("POST", "multiAssetsMargin"): Route(set_multi_assets, 1, _SIGNED),
    ("POST", "leverage"): Route(set_leverage, 1, _SIGNED),
    ("POST", "marginType"): Route(set_margin_type, 1, _SIGNED),
    ("GET", "userTrades"): Route(user_trades, 5, _SIGNED),
    ("GET", "income"): Route(income, 30, _SIGNED),
    **ORDER_ROUTES,
}


def at(prefix: str, routes: Routes) -> dict[tuple[str, str], Route]:
    """Return `routes` under a path prefix."""
    return {(method, f"{prefix}/{name}"): route for (method, name), route in routes.items()}
