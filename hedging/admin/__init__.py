"""Admin pages of hedging."""

from hedging.admin.emergency import EmergencyStopAdmin, StoppedAccountAdmin
from hedging.admin.hedges import (
    FillAdmin,
    HedgeExecutionAdmin,
    ReconciliationBreakAdmin,
    ResolutionStepAdmin,
)
from hedging.admin.holding import HedgeDustAdmin, HedgeThrottleAdmin
from hedging.admin.rules import StopRuleAdmin

__all__ = [
    "EmergencyStopAdmin",
    "FillAdmin",
    "HedgeDustAdmin",
    "HedgeExecutionAdmin",
    "HedgeThrottleAdmin",
    "ReconciliationBreakAdmin",
    "ResolutionStepAdmin",
    "StopRuleAdmin",
    "StoppedAccountAdmin",
]
