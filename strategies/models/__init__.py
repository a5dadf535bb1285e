"""Strategy modules, the accounts they may use and the orders they wish for."""

from strategies.models.config import SYSTEM_HEDGE, AccountAllocation, RiskLimit, StrategyModule
from strategies.models.orders import OrderIntent, QuarantinedAnswer, UnknownClosure

__all__ = [
    "SYSTEM_HEDGE",
    "AccountAllocation",
    "OrderIntent",
    "QuarantinedAnswer",
    "RiskLimit",
    "StrategyModule",
    "UnknownClosure",
]
