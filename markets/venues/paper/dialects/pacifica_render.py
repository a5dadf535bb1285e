"""The paper venue's state in the JSON of Pacifica, over HTTP and over sockets."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from markets.venues.paper.model import (
    ZERO,
    Account,
    Income,
    MarginState,
    Market,
    Order,
    OrderKind,
    Trade,
)
from markets.venues.types import OrderStatus, Side

Json = dict[str, Any]

LEVELS: Final = 10
MAX_TICK: Final = "1000000"
_STATUS: Final = {
    OrderStatus.OPEN: "open",
    OrderStatus.PARTIALLY_FILLED: "partially_filled",
    OrderStatus.FILLED: "filled",
    OrderStatus.CANCELLED: "cancelled",
    OrderStatus.REJECTED: "rejected",
    OrderStatus.EXPIRED: "cancelled",
}


def text(value: Decimal) -> str:
    return f"{value:f}"


def ms(at_ns: int) -> int:
    return at_ns // 1_000_000


def side(of: Side) -> str:
    return "bid" if of is Side.BUY else "ask"


def market(item: Market) -> Json:
    rules = item.instrument
    return {
        "symbol": rules.symbol,
        "tick_size": text(rules.tick),
        "min_tick": "0",
        "max_tick": MAX_TICK,
        "lot_size": text(rules.lot),
        "max_leverage": rules.max_leverage,
        "isolated_only": False,
        "min_order_size": text(rules.min_notional),
        "max_order_size": "5000000",
        "funding_rate": text(item.funding_rate),
        "next_funding_rate": text(item.funding_rate),
        "created_at": 1_748_881_333_944,
        "instrument_type": "perpetual",
        "base_asset": rules.base,
    }


def prices(items: Iterable[Market], *, now_ms: int) -> list[Json]:
    return [
        {
            "funding": text(item.funding_rate),
            "mark": text(item.mark),
            "mid": text(item.quote.mid),
            "next_funding": text(item.funding_rate),
            "open_interest": "0",
            "oracle": text(item.index),
            "symbol": item.instrument.symbol,
            "timestamp": now_ms,
            "volume_24h": "0",
            "yesterday_price": text(item.mark),
        }
        for item in items
    ]


def book(item: Market) -> Json:
    def levels(taker: Side) -> list[Json]:
        rows = item.quote.levels(taker, item.instrument.tick)
        return [{"p": text(price), "a": text(size), "n": 1} for price, size in rows][:LEVELS]

    return {
        "s": item.instrument.symbol,
        "l": [levels(Side.SELL), levels(Side.BUY)],
        "t": ms(item.quote.at_ns),
        "li": item.quote.update_id,
    }


def bbo(item: Market) -> Json:
    quote = item.quote
    return {
        "s": item.instrument.symbol,
        "i": quote.update_id,
        "li": quote.update_id,
        "t": ms(quote.at_ns),
        "b": text(quote.bid),
        "B": text(quote.bid_size),
        "a": text(quote.ask),
        "A": text(quote.ask_size),
    }


def account(item: Account, state: MarginState, fees: tuple[Decimal, Decimal]) -> Json:
    held = sum(1 for position in item.positions.values() if position.size)
    return {
        "balance": text(state.wallet),
        "fee_level": 0,
        "maker_fee": text(fees[0]),
        "taker_fee": text(fees[1]),
        "account_equity": text(state.equity),
        "available_to_spend": text(state.available),
        "available_to_withdraw": text(state.available),
        "pending_balance": "0",
        "pending_interest": "0",
        "total_margin_used": text(state.initial_margin),
        "cross_mmr": text(state.maintenance_margin),
        "positions_count": held,
        "orders_count": len(item.open_orders),
        "stop_orders_count": 0,
        "spot_balances": [],
        "updated_at": ms(item.updated_ns),
    }


def account_info(item: Account, state: MarginState, *, now_ms: int) -> Json:
    held = sum(1 for position in item.positions.values() if position.size)
    return {
        "ae": text(state.equity),
        "as": text(state.available),
        "aw": text(state.available),
        "b": text(state.wallet),
        "f": 0,
        "mu": text(state.initial_margin),
        "pb": "0",
        "oc": len(item.open_orders),
        "pc": held,
        "sc": 0,
        "t": now_ms,
    }


def positions(item: Account) -> list[Json]:
    return [
        {
            "symbol": symbol,
            "side": "bid" if held.size > 0 else "ask",
            "amount": text(abs(held.size)),
            "entry_price": text(held.entry),
            "margin": "0",
            "funding": "0",
            "isolated": False,
            "liquidation_price": None,
            "created_at": ms(held.updated_ns),
            "updated_at": ms(held.updated_ns),
        }
        for symbol, held in item.positions.items()
        if held.size
    ]


def position_updates(item: Account, symbols: Iterable[str]) -> list[Json]:
    """Positions in short form; of one that is closed nothing is told."""
    return [
        {
            "s": row["symbol"],
            "d": row["side"],
            "a": row["amount"],
            "p": row["entry_price"],
            "m": "0",
            "f": "0",
            "i": False,
            "l": None,
            "t": row["updated_at"],
        }
        for row in positions(item)
        if row["symbol"] in symbols
    ]


def open_order(item: Order) -> Json:
    return {
        "order_id": item.order_id,
        "client_order_id": item.client_id or None,
        "symbol": item.symbol,
        "side": side(item.side),
        "price": text(item.price),
        "initial_amount": text(item.amount),
        "filled_amount": text(item.filled),
        "cancelled_amount": "0",
        "stop_price": None,
        "order_type": _kind(item),
        "stop_parent_order_id": None,
        "trigger_price_type": None,
        "reduce_only": item.reduce_only,
        "created_at": ms(item.created_ns),
        "updated_at": ms(item.updated_ns),
    }


def past_order(item: Order) -> Json:
    return {
        "order_id": item.order_id,
        "client_order_id": item.client_id or None,
        "symbol": item.symbol,
        "side": side(item.side),
        "initial_price": text(item.price),
        "average_filled_price": text(item.average_price),
        "amount": text(item.amount),
        "filled_amount": text(item.filled),
        "order_status": _STATUS[item.status],
        "order_type": _kind(item),
        "stop_price": None,
        "stop_parent_order_id": None,
        "reduce_only": item.reduce_only,
        "reason": None,
        "created_at": ms(item.created_ns),
        "updated_at": ms(item.updated_ns),
    }


def order_event(item: Order) -> Json:
    """The newest event of one order, as the history by id tells it."""
    row = past_order(item)
    return {
        "history_id": item.order_id,
        **{name: row[name] for name in ("order_id", "client_order_id", "symbol", "side")},
        "price": row["initial_price"],
        "initial_amount": row["amount"],
        "filled_amount": row["filled_amount"],
        "cancelled_amount": text(item.remaining if item.status.is_final else ZERO),
        "event_type": "make",
        "order_type": row["order_type"],
        "order_status": row["order_status"],
        "stop_price": None,
        "stop_parent_order_id": None,
        "reduce_only": item.reduce_only,
        "created_at": ms(item.updated_ns),
    }


def order_update(item: Order, execution: str, address: str, *, sequence: int) -> Json:
    return {
        "i": item.order_id,
        "I": item.client_id or None,
        "u": address,
        "s": item.symbol,
        "d": side(item.side),
        "p": text(item.average_price),
        "ip": text(item.price),
        "lp": text(item.price),
        "a": text(item.amount),
        "f": text(item.filled),
        "oe": execution,
        "os": _STATUS[item.status],
        "ot": _kind(item),
        "sp": None,
        "si": None,
        "tp": None,
        "r": item.reduce_only,
        "ct": ms(item.created_ns),
        "ut": ms(item.updated_ns),
        "li": sequence,
    }


def trade(item: Trade) -> Json:
    return {
        "history_id": item.trade_id,
        "order_id": item.order_id,
        "client_order_id": item.client_id or None,
        "symbol": item.symbol,
        "amount": text(item.amount),
        "price": text(item.price),
        "entry_price": text(item.price),
        "fee": text(item.fee),
        "pnl": text(item.realized),
        "event_type": "fulfill_maker" if item.is_maker else "fulfill_taker",
        "side": _trade_side(item),
        "created_at": ms(item.at_ns),
        "cause": "normal",
    }


def trade_update(item: Trade, address: str) -> Json:
    row = trade(item)
    return {
        "h": item.trade_id,
        "i": item.order_id,
        "I": row["client_order_id"],
        "u": address,
        "s": item.symbol,
        "p": row["price"],
        "o": row["entry_price"],
        "a": row["amount"],
        "te": row["event_type"],
        "ts": row["side"],
        "tc": "normal",
        "f": row["fee"],
        "n": row["pnl"],
        "t": row["created_at"],
        "li": item.trade_id,
    }


def public_trade(item: Trade) -> Json:
    """Return a trade as everybody sees it, by what its taker did: the house, when we made it."""
    taker_buys = (item.side is Side.BUY) is not item.is_maker
    return {
        "h": item.trade_id,
        "s": item.symbol,
        "a": text(item.amount),
        "p": text(item.price),
        "d": "open_long" if taker_buys else "open_short",
        "tc": "normal",
        "t": ms(item.at_ns),
        "li": item.trade_id,
    }


def payment(item: Income, size: Decimal, rate: Decimal) -> Json:
    return {
        "history_id": item.income_id,
        "symbol": item.symbol,
        "side": "bid" if size > 0 else "ask",
        "amount": text(abs(size)),
        "payout": text(item.amount),
        "rate": text(rate),
        "created_at": ms(item.at_ns),
    }


def balance_event(kind: str, amount: Decimal, left: Decimal, at_ns: int) -> Json:
    """A change of the balance by `amount`, after which `left` is there."""
    return {
        "amount": text(amount),
        "balance": text(left),
        "pending_balance": "0",
        "event_type": kind,
        "created_at": ms(at_ns),
    }


def balance_kind(item: Income, trade: Trade | None, amount: Decimal) -> str:
    """Name what changed a balance; whom the venue closed has a client id of the venue's."""
    if trade is not None:
        prefix = trade.client_id.partition("-")[0]
        return {"autoclose": "market_liquidation", "adl_autoclose": "adl_liquidation"}.get(
            prefix, "trade"
        )
    if item.kind == "FUNDING_FEE":
        return "funding"
    return "deposit" if amount > 0 else "withdraw"


def _kind(item: Order) -> str:
    return "limit" if item.kind is OrderKind.LIMIT else "market"


def _trade_side(item: Trade) -> str:
    """A trade that realized something has closed; which way it went is the same either way."""
    if item.realized:
        return "close_short" if item.side is Side.BUY else "close_long"
    return "open_long" if item.side is Side.BUY else "open_short"
