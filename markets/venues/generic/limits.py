"""What requests to a ccxt venue cost: by the class's own costs, for want of the venue's.

ccxt spaces requests `rateLimit` milliseconds for each unit of cost. That many units a minute are
the limit here. Answers tell nothing of the use, so each process has an equal part of it.
"""

from decimal import ROUND_UP, Decimal
from typing import Any, Final

from markets.venues.ratelimit.terms import Limit, Scope, Terms

WINDOW_SECONDS: Final = 60
UNIT: Final = 100
"""ccxt's costs are broken numbers; ours are hundredths."""
_THROTTLED: Final = (429, 418)
_KINDS: Final = frozenset({"RateLimitExceeded", "DDoSProtection"})


def terms(exchange: Any) -> Terms:
    """Return the limits that a class's spacing of requests amounts to."""
    spacing = Decimal(str(exchange.rateLimit)) or Decimal(1)
    units = WINDOW_SECONDS * 1000 * UNIT / spacing
    return Terms((Limit(Scope.EXIT, int(units), WINDOW_SECONDS),), is_told=False)


def weight(cost: Any) -> int:
    """Return ccxt's cost of a request in hundredths, at least one."""
    units = (Decimal(str(cost)) * UNIT).to_integral_value(ROUND_UP)
    return max(1, int(units))


def is_throttled(status: int, error: BaseException | None) -> bool:
    """Tell whether an answer says that we ask too much, by its status or by ccxt's reading."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return status in _THROTTLED or (status < 500 and bool(kinds & _KINDS))
