"""The paper venue's news in the JSON of Binance USDⓈ-M's market and user streams."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from markets.venues.paper.dialects import fapi_render as render
from markets.venues.paper.model import Account, Market, Order, Trade
from markets.venues.types import Side


def book_ticker_event(market: Market) -> bytes:
    quote = market.quote
    at = render.ms(quote.at_ns)
    return (
        f'{{"e":"bookTicker","u":{quote.update_id},"s":"{market.instrument.symbol}",'
        f'"b":"{quote.bid:f}","B":"{quote.bid_size:f}","a":"{quote.ask:f}",'
        f'"A":"{quote.ask_size:f}","T":{at},"E":{at}}}'
    ).encode()


def mark_price_event(market: Market, *, now_ms: int) -> render.Json:
    return {
        "e": "markPriceUpdate",
        "E": now_ms,
        "s": market.instrument.symbol,
        "p": render.money(market.mark),
        "i": render.money(market.index),
        "P": render.money(market.index),
        "r": render.text(market.funding_rate),
        "T": render.ms(market.next_funding_ns),
    }


def public_trade_event(item: Trade, kind: str) -> render.Json:
    """Return a trade as everybody sees it: each of ours is an aggregate of one."""
    at = render.ms(item.at_ns)
    ids: render.Json = (
        {"a": item.trade_id, "f": item.trade_id, "l": item.trade_id}
        if kind == "aggTrade"
        else {"t": item.trade_id, "X": "MARKET"}
    )
    return {
        "e": kind,
        "E": at,
        "T": at,
        "s": item.symbol,
        **ids,
        "p": render.text(item.price),
        "q": render.text(item.amount),
        "m": item.is_maker is (item.side is Side.BUY),
    }


def ticker_event(market: Market, kind: str, *, now_ms: int) -> render.Json:
    """Return a day's ticker, all of it at the present price: the venue keeps no history."""
    last, none = render.text(market.quote.bid), render.text(Decimal(0))
    event: render.Json = {"e": kind, "E": now_ms, "s": market.instrument.symbol}
    event |= {"c": last, "o": last, "h": last, "l": last, "v": none, "q": none}
    if kind == "24hrTicker":
        event |= {"p": none, "P": none, "w": last, "Q": render.text(market.quote.bid_size)}
        event |= {"O": now_ms - 86_400_000, "C": now_ms, "F": 0, "L": 0, "n": 0}
    return event


def order_event(item: Order, execution: str, fill: Trade | None, *, now_ms: int) -> render.Json:
    body: render.Json = {
        "s": item.symbol,
        "c": item.client_id,
        "S": item.side.value.upper(),
        "o": item.kind.value,
        "f": item.tif.value,
        "q": render.text(item.amount),
        "p": render.text(item.price),
        "ap": render.money(item.average_price),
        "sp": "0",
        "x": execution,
        "X": render.STATUS[item.status],
        "i": item.order_id,
        "l": render.text(fill.amount) if fill else "0",
        "z": render.text(item.filled),
        "L": render.text(fill.price) if fill else "0",
        "n": render.money(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": render.ms(fill.at_ns if fill else item.updated_ns),
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.is_maker if fill else False,
        "R": item.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": item.kind.value,
        "ps": "BOTH",
        "cp": False,
        "rp": render.money(fill.realized) if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "NONE",
        "pm": "NONE",
        "gtd": 0,
    }
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": now_ms, "o": body}


def trade_lite_event(item: Order, fill: Trade, *, now_ms: int) -> render.Json:
    return {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": render.ms(fill.at_ns),
        "s": item.symbol,
        "q": render.text(item.amount),
        "p": render.text(item.price),
        "m": fill.is_maker,
        "c": item.client_id,
        "S": item.side.value.upper(),
        "L": render.text(fill.price),
        "l": render.text(fill.amount),
        "t": fill.trade_id,
        "i": item.order_id,
    }


def account_event(
    item: Account,
    symbols: Iterable[str],
    markets: Mapping[str, Market],
    *,
    reason: str,
    change: Decimal,
    now_ms: int,
) -> render.Json:
    wallet = render.money(item.wallet)
    rows = []
    for symbol in symbols:
        held = item.positions[symbol]
        rows.append(
            {
                "s": symbol,
                "pa": render.text(held.size),
                "ep": render.money(held.entry),
                "bep": render.money(held.entry),
                "cr": render.money(held.realized),
                "up": render.money(item.unrealized(symbol, markets[symbol].mark)),
                "mt": "cross",
                "iw": "0",
                "ps": "BOTH",
            }
        )
    balance = {
        "a": item.asset,
        "wb": wallet,
        "cw": wallet,
        "bc": "0" if symbols else render.money(change),
    }
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": now_ms,
        "a": {"m": reason, "B": [balance], "P": rows},
    }
