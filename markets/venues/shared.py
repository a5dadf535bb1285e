"""What all ccxt-based adapters share: sessions, TLS, clocks, and an honest transport.

ccxt signs and names the endpoints; sending and reading are ours. ccxt's own `fetch` reads answers
of any size, hides at which stage a request failed and turns cut answers into plain rejections, so
`HonestTransport` replaces it: bounded, unparsed, and every failure says what is proven.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit
from weakref import WeakKeyDictionary

import aiohttp
import certifi
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
from yarl import URL

from controlplane.kernel.secrets import redact
from markets.venues.errors import NotSent, OutcomeUnknown, ProxyRefused

CONNECT_SECONDS: Final = 4
TOTAL_SECONDS: Final = 10
MAX_ANSWER: Final = 1024 * 1024
"""Bytes of an answer about an account; more is not read and not believed."""
MAX_LISTING: Final = 32 * 1024 * 1024
"""Bytes of a public listing (Binance's exchangeInfo has several MB)."""
CONNECTIONS: Final = 200
PROXY_AUTHENTICATION_REQUIRED: Final = 407
"""What a proxy says that has not passed a request on (RFC 9110, 15.5.8)."""
_NEVER_CONNECTED: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_PROXY_AWAY: Final = (
    aiohttp.ClientProxyConnectionError,
    ProxyConnectionError,
    ProxyTimeoutError,
    asyncio.IncompleteReadError,  # a SOCKS proxy hangs up, as some do on a wrong password
)
_SOCKS_BEYOND: Final = frozenset({3, 4, 5, 6})
_SOCKS: Final = frozenset({"socks4", "socks5", "socks5h"})

# ccxt logs request headers, so API keys, at DEBUG; our own logging set-up must not turn that on.
logging.getLogger("ccxt").setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A complete answer, unparsed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's one TLS context: verified, certifi's authorities."""
    return ssl.create_default_context(cafile=certifi.where())


MAX_BACKOFF_SECONDS: Final = 3 * 24 * 3600


def retry_after_header(headers: Mapping[str, str]) -> int | None:
    """Return the whole seconds of a Retry-After header, or None when it tells none."""
    name = "retry-after"
    value = next((text for key, text in headers.items() if key.lower() == name), "")
    if value.isascii() and value.isdigit() and len(value) < 9:
        return min(int(value), MAX_BACKOFF_SECONDS)
    return None


class SessionPool:
    """HTTP sessions of one event loop, one per proxy, closed when nobody uses them any more."""

    def __init__(self) -> None:
        self._sessions: dict[str | None, tuple[aiohttp.ClientSession, int]] = {}

    def acquire(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session, users = self._sessions.get(proxy_url, (None, 0))
        if session is None or session.closed:
            session, users = _open_session(proxy_url), 0
        self._sessions[proxy_url] = (session, users + 1)
        return session

    async def release(self, proxy_url: str | None) -> None:
        session, users = self._sessions[proxy_url]
        if users > 1:
            self._sessions[proxy_url] = (session, users - 1)
            return
        del self._sessions[proxy_url]
        await session.close()


_POOLS: "WeakKeyDictionary[asyncio.AbstractEventLoop, SessionPool]" = WeakKeyDictionary()


def session_pool() -> SessionPool:
    """Return the running event loop's pool."""
    return _POOLS.setdefault(asyncio.get_running_loop(), SessionPool())


def _open_session(proxy_url: str | None) -> aiohttp.ClientSession:
    connector: aiohttp.BaseConnector
    if proxy_url is not None and urlsplit(proxy_url).scheme in _SOCKS:
        connector = ProxyConnector.from_url(
            proxy_url.replace("socks5h://", "socks5://", 1),
            rdns=True,  # names are resolved beyond the proxy, so asking for one gives nothing away
            ssl=tls_context(),
            limit=CONNECTIONS,
        )
    else:
        connector = aiohttp.TCPConnector(ssl=tls_context(), limit=CONNECTIONS)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
    )


_OTHER_CREDENTIALS: Final = "The proxy wants other credentials (HTTP 407)."


class Transport:
    """Sends a request once, through one proxy or none, and says what is proven when it fails."""

    def __init__(self, proxy_url: str | None = None) -> None:
        self._proxy_url = proxy_url
        is_socks = proxy_url is not None and urlsplit(proxy_url).scheme in _SOCKS
        self._http_proxy = None if is_socks else proxy_url
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: str | None,
        max_bytes: int,
    ) -> HttpAnswer:
        """Return the whole answer.

        Raises NotSent when no byte can have reached the venue (name, connection, TLS or proxy
        failed), OutcomeUnknown in every other case. Redirects are not followed.
        """
        if self._session is None:
            self._session = session_pool().acquire(self._proxy_url)
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),  # as signed, byte for byte
                data=body.encode() if body else None,
                headers=headers,
                proxy=self._http_proxy,
                allow_redirects=False,
            ) as response:
                if response.status == PROXY_AUTHENTICATION_REQUIRED and self._is_relayed(url):
                    raise ProxyRefused(_OTHER_CREDENTIALS)
                content = await _read(response, max_bytes)
                return HttpAnswer(response.status, response.headers.copy(), content)
        except (NotSent, OutcomeUnknown):
            raise
        except (aiohttp.ClientHttpProxyError, ProxyError) as error:
            if getattr(error, "status", None) == PROXY_AUTHENTICATION_REQUIRED:
                raise ProxyRefused(_OTHER_CREDENTIALS) from None
            kind = NotSent if _is_beyond(error) else ProxyRefused
            raise kind(_said("The proxy refused to connect", error)) from None
        except _PROXY_AWAY as error:
            raise ProxyRefused(_said("The proxy does not answer", error)) from None
        except _NEVER_CONNECTED as error:
            raise NotSent(_said("No connection", error)) from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise NotSent(_said("Not an address", error)) from None
        except Exception as error:
            raise OutcomeUnknown(_said("No complete answer", error)) from None

    def _is_relayed(self, url: str) -> bool:
        """Tell whether an answer may be the proxy's own; within a tunnel it is the venue's."""
        return self._http_proxy is not None and url.startswith("http:")

    async def close(self) -> None:
        if self._session is not None:
            self._session = None
            await session_pool().release(self._proxy_url)


