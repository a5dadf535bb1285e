"""What the console's panels show: one function a panel, read fresh, no HTML."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from accounts.domain.utilization import BandPlace, place_in_band, utilization
from accounts.models import ExchangeAccount
from hedging import selectors as hedging
from hedging.models import EmergencyStop, HedgeExecution, ReconciliationBreak
from markets.choices import FeedSource
from markets.models import MarketDataFeed, SynthPriceSnapshot
from markets.selectors import newest_stand_ins
from monitoring.models import MonitoringEvent

HEDGES_SHOWN: Final = 10
EVENTS_SHOWN: Final = 14
STOPS_SHOWN: Final = 10
BAR_SPAN: Final = Decimal(2)
"""A delta bar reaches twice the threshold to either side."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its title, the permission to see it, its template and its content."""

    topic: str
    title: Any
    permission: str
    content: Callable[[datetime], Mapping[str, Any]]

    @property
    def template(self) -> str:
        return f"console/{self.topic}.html"


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar, in per cent of its track."""

    left: Decimal
    width: Decimal


def delta_bar(delta: Decimal, threshold: Decimal) -> Bar:
    """Return the bar of a signed delta; the middle is zero, a quarter is one threshold."""
    share = max(-BAR_SPAN, min(BAR_SPAN, delta / threshold)) / BAR_SPAN * 50
    return Bar(left=50 + min(share, Decimal(0)), width=abs(share))


def _books(now: datetime) -> Mapping[str, Any]:
    books = hedging.books(now=now)
    return {
        "books": [
            {
                "view": book,
                "bar": None
                if book.net_delta_btc is None
                else delta_bar(book.net_delta_btc, book.threshold_btc),
            }
            for book in books
        ],
        "out_of_band": sum(book.state not in {"neutral", "unknown"} for book in books),
        "unknown": sum(book.state == "unknown" for book in books),
    }


def _accounts(now: datetime) -> Mapping[str, Any]:
    accounts = ExchangeAccount.objects.select_related("state").defer(*ExchangeAccount.secret_fields)
    return {
        "accounts": [_account_row(account) for account in accounts[:200]],
        "breaks": ReconciliationBreak.objects.open().count(),
        "stops": [_stop_row(stop) for stop in EmergencyStop.objects.standing()[:STOPS_SHOWN]],
    }


def _stop_row(stop: EmergencyStop) -> dict[str, Any]:
    """Return a standing stop with the accounts that are NOT confirmed."""
    open_ = stop.accounts.unfinished().order_by("account_id").values_list("account_id", flat=True)
    return {"stop": stop, "open": list(open_[:STOPS_SHOWN])}


def _account_row(account: ExchangeAccount) -> dict[str, Any]:
    used = utilization(initial_margin=account.state.initial_margin, equity=account.state.equity)
    place = place_in_band(
        used, low=account.utilization_target_min, high=account.utilization_target_max
    )
    return {
        "account": account,
        "used": used,
        "percent": None if used is None else min(used, Decimal(1)) * 100,
        "low": account.utilization_target_min * 100,
        "band": (account.utilization_target_max - account.utilization_target_min) * 100,
        "place": place,
        "tone": {
            BandPlace.ABOVE: "bad",
            BandPlace.BELOW: "calm",
            BandPlace.INSIDE: "good",
            BandPlace.UNKNOWN: "muted",
        }[place],
    }


def _feeds(now: datetime) -> Mapping[str, Any]:
    """Return feeds with the price that is used: its own, or what stands in for it."""
    feeds = MarketDataFeed.objects.enabled().select_related("exchange", "quote", "traffic")[:200]
    stand_ins = newest_stand_ins([it.pk for it in feeds if it.source == FeedSource.SYNTHETIC])
    return {"feeds": [_feed(it, stand_ins.get(it.pk)) for it in feeds]}


def _feed(feed: MarketDataFeed, stand_in: SynthPriceSnapshot | None) -> Mapping[str, Any]:
    price = stand_in or getattr(feed, "quote", None)
    return {
        "feed": feed,
        "bid": price and price.bid,
        "ask": price and price.ask,
        "at": stand_in.timestamp if stand_in else feed.last_heartbeat,
    }


def _hedges(now: datetime) -> Mapping[str, Any]:
    return {"hedges": HedgeExecution.objects.order_by("-execution_id")[:HEDGES_SHOWN]}


def _events(now: datetime) -> Mapping[str, Any]:
    return {"events": MonitoringEvent.objects.order_by("-event_id")[:EVENTS_SHOWN]}


PANELS: Final[Mapping[str, Panel]] = {
    panel.topic: panel
    for panel in (
        Panel("books", _("Hedge books"), "hedging.view_hedgeexecution", _books),
        Panel("accounts", _("Accounts"), "accounts.view_exchangeaccount", _accounts),
        Panel("feeds", _("Market data"), "markets.view_marketdatafeed", _feeds),
        Panel("hedges", _("Last hedges"), "hedging.view_hedgeexecution", _hedges),
        Panel("events", _("Last events"), "monitoring.view_monitoringevent", _events),
    )
}
