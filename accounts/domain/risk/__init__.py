"""The pre-trade risk gate: limits as values, and what an order must satisfy against them."""

from accounts.domain.risk.exposure import LimitScope, ScopeLimits, ScopeSums, Tally
from accounts.domain.risk.gate import Circumstances, Holding, denial
from accounts.domain.risk.limits import RiskLimits
from accounts.domain.risk.standing import AccountStanding
from accounts.domain.risk.terms import OrderTerms

__all__ = [
    "AccountStanding",
    "Circumstances",
    "Holding",
    "LimitScope",
    "OrderTerms",
    "RiskLimits",
    "ScopeLimits",
    "ScopeSums",
    "Tally",
    "denial",
]
