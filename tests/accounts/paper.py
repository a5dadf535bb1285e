"""A paper venue on a thread of its own, and a gateway before it that can misbehave."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from accounts.models import ExchangeAccount
from markets.models import Venue
from markets.venues.paper.config import PaperConfig, account_config, symbol_config
from markets.venues.paper.server import PaperVenue
from tests import factories
from tests.contracts.kits import Kit

T = TypeVar("T")
Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gateway:
    """Hands requests on to the venue, except those it has a fault for (by method and path)."""

    def __init__(self, upstream: str) -> None:
        self.faults: dict[tuple[str, str], Fault] = {}
        self.requests: list[tuple[str, str]] = []
        self.port = 0
        self._upstream = upstream

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        if fault := self.faults.get((request.method, request.path)):
            return await fault(request)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method,
                f"{self._upstream}{request.raw_path}",
                headers=headers,
                data=await request.read(),
            ) as answer,
        ):
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                content_type=answer.content_type,
            )


@dataclass
class Paper:
    """The venue, its row, and a way to act on its loop from the test's thread."""

    server: PaperVenue
    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    row: Venue
    secrets: dict[str, str] = field(default_factory=dict)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def do(self, act: Callable[[], T]) -> T:
        async def call() -> T:
            return act()

        return self.run(call())

    def move(self, label: str, symbol: str, amount: str) -> None:
        """Trade as a person would in the venue's own interface."""
        core = self.server.core
        self.do(lambda: core.move_position(label, symbol, Decimal(amount), source="web"))

    def account(self, label: str, **fields: Any) -> ExchangeAccount:
        made = factories.account(
            **{
                "account_id": label,
                "exchange": self.row,
                "api_key": f"key-{label}",
                "api_secret": f"secret-{label}",
                **self.secrets,
                **fields,
            }
        )
        return ExchangeAccount.objects.for_sync().get(pk=made.pk)


def rekey(account: ExchangeAccount, **secrets: str) -> None:
    for name, value in secrets.items():
        setattr(account, name, value)
    account.save()


def paper_venue(
    *, labels: tuple[str, ...] = ("alpha",), **positions: dict[str, str]
) -> AbstractContextManager[Paper]:
    """Serve Binance's dialect; prices stand still, row and instruments are in the database.

    `positions` maps an account's label to base asset and size.
    """
    config = PaperConfig(
        accounts=tuple(
            account_config(
                label,
                f"key-{label}",
                f"secret-{label}",
                Decimal(100_000),
                {base: Decimal(size) for base, size in positions.get(label, {}).items()},
            )
            for label in labels
        ),
        symbols=(symbol_config("BTC"), symbol_config("ETH")),
        start_paused=True,
        control=True,
    )
    return _serving(config, {})


def kit_venue(kit: Kit) -> AbstractContextManager[Paper]:
    """Serve a kit's dialect likewise; its account `alpha` is long 0.5 BTC."""
    names = ("public_key", "api_key", "api_secret", "agent_key")
    secrets = {name: getattr(kit.credentials, name).reveal() for name in names}
    return _serving(kit.config(control=True), secrets)


@contextmanager
def _serving(config: PaperConfig, secrets: dict[str, str]) -> Iterator[Paper]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    started: asyncio.Future[tuple[PaperVenue, Gateway]] = loop.create_future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with PaperVenue.start(config) as server:
            gateway = Gateway(server.rest_url)
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", gateway.serve)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            gateway.port = runner.addresses[0][1]
            started.set_result((server, gateway))
            await stop.wait()
            await runner.cleanup()

    async def wait_started() -> tuple[PaperVenue, Gateway]:
        return await started

    serving = asyncio.run_coroutine_threadsafe(serve(), loop)
    try:
        server, gateway = asyncio.run_coroutine_threadsafe(wait_started(), loop).result(10)
        row = factories.venue(
            dialect=config.dialect, rest_endpoint=gateway.url, ws_endpoint=server.ws_url
        )
        for symbol, market in server.engine.markets.items():
            base, quote = market.instrument.base, market.instrument.quote
            factories.instrument(venue=row, symbol=base, venue_symbol=symbol, quote_asset=quote)
        yield Paper(server, gateway, loop, row, secrets)
    finally:
        loop.call_soon_threadsafe(stop.set)
        serving.result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
