"""The last truth known of accounts. Null means unknown."""

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.choices import (
    SyncStatus,
)
from accounts.models.account import ExchangeAccount
from accounts.models.egress import ProxySession
from accounts.querysets import PositionQuerySet
from controlplane.base.fields import (
    EnumField,
    MoneyField,
    PriceField,
    RatioField,
    SizeField,
    UUIDKey,
    finite,
    one_of,
    positive,
)
from controlplane.base.models import Entity
from controlplane.kernel.units import plain
from markets.models import Instrument


class AccountSyncJob(Entity):
    """One attempt to read an account; what failed stays unknown, never zero."""

    sync_job_id = UUIDKey()
    account = models.ForeignKey(ExchangeAccount, models.CASCADE, related_name="sync_jobs")
    proxy_session = models.ForeignKey(
        ProxySession, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    status = EnumField(SyncStatus, verbose_name=_("status"), default=SyncStatus.RUNNING)
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    duration_ms = models.PositiveIntegerField(_("duration, ms"), null=True, blank=True)
    positions_seen = models.PositiveIntegerField(_("positions"), null=True, blank=True)
    open_orders_seen = models.PositiveIntegerField(_("open orders"), null=True, blank=True)
    fills_added = models.PositiveIntegerField(_("new fills"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("account sync job")
        verbose_name_plural = _("account sync jobs")
        ordering = ("-sync_job_id",)
        constraints = (one_of("syncjob", "status", SyncStatus),)

    def __str__(self) -> str:
        return f"{self.account_id} {self.status}"


class Position(Entity):
    """One account's holding of one instrument; `size` is signed base, long positive."""

    position_id = UUIDKey()
    account = models.ForeignKey(ExchangeAccount, models.CASCADE, related_name="positions")
    instrument = models.ForeignKey(Instrument, models.PROTECT, related_name="positions")
    sandbox = models.BooleanField(_("sandbox"), default=False)
    size = SizeField(_("size"))
    entry_price = PriceField(_("entry price"), null=True, blank=True)
    mark_price = PriceField(_("mark price"), null=True, blank=True)
    unrealized_pnl = MoneyField(_("unrealised result"), null=True, blank=True)
    liquidation_price = PriceField(_("liquidation price"), null=True, blank=True)
    initial_margin = MoneyField(_("initial margin"), null=True, blank=True)
    observed_at = models.DateTimeField(_("observed at"))
    venue_at = models.DateTimeField(
        _("venue time"), null=True, blank=True, help_text=_("When the size was so, by the venue.")
    )

    base_size = SizeField(
        _("reconciled size"),
        null=True,
        blank=True,
        help_text=_("The size that all trades recorded before the reconciled time make."),
    )
    base_at = models.DateTimeField(_("reconciled until"), null=True, blank=True)
    unexplained = SizeField(
        _("unexplained"),
        default=0,
        help_text=_("What trades do not explain of the size, as last compared."),
    )
    unexplained_at = models.DateTimeField(_("unexplained since"), null=True, blank=True)
    disputed_at = models.DateTimeField(
        _("disputed since"),
        null=True,
        blank=True,
        help_text=_("Nothing more is opened here until trades explain the size again."),
    )

    objects = PositionQuerySet.as_manager()

    class Meta:
        verbose_name = _("position")
        verbose_name_plural = _("positions")
        ordering = ("account_id", "instrument_id")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "instrument", "sandbox"), name="position_unique"
            ),
            *finite("position", "size", "unrealized_pnl", "base_size", "unexplained"),
            *positive("position", "entry_price", "mark_price", "liquidation_price"),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.size}"


class EquitySample(Entity):
    """Equity of an account at one time; the series drawdown is measured on."""

    sample_id = UUIDKey()
    account = models.ForeignKey(ExchangeAccount, models.CASCADE, related_name="equity_samples")
    equity = MoneyField(_("equity"))
    utilization = RatioField(_("utilization"), null=True, blank=True)
    at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("equity sample")
        verbose_name_plural = _("equity samples")
        ordering = ("-sample_id",)
        indexes = (models.Index(fields=("account", "-at"), name="equity_account_time"),)
        constraints = (*finite("equitysample", "equity", "utilization"),)

    def __str__(self) -> str:
        return f"{self.account_id} {self.equity}"


class FundingPayment(Entity):
    """One funding settlement booked to an account; `amount` is positive when received.

    Known by the venue's own id, so that one told twice, or read after an outage, counts once.
    """

    funding_payment_id = UUIDKey()
    account = models.ForeignKey(ExchangeAccount, models.PROTECT, related_name="funding_payments")
    instrument = models.ForeignKey(Instrument, models.PROTECT, null=True, blank=True)
    venue_symbol = models.CharField(_("venue symbol"), max_length=64)
    payment_id = models.CharField(_("venue payment id"), max_length=64)
    amount = MoneyField(_("amount"))
    asset = models.CharField(_("asset"), max_length=20)
    venue_at = models.DateTimeField(_("venue time"))
    recorded_at = models.DateTimeField(_("recorded at"), auto_now_add=True)

    class Meta:
        verbose_name = _("funding payment")
        verbose_name_plural = _("funding payments")
        ordering = ("-funding_payment_id",)
        indexes = (models.Index(fields=("account", "-venue_at"), name="funding_account_time"),)
        constraints = (
            models.UniqueConstraint(
                fields=("account", "venue_symbol", "payment_id"), name="funding_once_per_payment"
            ),
            *finite("fundingpayment", "amount"),
        )
        triggers = (
            pgtrigger.Protect(name="funding_kept", operation=pgtrigger.Update | pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.venue_symbol} {plain(self.amount)}"


class Transfer(Entity):
    """Money that moved an account's wallet by no trade, fee or funding; positive when it came in.

    External by its nature: nobody here orders one. Known by the venue's own id among those of one
    kind, so that one told twice counts once.
    """

    transfer_id = UUIDKey()
    account = models.ForeignKey(ExchangeAccount, models.PROTECT, related_name="transfers")
    venue_transfer_id = models.CharField(_("venue transfer id"), max_length=128)
    kind = models.CharField(_("kind"), max_length=40, help_text=_("The venue's own word for it."))
    amount = MoneyField(_("amount"))
    asset = models.CharField(_("asset"), max_length=20)
    venue_at = models.DateTimeField(_("venue time"))
    recorded_at = models.DateTimeField(_("recorded at"), auto_now_add=True)

    class Meta:
        verbose_name = _("transfer")
        verbose_name_plural = _("transfers")
        ordering = ("-transfer_id",)
        indexes = (models.Index(fields=("account", "-venue_at"), name="transfer_account_time"),)
        constraints = (
            models.UniqueConstraint(
                fields=("account", "kind", "venue_transfer_id"), name="transfer_once_per_kind"
            ),
            *finite("transfer", "amount"),
        )
        triggers = (
            pgtrigger.Protect(name="transfer_kept", operation=pgtrigger.Update | pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.kind} {plain(self.amount)}"
