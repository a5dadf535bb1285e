"""Venues, what they list and fund, and where their prices come from."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from controlplane.base import audit
from controlplane.base.fields import (
    AssetField,
    EnumField,
    MoneyField,
    PriceField,
    RatioField,
    SizeField,
    SlugKey,
    TextLine,
    UUIDKey,
    finite,
    non_negative,
    one_of,
    positive,
)
from controlplane.base.models import Entity, Timestamped
from markets.choices import Dialect, FeedSource, FeedStatus, VenueEnvironment
from markets.domain.endpoints import endpoint_problem
from markets.domain.venue_status import LEARNT, VenueCondition, VenueStanding, venue_condition
from markets.querysets import (
    FeedQuerySet,
    FundingRateQuerySet,
    InstrumentQuerySet,
    VenueQuerySet,
)
from markets.triggers import keep_settled, tell_feed_changed, tell_venue_feeds_changed
from markets.venues.generic.names import venue_problem
from markets.venues.types import Endpoint


@audit.track(exclude=LEARNT)
class Venue(Timestamped):
    """A place to trade. `venue_id` is the `exchange` of accounts and feeds.

    `clock_offset` is its clock less ours; `writes_lost` counts the orders in a row it failed at.
    """

    venue_id = SlugKey(_("venue"))
    name = TextLine(_("name"))
    dialect = EnumField(Dialect, verbose_name=_("dialect"))
    environment = EnumField(
        VenueEnvironment, verbose_name=_("environment"), default=VenueEnvironment.LIVE
    )
    ccxt_id = TextLine(
        _("ccxt name"),
        max_length=40,
        blank=True,
        default="",
        help_text=_("For the dialect generic: the venue's name in ccxt, such as bybit."),
    )
    rest_endpoint = TextLine(
        _("HTTP endpoint"),
        blank=True,
        help_text=_("Base address, no trailing slash. Empty for the dialect generic."),
    )
    ws_endpoint = TextLine(_("websocket endpoint"), blank=True)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    status = EnumField(
        FeedStatus, verbose_name=_("status"), default=FeedStatus.HEALTHY, editable=False
    )
    status_reason = TextLine(_("why"), max_length=40, blank=True, default="", editable=False)
    clock_offset = models.BigIntegerField(
        _("clock ahead of ours, ms"), null=True, blank=True, editable=False
    )
    clock_error = models.PositiveIntegerField(
        _("by as much uncertain, ms"), null=True, blank=True, editable=False
    )
    clock_at = models.DateTimeField(_("clock read"), null=True, blank=True, editable=False)
    writes_lost = models.PositiveIntegerField(
        _("orders it failed at in a row"), default=0, editable=False
    )
    writes_lost_at = models.DateTimeField(
        _("last failed order"), null=True, blank=True, editable=False
    )
    listing_short_at = models.DateTimeField(
        _("list cut short since"), null=True, blank=True, editable=False
    )

    objects = VenueQuerySet.as_manager()

    class Meta:
        verbose_name = _("venue")
        verbose_name_plural = _("venues")
        ordering = ("venue_id",)
        triggers = (tell_venue_feeds_changed(),)
        constraints = (
            one_of("venue", "dialect", Dialect),
            one_of("venue", "status", FeedStatus),
            one_of("venue", "environment", VenueEnvironment),
            models.CheckConstraint(
                name="venue_ccxt_id_with_generic",
                condition=Q(dialect=str(Dialect.GENERIC)) ^ Q(ccxt_id=""),
                violation_error_code="ccxt_id:dialect",
                violation_error_message=_(
                    "The dialect generic needs the venue's ccxt name; no other dialect has one."
                ),
            ),
            models.CheckConstraint(
                name="venue_endpoints_known",
                condition=Q(dialect=str(Dialect.GENERIC))
                | (~Q(rest_endpoint="") & ~Q(ws_endpoint="")),
                violation_error_code="rest_endpoint:missing",
                violation_error_message=_("This dialect needs both endpoints."),
            ),
        )

    @property
    def standing(self) -> VenueStanding:
        """What is on record of it."""
        return VenueStanding(
            self.clock_offset, self.clock_at, self.writes_lost, self.writes_lost_at
        )

    @property
    def condition(self) -> VenueCondition:
        """What to show of it: `status`, unless nobody watches it or nothing is known lately."""
        return venue_condition(
            self.standing,
            FeedStatus(self.status),
            is_enabled=self.is_enabled,
            now=timezone.now(),
        )

    def __str__(self) -> str:
        return self.venue_id

    def clean(self) -> None:
        super().clean()
        if self.dialect == Dialect.GENERIC:
            self._check_ccxt()
        check_endpoints(
            self.dialect, rest_endpoint=self.rest_endpoint, ws_endpoint=self.ws_endpoint
        )

    def _check_ccxt(self) -> None:
        """Refuse a venue that ccxt cannot trade on, and a test network: its hosts are ccxt's."""
        if (problem := venue_problem(self.ccxt_id)) is not None:
            raise ValidationError({"ccxt_id": ValidationError(problem, code="unknown_venue")})
        if self.environment == VenueEnvironment.TESTNET:
            raise ValidationError(
                {
                    "environment": ValidationError(
                        _("Venues of the dialect generic have no test network here."),
                        code="no_testnet",
                    )
                }
            )

    def endpoint(self) -> Endpoint:
        """Return the addresses an adapter needs."""
        return Endpoint(rest=self.rest_endpoint, websocket=self.ws_endpoint, ccxt_id=self.ccxt_id)


