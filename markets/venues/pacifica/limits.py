"""What requests to Pacifica cost, in tenths of a credit as its answers count them.

Credits come back over a rolling minute: 100 for an address that shows no config key, 300 and more
by fee tier for an account that shows one, wherever it is. A request costs one credit, a cancel
half of one, a heavy query 3 to 12, or 1 to 4 with a key (vendor: "Rate limits"). Which queries are
heavy is not documented; what they cost more is seen in the next answer's count. The balance
history is counted as ccxt 4.5.90's table has it, 12 credits.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from markets.venues.ratelimit.terms import Cost, Kind, Limit, Scope, Terms, Told

WINDOW_SECONDS: Final = 60
BY_ADDRESS: Final = Terms((Limit(Scope.EXIT, 1000, WINDOW_SECONDS),))
BY_KEY: Final = Terms((Limit(Scope.ACCOUNT, 3000, WINDOW_SECONDS),))
_PLAIN: Final = Cost(Kind.READ, 10)
_LEDGER: Final = Cost(Kind.READ, 120)
_ORDER: Final = Cost(Kind.ORDER, 10, orders=1)
_REDUCING: Final = Cost(Kind.URGENT, 10, orders=1)
_CANCEL: Final = Cost(Kind.URGENT, 5)
_COSTS: Final[Mapping[str, Cost]] = {
    "account/balance/history": _LEDGER,
    "orders/create": _ORDER,
    "orders/create_market": _ORDER,
    "orders/cancel": _CANCEL,
    "orders/cancel_all": _CANCEL,
}
_PARAMETER: Final = re.compile(r"\b([rqtw])=(\d{1,9})\b")


def cost(path: str, params: Mapping[str, Any]) -> Cost:
    """Return what a request takes of the credits, and how urgent it is."""
    found = _COSTS.get(path, _PLAIN)
    return _REDUCING if found is _ORDER and params.get("reduce_only") is True else found


def told(headers: Mapping[str, str], scope: Scope) -> Sequence[Told]:
    """Return what an answer tells: r is left of q, of which all is back in t seconds."""
    fields = dict(_fields(headers))
    left, quota = fields.get("r"), fields.get("q")
    if left is None or not quota:
        return ()
    used = max(0, quota - left)
    return [Told(scope, WINDOW_SECONDS, used, fields.get("t", WINDOW_SECONDS), quota)]


def _fields(headers: Mapping[str, str]) -> Iterable[tuple[str, int]]:
    for name, text in headers.items():
        if name.lower().startswith("ratelimit"):
            for key, number in _PARAMETER.findall(text):
                yield key, int(number)
