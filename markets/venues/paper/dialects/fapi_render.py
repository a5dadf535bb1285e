"""The paper venue's state in the JSON of Binance USDⓈ-M (field names as the vendor documents)."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from markets.venues.paper.model import Account, Income, MarginState, Market, Order, Trade
from markets.venues.types import OrderStatus

Json = dict[str, Any]

STATUS: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.OPEN: "NEW",
    OrderStatus.PARTIALLY_FILLED: "PARTIALLY_FILLED",
    OrderStatus.FILLED: "FILLED",
    OrderStatus.CANCELLED: "CANCELED",
    OrderStatus.REJECTED: "REJECTED",
    OrderStatus.EXPIRED: "EXPIRED",
}
_EIGHT: Final = Decimal("0.00000001")
_NEVER_MS: Final = 4_133_404_800_000


def text(value: Decimal) -> str:
    """Return a decimal without an exponent, as it is."""
    return f"{value:f}"


def money(value: Decimal) -> str:
    """Return a decimal with eight places, as the venue shows derived amounts."""
    return f"{value.quantize(_EIGHT, rounding=ROUND_HALF_EVEN):f}"


def ms(at_ns: int) -> int:
    return at_ns // 1_000_000


def exchange_info(markets: Iterable[Market], *, now_ms: int, weight_limit: int) -> Json:
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, weight_limit),
            _limit("ORDERS", "MINUTE", 1, 1200),
            _limit("ORDERS", "SECOND", 10, 300),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol(market) for market in markets if market.known],
    }


def _limit(kind: str, interval: str, number: int, limit: int) -> Json:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _symbol(market: Market) -> Json:
    rules = market.instrument
    band = rules.price_band
    return {
        "symbol": rules.symbol,
        "pair": rules.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _NEVER_MS,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING" if market.listed else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": rules.base,
        "quoteAsset": rules.quote,
        "marginAsset": rules.quote,
        "pricePrecision": _places(rules.tick),
        "quantityPrecision": _places(rules.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": text(band),
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": text(rules.tick),
                "maxPrice": "10000000",
                "tickSize": text(rules.tick),
            },
            _lot("LOT_SIZE", rules.lot, rules.min_qty, rules.max_qty),
            _lot("MARKET_LOT_SIZE", rules.lot, rules.min_qty, rules.max_market_qty),
            {"filterType": "MAX_NUM_ORDERS", "limit": rules.max_open_orders},
            {"filterType": "MIN_NOTIONAL", "notional": text(rules.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": text(1 + band),
                "multiplierDown": text(1 - band),
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _lot(kind: str, step: Decimal, smallest: Decimal, largest: Decimal) -> Json:
    return {
        "filterType": kind,
        "stepSize": text(step),
        "minQty": text(smallest),
        "maxQty": text(largest),
    }


def _places(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def book_ticker(market: Market) -> Json:
    quote = market.quote
    return {
        "symbol": market.instrument.symbol,
        "bidPrice": text(quote.bid),
        "bidQty": text(quote.bid_size),
        "askPrice": text(quote.ask),
        "askQty": text(quote.ask_size),
        "time": ms(quote.at_ns),
        "lastUpdateId": quote.update_id,
    }


def premium_index(market: Market, *, now_ms: int) -> Json:
    return {
        "symbol": market.instrument.symbol,
        "markPrice": money(market.mark),
        "indexPrice": money(market.index),
        "estimatedSettlePrice": money(market.index),
        "lastFundingRate": text(market.funding_rate),
        "interestRate": "0.00010000",
        "nextFundingTime": ms(market.next_funding_ns),
        "time": now_ms,
    }


def order(item: Order) -> Json:
    """The RESULT form of an order; `avgPrice` is rounded to eight places by us."""
    return {
        "orderId": item.order_id,
        "symbol": item.symbol,
        "status": STATUS[item.status],
        "clientOrderId": item.client_id,
        "price": text(item.price),
        "avgPrice": money(item.average_price),
        "origQty": text(item.amount),
        "executedQty": text(item.filled),
        "cumQty": text(item.filled),
        "cumQuote": money(item.cost),
        "timeInForce": item.tif.value,
        "type": item.kind.value,
        "reduceOnly": item.reduce_only,
        "closePosition": False,
        "side": item.side.value.upper(),
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": item.kind.value,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "time": ms(item.created_ns),
        "updateTime": ms(item.updated_ns),
    }


def trade(item: Trade) -> Json:
    return {
        "symbol": item.symbol,
        "id": item.trade_id,
        "orderId": item.order_id,
        "side": item.side.value.upper(),
        "price": text(item.price),
        "qty": text(item.amount),
        "realizedPnl": money(item.realized),
        "quoteQty": money(item.price * item.amount),
        "commission": money(item.fee),
        "commissionAsset": item.fee_asset,
        "time": ms(item.at_ns),
        "positionSide": "BOTH",
        "buyer": item.side.sign > 0,
        "maker": item.is_maker,
    }


def income(item: Income) -> Json:
    return {
        "symbol": item.symbol,
        "incomeType": item.kind,
        "income": money(item.amount),
        "asset": item.asset,
        "info": item.kind,
        "time": ms(item.at_ns),
        "tranId": item.income_id,
        "tradeId": "" if item.trade_id is None else str(item.trade_id),
    }


def account(item: Account, state: MarginState, markets: Mapping[str, Market], *, v2: bool) -> Json:
    """`/fapi/v3/account` lists only symbols in use; v2 lists all, with their leverage."""
    sums = {
        "totalInitialMargin": money(state.initial_margin),
        "totalMaintMargin": money(state.maintenance_margin),
        "totalWalletBalance": money(state.wallet),
        "totalUnrealizedProfit": money(state.unrealized),
        "totalMarginBalance": money(state.equity),
        "totalPositionInitialMargin": money(state.position_margin),
        "totalOpenOrderInitialMargin": money(state.initial_margin - state.position_margin),
        "totalCrossWalletBalance": money(state.wallet),
        "totalCrossUnPnl": money(state.unrealized),
        "availableBalance": money(state.available),
        "maxWithdrawAmount": money(min(state.available, max(Decimal(0), state.wallet))),
    }
    asset = {
        "asset": item.asset,
        "walletBalance": money(state.wallet),
        "unrealizedProfit": money(state.unrealized),
        "marginBalance": money(state.equity),
        "maintMargin": money(state.maintenance_margin),
        "initialMargin": money(state.initial_margin),
        "positionInitialMargin": money(state.position_margin),
        "openOrderInitialMargin": money(state.initial_margin - state.position_margin),
        "crossWalletBalance": money(state.wallet),
        "crossUnPnl": money(state.unrealized),
        "availableBalance": money(state.available),
        "maxWithdrawAmount": money(state.available),
        "updateTime": ms(item.updated_ns),
    }
    symbols = markets if v2 else sorted(item.touched())
    rows = positions(item, [markets[symbol] for symbol in symbols], v2=v2)
    head: Json = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True}
    if v2:
        rows = [dict(row, unrealizedProfit=row["unRealizedProfit"]) for row in rows]
    else:
        head = {}
    return {**head, **sums, "assets": [asset], "positions": rows}


def balances(item: Account, state: MarginState) -> list[Json]:
    return [
        {
            "accountAlias": item.label,
            "asset": item.asset,
            "balance": money(state.wallet),
            "crossWalletBalance": money(state.wallet),
            "crossUnPnl": money(state.unrealized),
            "availableBalance": money(state.available),
            "maxWithdrawAmount": money(state.available),
            "marginAvailable": True,
            "updateTime": ms(item.updated_ns),
        }
    ]


def positions(item: Account, markets: Iterable[Market], *, v2: bool) -> list[Json]:
    """One row a market, or a row for each of its sides in hedge mode."""
    rows = [_position(item, market, v2=v2) for market in markets]
    if not item.hedge_mode:
        return rows
    nothing = {"positionAmt": "0", "notional": "0", "unRealizedProfit": "0"}
    both = []
    for row in rows:
        own, other = ("SHORT", "LONG") if row["positionAmt"].startswith("-") else ("LONG", "SHORT")
        both += [row | {"positionSide": own}, row | nothing | {"positionSide": other}]
    return both


def _position(item: Account, market: Market, *, v2: bool) -> Json:
    symbol, mark = market.instrument.symbol, market.mark
    held = item.positions.get(symbol)
    size = item.size(symbol)
    entry = held.entry if held else Decimal(0)
    own = item.position_margin(symbol, mark)
    total = item.symbol_margin(symbol, mark)
    row: Json = {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": text(size),
        "entryPrice": money(entry),
        "breakEvenPrice": money(entry),
        "markPrice": money(mark),
        "unRealizedProfit": money(item.unrealized(symbol, mark)),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": money(size * mark),
        "marginAsset": item.asset,
        "isolatedWallet": "0",
        "initialMargin": money(total),
        "maintMargin": money(abs(size) * mark * market.instrument.maintenance),
        "positionInitialMargin": money(own),
        "openOrderInitialMargin": money(total - own),
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": ms(held.updated_ns) if held else 0,
    }
    if v2:
        row |= {
            "leverage": str(item.leverage_of(symbol)),
            "maxNotionalValue": "100000000",
            "marginType": "isolated" if symbol in item.isolated else "cross",
            "isAutoAddMargin": "false",
            "isolated": symbol in item.isolated,
        }
    return row


def symbol_config(item: Account, market: Market) -> Json:
    symbol = market.instrument.symbol
    return {
        "symbol": symbol,
        "marginType": "ISOLATED" if symbol in item.isolated else "CROSSED",
        "isAutoAddMargin": "false",
        "leverage": item.leverage_of(symbol),
        "maxNotionalValue": "100000000",
    }


def leverage_bracket(market: Market) -> Json:
    rules = market.instrument
    bracket = {
        "bracket": 1,
        "initialLeverage": rules.max_leverage,
        "notionalCap": 100_000_000,
        "notionalFloor": 0,
        "maintMarginRatio": rules.maintenance,
        "cum": 0,
    }
    return {"symbol": rules.symbol, "notionalCoef": "1.00", "brackets": [bracket]}
