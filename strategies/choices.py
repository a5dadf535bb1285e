"""Enumerations of modules and intents; the values are those on the wire."""

from enum import StrEnum


class ModuleType(StrEnum):
    """Built-in kinds; a module's type may also name a plug-in."""

    MARKET_MAKING = "market-making"
    FUNDING_ARBITRAGE = "funding-arbitrage"
    HEDGE_ONLY = "hedge-only"


class ModuleStatus(StrEnum):
    ENABLE = "enable"
    DISABLE = "disable"
