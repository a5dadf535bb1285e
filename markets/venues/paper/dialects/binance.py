"""The Binance USDⓈ-M dialect: versions, HMAC keys and routed sockets."""

import re
from collections.abc import Iterable
from typing import Final

from markets.venues.paper.dialects import fapi_routes as routes
from markets.venues.paper.dialects.fapi import (
    AGGREGATES,
    MARKS,
    QUOTES,
    TICKERS,
    TRADES,
    FapiDialect,
    any_of,
)
from markets.venues.paper.dialects.fapi_rest import Call, Route, Routes, Security
from markets.venues.paper.dialects.hmac_door import HmacDoor
from markets.venues.paper.venue import Venue

_USUAL_FUNDING_HOURS: Final = 8


def funding_info(call: Call) -> object:
    """List the symbols whose interval is not the usual 8 h, as the venue does."""
    hours = call.venue.funding_hours
    if hours == _USUAL_FUNDING_HOURS:
        return []
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": "0.03",
            "adjustedFundingRateFloor": "-0.03",
            "fundingIntervalHours": hours,
            "disclaimer": False,
        }
        for symbol in call.venue.engine.markets
    ]


ROUTES: Final[Routes] = {
    **routes.at("/fapi/v1", routes.PUBLIC_ROUTES),
    **routes.at("/fapi/v1", routes.ACCOUNT_ROUTES),
    ("GET", "/fapi/v1/fundingInfo"): Route(funding_info, 1, Security.NONE),
    ("GET", "/fapi/v1/symbolConfig"): Route(routes.symbol_config, 5, Security.SIGNED),
    ("GET", "/fapi/v2/ticker/price"): Route(routes.price_ticker, 1, Security.NONE),
    ("GET", "/fapi/v2/account"): Route(routes.account_v2, 5, Security.SIGNED),
    ("GET", "/fapi/v3/account"): Route(routes.account_v3, 5, Security.SIGNED),
    ("GET", "/fapi/v2/balance"): Route(routes.balance, 5, Security.SIGNED),
    ("GET", "/fapi/v3/balance"): Route(routes.balance, 5, Security.SIGNED),
    ("GET", "/fapi/v2/positionRisk"): Route(routes.position_risk_v2, 5, Security.SIGNED),
    ("GET", "/fapi/v3/positionRisk"): Route(routes.position_risk_v3, 5, Security.SIGNED),
}


class BinanceDialect(FapiDialect):
    """Public, market and private sockets are routed as the venue does since 2026-04-23:
    a stream asked for on the wrong path is acknowledged and stays silent.
    """

    socket = re.compile(
        r"(?:/(?P<channel>public|market|private))?/(?P<kind>ws|stream)(?:/(?P<rest>.*))?"
    )
    has_trade_lite = True

    def __init__(self, venue: Venue) -> None:
        super().__init__(
            venue, ROUTES, HmacDoor(venue), prefix="/fapi/v1", key_security=Security.KEY
        )

    def streams_on(self, channel: str, names: Iterable[str]) -> list[str] | None:
        if channel == "private":
            return self.user_streams(names) or None
        on_market = (MARKS, AGGREGATES, TICKERS)
        return any_of(names, on_market if channel == "market" else (QUOTES, TRADES))
