"""What each dialect needs to be put through the contracts; a new venue adds its kit here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from nacl.signing import SigningKey

from controlplane.kernel.secrets import Secret
from markets.venues import base58
from markets.venues.aster.facts import MAIN_CHAIN
from markets.venues.aster.signing import Signer
from markets.venues.pacifica.signing import Signer as Signer58
from markets.venues.paper.config import PaperConfig, account_config, symbol_config
from markets.venues.paper.server import PaperVenue
from markets.venues.types import Credentials, Endpoint


@dataclass(frozen=True)
class Words:
    """The venue's names of what the contracts lie about; `on_…` are those of its sockets.

    A path is the end of the address where something is read.
    """

    orders_path: str
    order_id: str
    client_id: str
    filled: str
    order_at: str
    fills_path: str
    fill_amount: str
    fill_at: str
    ledger_path: str
    ledger_page: int
    ledger_amount: str
    ledger_at: str
    quotes_path: str
    bid: str
    quote_at: str
    on_bid: str
    on_quote_at: str
    on_number: str
    on_filled: str
    on_order_at: str


@dataclass(frozen=True)
class Kit:
    """`known_as` is (api_key, api_secret) as the paper venue knows the account of `credentials`."""

    dialect: str
    symbol: str
    known_as: tuple[str, str]
    credentials: Credentials
    strangers: Credentials
    order_path: str
    words: Words
    quote: str = "USDT"
    symbol_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def endpoint(self) -> Endpoint:
        """An address where nobody is."""
        return Endpoint("http://127.0.0.1:1", "ws://127.0.0.1:1")

    def config(self, **changes: Any) -> PaperConfig:
        """Two markets, one account with 100 000 and 0.5 BTC, still prices."""
        values: dict[str, Any] = {
            "dialect": self.dialect,
            "symbols": tuple(
                symbol_config(base, quote=self.quote, **self.symbol_options)
                for base in ("BTC", "ETH")
            ),
            "accounts": (
                account_config("alpha", *self.known_as, Decimal(100_000), {"BTC": Decimal("0.5")}),
            ),
            "start_paused": True,
        }
        return PaperConfig(**{**values, **changes})


_FAPI: Final = Words(
    orders_path="/openOrders",
    order_id="orderId",
    client_id="clientOrderId",
    filled="executedQty",
    order_at="updateTime",
    fills_path="/userTrades",
    fill_amount="qty",
    fill_at="time",
    ledger_path="/income",
    ledger_page=1000,
    ledger_amount="income",
    ledger_at="time",
    quotes_path="/ticker/bookTicker",
    bid="bidPrice",
    quote_at="time",
    on_bid="b",
    on_quote_at="E",
    on_number="u",
    on_filled="z",
    on_order_at="T",
)
_PACIFICA: Final = Words(
    orders_path="/orders",
    order_id="order_id",
    client_id="client_order_id",
    filled="filled_amount",
    order_at="updated_at",
    fills_path="/trades/history",
    fill_amount="amount",
    fill_at="created_at",
    ledger_path="/account/balance/history",
    ledger_page=100,
    ledger_amount="amount",
    ledger_at="created_at",
    quotes_path="/book",
    bid="p",
    quote_at="t",
    on_bid="b",
    on_quote_at="t",
    on_number="li",
    on_filled="f",
    on_order_at="ut",
)


def _binance() -> Kit:
    def keys(secret: str) -> Credentials:
        return Credentials(api_key=Secret("paper-key"), api_secret=Secret(secret))

    return Kit(
        dialect="binance",
        symbol="BTCUSDT",
        known_as=("paper-key", "paper-secret"),
        credentials=keys("paper-secret"),
        strangers=keys("another"),
        order_path="/fapi/v1/order",
        words=_FAPI,
    )


WALLET: Final = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"


def _aster() -> Kit:
    def keys(secret: str) -> Credentials:
        return Credentials(public_key=Secret(WALLET), agent_key=Secret(secret))

    agent = "0x" + "ab" * 32
    return Kit(
        dialect="aster",
        symbol="BTCUSDT",
        known_as=(WALLET, Signer(Secret(agent), chain_id=MAIN_CHAIN).address),
        credentials=keys(agent),
        strangers=keys("0x" + "cd" * 32),
        order_path="/fapi/v3/order",
        words=_FAPI,
    )


def _pacifica() -> Kit:
    def secret(start: int) -> str:
        key = SigningKey(bytes(range(start, start + 32)))
        return base58.encode(bytes(key) + bytes(key.verify_key))

    account, agent = Signer58(Secret(secret(1))).address, secret(101)

    def keys(of: str) -> Credentials:
        return Credentials(public_key=Secret(account), agent_key=Secret(of))

    return Kit(
        dialect="pacifica",
        symbol="BTC",
        known_as=(account, Signer58(Secret(agent)).address),
        credentials=keys(agent),
        strangers=keys(secret(201)),
        order_path="/api/v1/orders/create",
        words=_PACIFICA,
        quote="USDC",
    )


KITS: Final[Mapping[str, Callable[[], Kit]]] = {
    "binance": _binance,
    "aster": _aster,
    "pacifica": _pacifica,
}


def mark(venue: PaperVenue, kit: Kit) -> Decimal:
    return venue.engine.markets[kit.symbol].mark
