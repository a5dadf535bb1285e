"""A running paper venue for tests, on real sockets."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from controlplane.kernel.secrets import Secret
from markets.venues.paper.config import PaperConfig, account_config, symbol_config
from markets.venues.paper.server import PaperVenue
from markets.venues.types import Credentials

KEY, SECRET = "paper-key", "paper-secret"


def paper_config(**changes: object) -> PaperConfig:
    """Two markets, two accounts, still prices and an open control endpoint."""
    values: dict[str, object] = {
        "symbols": (symbol_config("BTC"), symbol_config("ETH")),
        "accounts": (
            account_config("alpha", KEY, SECRET, Decimal(100_000), {"BTC": Decimal("0.5")}),
            account_config("beta", "beta-key", "beta-secret", Decimal(1_000)),
        ),
        "control": True,
        "start_paused": True,
    }
    return PaperConfig(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(api_key=Secret(KEY), api_secret=Secret(SECRET))


@pytest.fixture
async def venue() -> AsyncIterator[PaperVenue]:
    async with PaperVenue.start(paper_config()) as running:
        yield running
