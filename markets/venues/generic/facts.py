"""What is known of single ccxt venues beyond their classes; of all others nothing is assumed.

Sources: the classes of ccxt 4.5.90 (options, parameters, page sizes) and the vendors' API pages
they name: Bybit v5, OKX v5, Hyperliquid "Info endpoint" and "Exchange endpoint".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final

RECEIVE_WINDOW: Final = timedelta(seconds=60)
"""ccxt signs few requests with an expiry, so an order counts as on its way for this long."""
SETTLEMENT_ASSET: Final = "USDT"

OPTIONS: Final[Mapping[str, Any]] = {
    "defaultType": "swap",
    "defaultSubType": "linear",
    "builderFee": False,
    "approvedBuilderFee": False,
    "refSet": True,
    "warnOnFetchOpenOrdersWithoutSymbol": False,
}
"""For every class; one that does not know an option ignores it."""


class Lookup(Enum):
    """How an order is found by the id that we gave it."""

    ORDER = auto()
    """One query knows every order."""
    LISTS = auto()
    """The lists of open and of ended orders each filter by it."""
    SCAN = auto()
    """Only by going through the open orders, so that nothing proves an order unknown."""


class Timer(Enum):
    """How a venue is told when to cancel all of an account's orders, and what proves it heard.

    Bybit's is none: it cancels when a private socket breaks that has subscribed to that, which we
    do not hold. Its unified method would be answered with a success.
    """

    OKX = auto()
    HYPERLIQUID = auto()
    """A time of day, at least 5 s ahead; fires at most ten times a day, for larger traders only."""


class Margins(Enum):
    """Where a venue tells an account's margin state; ccxt has no common form of it."""

    BYBIT = auto()
    OKX = auto()
    HYPERLIQUID = auto()


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """`sets_margin_mode`: with nothing but the mode, kept by the venue; elsewhere each order names
    it (OKX) or it comes with a new leverage (Hyperliquid). `is_one_way`: there is no hedge mode.
    `fills_page` is the most trades one query returns; `fills_span` the longest time it covers
    where it can be bounded at both ends, None where it cannot.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    settlement_asset: str = SETTLEMENT_ASSET
    lookup: Lookup = Lookup.SCAN
    id_parameter: str = "clientOrderId"
    ids_are_hex: bool = False
    margins: Margins | None = None
    timer: Timer | None = None
    sets_margin_mode: bool = False
    is_one_way: bool = False
    orders_page: int = 50
    fills_page: int = 50
    fills_span: timedelta | None = None
    formats: Mapping[str, re.Pattern[str]] = field(default_factory=dict)


UNFAMILIAR: Final = VenueFacts()
_FACTS: Final[Mapping[str, VenueFacts]] = {
    "bybit": VenueFacts(
        options={
            "fetchMarkets": {"types": ["linear"]},
            # Said here, these two are not asked for before every order. Classic accounts are gone.
            "enableUnifiedMargin": False,
            "enableUnifiedAccount": True,
            "recvWindow": 5000,
        },
        lookup=Lookup.LISTS,
        id_parameter="orderLinkId",
        margins=Margins.BYBIT,
        sets_margin_mode=True,
        orders_page=50,
        fills_page=100,
        fills_span=timedelta(days=7),
    ),
    "okx": VenueFacts(
        options={
            "fetchMarkets": {"types": ["swap"]},
            # One order by the endpoint for one; the class would use the one for batches.
            "createOrder": "privatePostTradeOrder",
        },
        lookup=Lookup.ORDER,
        margins=Margins.OKX,
        timer=Timer.OKX,
        orders_page=100,
        fills_page=100,
        fills_span=timedelta(days=90),
    ),
    "hyperliquid": VenueFacts(
        options={"fetchMarkets": {"types": ["swap"]}},
        settlement_asset="USDC",
        lookup=Lookup.ORDER,
        ids_are_hex=True,
        margins=Margins.HYPERLIQUID,
        timer=Timer.HYPERLIQUID,
        is_one_way=True,
        orders_page=1000,
        fills_page=2000,
        fills_span=timedelta(days=3650),
        formats={
            "public_key": re.compile(r"0x[0-9a-fA-F]{40}"),
            "agent_key": re.compile(r"(0x)?[0-9a-fA-F]{64}"),
        },
    ),
}


def venue_facts(name: str) -> VenueFacts:
    return _FACTS.get(name, UNFAMILIAR)
