"""Apps, middleware, database, templates, languages, logging."""

from typing import Any

import pghistory
from django.utils.translation import gettext_lazy as _

from controlplane import embedded_postgres
from controlplane.settings.env import BASE_DIR, IS_PRODUCTION, VAR_DIR, env

DEBUG = False
ROOT_URLCONF = "controlplane.urls"
ASGI_APPLICATION = "controlplane.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "axes",
    "django_q",
    "django_jsonform",
    "pghistory",
    "pgtrigger",
    "controlplane",
    "controlplane.base",
    "markets",
    "accounts",
    "strategies",
    "hedging",
    "monitoring",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

EMBEDDED_POSTGRES = not env.str("DATABASE_URL", default="")
DATABASES: dict[str, dict[str, Any]] = {
    "default": (
        embedded_postgres.database(
            VAR_DIR, durable=env.bool("EMBEDDED_POSTGRES_DURABLE", default=True)
        )
        if EMBEDDED_POSTGRES
        else env.db_url()
    )
}
DATABASES["default"]["CONN_MAX_AGE"] = 600
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# PostgreSQL weighs every order of so many joined tables, at each statement anew: what an order
# needs (seven tables) was planned for 9 ms at its own limit of 8, and takes 1 ms in our order.
DATABASES["default"]["OPTIONS"] = {
    "options": "-c join_collapse_limit=4",
    **DATABASES["default"].get("OPTIONS", {}),
}

# A statement of the web program that takes longer is cancelled; 0: none is.
WEB_STATEMENT_SECONDS = env.int("WEB_STATEMENT_SECONDS", default=30)

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.InMemoryChannelLayer",
        "CONFIG": {"capacity": 1000},
    }
}

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English"))]  # those that have texts
FORMAT_MODULE_PATH = ["controlplane.formats"]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

LOGIN_REDIRECT_URL = "admin:index"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
WHITENOISE_USE_FINDERS = True

# Audit: each event row carries its own context, so the whole record is append-only.
PGHISTORY_APPEND_ONLY = True
PGHISTORY_CONTEXT_FIELD = pghistory.ContextJSONField()
PGHISTORY_CONTEXT_ID_FIELD = pghistory.ContextUUIDField()
PGHISTORY_OBJ_FIELD = pghistory.ObjForeignKey(related_name="audit_trail")
PGHISTORY_DEFAULT_TRACKERS = (
    pghistory.InsertEvent(),
    pghistory.UpdateEvent(),
    pghistory.DeleteEvent(),
)

# Venue addresses are an allow-list in code; loopback (paper venues) only outside production
# or when an operator says so.
ALLOW_LOOPBACK_VENUES = env.bool("ALLOW_LOOPBACK_VENUES", default=not IS_PRODUCTION)
# Likewise proxies on loopback or in a private network.
ALLOW_PRIVATE_PROXIES = env.bool("ALLOW_PRIVATE_PROXIES", default=not IS_PRODUCTION)
# An address that answers with the peer's IP; without it exits are not compared with theirs.
EGRESS_ECHO_URL = env.str("EGRESS_ECHO_URL", default="")

# A hedge of no more than so many thresholds rests on its own side for so many seconds before it
# takes; 0: it takes at once.
HEDGE_MAKER_SECONDS = env.int("HEDGE_MAKER_SECONDS", default=0)
HEDGE_MAKER_WITHIN = env.int("HEDGE_MAKER_WITHIN", default=3)
# A leg beside an order whose fate is unknown for so many seconds is reduced; 0: it waits for proof.
HEDGE_PROTECT_AFTER = env.int("HEDGE_PROTECT_AFTER", default=0)
# A book hedged so often in an hour, or failing so often in ten minutes, and a module whose hedge
# orders are refused so often, are off until a person releases them.
HEDGE_THROTTLE_EXECUTIONS = env.int(
    "HEDGE_THROTTLE_EXECUTIONS", default=120 if IS_PRODUCTION else 1200
)
HEDGE_THROTTLE_FAILURES = env.int("HEDGE_THROTTLE_FAILURES", default=10)
HEDGE_THROTTLE_REJECTS = env.int("HEDGE_THROTTLE_REJECTS", default=20)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "controlplane.base.logs.RedactingFilter"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["redact"],
        }
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        # At DEBUG ccxt writes request headers, which hold keys.
        "ccxt": {"level": "INFO"},
        "aiohttp.access": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
        "django-q": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
    },
}
