"""What Pacifica fixes by its own rules, or leaves to us."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import Ratio
from markets.venues.capabilities import EVERYTHING
from markets.venues.sockets import SocketLimits

RECEIVE_WINDOW: Final = timedelta(seconds=5)
"""Our `expiry_window`: how long after its signed time a request may still be accepted."""
SETTLEMENT_ASSET: Final = "USDC"
CAPABILITIES: Final = replace(EVERYTHING, dead_man_timer=False, dead_man_timer_per_symbol=False)
MAKER_FEE: Final = Ratio(Decimal("0.00015"))
TAKER_FEE: Final = Ratio(Decimal("0.0004"))
"""The first fee level, as an account's `maker_fee` and `taker_fee` show it."""
FUNDING_HOURS: Final = 1
MARKET_SLIPPAGE_PERCENT: Final = "0.5"
"""How far from the mid a market order may fill; the rest of it is cancelled (vendor's default)."""
CONTRACT_SIZE: Final = Decimal(1)
"""Amounts are in the base asset ("Tick and lot size")."""
MAX_SUBSCRIPTIONS: Final = 20
"""Of one channel on one socket ("Rate limits", WebSocket)."""
SOCKETS: Final = SocketLimits(
    connects=300,
    window_seconds=300,
    at_once=300,
    life_seconds=86_400,
    quotes=MAX_SUBSCRIPTIONS,
    marks=10_000,  # one channel tells those of every symbol
)
"""300 sockets at once from one IP, 24 h each ("Rate limits", WebSocket); new ones are not limited
there, so by us, to no more than others allow."""
HEARTBEAT: Final = '{"method":"ping"}'
"""A socket that says nothing for 60 s is cut; protocol pings are not documented to count."""
