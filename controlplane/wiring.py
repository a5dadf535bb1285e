"""The composition root: who listens to whom."""

from django.utils.module_loading import autodiscover_modules

from accounts import inflight, observations
from accounts import lifecycle as accounts
from accounts.models import ExchangeAccount, ProxyProfile, ProxySession
from controlplane.base import edits, events, jobs
from hedging import observing as hedging
from hedging import trigger
from markets import listing
from markets.feeds import ticks
from markets.models import Venue
from monitoring import services as monitoring
from strategies import observing as strategies
from strategies import selectors as orders


def connect() -> None:
    """Register jobs and subscribers; called once, when all apps are loaded."""
    autodiscover_modules("jobs")
    events.subscribe(monitoring.events_record)
    jobs.record_with(monitoring.JobRuns())
    inflight.ask(orders.accounts_in_flight)
    # Intents first: what ends a hedge is read from them.
    observations.subscribe(strategies.orders_seen)
    observations.subscribe(hedging.observed)
    listing.watch_freezes(strategies.instruments_frozen)
    ticks.subscribe(trigger.PriceWatch().price_moved)
    edits.follow(Venue, accounts.venue_changed)
    edits.follow(ExchangeAccount, accounts.account_changed)
    edits.follow(ProxyProfile, accounts.profile_changed)
    edits.follow(ProxySession, accounts.session_changed)
