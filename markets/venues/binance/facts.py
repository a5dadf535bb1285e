"""What Binance USDⓈ-M fixes by its own rules."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import Ratio
from markets.venues.capabilities import EVERYTHING
from markets.venues.fapi.parsing import Fees

RECEIVE_WINDOW: Final = timedelta(seconds=5)
"""How long after its signed time the venue may still accept a request (its own default)."""
SETTLEMENT_ASSET: Final = "USDT"
CAPABILITIES: Final = EVERYTHING
FEES: Final = Fees(maker=Ratio(Decimal("0.0002")), taker=Ratio(Decimal("0.0005")))
"""As ccxt 4.5.90 lists them for linear contracts."""