@audit.track()
class Instrument(Timestamped):
    """One linear perpetual on one venue. Steps and minima are in base units."""

    instrument_id = UUIDKey()
    venue = models.ForeignKey(Venue, models.PROTECT, related_name="instruments")
    venue_symbol = TextLine(_("venue symbol"), max_length=64)
    symbol = AssetField(_("symbol"), help_text=_("The base asset, such as BTC."))
    quote_asset = AssetField(_("quote asset"))
    contract_size = SizeField(_("contract size"))
    tick = PriceField(_("price tick"))
    lot = SizeField(_("size step"))
    min_qty = SizeField(_("smallest size"))
    max_qty = SizeField(_("largest size"), null=True, blank=True)
    max_market_qty = SizeField(_("largest market size"), null=True, blank=True)
    min_notional = MoneyField(_("smallest value"))
    max_leverage = RatioField(_("largest leverage"), null=True, blank=True)
    maker_fee = RatioField(_("maker fee"))
    taker_fee = RatioField(_("taker fee"))
    is_active = models.BooleanField(_("active"), default=True)
    frozen_at = models.DateTimeField(
        _("frozen since"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Nothing is opened here until somebody accepts what its venue changed."),
    )
    frozen_for = models.JSONField(
        _("what changed"),
        default=dict,
        blank=True,
        editable=False,
        help_text=_("By name: what was last accepted, and what the venue says now."),
    )

    objects = InstrumentQuerySet.as_manager()

    class Meta:
        verbose_name = _("instrument")
        verbose_name_plural = _("instruments")
        ordering = ("venue_id", "venue_symbol")
        permissions = (("accept_instrument", "Can accept what a venue changed of an instrument"),)
        constraints = (
            models.UniqueConstraint(
                fields=("venue", "venue_symbol"), name="instrument_unique_per_venue"
            ),
            *positive("instrument", "contract_size", "tick", "lot", "max_qty"),
            *positive("instrument", "max_market_qty", "max_leverage"),
            *non_negative("instrument", "min_qty", "min_notional"),
            *finite("instrument", "maker_fee", "taker_fee"),
        )

    def __str__(self) -> str:
        return f"{self.venue_id}:{self.venue_symbol}"


@audit.track(
    exclude=(
        "ws_latency_p95",
        "http_latency_p95",
        "last_heartbeat",
        "status",
        "source",
        "source_since",
        "link",
    )
)
class MarketDataFeed(Timestamped):
    """Where a symbol's prices on one venue come from, and how they have been lately."""

    feed_id = SlugKey(_("feed"))
    exchange = models.ForeignKey(
        Venue,
        models.PROTECT,
        related_name="feeds",
        verbose_name=_("exchange"),
        db_column="exchange",
    )
    symbol = AssetField(_("symbol"), help_text=_("The base asset, such as BTC."))
    ws_endpoint = TextLine(
        _("websocket endpoint"), blank=True, help_text=_("Empty: the venue's own.")
    )
    http_endpoint = TextLine(_("HTTP endpoint"), blank=True, help_text=_("Empty: the venue's own."))
    ws_latency_p95 = models.PositiveIntegerField(_("websocket p95, ms"), null=True, blank=True)
    http_latency_p95 = models.PositiveIntegerField(_("HTTP p95, ms"), null=True, blank=True)
    freshness_threshold = models.PositiveIntegerField(_("fresh within, ms"), default=2000)
    failover_deadline = models.PositiveIntegerField(_("failover within, ms"), default=10000)
    last_heartbeat = models.DateTimeField(
        _("last data"), null=True, blank=True, help_text=_("Last data, not the last pong.")
    )
    status = EnumField(FeedStatus, verbose_name=_("status"), default=FeedStatus.FAILING)
    source = EnumField(FeedSource, verbose_name=_("price source"), default=FeedSource.NONE)
    source_since = models.DateTimeField(_("source since"), null=True, blank=True)
    link = TextLine(
        _("connection"), blank=True, help_text=_("What the websocket last said of itself.")
    )
    forced_source = EnumField(
        FeedSource,
        verbose_name=_("forced source"),
        null=True,
        blank=True,
        help_text=_("Where a person made the feed fail over to. Empty: the best there is."),
    )
    synthetic_sources = models.PositiveSmallIntegerField(
        _("feeds for a synthetic price"),
        default=2,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text=_("A synthetic price needs fresh prices of at least so many other feeds."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)

    objects = FeedQuerySet.as_manager()

    class Meta:
        verbose_name = _("market data feed")
        verbose_name_plural = _("market data feeds")
        ordering = ("feed_id",)
        permissions = (("failover_marketdatafeed", "Can force failover and failback of a feed"),)
        triggers = (tell_feed_changed(),)
        constraints = (
            models.UniqueConstraint(fields=("exchange", "symbol"), name="feed_unique_per_symbol"),
            one_of("feed", "status", FeedStatus),
            one_of("feed", "source", FeedSource),
            models.CheckConstraint(
                name="feed_forced_source_known",
                condition=Q(forced_source__in=["http", "synthetic"]),
                violation_error_code="forced_source:known",
                violation_error_message=_("A feed can be forced to http or synthetic."),
            ),
            models.CheckConstraint(
                name="feed_synthetic_sources_bounded",
                condition=Q(synthetic_sources__gte=1) & Q(synthetic_sources__lte=20),
                violation_error_code="synthetic_sources:range",
                violation_error_message=_("synthetic_sources must be 1 to 20."),
            ),
            models.CheckConstraint(
                name="feed_deadlines_ordered",
                condition=Q(freshness_threshold__gte=50)
                & Q(failover_deadline__gt=F("freshness_threshold"))
                & Q(failover_deadline__lte=600_000),
                violation_error_code="failover_deadline:order",
                violation_error_message=_(
                    "failover_deadline must be above freshness_threshold (at least 50 ms) "
                    "and at most 600000 ms."
                ),
            ),
        )

    def __str__(self) -> str:
        return self.feed_id

    def clean(self) -> None:
        super().clean()
        if self.exchange_id:
            self._check_symbol()
        if self.exchange_id and (self.ws_endpoint or self.http_endpoint):
            check_endpoints(
                self.exchange.dialect,
                http_endpoint=self.http_endpoint or self.exchange.rest_endpoint,
                ws_endpoint=self.ws_endpoint or self.exchange.ws_endpoint,
            )

    def _check_symbol(self) -> None:
        """Refuse a symbol the venue does not list, once its instruments are known."""
        listed = Instrument.objects.filter(venue_id=self.exchange_id, is_active=True)
        if listed.exists() and not listed.filter(symbol=self.symbol).exists():
            raise ValidationError(
                {
                    "symbol": ValidationError(
                        _("%(venue)s lists no active instrument of %(symbol)s."),
                        code="unknown_symbol",
                        params={"venue": self.exchange_id, "symbol": self.symbol},
                    )
                }
            )

    @property
    def is_held(self) -> bool:
        """True when its stream is to be held: the feed and its venue are switched on."""
        return self.is_enabled and self.exchange.is_enabled

    def endpoint(self) -> Endpoint:
        """Return this feed's addresses, the venue's own where it has none."""
        return Endpoint(
            rest=self.http_endpoint or self.exchange.rest_endpoint,
            websocket=self.ws_endpoint or self.exchange.ws_endpoint,
            ccxt_id=self.exchange.ccxt_id,
        )


class FundingRate(Entity):
    """The funding of one instrument at one settlement; positive means longs pay shorts.

    Before the settlement the rate is the venue's estimate; once settled it never changes again
    (the database passes over every update).
    """

    funding_rate_id = UUIDKey()
    instrument = models.ForeignKey(Instrument, models.CASCADE, related_name="funding_rates")
    rate = RatioField(_("rate"), help_text=_("Share of the position's value per interval."))
    funding_time = models.DateTimeField(_("settles at"))
    interval_hours = models.PositiveSmallIntegerField(_("interval, hours"))
    mark_price = PriceField(_("mark price"), null=True, blank=True)
    observed_at = models.DateTimeField(_("observed at"))
    is_settled = models.BooleanField(
        _("settled"), default=False, help_text=_("The rate paid, from the venue's own history.")
    )

    objects = FundingRateQuerySet.as_manager()

    class Meta:
        verbose_name = _("funding rate")
        verbose_name_plural = _("funding rates")
        ordering = ("-funding_time", "instrument_id")
        indexes = (models.Index(fields=("funding_time",), name="funding_rate_time"),)
        triggers = (keep_settled(),)
        constraints = (
            models.UniqueConstraint(
                fields=("instrument", "funding_time"), name="funding_rate_unique_per_settlement"
            ),
            *finite("fundingrate", "rate"),
            *positive("fundingrate", "mark_price", "interval_hours"),
        )

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.rate}"


def check_endpoints(dialect: str, **addresses: str) -> None:
    """Raise ValidationError, by field, for addresses that are not the dialect's own."""
    problems = {
        name: endpoint_problem(
            dialect,
            address,
            scheme="ws" if name == "ws_endpoint" else "http",
            allow_loopback=settings.ALLOW_LOOPBACK_VENUES,
        )
        for name, address in addresses.items()
        if address
    }
    if found := {name: problem for name, problem in problems.items() if problem}:
        raise ValidationError(found)
