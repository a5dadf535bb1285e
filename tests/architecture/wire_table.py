"""The data model as it is promised on the wire, written out by hand.

One line per field: its kind, then what is special about it. `default` is what a create without
the field stores; `read` fields are never accepted, `write` fields never shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

UNSET: Final = object()


@dataclass(frozen=True)
class Field:
    kind: str
    access: str = "both"
    default: Any = UNSET
    values: tuple[str, ...] = ()
    null: bool = False


def key(**options: Any) -> Field:
    return Field("key", "read", **options)


def text(**options: Any) -> Field:
    return Field("text", **options)


def number(**options: Any) -> Field:
    return Field("number", **options)


def integer(**options: Any) -> Field:
    return Field("integer", **options)


def flag(**options: Any) -> Field:
    return Field("flag", **options)


def enum(*values: str, **options: Any) -> Field:
    return Field("enum", values=values, **options)


def time(**options: Any) -> Field:
    return Field("time", access="read", **options)


def document(**options: Any) -> Field:
    return Field("document", **options)


def names(**options: Any) -> Field:
    return Field("names", **options)


SECRET = Field("text", "write")
FINGERPRINT = text(access="read", default="")
STAMPS: Final = {"createdAt": time(), "updatedAt": time()}
READ: Final[dict[str, Any]] = {"access": "read"}
MAYBE: Final[dict[str, Any]] = {"null": True, "default": None}
SEEN: Final[dict[str, Any]] = {"access": "read", "null": True, "default": None}

TABLE: Final[Mapping[str, Mapping[str, Field]]] = {
    "market-feeds": {
        "feedId": text(),
        "exchange": text(),
        "symbol": text(),
        "wsEndpoint": text(default=""),
        "httpEndpoint": text(default=""),
        "wsLatencyP95": integer(**SEEN),
        "httpLatencyP95": integer(**SEEN),
        "freshnessThreshold": integer(default=2000),
        "failoverDeadline": integer(default=10000),
        "lastHeartbeat": time(null=True, default=None),
        "status": enum("healthy", "degraded", "failing", default="failing", **READ),
        "source": enum("websocket", "http", "synthetic", "none", default="none", **READ),
        "sourceSince": time(null=True, default=None),
        "link": text(access="read", default=""),
        "forcedSource": enum("websocket", "http", "synthetic", "none", **SEEN),
        "syntheticSources": integer(default=2),
        "isEnabled": flag(default=True),
        **STAMPS,
    },
    "synth-prices": {
        "snapshotId": key(),
        "feedId": text(access="read", null=True, default=None),
        "symbol": text(**READ),
        "sourceFeeds": names(**READ),
        "midPrice": number(**READ),
        "bid": number(**READ),
        "ask": number(**READ),
        "timestamp": time(),
        "reason": enum("ws-failover", "http-timeout", "manual", **READ),
    },
    "accounts": {
        "accountId": text(),
        "exchange": text(),
        "accountName": text(),
        "publicKey": SECRET,
        "publicKeyFingerprint": FINGERPRINT,
        "apiKey": SECRET,
        "apiKeyFingerprint": FINGERPRINT,
        "apiSecret": SECRET,
        "apiSecretFingerprint": FINGERPRINT,
        "passphrase": SECRET,
        "passphraseFingerprint": FINGERPRINT,
        "agentKey": SECRET,
        "agentKeyFingerprint": FINGERPRINT,
        "proxyProfile": text(**MAYBE),
        "proxySessionId": Field("key", **SEEN),
        "utilizationTargetMin": number(default="0.5"),
        "utilizationTargetMax": number(default="0.8"),
        "deltaThreshold": number(default="0.0005"),
        "maxPositionValue": number(),
        "stopLossConfigId": text(**MAYBE),
        "status": enum("active", "paused", "emergency", default="active", **READ),
        "syncIntervalSeconds": integer(default=10),
        **STAMPS,
    },
    "risk-envelopes": {
        "envelopeId": key(),
        "accountId": text(),
        "maxDrawdownPercent": number(default="10"),
        "maxLeverage": number(default="5"),
        "deltaThreshold": number(**MAYBE),
        "slippageTolerance": number(default="0.5"),
        "emergencyStopLossSeconds": integer(default=30),
        **STAMPS,
    },
    "proxy-sessions": {
        "sessionId": key(),
        "proxyProfile": text(),
        "ip": text(),
        "port": integer(),
        "auth": SECRET,
        "authFingerprint": FINGERPRINT,
        "accountIds": names(default=[], **READ),
        "lastRotation": time(null=True, default=None),
        "status": enum("active", "rotating", "failed", default="active", **READ),
        "isHeld": flag(default=False, **READ),
        "checkedAt": time(null=True, default=None),
        "lastError": text(default="", **READ),
        **STAMPS,
    },
    "strategy-modules": {
        "moduleId": text(),
        "name": text(),
        "type": text(),
        "configSchema": document(default={}),
        "config": document(default={}),
        "dryRunEnabled": flag(default=True),
        "maxConcurrentSignals": integer(default=1),
        "profitAfterFeeTarget": number(default="0"),
        "requiresSandbox": flag(default=False),
        "status": enum("enable", "disable", default="disable", **READ),
        **STAMPS,
    },
    "allocations": {
        "allocationId": key(),
        "moduleId": text(),
        "accountId": text(),
        "weight": number(default="1"),
        "maxConcurrentOrders": integer(default=10),
        "sandboxMode": flag(default=True),
        **STAMPS,
    },
    "order-intents": {
        "intentId": key(),
        "moduleId": text(**READ),
        "accountId": text(**READ),
        "instrumentId": key(),
        "symbol": text(**READ),
        "side": enum("buy", "sell", **READ),
        "type": enum("limit", "market", "post-only", "ioc", **READ),
        "amount": number(**READ),
        "price": number(**SEEN),
        "reduceOnly": flag(default=False, **READ),
        "sandbox": flag(default=False, **READ),
        "expectedProfitAfterFee": number(**SEEN),
        "hedgePairIntentId": Field("key", "read", null=True),
        "state": enum(
            "pending", "submitted", "filled", "cancelled", "failed", default="pending", **READ
        ),
        "submission": enum("none", "sending", "acknowledged", "unknown", default="none", **READ),
        "clientOrderId": text(**READ),
        "venueOrderId": text(default="", **READ),
        "filledAmount": number(default="0", **READ),
        "averagePrice": number(**SEEN),
        "fee": number(default="0", **READ),
        "reason": text(default="", **READ),
        "proxySessionId": Field("key", **SEEN),
        "signedAt": time(null=True, default=None),
        "expiresAt": time(null=True, default=None),
        "acknowledgedAt": time(null=True, default=None),
        **STAMPS,
    },
    "hedge-executions": {
        "executionId": key(),
        "book": text(**READ),
        "symbol": text(**READ),
        "primaryAccountId": text(**READ),
        "hedgeAccountId": text(**SEEN),
        "deltaBefore": number(**READ),
        "deltaAfter": number(**SEEN),
        "threshold": number(**READ),
        "orders": document(default=[], **READ),
        "intentIds": names(**READ),
        "decisionInputs": document(default={}, **READ),
        "triggerReason": enum("utilization", "delta", "failover", "manual", **READ),
        "decisionMid": number(**SEEN),
        "slippageBp": number(**SEEN),
        "secondsOutOfBand": number(**SEEN),
        "durationMs": integer(**SEEN),
        "result": enum("success", "partial", "fail", **SEEN),
        "reason": text(default="", **READ),
        "createdAt": time(),
        "finishedAt": time(null=True, default=None),
    },
    "monitoring-events": {
        "eventId": key(),
        "type": enum(
            "utilization-alert",
            "delta-alert",
            "failover-alert",
            "proxy-alert",
            "test-result",
            "account",
            "order",
            "hedge",
            "emergency",
            "config",
            "system",
            **READ,
        ),
        "severity": enum("INFO", "WARN", "CRITICAL", default="INFO", **READ),
        "accountId": text(**READ),
        "moduleId": text(**READ),
        "message": text(**READ),
        "payload": document(default={}, **READ),
        "createdAt": time(),
    },
}
