"""How an account stands: its equity, its drawdown and its leverage."""

from dataclasses import dataclass
from decimal import Decimal

from accounts.domain.risk.exposure import ScopeSums
from accounts.domain.risk.limits import RiskLimits
from accounts.domain.risk.terms import denied
from controlplane.kernel.errors import Denied
from controlplane.kernel.units import ZERO

PERCENT = Decimal(100)


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """An account's own figures, USD. `equity` is None when unknown.

    `peak` is the day's highest, moved with what came in and went out since.
    """

    equity: Decimal | None
    peak: Decimal | None
    sums: ScopeSums


def drawdown_percent(*, equity: Decimal, peak: Decimal) -> Decimal:
    """Return how far equity is below its peak, in per cent of the peak; never negative."""
    if peak <= 0:
        return ZERO
    return max(ZERO, (peak - equity) / peak * PERCENT)


def standing_problem(value: Decimal, limits: RiskLimits, account: AccountStanding) -> Denied | None:
    """Return why an account may not take `value` USD more, or None."""
    if account.equity is None:
        return denied("EQUITY_UNKNOWN")
    if account.equity <= 0:
        return denied("EQUITY_NOT_POSITIVE", equity=account.equity)
    if account.peak is not None:
        fallen = drawdown_percent(equity=account.equity, peak=account.peak)
        if fallen > limits.max_drawdown_percent:
            return denied(
                "DRAWDOWN_EXCEEDS_MAXIMUM",
                drawdown=round(fallen, 4),
                maximum=limits.max_drawdown_percent,
                equity=account.equity,
                peak=round(account.peak, 2),
            )
    if account.sums.unpriced:
        return denied("EXPOSURE_UNKNOWN", scope="account", symbol=account.sums.unpriced)
    leverage = (account.sums.gross + value) / account.equity
    if leverage > limits.max_leverage:
        return denied(
            "LEVERAGE_EXCEEDS_MAXIMUM",
            leverage=round(leverage, 4),
            maximum=limits.max_leverage,
        )
    return None
