"""The Aster futures v3 dialect: version 3 throughout, wallet signatures, unrouted sockets."""

import re
from collections.abc import Iterable
from typing import Final

from markets.venues.paper.dialects import fapi_render as render
from markets.venues.paper.dialects import fapi_routes as routes
from markets.venues.paper.dialects.aster_builders import BUILDER_ROUTES
from markets.venues.paper.dialects.fapi import (
    AGGREGATES,
    MARKS,
    QUOTES,
    TICKERS,
    FapiDialect,
    any_of,
)
from markets.venues.paper.dialects.fapi_rest import Call, Route, Routes, Security
from markets.venues.paper.dialects.wallet_door import WalletDoor
from markets.venues.paper.venue import Venue

_POSITION_FIELDS: Final = (
    "symbol",
    "positionSide",
    "positionAmt",
    "entryPrice",
    "markPrice",
    "unRealizedProfit",
    "liquidationPrice",
    "leverage",
    "maxNotionalValue",
    "marginType",
    "isolatedMargin",
    "isAutoAddMargin",
    "notional",
    "isolatedWallet",
    "updateTime",
)


def funding_info(call: Call) -> object:
    """List every symbol's interval; caps are numbers, unlike all else."""
    return [
        {
            "symbol": symbol,
            "interestRate": "0.00010000",
            "time": call.now_ms,
            "fundingIntervalHours": call.venue.funding_hours,
            "fundingFeeCap": 0.03,
            "fundingFeeFloor": -0.03,
        }
        for symbol in call.venue.engine.markets
    ]


def position_risk(call: Call) -> object:
    rows = render.positions(call.account, call.markets(), v2=True)
    return [{name: row[name] for name in _POSITION_FIELDS} for row in rows]


def spot_exchange_info(call: Call) -> object:
    """Say that nothing is listed for spot: clients ask before they load the perpetuals."""
    return {
        "timezone": "UTC",
        "serverTime": call.now_ms,
        "rateLimits": [],
        "exchangeFilters": [],
        "assets": [],
        "symbols": [],
    }


ROUTES: Final[Routes] = {
    **routes.at("/fapi/v1", routes.PUBLIC_ROUTES),
    **routes.at("/fapi/v3", routes.PUBLIC_ROUTES),
    **routes.at("/fapi/v3", routes.ACCOUNT_ROUTES),
    **routes.at("/fapi/v3", BUILDER_ROUTES),
    ("GET", "/fapi/v3/fundingInfo"): Route(funding_info, 1, Security.NONE),
    ("GET", "/fapi/v3/accountWithJoinMargin"): Route(routes.account_v2, 5, Security.SIGNED),
    ("GET", "/fapi/v3/balance"): Route(routes.balance, 5, Security.SIGNED),
    ("GET", "/fapi/v3/positionRisk"): Route(position_risk, 5, Security.SIGNED),
    ("GET", "/spot/api/v3/exchangeInfo"): Route(spot_exchange_info, 1, Security.NONE),
}


class AsterDialect(FapiDialect):
    """Every stream is served on every path; /fstream stands for the host's own name."""

    socket = re.compile(r"(?P<channel>/fstream)?/(?P<kind>ws|stream)(?:/(?P<rest>.*))?")
    has_trade_lite = False

    def __init__(self, venue: Venue) -> None:
        super().__init__(
            venue, ROUTES, WalletDoor(venue), prefix="/fapi/v3", key_security=Security.SIGNED
        )

    def streams_on(self, channel: str, names: Iterable[str]) -> list[str] | None:
        asked = [name for name in names if name]
        served = any_of(asked, (QUOTES, MARKS, AGGREGATES, TICKERS)) + self.user_streams(asked)
        return served if served or not asked else None
