"""The one way out: clients of accounts, each on its account's proxy, on one event loop.

Synchronous code (workers, sentinel, commands) uses `run` with a client from `execution_client`;
a process has one background event loop, so sessions, markets and TLS state stay warm between
jobs. Code on an event loop of its own makes clients with `new_client`. A forked child starts
without the parent's loop and clients: their thread and sockets did not come along.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import uvloop
from django.conf import settings

from accounts.choices import ProxyStatus
from accounts.models import ExchangeAccount, ProxySession
from controlplane.kernel.secrets import Secret
from markets.bans import bans_hear
from markets.venues.errors import MissingCredential, NotSent
from markets.venues.ports import ExecutionClient
from markets.venues.registry import VenueRegistry, credential_problem, required_credentials
from markets.venues.types import Credentials, Endpoint

T = TypeVar("T")

new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
"""Makes a process's background loop; the crash sweep puts one here whose writes it can see."""
CLOSE_AFTER: Final = 30.0
"""A replaced client lives on for some seconds, so what it has under way can end."""


@dataclass(frozen=True, slots=True)
class Route:
    """All that a client is made of; accounts with equal routes need no new client."""

    dialect: str
    endpoint: Endpoint
    credentials: Credentials
    proxy_url: Secret | None


class _Process:
    """The background loop and the warm clients of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.clients: dict[str, tuple[Route, ExecutionClient]] = {}


_process = _Process()


def execution_client(account: ExchangeAccount, *, hear: bool = True) -> ExecutionClient:
    """Return this process's client of the account, for use inside `run`.

    Made anew when the account's keys, addresses or proxy changed. It knows of every ban that any
    process was told before, unless `hear` is False: whoever needs many clients hears of bans
    once, before they are used. Raises MissingCredential, NotSent when the account must use a proxy
    and has none, EndpointRefused, UnknownDialect.
    """
    route = route_of(account)
    if hear:
        bans_hear()
    with _process.lock:
        known, client = _process.clients.get(account.pk, (None, None))
        if client is not None and known == route:
            return client
        made = client_of(route)
        _process.clients[account.pk] = (route, made)
    if client is not None:
        asyncio.run_coroutine_threadsafe(_close_later(client), _background_loop())
    return made


def new_client(account: ExchangeAccount) -> ExecutionClient:
    """Return a client for the running event loop; the caller closes it.

    Load the account with `for_sync()`: a loop may make no query for what is missing.
    Raises as `execution_client`.
    """
    return client_of(route_of(account))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on this process's background event loop and return its result."""
    return begin(work).result()


def begin(work: Coroutine[Any, Any, T]) -> "Future[T]":
    """Begin `work` on this process's background event loop; its result is there later."""
    return asyncio.run_coroutine_threadsafe(work, _background_loop())


def route_of(account: ExchangeAccount) -> Route:
    """Return how the account reaches its venue.

    Raises MissingCredential, and NotSent for an account that belongs behind a proxy and has no
    session in use: going out directly would show the venue an address it must not see.
    """
    check_credentials(account)
    session = account.proxy_session
    if (problem := _proxy_problem(account, session)) is not None:
        raise NotSent(f"{account.pk} {problem}")
    return Route(
        dialect=account.exchange.dialect,
        endpoint=account.exchange.endpoint(),
        credentials=account.credentials(),
        proxy_url=session.url() if session is not None else None,
    )


def _proxy_problem(account: ExchangeAccount, session: ProxySession | None) -> str | None:
    profile_id = account.proxy_profile_id
    if session is None:
        return profile_id and f"must use proxy profile {profile_id} and has no session."
    if profile_id is not None and session.proxy_profile_id != profile_id:
        return f"must use proxy profile {profile_id}; its session is one of another."
    if session.status == ProxyStatus.FAILED:
        return f"has a proxy session that is out of use: {session}."
    return session.address_problem()


def check_credentials(account: ExchangeAccount) -> None:
    """Raise MissingCredential for the first key that is blank or can be no key at all."""
    dialect, endpoint = account.exchange.dialect, account.exchange.endpoint()
    for name in required_credentials(dialect, endpoint):
        text = getattr(account, name).reveal()
        if not text:
            raise MissingCredential(f"{account.pk} has no {name}.", details={"field": name})
        if (problem := credential_problem(dialect, endpoint, name, text)) is not None:
            raise MissingCredential(f"{name} of {account.pk} {problem}.", details={"field": name})


def client_of(route: Route) -> ExecutionClient:
    """Return a client for a route, known or kept; whoever asks for it closes it."""
    registry = VenueRegistry(allow_loopback=settings.ALLOW_LOOPBACK_VENUES)
    return registry.execution_client(
        route.dialect,
        route.endpoint,
        route.credentials,
        proxy_url=route.proxy_url.reveal() if route.proxy_url is not None else None,
    )


async def _close_later(client: ExecutionClient) -> None:
    await asyncio.sleep(CLOSE_AFTER)
    await client.close()


def _background_loop() -> asyncio.AbstractEventLoop:
    with _process.lock:
        if _process.loop is None:
            _process.loop = new_loop()
            threading.Thread(target=_process.loop.run_forever, name="egress", daemon=True).start()
        return _process.loop


def _forget() -> None:
    """Start anew in a forked child; the old lock may have been held when it forked."""
    global _process
    _process = _Process()


@atexit.register
def _shut_down() -> None:
    """Close what is open, so a command ends without leaving sockets to the interpreter."""
    if _process.loop is None or not _process.loop.is_running():
        return

    async def close_all() -> None:
        await asyncio.gather(
            *(client.close() for _route, client in _process.clients.values()),
            return_exceptions=True,
        )

    run(close_all())
    _process.loop.call_soon_threadsafe(_process.loop.stop)


os.register_at_fork(after_in_child=_forget)
