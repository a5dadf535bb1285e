"""A ccxt venue's capabilities, by what its class says of itself and what we know of it."""

from functools import cache
from typing import Any

from markets.venues.capabilities import Capabilities
from markets.venues.generic.exchange import make_exchange
from markets.venues.generic.facts import Lookup, venue_facts
from markets.venues.types import Credentials, Endpoint


@cache
def capabilities(name: str) -> Capabilities:
    """Return what the generic adapter can do on a venue; raises UnknownVenue."""
    exchange = make_exchange(Endpoint("", "", ccxt_id=name), Credentials(), proxy_url=None)
    facts, has = venue_facts(name), exchange.has
    orders = _orders(exchange)
    in_force = orders.get("timeInForce") or {}
    return Capabilities(
        market_orders=bool(has["createMarketOrder"]) and not facts.ids_are_hex,
        post_only=in_force.get("PO") is True,
        ioc=in_force.get("IOC") is True,
        reduce_only=bool(has["createReduceOnlyOrder"]),
        order_by_client_id=facts.lookup is not Lookup.SCAN,
        cancel_all=bool(has["cancelAllOrders"]),
        margin_state=facts.margins is not None,
        fills_history=has["fetchMyTrades"] is True,
        funding_rates=has["fetchFundingRates"] is True,
        funding_history=has["fetchFundingHistory"] is True,
        transfer_history=False,
        set_leverage=has["setLeverage"] is True,
        set_margin_mode=facts.sets_margin_mode,
        margin_terms=has["fetchLeverage"] is True or has["fetchMarginMode"] is True,
        position_mode=facts.is_one_way or has["fetchPositionMode"] is True,
        set_one_way=facts.is_one_way or has["setPositionMode"] is True,
        server_time=has["fetchTime"] is True,
        top_of_book_stream=False,
        private_stream=False,
        dead_man_timer=facts.timer is not None,
        dead_man_timer_per_symbol=False,
    )


def _orders(exchange: Any) -> dict[str, Any]:
    """Return what the class says of orders on linear swaps; empty where it says nothing."""
    swap = (exchange.features or {}).get("swap") or {}
    linear = swap.get("linear") or swap
    return linear.get("createOrder") or {}
