"""Accounts at venues, their limits, their egress and the last truth known of them."""

from accounts.models.account import ExchangeAccount, RiskEnvelope
from accounts.models.egress import ProxyProfile, ProxySession
from accounts.models.observed import (
    AccountSyncJob,
    EquitySample,
    FundingPayment,
    Position,
    Transfer,
)
from accounts.models.state import AccountState
from accounts.models.stoploss import StopLossConfig

__all__ = [
    "AccountState",
    "AccountSyncJob",
    "EquitySample",
    "ExchangeAccount",
    "FundingPayment",
    "Position",
    "ProxyProfile",
    "ProxySession",
    "RiskEnvelope",
    "StopLossConfig",
    "Transfer",
]
