"""Which adapter serves which dialect, and where each may connect.

Adapters are imported when asked for: ccxt costs some seconds and 100 MB, which processes that
only hold streams must not pay.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from controlplane.kernel.secrets import Secret
from markets.domain.endpoints import endpoint_problem
from markets.venues.aster import facts as aster
from markets.venues.aster.streams import AsterMarketSession, AsterPrivateSession
from markets.venues.binance import facts as binance
from markets.venues.binance.streams import BinanceMarketSession, BinancePrivateSession
from markets.venues.capabilities import Capabilities
from markets.venues.errors import MissingCredential, VenueError
from markets.venues.generic import facts as generic
from markets.venues.generic import names
from markets.venues.pacifica import facts as pacifica
from markets.venues.pacifica.streams import PacificaMarketSession, PacificaPrivateSession
from markets.venues.ports import ExecutionClient, MarketClient, MarketSession, PrivateSession
from markets.venues.sockets import USUAL, SocketLimits
from markets.venues.types import Credentials, Endpoint


class EndpointRefused(VenueError):
    """An address that keys or prices must not go to or come from."""

    code = "endpoint_refused"


class UnknownDialect(VenueError):
    """No adapter speaks this dialect."""

    code = "unknown_dialect"


@dataclass(frozen=True, slots=True)
class DialectFacts:
    """What callers need to know of a dialect before they use it.

    `credentials` names the fields of Credentials it needs; `receive_window` is how long after its
    signing a request may still be accepted.
    """

    credentials: tuple[str, ...]
    receive_window: timedelta
    settlement_asset: str
    sockets: SocketLimits = USUAL
    has_streams: bool = True
    capabilities: Capabilities | None = None
    """None where they differ from venue to venue, as those of ccxt do."""


GENERIC: Final = "generic"
"""The dialect of the venues that are reached through ccxt; an endpoint then names which one."""
DIALECTS: Final[Mapping[str, DialectFacts]] = {
    "binance": DialectFacts(
        ("api_key", "api_secret"),
        binance.RECEIVE_WINDOW,
        binance.SETTLEMENT_ASSET,
        binance.SOCKETS,
        capabilities=binance.CAPABILITIES,
    ),
    "aster": DialectFacts(
        ("public_key", "agent_key"),
        aster.RECEIVE_WINDOW,
        aster.SETTLEMENT_ASSET,
        aster.SOCKETS,
        capabilities=aster.CAPABILITIES,
    ),
    "pacifica": DialectFacts(
        ("public_key", "agent_key"),
        pacifica.RECEIVE_WINDOW,
        pacifica.SETTLEMENT_ASSET,
        pacifica.SOCKETS,
        capabilities=pacifica.CAPABILITIES,
    ),
    GENERIC: DialectFacts((), generic.RECEIVE_WINDOW, generic.SETTLEMENT_ASSET, has_streams=False),
}


class _MarketSessions(Protocol):
    def __call__(
        self, endpoint: Endpoint, venue_symbols: Collection[str], *, marks: bool
    ) -> MarketSession: ...


_MARKET_SESSIONS: Final[Mapping[str, _MarketSessions]] = {
    "binance": BinanceMarketSession,
    "aster": AsterMarketSession,
    "pacifica": PacificaMarketSession,
}
_PRIVATE_SESSIONS: Final[Mapping[str, Callable[[], PrivateSession]]] = {
    "binance": BinancePrivateSession,
    "aster": AsterPrivateSession,
    "pacifica": PacificaPrivateSession,
}


def dialect_facts(dialect: str) -> DialectFacts:
    """Return a dialect's facts; raises UnknownDialect."""
    try:
        return DIALECTS[dialect]
    except KeyError:
        known = ", ".join(DIALECTS)
        raise UnknownDialect(f"No adapter speaks {dialect!r}; known: {known}.") from None


def required_credentials(dialect: str, endpoint: Endpoint) -> tuple[str, ...]:
    """Return the fields of Credentials that an account needs.

    Raises UnknownDialect, or UnknownVenue for a name that ccxt cannot trade on.
    """
    if dialect == GENERIC:
        return names.required_credentials(endpoint.ccxt_id)
    return dialect_facts(dialect).credentials


