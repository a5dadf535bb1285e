"""What Aster futures v3 fixes by its own rules."""

from datetime import timedelta
from decimal import Decimal
from typing import Final

from controlplane.kernel.units import Ratio
from markets.venues.capabilities import EVERYTHING
from markets.venues.fapi.parsing import Fees
from markets.venues.sockets import SocketLimits

RECEIVE_WINDOW: Final = timedelta(seconds=10)
"""How far a nonce may be from the venue's clock (vendor: "V3 Nonce Mechanism")."""
SETTLEMENT_ASSET: Final = "USDT"
CAPABILITIES: Final = EVERYTHING
FEES: Final = Fees(maker=Ratio(Decimal("0.0001")), taker=Ratio(Decimal("0.00035")))
"""As ccxt 4.5.90 lists them."""
SOCKETS: Final = SocketLimits(connects=300, window_seconds=300, life_seconds=86_400)
"""Cut after 24 h (vendor: "WebSocket Market Streams"); it names no limit of connections, so
Binance's, whose protocol it is."""
MAIN_CHAIN: Final = 1666
TEST_CHAIN: Final = 714
TEST_HOSTS: Final = "asterdex-testnet.com"


def chain_id(rest: str) -> int:
    """Return the signing domain's chain of a REST address; it is no chain for deposits."""
    return TEST_CHAIN if rest.endswith(TEST_HOSTS) else MAIN_CHAIN
