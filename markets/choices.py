"""Enumerations of the market data model; the values are those on the wire."""

from enum import StrEnum


class FeedStatus(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"


class FeedSource(StrEnum):
    """Where a feed's price comes from right now, best first."""

    WEBSOCKET = "websocket"
    HTTP = "http"
    SYNTHETIC = "synthetic"
    NONE = "none"


class SynthReason(StrEnum):
    WS_FAILOVER = "ws-failover"
    HTTP_TIMEOUT = "http-timeout"
    MANUAL = "manual"


class Dialect(StrEnum):
    """The protocol a venue speaks: which adapter serves it."""

    BINANCE = "binance"
    ASTER = "aster"
    PACIFICA = "pacifica"
    GENERIC = "generic"


class VenueEnvironment(StrEnum):
    LIVE = "live"
    TESTNET = "testnet"
    PAPER = "paper"
