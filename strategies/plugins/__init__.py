"""Strategies by module type. A type without an entry here wishes for nothing by itself."""

from collections.abc import Mapping
from typing import Final

from strategies.choices import ModuleType
from strategies.plugins.funding_arbitrage import FundingArbitrage
from strategies.plugins.port import Plugin

# A hedge-only module wishes for nothing: it owns what hedging decides for its book.
_plugins: Final[Mapping[str, Plugin]] = {ModuleType.FUNDING_ARBITRAGE: FundingArbitrage()}


def plugin_of(module_type: str) -> Plugin | None:
    """Return the strategy of a module type, or None when the type emits no signals."""
    return _plugins.get(module_type)
