"""REST API and its schema."""

from datetime import timedelta
from enum import StrEnum
from typing import Final

from accounts.choices import (
    AccountStatus,
    ProxyScheme,
    ProxyStatus,
    RotationPolicy,
    StopLossAction,
    SyncProblem,
    SyncStatus,
)
from accounts.domain.risk import LimitScope
from controlplane.kernel.events import EventType, Severity
from hedging.choices import BreakStatus, HedgeResult, TriggerReason
from hedging.domain.emergency import StopScope, StopState, StopTrigger
from hedging.domain.origin import Origin
from hedging.domain.reconciliation import BreakKind
from hedging.domain.resolution import Answer, Verdict
from hedging.domain.rules import RuleAction, RuleScope, RuleTrigger
from hedging.domain.throttle import ThrottleCause, ThrottleScope
from markets.choices import Dialect, FeedSource, FeedStatus, SynthReason, VenueEnvironment
from markets.domain.venue_status import VenueCondition
from markets.venues.types import OrderType, Side
from monitoring.choices import AlertState, JobStatus
from strategies.choices import ModuleStatus
from strategies.domain.intent import IntentState, Submission

ENUMERATIONS: Final[tuple[type[StrEnum], ...]] = (
    AccountStatus,
    AlertState,
    Answer,
    BreakKind,
    Origin,
    Verdict,
    BreakStatus,
    Dialect,
    EventType,
    FeedSource,
    FeedStatus,
    HedgeResult,
    IntentState,
    JobStatus,
    LimitScope,
    ModuleStatus,
    OrderType,
    ProxyScheme,
    ProxyStatus,
    RotationPolicy,
    RuleAction,
    RuleScope,
    RuleTrigger,
    Severity,
    Side,
    StopLossAction,
    StopScope,
    StopState,
    StopTrigger,
    Submission,
    SyncProblem,
    SyncStatus,
    SynthReason,
    ThrottleCause,
    ThrottleScope,
    TriggerReason,
    VenueCondition,
    VenueEnvironment,
)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["controlplane.base.permissions.ModelPermissions"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "controlplane.base.api.pagination.CursorPages",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["controlplane.base.api.parsers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "6000/min"},
    "EXCEPTION_HANDLER": "controlplane.base.api.exceptions.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "NON_FIELD_ERRORS_KEY": "body",
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

REST_KNOX = {"TOKEN_TTL": timedelta(days=30), "TOKEN_LIMIT_PER_USER": 20}

SPECTACULAR_SETTINGS = {
    "TITLE": "Control plane API",
    "DESCRIPTION": "Accounts, market data, strategies, hedges and events of the control plane.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    # Every enumeration by the name it has in code, so that client code stays the same.
    "ENUM_NAME_OVERRIDES": {
        enum.__name__: [str(member) for member in enum] for enum in ENUMERATIONS
    },
}