def credential_problem(dialect: str, endpoint: Endpoint, name: str, text: str) -> str | None:
    """Return why a text can be no such credential of the venue's, or None."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        return "has characters that no key has"
    if dialect == GENERIC:
        form = generic.venue_facts(endpoint.ccxt_id).formats.get(name)
        if form is not None and not form.fullmatch(text):
            return f"has not the form that {endpoint.ccxt_id} wants"
        return None
    try:
        _check_own_key(dialect, name, Secret(text))
    except MissingCredential as error:
        return f"is no such key ({error.message.rstrip('.')})"
    return None


def _check_own_key(dialect: str, name: str, key: Secret) -> None:
    """Raise MissingCredential, without the key, when it has not the form its adapter wants."""
    if dialect == "aster":
        from markets.venues.aster import signing as aster_keys

        if name == "public_key":
            aster_keys.checked_address(key.reveal())
        elif name == "agent_key":
            aster_keys.Signer(key, chain_id=1)
    elif dialect == "pacifica":
        from markets.venues.pacifica import signing as pacifica_keys

        if name == "public_key":
            pacifica_keys.checked_address(key.reveal())
        elif name == "agent_key":
            pacifica_keys.Signer(key)


def capabilities(dialect: str, endpoint: Endpoint) -> Capabilities:
    """Return what the venue's adapter can do; raises UnknownDialect or UnknownVenue."""
    if (known := dialect_facts(dialect).capabilities) is not None:
        return known
    from markets.venues.generic.capabilities import capabilities as generic_capabilities

    return generic_capabilities(endpoint.ccxt_id)


@dataclass(frozen=True, slots=True)
class VenueRegistry:
    """Makes clients and sessions. `allow_loopback` lets paper venues in; live set-ups keep it off.

    Every method raises UnknownDialect, or EndpointRefused for an address off the allow-list.
    """

    allow_loopback: bool = False

    def market_client(
        self, dialect: str, endpoint: Endpoint, *, proxy_url: str | None = None
    ) -> MarketClient:
        self._check(dialect, endpoint)
        if dialect == GENERIC:
            from markets.venues.generic.client import GenericMarketClient

            return GenericMarketClient(endpoint, proxy_url=proxy_url)
        if dialect == "aster":
            from markets.venues.aster.client import AsterMarketClient

            return AsterMarketClient(endpoint, proxy_url=proxy_url)
        if dialect == "pacifica":
            from markets.venues.pacifica.client import PacificaMarketClient

            return PacificaMarketClient(endpoint, proxy_url=proxy_url)
        from markets.venues.binance.client import BinanceMarketClient

        return BinanceMarketClient(endpoint, proxy_url=proxy_url)

    def execution_client(
        self,
        dialect: str,
        endpoint: Endpoint,
        credentials: Credentials,
        *,
        proxy_url: str | None = None,
    ) -> ExecutionClient:
        """Return one account's client; raises MissingCredential when a key it needs is blank."""
        self._check(dialect, endpoint)
        if dialect == GENERIC:
            from markets.venues.generic.client import GenericExecutionClient

            return GenericExecutionClient(endpoint, credentials, proxy_url=proxy_url)
        if dialect == "aster":
            from markets.venues.aster.client import AsterExecutionClient

            return AsterExecutionClient(endpoint, credentials, proxy_url=proxy_url)
        if dialect == "pacifica":
            from markets.venues.pacifica.client import PacificaExecutionClient

            return PacificaExecutionClient(endpoint, credentials, proxy_url=proxy_url)
        from markets.venues.binance.client import BinanceExecutionClient

        return BinanceExecutionClient(endpoint, credentials, proxy_url=proxy_url)

    def market_session(
        self, dialect: str, endpoint: Endpoint, venue_symbols: Collection[str]
    ) -> MarketSession:
        """Return a session for quotes; make a new one for each connection."""
        return self._public_session(dialect, endpoint, venue_symbols, marks=False)

    def mark_session(
        self, dialect: str, endpoint: Endpoint, venue_symbols: Collection[str]
    ) -> MarketSession:
        """Return a session for mark prices and funding, which come over a socket of their own."""
        return self._public_session(dialect, endpoint, venue_symbols, marks=True)

    def private_session(self, dialect: str) -> PrivateSession:
        """Return a session for a user stream, whose address the execution client gives."""
        dialect_facts(dialect)
        return _PRIVATE_SESSIONS[dialect]()

    def _public_session(
        self, dialect: str, endpoint: Endpoint, venue_symbols: Collection[str], *, marks: bool
    ) -> MarketSession:
        self._check(dialect, endpoint)
        return _MARKET_SESSIONS[dialect](endpoint, venue_symbols, marks=marks)

    def _check(self, dialect: str, endpoint: Endpoint) -> None:
        dialect_facts(dialect)
        if dialect == GENERIC:
            names.check_venue(endpoint.ccxt_id)
        for address, scheme in ((endpoint.rest, "http"), (endpoint.websocket, "ws")):
            if dialect == GENERIC and not address:
                continue  # the class's own
            problem = endpoint_problem(
                dialect, address, scheme=scheme, allow_loopback=self.allow_loopback
            )
            if problem is not None:
                raise EndpointRefused(problem)
