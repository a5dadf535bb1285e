"""What is known of an account, as last read."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.choices import StopLossAction, SyncProblem
from accounts.querysets import StateQuerySet
from controlplane.base.fields import (
    DocumentField,
    EnumField,
    MoneyField,
    finite,
    non_negative,
    one_of,
)
from controlplane.base.models import Entity


class AccountState(Entity):
    """The last truth known of an account. Null means unknown."""

    account = models.OneToOneField(
        "accounts.ExchangeAccount", models.CASCADE, primary_key=True, related_name="state"
    )
    settlement_asset = models.CharField(_("asset"), max_length=20, blank=True)
    equity = MoneyField(_("equity"), null=True, blank=True)
    wallet_balance = MoneyField(_("wallet balance"), null=True, blank=True)
    available = MoneyField(_("available"), null=True, blank=True)
    initial_margin = MoneyField(_("initial margin"), null=True, blank=True)
    maintenance_margin = MoneyField(_("maintenance margin"), null=True, blank=True)
    balance_at = models.DateTimeField(_("balance read at"), null=True, blank=True)
    positions_at = models.DateTimeField(_("positions read at"), null=True, blank=True)
    orders_at = models.DateTimeField(_("orders read at"), null=True, blank=True)
    fills_at = models.DateTimeField(_("fills read until"), null=True, blank=True)
    open_orders = models.PositiveIntegerField(_("open orders"), null=True, blank=True)
    stream_at = models.DateTimeField(_("private stream heard at"), null=True, blank=True)
    sync_queued_at = models.DateTimeField(_("sync queued at"), null=True, blank=True)
    reconciled_at = models.DateTimeField(
        _("reconciled at"),
        null=True,
        blank=True,
        help_text=_("When the last look that was answered and agreed in full was begun."),
    )
    recovery_at = models.DateTimeField(
        _("recovering since"),
        null=True,
        blank=True,
        help_text=_("Nothing is opened until a reconciliation begun after this is complete."),
    )
    funding_at = models.DateTimeField(_("funding read until"), null=True, blank=True)
    funding_tried_at = models.DateTimeField(_("funding asked for at"), null=True, blank=True)
    funding_begun_at = models.DateTimeField(
        _("funding read begun at"),
        null=True,
        blank=True,
        help_text=_("Later than what is read: that read failed, or is not at its end yet."),
    )
    funding_cursor = models.TextField(
        _("funding goes on from"), blank=True, default="", db_default=""
    )
    transfers_at = models.DateTimeField(_("transfers read until"), null=True, blank=True)
    transfers_tried_at = models.DateTimeField(_("transfers asked for at"), null=True, blank=True)
    transfers_begun_at = models.DateTimeField(
        _("transfers read begun at"),
        null=True,
        blank=True,
        help_text=_("Later than what is read: that read failed, or is not at its end yet."),
    )
    transfers_cursor = models.TextField(
        _("transfers go on from"), blank=True, default="", db_default=""
    )
    base_cash = MoneyField(
        _("reconciled cash"),
        null=True,
        blank=True,
        help_text=_("Wallet less the cost of positions that all before the reconciled time makes."),
    )
    base_cash_at = models.DateTimeField(_("cash reconciled until"), null=True, blank=True)
    cash_agreed_at = models.DateTimeField(
        _("cash agreed at"),
        null=True,
        blank=True,
        help_text=_("When a second look last agreed with the reconciled cash; empty: not yet."),
    )
    cash_unexplained = MoneyField(
        _("unexplained cash"),
        default=0,
        help_text=_("What trades, fees, funding and transfers do not explain, as last compared."),
    )
    cash_unexplained_at = models.DateTimeField(_("cash unexplained since"), null=True, blank=True)
    sync_started_at = models.DateTimeField(_("sync started at"), null=True, blank=True)
    stop_loss_at = models.DateTimeField(_("stop-loss fired at"), null=True, blank=True)
    stop_loss_action = EnumField(
        StopLossAction, verbose_name=_("what the stop-loss did"), null=True, blank=True
    )
    rearmed_at = models.DateTimeField(
        _("rearmed at"),
        null=True,
        blank=True,
        help_text=_("When a person last let it trade again; stop rules count from then on."),
    )
    last_error = models.TextField(_("last error"), blank=True)
    last_error_code = EnumField(
        SyncProblem,
        verbose_name=_("last problem"),
        null=True,
        blank=True,
        help_text=_("The gravest of what the last look's errors say."),
    )
    unknown_symbols = DocumentField(
        _("unknown instruments"),
        null=True,
        blank=True,
        help_text=_("What it was seen to hold that is no instrument we list, by the venue's name."),
    )

    objects = StateQuerySet.as_manager()

    class Meta:
        verbose_name = _("account state")
        verbose_name_plural = _("account states")
        constraints = (
            *finite("accountstate", "equity", "wallet_balance", "available"),
            *finite("accountstate", "base_cash", "cash_unexplained"),
            *non_negative("accountstate", "initial_margin", "maintenance_margin"),
            one_of("accountstate", "stop_loss_action", StopLossAction),
            one_of("accountstate", "last_error_code", SyncProblem),
        )

    def __str__(self) -> str:
        return self.account_id