def _is_beyond(error: aiohttp.ClientHttpProxyError | ProxyError) -> bool:
    """Tell whether a proxy that works says that it cannot reach the venue.

    HTTP 5xx (RFC 9110, 15.6), SOCKS replies 3 to 6 (RFC 1928, section 6).
    """
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return error.error_code in _SOCKS_BEYOND


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(65536):
        size += len(part)
        if size > max_bytes:
            response.close()
            raise OutcomeUnknown(
                f"The answer is longer than {max_bytes} bytes.", body=b"".join(parts)
            )
        parts.append(part)
    return b"".join(parts)


def _said(what: str, error: Exception) -> str:
    text = str(error)
    if isinstance(error, aiohttp.ClientResponseError):  # its text has the proxy's URL
        text = f"HTTP {error.status} {' '.join(error.message.split())}"
    return redact(f"{what}: {type(error).__name__} {text}"[:300])


class ServerClock:
    """A venue's clock as an offset to our monotonic clock, so a step of ours does not move it."""

    MAX_AGE_NS: Final = 300_000_000_000

    def __init__(self) -> None:
        self._offset_ns: int | None = None
        self._measured_ns = 0
        self._is_doubted = False
        self.round_trip_ns = 0
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    def measuring(self) -> asyncio.Lock:
        """Return the running loop's lock, so that many accounts starting at once measure once."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def now_ms(self) -> int:
        """Return the venue's time; raises NotSent when it was never measured."""
        return self.ms_at(time.monotonic_ns())

    def ms_at(self, monotonic_ns: int) -> int:
        """Return what the venue's time was, or will be, at a moment of ours; raises likewise."""
        if self._offset_ns is None:
            raise NotSent("The venue's clock has not been measured.")
        return (monotonic_ns + self._offset_ns) // 1_000_000

    @property
    def is_known(self) -> bool:
        return self._offset_ns is not None and not self._is_doubted

    @property
    def is_stale(self) -> bool:
        return not self.is_known or time.monotonic_ns() - self._measured_ns > self.MAX_AGE_NS

    @property
    def age_seconds(self) -> float:
        """How long ago it was measured."""
        return (time.monotonic_ns() - self._measured_ns) / 1_000_000_000

    def ahead_ms(self) -> int | None:
        """Return the venue's time less this machine's own, None when it is not known."""
        return self.now_ms() - time.time_ns() // 1_000_000 if self.is_known else None

    def learn(self, server_ms: int, *, sent_ns: int, received_ns: int) -> None:
        """Take a reading; the error is at most half the round trip. Stamps are monotonic."""
        self._offset_ns = server_ms * 1_000_000 - (sent_ns + received_ns) // 2
        self._measured_ns = received_ns
        self._is_doubted = False
        self.round_trip_ns = received_ns - sent_ns

    def doubt(self) -> None:
        """Have the clock measured again before it is next used: the venue refused our time."""
        self._is_doubted = True


@cache
def server_clock(rest: str) -> ServerClock:
    """Return the one clock of a REST address."""
    return ServerClock()


_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~=&-]*")
"""What `urlencode` leaves as it is, and the two signs between."""


def form_encoded(params: Mapping[str, str]) -> str:
    """Return what `urlencode` does, in a fifth of the time where there is nothing to encode."""
    text = "&".join([f"{name}={value}" for name, value in params.items()])
    count = len(params)
    if _PLAIN.fullmatch(text) and text.count("=") == count and text.count("&") == max(0, count - 1):
        return text
    return urlencode(params)


def assert_sent_as_given(signed: Mapping[str, Any], params: Mapping[str, str]) -> None:
    """Raise NotSent unless the signed request carries exactly our own strings."""
    text = signed.get("body") or urlsplit(signed["url"]).query
    if "%" in text or "+" in text:
        carried = dict(parse_qsl(text, keep_blank_values=True))
    else:  # nothing is encoded, as in nearly every request
        fields = [field.partition("=") for field in text.split("&")]
        carried = {name: value for name, _, value in fields}
    for name, value in params.items():
        if carried.get(name) != value:
            raise NotSent(f"{name} would have gone out as {carried.get(name)!r}, not {value!r}.")


def assert_sends_once(exchange: Any) -> None:
    """Raise RuntimeError when ccxt is set up to repeat requests by itself."""
    if "maxRetriesOnFailure" in exchange.options or exchange.enableRateLimit or exchange.verbose:
        raise RuntimeError("ccxt must neither repeat, queue nor print requests.")
