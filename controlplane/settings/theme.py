"""How the admin console looks (django-unfold)."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _


def _may_view(label: str) -> Callable[[HttpRequest], bool]:
    app, model = label.split("_", 1)
    return lambda request: request.user.has_perm(f"{app}.view_{model}")


def _item(title: Any, icon: str, label: str) -> dict[str, Any]:
    """Return a sidebar link to the list of a model, shown to those who may see it."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{label}_changelist"),
        "permission": _may_view(label),
    }


NAVIGATION = [
    {
        "items": [
            {"title": _("Dashboard"), "icon": "dashboard", "link": reverse_lazy("admin:index")}
        ]
    },
    {
        "title": _("Positions & risk"),
        "separator": True,
        "items": [
            _item(_("Accounts"), "account_balance_wallet", "accounts_exchangeaccount"),
            _item(_("Positions"), "stacked_bar_chart", "accounts_position"),
            _item(_("Account states"), "monitor_heart", "accounts_accountstate"),
            _item(_("Risk envelopes"), "shield", "accounts_riskenvelope"),
            _item(_("Risk limits"), "fence", "strategies_risklimit"),
            _item(_("Stop-loss configs"), "front_hand", "accounts_stoplossconfig"),
            _item(_("Stop rules"), "rule", "hedging_stoprule"),
            _item(_("Equity samples"), "show_chart", "accounts_equitysample"),
            _item(_("Account syncs"), "sync", "accounts_accountsyncjob"),
            _item(_("Proxy profiles"), "vpn_lock", "accounts_proxyprofile"),
            _item(_("Proxy sessions"), "lan", "accounts_proxysession"),
        ],
    },
    {
        "title": _("Markets"),
        "separator": True,
        "items": [
            _item(_("Venues"), "storefront", "markets_venue"),
            _item(_("Instruments"), "contract", "markets_instrument"),
            _item(_("Market data feeds"), "sensors", "markets_marketdatafeed"),
            _item(_("Quotes"), "price_change", "markets_quote"),
            _item(_("Synthetic prices"), "merge", "markets_synthpricesnapshot"),
            _item(_("Funding rates"), "percent", "markets_fundingrate"),
        ],
    },
    {
        "title": _("Strategies"),
        "separator": True,
        "items": [
            _item(_("Modules"), "extension", "strategies_strategymodule"),
            _item(_("Allocations"), "pie_chart", "strategies_accountallocation"),
            _item(_("Order intents"), "receipt_long", "strategies_orderintent"),
        ],
    },
    {
        "title": _("Hedging"),
        "separator": True,
        "items": [
            _item(_("Hedge executions"), "balance", "hedging_hedgeexecution"),
            _item(_("Fills"), "task_alt", "hedging_fill"),
            _item(_("Reconciliation breaks"), "difference", "hedging_reconciliationbreak"),
            _item(_("Hedge throttles"), "speed", "hedging_hedgethrottle"),
            _item(_("Dust"), "grain", "hedging_hedgedust"),
            _item(_("Emergency stops"), "emergency_home", "hedging_emergencystop"),
        ],
    },
    {
        "title": _("Monitoring"),
        "separator": True,
        "items": [
            _item(_("Events"), "list_alt", "monitoring_monitoringevent"),
            _item(_("Alerts"), "notifications_active", "monitoring_alert"),
            _item(_("Alert routes"), "alt_route", "monitoring_alertroute"),
            _item(_("Job runs"), "work_history", "monitoring_jobrun"),
            _item(_("Audit trail"), "history_edu", "base_auditevent"),
        ],
    },
    {
        "title": _("Access"),
        "separator": True,
        "items": [
            _item(_("Users"), "person", "auth_user"),
            _item(_("Groups"), "group", "auth_group"),
            _item(_("API tokens"), "key", "knox_authtoken"),
        ],
    },
]

UNFOLD = {
    "SITE_TITLE": _("Control plane"),
    "SITE_HEADER": _("Control plane"),
    "SITE_SYMBOL": "balance",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("console/favicon.svg"),
        }
    ],
    "STYLES": [lambda request: static("controlplane/admin.css")],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": NAVIGATION,
    },
    "DASHBOARD_CALLBACK": "monitoring.console.dashboard_context",
}
