"""Hedges, fills, differences with venues, and emergency stops."""

from hedging.models.emergency import EmergencyStop, StoppedAccount
from hedging.models.hedges import Fill, HedgeExecution, ReconciliationBreak, ResolutionStep

__all__ = [
    "EmergencyStop",
    "Fill",
    "HedgeExecution",
    "ReconciliationBreak",
    "ResolutionStep",
    "StoppedAccount",
]
