"""What Binance USDⓈ-M fixes by its own rules."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import Ratio
from markets.venues.capabilities import EVERYTHING
from markets.venues.fapi.parsing import Fees
from markets.venues.sockets import SocketLimits

RECEIVE_WINDOW: Final = timedelta(seconds=5)
"""How long after its signed time the venue may still accept a request (its own default)."""
SETTLEMENT_ASSET: Final = "USDT"
CAPABILITIES: Final = EVERYTHING
FEES: Final = Fees(maker=Ratio(Decimal("0.0002")), taker=Ratio(Decimal("0.0005")))
"""As ccxt 4.5.90 lists them for linear contracts."""
SOCKETS: Final = SocketLimits(connects=300, window_seconds=300, life_seconds=86_400)
"""300 connection attempts in 5 minutes from one IP; cut after 24 h (vendor: "Websocket Market
Streams", "Limits" of its general information)."""
