"""A live stage for orders: a paper venue in a thread, an account on it, and fresh prices."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts import egress
from accounts.models import AccountState, ExchangeAccount
from controlplane.base.audit import Actor, Surface
from markets.models import Instrument, MarketDataFeed, Quote
from markets.venues.paper.config import PaperConfig, account_config, symbol_config
from markets.venues.paper.server import PaperVenue
from markets.venues.types import OrderReport, SubmitOrder
from strategies import services
from strategies.models import OrderIntent, StrategyModule
from tests import factories
from tests.strategies.sending import Line

KEY, SECRET = "paper-key", "paper-secret"
PRICE = Decimal(60_000)


class VenueThread:
    """A paper venue served from a thread of its own; `orders()` reads its ledger."""

    def __init__(self, **changes: Any) -> None:
        self.config = PaperConfig(
            **{
                "symbols": (symbol_config("BTC", price=PRICE),),
                "accounts": (account_config("alpha", KEY, SECRET, Decimal(100_000)),),
                "start_paused": True,
                **changes,
            }
        )
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "VenueThread":
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def orders(self) -> list[dict[str, Any]]:
        """Every request for a new order that reached the venue."""
        return [
            entry
            for entry in self.venue.ledger.since(kind="request")
            if entry["method"] == "POST" and entry["path"] == "/fapi/v1/order"
        ]

    def accepted(self) -> list[dict[str, Any]]:
        return [entry for entry in self.orders() if entry["status"] == 200]

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with PaperVenue.start(self.config) as self.venue:
            self._started.set()
            await self._stop.wait()


@dataclass
class Stage:
    """An account with everything an order of its needs; `wish` writes an intent."""

    account: ExchangeAccount
    instrument: Instrument
    module: StrategyModule
    feed: MarketDataFeed
    actor: Actor = field(default_factory=lambda: Actor(name="test", surface=Surface.JOB))

    def wish(self, **fields: Any) -> OrderIntent:
        return services.intent_create(
            **{
                "module": self.module,
                "account": self.account,
                "instrument": self.instrument,
                "side": "buy",
                "type": "market",
                "amount": Decimal("0.01"),
                "sandbox": False,
                "actor": self.actor,
                **fields,
            }
        )

    def quote(self, bid: Decimal = PRICE - 1, ask: Decimal = PRICE + 1) -> None:
        now = datetime.now(UTC)
        Quote.objects.update_or_create(
            feed=self.feed,
            defaults={
                "bid": bid,
                "ask": ask,
                "bid_size": Decimal(5),
                "ask_size": Decimal(5),
                "venue_at": now,
                "received_at": now,
                "sequence": 1,
            },
        )


def stage(
    rest: str = "http://127.0.0.1:9", *, exchange: str | None = None, **account: Any
) -> Stage:
    """Return an account at a venue at `rest`, flat, synced now, with a fresh quote."""
    named = {} if exchange is None else {"venue_id": exchange}
    venue = factories.venue(rest_endpoint=rest, ws_endpoint=rest.replace("http", "ws"), **named)
    owner = factories.account(exchange=venue, api_key=KEY, api_secret=SECRET, **account)
    now = datetime.now(UTC)
    AccountState.objects.filter(account=owner).update(
        positions_at=now, reconciled_at=now, equity=Decimal(1_000_000)
    )
    made = Stage(
        account=owner,
        instrument=factories.instrument(venue=venue),
        module=factories.module(dry_run_enabled=False),
        # Fresh for longer than any test takes: staleness is tested by taking the quote away.
        feed=factories.feed(
            exchange=venue, status="healthy", freshness_threshold=60_000, failover_deadline=90_000
        ),
    )
    made.quote()
    return made


@pytest.fixture
def paper() -> Iterator[VenueThread]:
    with VenueThread() as venue:
        yield venue


@pytest.fixture
def live(db: None, paper: VenueThread) -> Stage:
    """A stage whose account is at the running paper venue."""
    return stage(paper.venue.rest_url)


@pytest.fixture
def still(db: None) -> Stage:
    """A stage whose venue does not answer."""
    return stage()


@pytest.fixture
def on_the_line(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Line]:
    """Put a client of the test's own where the account's venue would be."""

    def put(act: Callable[[SubmitOrder], OrderReport]) -> Line:
        line = Line(act)
        monkeypatch.setattr(egress, "execution_client", lambda account, **_: line)
        return line

    return put
