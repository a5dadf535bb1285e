"""What we know of prices: the latest of each feed, how they arrive, and those we made."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from controlplane.base.fields import (
    AssetField,
    EnumField,
    PriceField,
    SizeField,
    UUIDKey,
    non_negative,
    one_of,
    positive,
)
from controlplane.base.models import Entity
from markets.choices import SynthReason
from markets.models.venues import MarketDataFeed
from markets.querysets import QuoteQuerySet


class Quote(Entity):
    """The latest top of book of a feed. `received_at` is our wall clock at receipt."""

    feed = models.OneToOneField(
        MarketDataFeed, models.CASCADE, primary_key=True, related_name="quote"
    )
    bid = PriceField(_("bid"))
    ask = PriceField(_("ask"))
    bid_size = SizeField(_("bid size"))
    ask_size = SizeField(_("ask size"))
    mark = PriceField(_("mark"), null=True, blank=True)
    venue_at = models.DateTimeField(_("venue time"))
    received_at = models.DateTimeField(_("received at"))
    sequence = models.BigIntegerField(_("sequence"))

    objects = QuoteQuerySet.as_manager()

    class Meta:
        verbose_name = _("quote")
        verbose_name_plural = _("quotes")
        constraints = (
            *positive("quote", "bid", "ask", "mark"),
            *non_negative("quote", "bid_size", "ask_size"),
            models.CheckConstraint(
                name="quote_not_crossed",
                condition=Q(bid__lt=F("ask")),
                violation_error_code="bid:crossed",
                violation_error_message=_("bid must be below ask."),
            ),
        )

    def __str__(self) -> str:
        return f"{self.feed_id} {self.bid}/{self.ask}"


class FeedTraffic(Entity):
    """What a feed's stream has brought since its process began to count.

    Delays are from the venue's event to our board, in milliseconds above the fastest message of
    the last minute, so that they need no common clock. `latency_error` says by how many
    milliseconds the feed's websocket p95 may be off as an absolute time; without it the venue's
    clock is not known and the p95 counts from the fastest message too. `clock_offset` is the
    venue's clock less ours. A gap is a silence longer than the feed's freshness threshold: no
    venue numbers its best bids and offers without holes.
    """

    feed = models.OneToOneField(
        MarketDataFeed, models.CASCADE, primary_key=True, related_name="traffic"
    )
    since = models.DateTimeField(_("counted since"))
    quotes = models.PositiveBigIntegerField(_("quotes read"))
    dropped = models.JSONField(
        _("dropped"), default=dict, help_text=_("Messages not believed, by reason.")
    )
    message_rate = models.DecimalField(
        _("quotes a second"), max_digits=9, decimal_places=1, default=0
    )
    gaps = models.PositiveIntegerField(_("gaps"), default=0)
    connections = models.PositiveIntegerField(_("connections"))
    delay_p99 = models.PositiveIntegerField(_("delay p99, ms"), null=True, blank=True)
    delay_worst = models.PositiveIntegerField(_("worst delay, ms"), null=True, blank=True)
    latency_error = models.PositiveIntegerField(_("latency error, ms"), null=True, blank=True)
    clock_offset = models.BigIntegerField(_("clock offset, ms"), null=True, blank=True)
    marks_are_silent = models.BooleanField(
        _("marks silent"),
        default=False,
        help_text=_("Mark prices and funding stay away while quotes flow."),
    )
    observed_at = models.DateTimeField(_("observed at"))

    class Meta:
        verbose_name = _("feed traffic")
        verbose_name_plural = _("feed traffic")

    def __str__(self) -> str:
        return f"{self.feed_id} {self.quotes}"


class SynthPriceSnapshot(Entity):
    """A price made from other feeds, and why it was needed."""

    snapshot_id = UUIDKey()
    feed = models.ForeignKey(
        MarketDataFeed,
        models.CASCADE,
        null=True,
        related_name="stand_ins",
        verbose_name=_("feed"),
        help_text=_("The feed it stands in for."),
    )
    symbol = AssetField(_("symbol"))
    source_feeds = models.ManyToManyField(MarketDataFeed, related_name="synth_prices")
    mid_price = PriceField(_("mid price"))
    bid = PriceField(_("bid"))
    ask = PriceField(_("ask"))
    timestamp = models.DateTimeField(
        _("time"), help_text=_("When the oldest of its sources was heard.")
    )
    reason = EnumField(SynthReason, verbose_name=_("reason"))

    class Meta:
        verbose_name = _("synthetic price")
        verbose_name_plural = _("synthetic prices")
        ordering = ("-snapshot_id",)
        indexes = (
            models.Index(fields=("symbol", "-timestamp"), name="synth_symbol_time"),
            models.Index(fields=("feed", "-timestamp"), name="synth_feed_time"),
        )
        constraints = (
            *positive("synth", "mid_price", "bid", "ask"),
            one_of("synth", "reason", SynthReason),
            models.CheckConstraint(
                name="synth_not_crossed",
                condition=Q(bid__lte=F("mid_price")) & Q(mid_price__lte=F("ask")),
                violation_error_code="mid_price:order",
                violation_error_message=_("bid, mid_price and ask must be in order."),
            ),
        )

    def __str__(self) -> str:
        return f"{self.symbol} {self.mid_price}"
