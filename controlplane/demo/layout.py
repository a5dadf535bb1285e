"""What the demo consists of. Sizes are base units, balances in the venue's own dollar."""

import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from controlplane.demo.keys import DemoKeys, new_keys
from controlplane.demo.relay import Relay

HOST: Final = "127.0.0.1"
SYMBOLS: Final = ("BTC", "ETH")
ACTOR_SECONDS: Final = "4"
ACTOR_SIZE: Final = "0.01"  # BTC or its worth: twenty times the accounts' delta threshold
EXITS: Final = ("127.0.0.2", "127.0.0.3")
PROFILE: Final = "demo-exits"


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """One account and the positions it starts with; a book's positions sum to zero."""

    account_id: str
    name: str
    book: str
    balance: Decimal
    positions: Mapping[str, Decimal]
    keys: DemoKeys


@dataclass(frozen=True, slots=True)
class DemoVenue:
    """One paper venue. They differ in dialect, seed, price and funding, as real venues do."""

    dialect: str
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
    def venue_id(self) -> str:
        return f"paper-{self.dialect}"

    @property
    def rest(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def websocket(self) -> str:
        return f"ws://{HOST}:{self.port}"

    def quote_stream(self, base: str) -> str:
        """Return the name under which the venue publishes a market's best prices."""
        return f"bbo:{base}" if self.dialect == "pacifica" else f"{base.lower()}usdt@bookTicker"

    def configuration(self, *, ledger: str) -> dict[str, Any]:
        """Return what `run_paper_venue --config` reads."""
        return {
            "name": self.venue_id,
            "dialect": self.dialect,
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
                    "apiKey": account.keys.name,
                    "apiSecret": account.keys.proof,
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


@dataclass(frozen=True, slots=True)
class DemoExit:
    """One proxy that accounts go out by, at an address of its own where the machine has it."""

    ip: str
    port: int
    auth: str = field(default_factory=lambda: f"demo:{secrets.token_urlsafe(12)}", repr=False)

    @property
    def name(self) -> str:
        return f"exit-{self.ip.rpartition('.')[2]}-{self.port}"

    def relay(self, directory: Path) -> Relay:
        """Return the proxy itself, which writes its tunnels down in `directory`."""
        return Relay(self.ip, self.port, self.auth, directory / f"{self.name}.jsonl")


@dataclass(frozen=True, slots=True)
class DemoLayout:
    """The venues, and the proxies between their accounts and them."""

    venues: Sequence[DemoVenue]
    exits: Sequence[DemoExit]

    @property
    def has_own_addresses(self) -> bool:
        """True when the proxies come out with addresses that nothing else here has."""
        return all(one.ip != HOST for one in self.exits)


def demo_layout(free_port: Callable[[str], int], *, has_actor: bool = True) -> DemoLayout:
    """Return venues with their accounts, and proxies; keys are new at each call.

    `free_port` chooses a port of an address. With `has_actor` somebody else trades on the
    accounts now and then. Book alpha is Pacifica against Aster, beta Binance against Pacifica.
    """
    binance = DemoVenue(
        dialect="binance",
        name="Paper Binance",
        port=free_port(HOST),
        seed=11,
        prices={"BTC": "61800", "ETH": "2680"},
        funding_rate="0.0001",
        accounts=(_account("binance", "Binance Beta", "beta", 13_000, "-0.4", "3"),),
        spare=_account("binance", "Binance Spare", "", 8_000, "0.3", "1"),
        has_actor=has_actor,
    )
    aster = DemoVenue(
        dialect="aster",
        name="Paper Aster",
        port=free_port(HOST),
        seed=23,
        prices={"BTC": "61815", "ETH": "2681"},
        funding_rate="-0.00005",
        accounts=(
            _account("aster", "Aster Alpha 1", "alpha", 10_000, "-0.3", "-3"),
            _account("aster", "Aster Alpha 2", "alpha", 7_000, "-0.2", "-2"),
        ),
        has_actor=has_actor,
    )
    pacifica = DemoVenue(
        dialect="pacifica",
        name="Paper Pacifica",
        port=free_port(HOST),
        seed=37,
        prices={"BTC": "61790", "ETH": "2679"},
        funding_rate="0.00002",
        accounts=(
            _account("pacifica", "Pacifica Alpha", "alpha", 17_000, "0.5", "5"),
            _account("pacifica", "Pacifica Beta", "beta", 13_000, "0.4", "-3"),
        ),
        has_actor=has_actor,
    )
    exits = [DemoExit(ip, free_port(ip)) for ip in exit_addresses()]
    return DemoLayout((binance, aster, pacifica), exits)


def exit_addresses() -> Sequence[str]:
    """Return loopback addresses for the proxies: their own, or ours where there is just one."""
    for ip in EXITS:
        with socket.socket() as probe:
            try:
                probe.bind((ip, 0))
            except OSError:  # macOS gives 127.0.0.1 alone
                return (HOST,) * len(EXITS)
    return EXITS


def _account(dialect: str, name: str, book: str, balance: int, btc: str, eth: str) -> DemoAccount:
    positions = {"BTC": Decimal(btc), "ETH": Decimal(eth)}
    key = name.lower().replace(" ", "-")
    return DemoAccount(key, name, book, Decimal(balance), positions, new_keys(dialect))
