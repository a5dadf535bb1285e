"""A valid body for every entity that people write, by route."""

from collections.abc import Callable, Mapping
from typing import Any

from rest_framework.serializers import Field

from accounts.models import ProxyProfile, StopLossConfig
from controlplane.api_urls import router
from controlplane.base.api.viewsets import EntityViewSet
from tests import factories

Body = dict[str, Any]

VALID: Mapping[str, Callable[[], Body]] = {
    "venues": lambda: {
        "venueId": "paper-new",
        "name": "Paper",
        "dialect": "binance",
        "ccxtId": "",
        "environment": "paper",
        "restEndpoint": "http://127.0.0.1:9",
        "wsEndpoint": "ws://127.0.0.1:9",
        "isEnabled": True,
    },
    "market-feeds": lambda: {
        "feedId": "feed-new",
        "exchange": factories.instrument(symbol="BTC").venue_id,
        "symbol": "BTC",
        "wsEndpoint": "ws://127.0.0.1:8",
        "httpEndpoint": "http://127.0.0.1:8",
        "freshnessThreshold": 1000,
        "failoverDeadline": 5000,
        "syntheticSources": 3,
        "isEnabled": True,
    },
    "accounts": lambda: {
        "accountId": "account-new",
        "exchange": factories.venue().pk,
        "accountName": "New",
        "publicKey": "public-key-of-the-account",
        "apiKey": "api-key-of-the-account",
        "apiSecret": "api-secret-of-the-account",
        "passphrase": "passphrase-of-the-account",
        "agentKey": "agent-key-of-the-account",
        "proxyProfile": proxy_profile(),
        "utilizationTargetMin": "0.4",
        "utilizationTargetMax": "0.7",
        "deltaThreshold": "0.001",
        "maxPositionValue": "50000",
        "stopLossConfigId": stop_loss_config(),
        "syncIntervalSeconds": 20,
    },
    "proxy-profiles": lambda: {
        "profileId": "profile-new",
        "name": "Pool",
        "pool": "residential",
        "scheme": "socks5",
        "rotationPolicy": "interval",
        "rotationMinutes": 10,
        "exchanges": [factories.venue().pk],
    },
    "proxy-sessions": lambda: {
        "proxyProfile": proxy_profile(),
        "ip": "192.0.2.1",
        "port": 8080,
        "auth": "user:password-of-the-proxy",
    },
    "stop-loss-configs": lambda: {
        "stopLossConfigId": "stop-new",
        "name": "Careful",
        "maxDailyDrawdownPercent": "5",
        "maxPeakDrawdownPercent": "10",
        "maxPositionLoss": "1000",
        "confirmations": 2,
        "action": "reduce",
        "coolDownSeconds": 60,
    },
    "strategy-modules": lambda: {
        "moduleId": "module-new",
        "name": "Module",
        "type": "funding-arbitrage",
        "configSchema": {"type": "object", "properties": {"size": {"type": "number"}}},
        "config": {"size": 0.5},
        "dryRunEnabled": True,
        "maxConcurrentSignals": 2,
        "profitAfterFeeTarget": "0.1",
        "requiresSandbox": True,
    },
    "allocations": lambda: {
        "moduleId": factories.module().pk,
        "accountId": factories.account().pk,
        "weight": "0.5",
        "maxConcurrentOrders": 3,
        "sandboxMode": True,
    },
    "risk-limits": lambda: {
        "scope": "module",
        "exchange": None,
        "accountId": None,
        "instrumentId": None,
        "moduleId": factories.module().pk,
        "maxOrderValue": "1000",
        "maxLongValue": "5000",
        "maxShortValue": "5000",
        "maxGrossValue": "8000",
        "maxNetValue": "2000",
        "maxOrdersPerMinute": 60,
    },
    "stop-rules": lambda: {
        "stopRuleId": "rule-new",
        "trigger": "margin",
        "accountId": factories.account().pk,
        "threshold": "0.7",
        "windowSeconds": 300,
        "confirmations": 3,
        "scope": "book",
        "action": "flatten",
        "isEnabled": False,
    },
    "alert-routes": lambda: {
        "routeId": "route-new",
        "name": "On call",
        "eventType": "order",
        "minSeverity": "WARN",
        "target": "mailto://user:password-of-the-route@example.com",
        "isEnabled": True,
    },
}


def proxy_profile() -> str:
    number = ProxyProfile.objects.count()
    return ProxyProfile.objects.create(profile_id=f"profile-{number}", name="Pool").pk


def stop_loss_config() -> str:
    number = StopLossConfig.objects.count()
    return StopLossConfig.objects.create(
        stop_loss_config_id=f"stop-{number}", name="Stop", max_position_loss=100
    ).pk


def viewsets() -> dict[str, Any]:
    """Return route -> view of every entity that people write."""
    return {
        prefix: view for prefix, view, _name in router.registry if issubclass(view, EntityViewSet)
    }


def model_of(prefix: str) -> Any:
    return viewsets()[prefix].queryset.model


def fields_of(prefix: str) -> dict[str, Field]:
    return dict(viewsets()[prefix].serializer_class().fields)


def writable(prefix: str) -> dict[str, Field]:
    return {name: field for name, field in fields_of(prefix).items() if not field.read_only}
