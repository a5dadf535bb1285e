"""Hedges, the fills that made them, and where our record differs from a venue's."""

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import ExchangeAccount
from controlplane.base.fields import (
    AssetField,
    DocumentField,
    EnumField,
    PriceField,
    SizeField,
    UUIDKey,
    finite,
    one_of,
    positive,
)
from controlplane.base.models import Entity
from controlplane.kernel.events import Severity
from hedging.choices import BreakStatus, HedgeResult, TriggerReason
from hedging.domain.origin import Origin, origin_of
from hedging.domain.reconciliation import BreakKind
from hedging.domain.resolution import Answer, Look, Verdict
from hedging.querysets import BreakQuerySet, ExecutionQuerySet, FillQuerySet
from markets.models import Instrument
from markets.venues.types import Side
from strategies.models import OrderIntent


class HedgeExecution(Entity):
    """One decision to hedge and what came of it. `result` is null while it runs.

    Deltas are BTC-equivalent, long positive. `book` is the book's key (see the book selector),
    `symbol` the asset it neutralizes, `orders` the plan as it was decided.
    """

    execution_id = UUIDKey()
    book = models.CharField(_("book"), max_length=80)
    symbol = AssetField(_("symbol"))
    primary_account = models.ForeignKey(
        ExchangeAccount,
        models.PROTECT,
        related_name="primary_hedges",
        verbose_name=_("primary account"),
    )
    hedge_account = models.ForeignKey(
        ExchangeAccount,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="hedges",
        verbose_name=_("hedge account"),
    )
    delta_before = SizeField(_("delta before, BTC"))
    delta_after = SizeField(_("delta after, BTC"), null=True, blank=True)
    threshold = SizeField(_("threshold, BTC"))
    orders = DocumentField(_("orders"), default=list, blank=True)
    decision_inputs = DocumentField(_("decision inputs"), default=dict, blank=True)
    trigger_reason = EnumField(TriggerReason, verbose_name=_("trigger"))
    decision_mid = PriceField(_("mid at decision"), null=True, blank=True)
    slippage_bp = SizeField(_("slippage, bp"), null=True, blank=True)
    seconds_out_of_band = SizeField(_("seconds out of band"), null=True, blank=True)
    duration_ms = models.PositiveIntegerField(_("duration, ms"), null=True, blank=True)
    result = EnumField(HedgeResult, verbose_name=_("result"), null=True, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    intents = models.ManyToManyField(
        OrderIntent, related_name="hedge_executions", verbose_name=_("intents"), blank=True
    )

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        verbose_name = _("hedge execution")
        verbose_name_plural = _("hedge executions")
        ordering = ("-execution_id",)
        permissions = (("hedge_book", "Can hedge a book now"),)
        indexes = (models.Index(fields=("book", "-execution_id"), name="hedge_book_recent"),)
        constraints = (
            one_of("hedge", "trigger_reason", TriggerReason),
            one_of("hedge", "result", HedgeResult),
            *finite("hedge", "delta_before", "delta_after", "slippage_bp"),
            *positive("hedge", "threshold", "decision_mid"),
            models.UniqueConstraint(
                fields=("book", "symbol"),
                condition=Q(result__isnull=True),
                name="hedge_one_active_per_book_and_asset",
            ),
            models.CheckConstraint(
                name="hedge_finished_has_result",
                condition=Q(finished_at__isnull=True, result__isnull=True)
                | Q(finished_at__isnull=False, result__isnull=False),
                violation_error_code="result:finished",
                violation_error_message=_("result and finished_at come together."),
            ),
        )
        triggers = (
            pgtrigger.Trigger(
                name="hedge_result_final",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__result__isnull=False),
                func="""
                    IF NEW.result IS DISTINCT FROM OLD.result
                       OR NEW.delta_before IS DISTINCT FROM OLD.delta_before
                       OR NEW.book IS DISTINCT FROM OLD.book
                    THEN
                        RAISE EXCEPTION 'hedge %: a finished hedge does not change',
                            OLD.execution_id USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
            pgtrigger.Protect(name="hedge_kept", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.book} {self.symbol} {self.delta_before}"


class Fill(Entity):
    """One trade at a venue. `intent` is null for a trade that is not ours (external)."""

    fill_id = UUIDKey()
    account = models.ForeignKey(ExchangeAccount, models.PROTECT, related_name="fills")
    instrument = models.ForeignKey(Instrument, models.PROTECT, related_name="fills")
    intent = models.ForeignKey(
        OrderIntent, models.PROTECT, null=True, blank=True, related_name="fills"
    )
    sandbox = models.BooleanField(_("sandbox"), default=False)
    trade_id = models.CharField(_("trade id"), max_length=64)
    venue_order_id = models.CharField(_("venue order id"), max_length=64, blank=True)
    client_order_id = models.CharField(_("client order id"), max_length=64, blank=True)
    side = EnumField(Side, verbose_name=_("side"))
    amount = SizeField(_("amount"))
    price = PriceField(_("price"))
    fee = SizeField(_("fee"), default=0)
    fee_asset = models.CharField(_("fee asset"), max_length=20, blank=True)
    is_maker = models.BooleanField(_("maker"), default=False)
    venue_at = models.DateTimeField(_("venue time"))
    recorded_at = models.DateTimeField(_("recorded at"), auto_now_add=True)

    objects = FillQuerySet.as_manager()

    class Meta:
        verbose_name = _("fill")
        verbose_name_plural = _("fills")
        ordering = ("-fill_id",)
        indexes = (models.Index(fields=("account", "-venue_at"), name="fill_account_time"),)
        constraints = (
            models.UniqueConstraint(
                fields=("account", "instrument", "trade_id"), name="fill_once_per_trade"
            ),
            one_of("fill", "side", Side),
            *positive("fill", "amount", "price"),
            *finite("fill", "fee"),
        )
        triggers = (
            pgtrigger.Protect(name="fill_kept", operation=pgtrigger.Delete),
            pgtrigger.Trigger(
                name="fill_fixed",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                # Not every venue names our id in its trades: whose order it was may come later.
                func="""
                    IF OLD.intent_id IS NOT NULL
                       OR to_jsonb(NEW) - 'intent_id' IS DISTINCT FROM to_jsonb(OLD) - 'intent_id'
                    THEN
                        RAISE EXCEPTION 'fill %: a trade does not change', OLD.fill_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
        )

    def __str__(self) -> str:
        return f"{self.side} {self.amount} @ {self.price}"

    @property
    def origin(self) -> Origin:
        """Who made the trade."""
        return origin_of(self.client_order_id, is_ours=self.intent_id is not None)


class ReconciliationBreak(Entity):
    """A difference between our record and a venue's, until somebody or something settles it."""

    break_id = UUIDKey()
    account = models.ForeignKey(
        ExchangeAccount, models.PROTECT, related_name="reconciliation_breaks"
    )
    instrument = models.ForeignKey(Instrument, models.PROTECT, null=True, blank=True)
    kind = EnumField(BreakKind, verbose_name=_("kind"))
    subject = models.CharField(_("subject"), max_length=80, blank=True)
    severity = EnumField(Severity, verbose_name=_("severity"), default=Severity.WARN)
    status = EnumField(BreakStatus, verbose_name=_("status"), default=BreakStatus.OPEN)
    details = DocumentField(_("details"), default=dict, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    resolution = models.TextField(_("resolution"), blank=True)
    opened_at = models.DateTimeField(_("opened at"), auto_now_add=True)
    seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    objects = BreakQuerySet.as_manager()

    class Meta:
        verbose_name = _("reconciliation break")
        verbose_name_plural = _("reconciliation breaks")
        ordering = ("-break_id",)
        permissions = (
            ("take_reconciliationbreak", "Can take on a break"),
            ("accept_reconciliationbreak", "Can accept a break"),
        )
        constraints = (
            one_of("break", "kind", BreakKind),
            one_of("break", "status", BreakStatus),
            one_of("break", "severity", Severity),
            models.UniqueConstraint(
                fields=("account", "kind", "subject"),
                condition=Q(status="open"),
                name="break_open_once",
            ),
            models.CheckConstraint(
                name="break_closed_has_time",
                condition=Q(status="open", closed_at__isnull=True)
                | (~Q(status="open") & Q(closed_at__isnull=False) & ~Q(resolution="")),
                violation_error_code="closed_at:whole",
                violation_error_message=_("A closed break has a time and a resolution."),
            ),
        )
        triggers = (
            pgtrigger.Protect(name="break_kept", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="break_closed_stays",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__closed_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.kind}"


class ResolutionStep(Entity):
    """One look at a venue for an order of unknown fate, and what it proved."""

    step_id = UUIDKey()
    intent = models.ForeignKey(
        OrderIntent, models.PROTECT, related_name="resolution_steps", verbose_name=_("intent")
    )
    at = models.DateTimeField(_("begun at"))
    by_id = EnumField(Answer, verbose_name=_("asked by id"))
    listed = EnumField(Answer, verbose_name=_("open orders and history"))
    trades = EnumField(Answer, verbose_name=_("trades"))
    position = EnumField(Answer, verbose_name=_("position"))
    verdict = EnumField(Verdict, verbose_name=_("verdict"))
    note = models.TextField(_("note"), blank=True)

    class Meta:
        verbose_name = _("resolution step")
        verbose_name_plural = _("resolution steps")
        ordering = ("-step_id",)
        indexes = (models.Index(fields=("intent", "at"), name="resolution_intent_time"),)
        constraints = (
            one_of("resolution", "by_id", Answer),
            one_of("resolution", "listed", Answer),
            one_of("resolution", "trades", Answer),
            one_of("resolution", "position", Answer),
            one_of("resolution", "verdict", Verdict),
        )
        triggers = (
            pgtrigger.Protect(
                name="resolution_kept", operation=pgtrigger.Update | pgtrigger.Delete
            ),
        )

    def __str__(self) -> str:
        return f"{self.intent_id} {self.verdict}"

    def look(self) -> Look:
        """Return the step as the value the rules of proof work on."""
        return Look(
            at=self.at,
            by_id=Answer(self.by_id),
            listed=Answer(self.listed),
            trades=Answer(self.trades),
            position=Answer(self.position),
        )
