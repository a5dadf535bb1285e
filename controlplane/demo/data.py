"""The demo's rows: venues, instruments, feeds, accounts, modules, allocations and a login."""

import json
import os
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Final

from django.contrib.auth import get_user_model
from django.db import transaction

from accounts.choices import ProxyScheme
from accounts.models import ExchangeAccount, ProxyProfile, ProxySession
from controlplane.base import audit
from controlplane.base.audit import Actor, Surface
from controlplane.demo.layout import PROFILE, SYMBOLS, DemoAccount, DemoLayout, DemoVenue
from controlplane.kernel.units import BaseAmount, QuoteAmount, Ratio
from markets.listing import instruments_upsert
from markets.models import MarketDataFeed, Venue
from markets.venues.paper.config import SymbolConfig, config_from_mapping
from markets.venues.types import InstrumentReport
from strategies.models import AccountAllocation, StrategyModule
from strategies.plugins.funding_arbitrage import CONFIG_SCHEMA

DEMO_LOADED: Final = audit.register("demo.loaded", label="Demo data loaded")
USERNAME: Final = "demo"


@transaction.atomic
def demo_load(*, layout: DemoLayout, password: str) -> None:
    """Write the demo's rows into a database that has none of them."""
    actor, venues = Actor(name="demo", surface=Surface.COMMAND), layout.venues
    with audit.context(DEMO_LOADED, actor=actor):
        Venue.objects.update(is_enabled=False)  # real venues stay out of a demo
        modules = _modules({account.book for venue in venues for account in venue.accounts})
        for venue in venues:
            _venue(venue, actor)
        sessions = _sessions(layout)
        accounts = [(venue, account) for venue in venues for account in venue.accounts]
        for number, (venue, account) in enumerate(accounts):
            row = _account(venue, account, sessions[number % len(sessions)])
            _allocate(row, account.book, modules)
        get_user_model().objects.create_superuser(username=USERNAME, password=password)


def password(path: Path) -> str:
    """Return the demo's password, made at the first start and kept for its owner's eyes."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"username": USERNAME, "password": secrets.token_urlsafe(12)}, file)
    kept: str = json.loads(path.read_text())["password"]
    return kept


def _venue(demo: DemoVenue, actor: Actor) -> None:
    venue = Venue(
        venue_id=demo.venue_id,
        name=demo.name,
        dialect=demo.dialect,
        environment="paper",
        rest_endpoint=demo.rest,
        ws_endpoint=demo.websocket,
    )
    venue.full_clean()
    venue.save()
    listed = config_from_mapping(demo.configuration(ledger="")).symbols
    reports = [_instrument(symbol) for symbol in listed]
    instruments_upsert(venue=venue, reports=reports, actor=actor)
    for symbol in SYMBOLS:
        feed_id = f"{demo.dialect}-{symbol.lower()}"
        MarketDataFeed.objects.create(feed_id=feed_id, exchange=venue, symbol=symbol)


def _instrument(listed: SymbolConfig) -> InstrumentReport:
    instrument = listed.instrument
    return InstrumentReport(
        venue_symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        contract_size=Decimal(1),
        tick=instrument.tick,
        lot=BaseAmount(instrument.lot),
        min_qty=BaseAmount(instrument.min_qty),
        max_qty=BaseAmount(instrument.max_qty),
        max_market_qty=BaseAmount(instrument.max_market_qty),
        min_notional=QuoteAmount(instrument.min_notional),
        max_leverage=Decimal(instrument.max_leverage),
        maker_fee=Ratio(instrument.maker_fee),
        taker_fee=Ratio(instrument.taker_fee),
        is_active=True,
    )


def _sessions(layout: DemoLayout) -> list[ProxySession]:
    """Write the pool of proxies, for the demo's own venues alone."""
    profile = ProxyProfile(profile_id=PROFILE, name="Demo exits", scheme=ProxyScheme.SOCKS5)
    profile.full_clean()
    profile.save()
    profile.venues.set(Venue.objects.filter(pk__in=[venue.venue_id for venue in layout.venues]))
    sessions = []
    for one in layout.exits:
        session = ProxySession(proxy_profile=profile, ip=one.ip, port=one.port, auth=one.auth)
        session.full_clean()
        session.save()
        sessions.append(session)
    return sessions


def _account(venue: DemoVenue, demo: DemoAccount, session: ProxySession) -> ExchangeAccount:
    account = ExchangeAccount(
        account_id=demo.account_id,
        exchange_id=venue.venue_id,
        account_name=demo.name,
        **demo.keys.account,
        proxy_profile=session.proxy_profile,
        proxy_session=session,
        max_position_value=Decimal(100_000),
        sync_interval_seconds=5,
    )
    account.full_clean()
    account.save()
    return account


def _modules(books: set[str]) -> dict[str, StrategyModule]:
    modules = {
        book: StrategyModule.objects.create(
            module_id=f"hedge-{book}",
            name=f"Hedge {book.title()}",
            type="hedge-only",
            dry_run_enabled=False,
            max_concurrent_signals=10,
            status="enable",
        )
        for book in sorted(books)
    }
    modules["funding"] = StrategyModule.objects.create(
        module_id="funding-alpha",
        name="Funding Alpha",
        type="funding-arbitrage",
        config_schema=dict(CONFIG_SCHEMA),
        config={"symbols": list(SYMBOLS), "notional": 2000, "horizonHours": 168},
        dry_run_enabled=True,
        max_concurrent_signals=2,
        status="enable",
    )
    return modules


def _allocate(account: ExchangeAccount, book: str, modules: dict[str, StrategyModule]) -> None:
    AccountAllocation.objects.create(
        module=modules[book], account=account, weight=Decimal("0.6"), sandbox_mode=False
    )
    if book == "alpha":
        AccountAllocation.objects.create(
            module=modules["funding"], account=account, weight=Decimal("0.3"), sandbox_mode=True
        )
