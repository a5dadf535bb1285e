"""Limits of one account, as the rules read them."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """USD for values, BTC-equivalent for the delta threshold, per cent where named so."""

    max_position_value: Decimal
    max_leverage: Decimal
    max_drawdown_percent: Decimal
    slippage_tolerance_percent: Decimal
    delta_threshold: Decimal
