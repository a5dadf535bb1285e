"""One call to Pacifica: named and signed by us, sent once. No order carries a builder code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from markets.venues.checks import EPOCH, BadAnswer, clock_ms
from markets.venues.errors import VenueError
from markets.venues.pacifica import limits
from markets.venues.pacifica.errors import failure
from markets.venues.pacifica.facts import RECEIVE_WINDOW
from markets.venues.pacifica.signing import Signer, checked_address
from markets.venues.ratelimit.gates import open_gate
from markets.venues.ratelimit.terms import Cost, Scope, Told
from markets.venues.shared import HttpAnswer, ServerClock, Transport, server_clock
from markets.venues.types import Credentials, Endpoint

_WINDOW_MS: Final = RECEIVE_WINDOW // timedelta(milliseconds=1)
_HALF_A_SECOND: Final = 500


class Operation(Enum):
    """What we ask, by path; what is posted also has the name that is signed."""

    INFO = "info"
    PRICES = "info/prices"
    BOOK = "book"
    ACCOUNT = "account"
    SETTINGS = "account/settings"
    POSITIONS = "positions"
    ORDERS = "orders"
    ORDER_HISTORY = "orders/history"
    TRADES = "trades/history"
    FUNDING = "funding/history"
    BALANCE_HISTORY = "account/balance/history"
    FUNDING_RATES = "funding_rate/history"
    CREATE = "orders/create"
    CREATE_MARKET = "orders/create_market"
    CANCEL = "orders/cancel"
    CANCEL_ALL = "orders/cancel_all"
    LEVERAGE = "account/leverage"
    MARGIN_MODE = "account/margin"


_SIGNED_AS: Final[Mapping[Operation, str]] = {
    Operation.CREATE: "create_order",
    Operation.CREATE_MARKET: "create_market_order",
    Operation.CANCEL: "cancel_order",
    Operation.CANCEL_ALL: "cancel_all_orders",
    Operation.LEVERAGE: "update_leverage",
    Operation.MARGIN_MODE: "update_margin_mode",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose account it is and which key signs for it. `config_key` raises limits, no more."""

    account: str
    signer: Signer
    config_key: str = ""


class PacificaApi:
    """The way to one endpoint; `identity` is None where only public data is read."""

    asks_time = Operation.PRICES
    """Something small: the venue has no clock of its own, but every answer is dated."""
    is_dated = True

    def __init__(
        self,
        endpoint: Endpoint,
        proxy_url: str | None,
        max_bytes: int,
        identity: Identity | None = None,
    ) -> None:
        self.clock: ServerClock = server_clock(endpoint.rest)
        self._base = f"{endpoint.rest}/api/v1"
        self._transport = Transport(proxy_url)
        self._max_bytes = max_bytes
        self._identity = identity
        self._headers = {"PF-API-KEY": identity.config_key} if identity is not None else {}
        if not self._headers.get("PF-API-KEY"):
            self._headers = {}
        self._scope = Scope.ACCOUNT if self._headers else Scope.EXIT
        self.gate = open_gate(
            endpoint.rest,
            proxy_url,
            limits.BY_KEY if self._headers else limits.BY_ADDRESS,
            public=identity.account if identity else None,
        )

    async def call(self, operation: Operation, params: Mapping[str, Any]) -> HttpAnswer:
        url, headers, body = f"{self._base}/{operation.value}", self._headers, None
        if operation in _SIGNED_AS:
            body = msgspec.json.encode(self.signed(operation, params)).decode()
            headers = {**headers, "Content-Type": "application/json"}
        elif params:
            url = f"{url}?{urlencode(params)}"
        return await self._transport.send(
            "POST" if body else "GET", url, headers=headers, body=body, max_bytes=self._max_bytes
        )

    def signed(self, operation: Operation, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the flat body of an operation: who, when, the signature, and our own payload."""
        assert self._identity is not None
        account, signer, now_ms = self._identity.account, self._identity.signer, self.clock.now_ms()
        kind = _SIGNED_AS[operation]
        body: dict[str, Any] = {"account": account}
        if signer.address != account:
            body["agent_wallet"] = signer.address
        body |= {
            "signature": signer.sign(kind, payload, at_ms=now_ms, window_ms=_WINDOW_MS),
            "timestamp": now_ms,
            "expiry_window": _WINDOW_MS,
        }
        return {**body, **payload}

    def needs_clock(self, operation: Operation) -> bool:
        return operation in _SIGNED_AS

    def failure(self, answer: HttpAnswer, *, now_ms: int) -> VenueError | None:
        return failure(answer, scope=self._scope)

    def cost(self, operation: Operation, params: Mapping[str, Any]) -> Cost:
        return limits.cost(operation.value, params)

    def told(self, answer: HttpAnswer, *, now_ms: int) -> Sequence[Told]:
        return limits.told(answer.headers, self._scope)

    def server_ms(self, answer: HttpAnswer) -> int:
        """Read the Date header, which is cut to the second: the middle of it is nearest."""
        try:
            at = parsedate_to_datetime(answer.headers["Date"])
            ms = (at - EPOCH) // timedelta(milliseconds=1)
        except (KeyError, ValueError, TypeError):
            raise BadAnswer("bad-time", "the answer is not dated") from None
        return clock_ms(ms + _HALF_A_SECOND, "Date")

    async def close(self) -> None:
        await self._transport.close()


def identity(credentials: Credentials) -> Identity:
    """Return who signs; raises MissingCredential for what is no address or no key."""
    return Identity(
        account=checked_address(credentials.public_key.reveal()),
        signer=Signer(credentials.agent_key),
        config_key=credentials.api_key.reveal(),
    )
