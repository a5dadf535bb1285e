"""Admin pages of hedging."""

from hedging.admin.emergency import EmergencyStopAdmin, StoppedAccountAdmin
from hedging.admin.hedges import (
    FillAdmin,
    HedgeExecutionAdmin,
    ReconciliationBreakAdmin,
    ResolutionStepAdmin,
)

__all__ = [
    "EmergencyStopAdmin",
    "FillAdmin",
    "HedgeExecutionAdmin",
    "ReconciliationBreakAdmin",
    "ResolutionStepAdmin",
    "StoppedAccountAdmin",
]
