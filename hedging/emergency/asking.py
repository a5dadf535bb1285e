"""Asking many accounts' venues at once: each on its own, none waits for another."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
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
    clients: dict[str, ExecutionClient] = {}
    found: dict[str, T | BaseException] = {}
    bans_hear()
    for name, account in accounts.items():
        try:
            clients[name] = egress.execution_client(account, hear=False)
        except Exception as error:
            found[name] = error
    return found | clients_ask(clients, ask)


def clients_ask(
    clients: Mapping[str, ExecutionClient],
    ask: Callable[[str, ExecutionClient], Awaitable[T]],
) -> dict[str, T | BaseException]:
    """Return, by name, what `ask` brought of each client or the error it raised."""

    async def asked() -> list[T | BaseException]:
        is_urgent.set(True)
        return await asyncio.gather(
            *(
                asyncio.wait_for(ask(name, client), PATIENCE_SECONDS)
                for name, client in clients.items()
            ),
            return_exceptions=True,
        )

    return dict(zip(clients, egress.run(asked()), strict=True))
