"""When to stop losing on accounts."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.choices import StopLossAction
from controlplane.base import audit
from controlplane.base.fields import (
    EnumField,
    MoneyField,
    PercentField,
    SlugKey,
    TextLine,
    one_of,
    positive,
)
from controlplane.base.models import Timestamped


@audit.track()
class StopLossConfig(Timestamped):
    """When to stop losing, and what to do then. Percentages are of equity."""

    stop_loss_config_id = SlugKey(_("stop-loss config"))
    name = TextLine(_("name"))
    max_daily_drawdown_percent = PercentField(_("day's drawdown, %"), null=True, blank=True)
    max_peak_drawdown_percent = PercentField(_("drawdown from peak, %"), null=True, blank=True)
    max_position_loss = MoneyField(_("loss per position, USD"), null=True, blank=True)
    confirmations = models.PositiveSmallIntegerField(
        _("confirmations"), default=3, help_text=_("Readings in a row, so one tick never trips.")
    )
    action = EnumField(StopLossAction, verbose_name=_("action"), default=StopLossAction.PAUSE)
    cool_down_seconds = models.PositiveIntegerField(_("cool-down, s"), default=3600)

    class Meta:
        verbose_name = _("stop-loss config")
        verbose_name_plural = _("stop-loss configs")
        ordering = ("stop_loss_config_id",)
        constraints = (
            one_of("stoploss", "action", StopLossAction),
            *positive("stoploss", "max_daily_drawdown_percent", "max_peak_drawdown_percent"),
            *positive("stoploss", "max_position_loss", "confirmations"),
            models.CheckConstraint(
                name="stoploss_percent_range",
                condition=(
                    Q(max_daily_drawdown_percent__isnull=True)
                    | Q(max_daily_drawdown_percent__lte=100)
                )
                & (
                    Q(max_peak_drawdown_percent__isnull=True)
                    | Q(max_peak_drawdown_percent__lte=100)
                ),
                violation_error_code="max_daily_drawdown_percent:range",
                violation_error_message=_("A drawdown must be at most 100 per cent."),
            ),
            models.CheckConstraint(
                name="stoploss_has_a_rule",
                condition=Q(max_daily_drawdown_percent__isnull=False)
                | Q(max_peak_drawdown_percent__isnull=False)
                | Q(max_position_loss__isnull=False),
                violation_error_code="max_daily_drawdown_percent:missing",
                violation_error_message=_("Set at least one limit."),
            ),
        )

    def __str__(self) -> str:
        return self.stop_loss_config_id
