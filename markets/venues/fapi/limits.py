"""What requests to a /fapi venue cost, and what its answers tell of their use.

Weights: ccxt 4.5.90's cost table, and the vendors' pages where it names none. Where a weight
depends on the parameters, it is that of what we send.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from markets.venues.checks import UNREADABLE
from markets.venues.fapi.operations import Operation
from markets.venues.ratelimit.terms import Cost, Kind, Limit, Scope, Terms, Told

_MINUTE: Final = 60
_WEIGHT_HEADER: Final = "x-mbx-used-weight-1m"
_ORDER_HEADERS: Final = {"x-mbx-order-count-10s": 10, "x-mbx-order-count-1m": _MINUTE}
_SECONDS: Final = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}
_SCOPES: Final = {"REQUEST_WEIGHT": Scope.EXIT, "ORDERS": Scope.ORDERS}

WEIGHTS: Final = Limit(Scope.EXIT, 2400, _MINUTE)
BINANCE: Final = Terms((WEIGHTS, Limit(Scope.ORDERS, 300, 10), Limit(Scope.ORDERS, 1200, _MINUTE)))
"""By address and by account, as exchangeInfo lists them."""
ASTER: Final = Terms((WEIGHTS, Limit(Scope.ORDERS, 1200, _MINUTE)))

_READS: Final[Mapping[Operation, int]] = {
    Operation.TIME: 1,
    Operation.INSTRUMENTS: 1,
    Operation.FUNDING_INFO: 1,
    Operation.FUNDING_RATES: 1,
    Operation.PREMIUM: 10,
    Operation.ACCOUNT: 5,
    Operation.POSITIONS: 5,
    Operation.OPEN_ORDERS: 40,
    Operation.ORDER: 1,
    Operation.TRADES: 5,
    Operation.INCOME: 30,
    Operation.LEVERAGE: 1,
    Operation.MARGIN_TERMS: 5,
    Operation.SET_MARGIN_MODE: 1,
    Operation.POSITION_MODE: 30,
    Operation.SET_POSITION_MODE: 1,
    Operation.OPEN_STREAM: 1,
    Operation.KEEP_STREAM: 1,
}
_COSTS: Final[Mapping[Operation, Cost]] = {
    **{operation: Cost(Kind.READ, weight) for operation, weight in _READS.items()},
    Operation.CANCEL: Cost(Kind.URGENT, 1),
    Operation.CANCEL_ALL: Cost(Kind.URGENT, 1),
    Operation.DEAD_MAN_TIMER: Cost(Kind.URGENT, 10),
    # Some venues take no weight for an order; it is counted all the same.
    Operation.PLACE: Cost(Kind.ORDER, 1, orders=1),
}
_REDUCING: Final = Cost(Kind.URGENT, 1, orders=1)
_ONE_BOOK, _ALL_BOOKS = Cost(Kind.READ, 2), Cost(Kind.READ, 5)


def cost(operation: Operation, params: Mapping[str, Any]) -> Cost:
    """Return what a request takes of the limits, and how urgent it is."""
    if operation is Operation.PLACE and params.get("reduceOnly") == "true":
        return _REDUCING
    if operation is Operation.BOOK_TOP:
        return _ONE_BOOK if "symbol" in params else _ALL_BOOKS
    return _COSTS[operation]


def told(headers: Mapping[str, str], *, now_ms: int) -> Sequence[Told]:
    """Return what an answer tells; the windows are cut at whole spans of the venue's clock."""
    found = []
    for name, text in headers.items():
        known = name.lower()
        if not known.startswith("x-mbx-"):
            continue
        if known == _WEIGHT_HEADER:
            scope, seconds = Scope.EXIT, _MINUTE
        elif known in _ORDER_HEADERS:
            scope, seconds = Scope.ORDERS, _ORDER_HEADERS[known]
        else:
            continue
        if text.isascii() and text.isdigit() and len(text) < 10:
            left = seconds - now_ms // 1000 % seconds
            found.append(Told(scope, seconds, int(text), left))
    return found


class _Rule(msgspec.Struct):
    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int


class _Rules(msgspec.Struct):
    rateLimits: list[_Rule] = []


def listed(body: bytes) -> Sequence[Limit]:
    """Return the limits that exchangeInfo lists; of unreadable ones none."""
    try:
        rules = msgspec.json.decode(body, type=_Rules).rateLimits
    except UNREADABLE:
        return ()
    return [
        Limit(_SCOPES[rule.rateLimitType], rule.limit, _SECONDS[rule.interval] * rule.intervalNum)
        for rule in rules
        if rule.rateLimitType in _SCOPES and rule.interval in _SECONDS and rule.limit > 0
    ]
