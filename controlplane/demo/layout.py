"""What the demo consists of. Sizes are base units, balances USDT."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

SYMBOLS: Final = ("BTC", "ETH")
ACTOR_SECONDS: Final = "4"
ACTOR_SIZE: Final = "0.01"  # BTC or its worth: twenty times the accounts' delta threshold


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """One account and the positions it starts with; a book's positions sum to zero."""

    account_id: str
    name: str
    book: str
    balance: Decimal
    positions: Mapping[str, Decimal]
    api_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    api_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))


@dataclass(frozen=True, slots=True)
class DemoVenue:
    """One paper venue. The two differ in seed, price and funding, as real venues do."""

    venue_id: str
    name: str
    port: int
    seed: int
    prices: Mapping[str, str]
    funding_rate: str
    accounts: Sequence[DemoAccount]
    spare: DemoAccount | None = None
    """An account the venue knows and the console does not, for a person to add."""
    has_actor: bool = True
    captures: tuple[Path, ...] = ()
    loops: bool = False

    def replaying(
        self, captures: Sequence[Path], *, first_prices: Mapping[str, Decimal], loops: bool
    ) -> "DemoVenue":
        """Return the venue with recorded markets, still until somebody lets it play.

        `first_prices`, by base asset, are where the recordings begin.
        """
        prices = {**self.prices, **{base: str(price) for base, price in first_prices.items()}}
        return replace(self, captures=tuple(captures), prices=prices, loops=loops)

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def configuration(self, *, ledger: str) -> dict[str, Any]:
        """Return what `run_paper_venue --config` reads."""
        return {
            "name": self.venue_id,
            "port": self.port,
            "seed": self.seed,
            "control": True,
            "replay": [str(path) for path in self.captures],
            "replayLoop": self.loops,
            "startPaused": bool(self.captures),
            "ledger": ledger,
            "symbols": [
                {"base": base, "price": self.prices[base], "fundingRate": self.funding_rate}
                for base in SYMBOLS
            ],
            "accounts": [
                {
                    "label": account.account_id,
                    "apiKey": account.api_key,
                    "apiSecret": account.api_secret,
                    "balance": str(account.balance),
                    "leverage": 4,
                    "positions": {base: str(size) for base, size in account.positions.items()},
                }
                for account in (*self.accounts, *([self.spare] if self.spare else []))
            ],
            "actor": (
                {
                    "everySeconds": ACTOR_SECONDS,
                    "size": ACTOR_SIZE,
                    "accounts": [account.account_id for account in self.accounts],
                }
                if self.has_actor
                else None
            ),
        }


def demo_venues(
    *, east_port: int, west_port: int, has_actor: bool = True
) -> tuple[DemoVenue, DemoVenue]:
    """Return the two venues with their accounts; keys are new at each call.

    With `has_actor` somebody else trades on the accounts now and then.
    """
    return (
        DemoVenue(
            venue_id="paper-east",
            name="Paper East",
            port=east_port,
            seed=11,
            prices={"BTC": "61800", "ETH": "2680"},
            funding_rate="0.0001",
            accounts=(
                _account("east-alpha", "East Alpha", "alpha", 17_000, "0.5", "5"),
                _account("east-beta", "East Beta", "beta", 13_000, "-0.4", "3"),
            ),
            spare=_account("east-spare", "East Spare", "", 8_000, "0.3", "1"),
            has_actor=has_actor,
        ),
        DemoVenue(
            venue_id="paper-west",
            name="Paper West",
            port=west_port,
            seed=23,
            prices={"BTC": "61815", "ETH": "2681"},
            funding_rate="-0.00005",
            accounts=(
                _account("west-alpha-1", "West Alpha 1", "alpha", 10_000, "-0.3", "-3"),
                _account("west-alpha-2", "West Alpha 2", "alpha", 7_000, "-0.2", "-2"),
                _account("west-beta", "West Beta", "beta", 13_000, "0.4", "-3"),
            ),
            has_actor=has_actor,
        ),
    )


def _account(key: str, name: str, book: str, balance: int, btc: str, eth: str) -> DemoAccount:
    positions = {"BTC": Decimal(btc), "ETH": Decimal(eth)}
    return DemoAccount(key, name, book, Decimal(balance), positions)
