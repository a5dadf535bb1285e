"""Asking many accounts' venues at once: each on its own, none waits for another."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import Final, TypeVar

from accounts import egress
from accounts.models import ExchangeAccount
from markets.bans import bans_hear
from markets.venues.ports import ExecutionClient
from markets.venues.ratelimit.saying import is_urgent

T = TypeVar("T")

PATIENCE_SECONDS: Final = 4.0
"""An account whose venue has not answered by then is tried again later; the others go on."""


def ask_all(
    accounts: Mapping[str, ExchangeAccount], ask: Callable[[str, ExecutionClient], Awaitable[T]]
) -> dict[str, T | BaseException]:
    """Return, by account, what `ask` brought or the error it raised."""
    return ask_begin(accounts, ask).result()


def ask_begin(
    accounts: Mapping[str, ExchangeAccount], ask: Callable[[str, ExecutionClient], Awaitable[T]]
) -> "Future[dict[str, T | BaseException]]":
    """Begin to ask; what came of it is there later, likewise."""
    clients: dict[str, ExecutionClient] = {}
    failed: dict[str, T | BaseException] = {}
    bans_hear()
    for name, account in accounts.items():
        try:
            clients[name] = egress.execution_client(account, hear=False)
        except Exception as error:
            failed[name] = error

    async def asked() -> dict[str, T | BaseException]:
        return failed | await _answers(clients, ask)

    return egress.begin(asked())


def clients_ask(
    clients: Mapping[str, ExecutionClient], ask: Callable[[str, ExecutionClient], Awaitable[T]]
) -> dict[str, T | BaseException]:
    """Return, by name, what `ask` brought of each client or the error it raised."""
    return egress.run(_answers(clients, ask))


async def _answers(
    clients: Mapping[str, ExecutionClient], ask: Callable[[str, ExecutionClient], Awaitable[T]]
) -> dict[str, T | BaseException]:
    is_urgent.set(True)
    answers = await asyncio.gather(
        *(
            asyncio.wait_for(ask(name, client), PATIENCE_SECONDS)
            for name, client in clients.items()
        ),
        return_exceptions=True,
    )
    return dict(zip(clients, answers, strict=True))
