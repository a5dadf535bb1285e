"""Wishes for orders, and the evidence of what became of them."""

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.domain.risk import LimitScope
from accounts.models import ExchangeAccount, ProxySession
from controlplane.base import audit
from controlplane.base.fields import (
    AssetField,
    EnumField,
    MoneyField,
    PriceField,
    SizeField,
    UUIDKey,
    finite,
    non_negative,
    one_of,
    positive,
)
from controlplane.base.models import Entity, Timestamped
from controlplane.kernel.units import plain
from markets.models import Instrument
from markets.venues.types import OrderType, Side
from strategies import triggers
from strategies.domain.intent import IntentState, Submission
from strategies.models.config import StrategyModule
from strategies.querysets import IntentQuerySet

TARGETS = (LimitScope.VENUE, LimitScope.ACCOUNT, LimitScope.MODULE, LimitScope.INSTRUMENT)
"""The scopes that have a target; each is named as its column."""


class OrderIntent(Timestamped):
    """A wish for one order, sent at most once; trying again is a new intent.

    `amount` is base, unsigned. `claim_fence` counts claims (0 or 1), `claimed_by` names the
    worker, `signed_at` and `expires_at` bound when the venue may still accept the request. These
    and `created_at` are the database's time: who reads them may be on another host.
    """

    intent_id = UUIDKey()
    module = models.ForeignKey(
        StrategyModule, models.PROTECT, related_name="intents", verbose_name=_("module")
    )
    account = models.ForeignKey(
        ExchangeAccount, models.PROTECT, related_name="intents", verbose_name=_("account")
    )
    instrument = models.ForeignKey(
        Instrument, models.PROTECT, related_name="intents", verbose_name=_("instrument")
    )
    symbol = AssetField(_("symbol"))
    side = EnumField(Side, verbose_name=_("side"))
    type = EnumField(OrderType, verbose_name=_("type"))
    amount = SizeField(_("amount"))
    price = PriceField(_("price"), null=True, blank=True)
    reduce_only = models.BooleanField(_("reduce only"), default=False)
    sandbox = models.BooleanField(_("sandbox"), default=False)
    expected_profit_after_fee = MoneyField(
        _("expected profit after fees, USD"), null=True, blank=True
    )
    hedge_pair_intent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("other leg"),
    )
    state = EnumField(IntentState, verbose_name=_("state"), default=IntentState.PENDING)
    submission = EnumField(Submission, verbose_name=_("submission"), default=Submission.NONE)
    client_order_id = models.CharField(_("client order id"), max_length=36, unique=True)
    venue_order_id = models.CharField(_("venue order id"), max_length=64, blank=True)
    filled_amount = SizeField(_("filled"), default=0)
    average_price = PriceField(_("average price"), null=True, blank=True)
    fee = MoneyField(_("fee"), default=0)
    reason = models.TextField(_("reason"), blank=True)
    proxy_session = models.ForeignKey(
        ProxySession, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    claim_fence = models.PositiveIntegerField(_("claims"), default=0)
    claimed_by = models.CharField(_("claimed by"), max_length=200, blank=True)
    signed_at = models.DateTimeField(_("signed at"), null=True, blank=True)
    expires_at = models.DateTimeField(_("venue accepts until"), null=True, blank=True)
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    objects = IntentQuerySet.as_manager()

    class Meta:
        verbose_name = _("order intent")
        verbose_name_plural = _("order intents")
        ordering = ("-intent_id",)
        permissions = (
            ("propose_close_orderintent", "Can propose to close an unknown order"),
            ("confirm_close_orderintent", "Can confirm the close of an unknown order"),
        )
        indexes = (
            models.Index(
                fields=("account", "instrument"),
                name="intent_in_flight",
                condition=Q(state__in=["pending", "submitted"]),
            ),
            models.Index(fields=("account", "-intent_id"), name="intent_account_recent"),
            models.Index(fields=("module", "-intent_id"), name="intent_module_recent"),
            models.Index(
                fields=("-signed_at",), name="intent_sent", condition=Q(signed_at__isnull=False)
            ),
        )
        constraints = (
            one_of("intent", "side", Side),
            one_of("intent", "type", OrderType),
            one_of("intent", "state", IntentState),
            one_of("intent", "submission", Submission),
            *positive("intent", "amount", "price", "average_price"),
            *non_negative("intent", "filled_amount"),
            *finite("intent", "expected_profit_after_fee", "fee"),
            models.CheckConstraint(
                name="intent_never_overfilled",
                condition=Q(filled_amount__lte=F("amount")),
                violation_error_code="filled_amount:overfilled",
                violation_error_message=_("filled_amount must be at most amount."),
            ),
            models.CheckConstraint(
                name="intent_one_claim",
                condition=Q(claim_fence__lte=1),
                violation_error_code="claim_fence:range",
                violation_error_message=_("An intent is claimed once."),
            ),
            models.CheckConstraint(
                name="intent_claim_whole",
                condition=Q(claim_fence=0)
                | (Q(signed_at__isnull=False, expires_at__isnull=False) & ~Q(claimed_by="")),
                violation_error_code="claim_fence:bare",
                violation_error_message=_("A claim has an owner, a time and an end."),
            ),
            models.CheckConstraint(
                name="intent_priced",
                condition=Q(type="market") | Q(price__isnull=False),
                violation_error_code="price:missing",
                violation_error_message=_("price is required unless the type is market."),
            ),
        )
        triggers = (
            triggers.born_pending(),
            triggers.legal_moves(),
            pgtrigger.Protect(name="intent_kept", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.side} {plain(self.amount)} {self.symbol} {self.account_id}"


class QuarantinedAnswer(Entity):
    """What a venue said of an order that we could not believe, its secrets masked.

    `body` is the beginning of it, at most 64 KB.
    """

    answer_id = UUIDKey()
    intent = models.ForeignKey(
        OrderIntent, models.PROTECT, related_name="quarantined_answers", verbose_name=_("intent")
    )
    at = models.DateTimeField(_("time"), auto_now_add=True)
    reason = models.TextField(_("reason"))
    body = models.TextField(_("answer"), blank=True)

    class Meta:
        verbose_name = _("quarantined answer")
        verbose_name_plural = _("quarantined answers")
        ordering = ("-answer_id",)
        triggers = (
            pgtrigger.Protect(
                name="quarantine_kept", operation=pgtrigger.Update | pgtrigger.Delete
            ),
        )

    def __str__(self) -> str:
        return self.reason[:80]


@audit.track()
class UnknownClosure(Entity):
    """Two people agree that an order of unknown fate was not accepted. The second one decides."""

    closure_id = UUIDKey()
    intent = models.ForeignKey(
        OrderIntent, models.PROTECT, related_name="closures", verbose_name=_("intent")
    )
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("proposed by")
    )
    proposed_at = models.DateTimeField(_("proposed at"), auto_now_add=True)
    proposed_reason = models.TextField(_("why"))
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("confirmed by"),
    )
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, blank=True)
    confirmed_reason = models.TextField(_("why confirmed"), blank=True)

    class Meta:
        verbose_name = _("close of an unknown order")
        verbose_name_plural = _("closes of unknown orders")
        ordering = ("-closure_id",)
        constraints = (
            models.UniqueConstraint(fields=("intent",), name="closure_once_per_intent"),
            models.CheckConstraint(
                name="closure_two_people",
                condition=Q(confirmed_by__isnull=True) | ~Q(confirmed_by=F("proposed_by")),
                violation_error_code="confirmed_by:same",
                violation_error_message=_("Another person must confirm."),
            ),
            models.CheckConstraint(
                name="closure_confirmed_whole",
                condition=Q(confirmed_by__isnull=True, confirmed_at__isnull=True)
                | (
                    Q(confirmed_by__isnull=False, confirmed_at__isnull=False)
                    & ~Q(confirmed_reason="")
                ),
                violation_error_code="confirmed_at:whole",
                violation_error_message=_("A confirmation has a person, a time and a reason."),
            ),
        )

    def __str__(self) -> str:
        return str(self.intent)
