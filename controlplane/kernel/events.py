"""What happened, in a form every app can say and only `monitoring` writes down."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """The kinds of monitoring events; the first five are the data model's, the rest operational."""

    UTILIZATION_ALERT = "utilization-alert"
    DELTA_ALERT = "delta-alert"
    FAILOVER_ALERT = "failover-alert"
    PROXY_ALERT = "proxy-alert"
    TEST_RESULT = "test-result"
    ACCOUNT = "account"
    ORDER = "order"
    HEDGE = "hedge"
    EMERGENCY = "emergency"
    CONFIG = "config"
    SYSTEM = "system"


class Severity(StrEnum):
    INFO = "INFO"
    WARN = "WARN"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something worth keeping for 90 days. `payload` holds JSON values only, never a secret."""

    type: EventType
    message: str
    severity: Severity = Severity.INFO
    account_id: str | None = None
    module_id: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
