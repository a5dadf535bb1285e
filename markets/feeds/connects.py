"""The gate before every connection: one budget for each venue host and way out.

Budgets are of this process. One `run_feeds` per exit address stays within the venue's limit;
accounts behind proxies have exits, and so budgets, of their own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from controlplane.kernel.clock import Clock
from markets.domain.connects import ConnectBudget
from markets.venues.sockets import SocketLimits

_budgets: Final[dict[tuple[str, str], ConnectBudget]] = {}


@asynccontextmanager
async def connect_place(
    url: str,
    *,
    proxy_url: str | None,
    limits: SocketLimits,
    clock: Clock,
    is_private: bool,
    on_wait: Callable[[str], None],
) -> AsyncIterator[None]:
    """Wait until a socket to this host may be opened from this exit; keep its place meanwhile.

    `on_wait` is told once why it takes time.
    """
    host, is_told = urlsplit(url).netloc, False
    while True:
        now = clock.monotonic()
        budget = _budget(host, proxy_url or "", limits, now)
        wait = budget.take(now=now, is_private=is_private)
        if not wait:
            break
        if not is_told:
            on_wait(f"waiting for the connect budget of {host}")
            is_told = True
        await asyncio.sleep(wait)
    try:
        yield
    finally:
        budget.release()


def _budget(host: str, way_out: str, limits: SocketLimits, now: float) -> ConnectBudget:
    found = _budgets.get((host, way_out))
    if found is None:
        for key in [key for key, budget in _budgets.items() if budget.is_idle(now=now)]:
            del _budgets[key]
        found = _budgets[host, way_out] = ConnectBudget(
            connects=limits.connects, seconds=limits.window_seconds, at_once=limits.at_once
        )
    return found
