"""Stop rules: when accounts are stopped by themselves."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import ExchangeAccount
from controlplane.base import audit
from controlplane.base.fields import EnumField, MoneyField, SlugKey, non_negative, one_of, positive
from controlplane.base.models import Timestamped
from hedging.domain.rules import RuleAction, RuleScope, RuleTrigger
from hedging.querysets import RuleQuerySet


@audit.track()
class StopRule(Timestamped):
    """Beyond `threshold` of what the trigger measures, `scope` around the account is held.

    Without an account it watches all of them. The threshold is a ratio (margin), a number of
    orders (rejects, within `window_seconds`), USD (mismatch) or seconds (stale data).
    """

    stop_rule_id = SlugKey(_("stop rule"))
    trigger = EnumField(RuleTrigger, verbose_name=_("trigger"))
    account = models.ForeignKey(
        ExchangeAccount,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("account"),
        help_text=_("Empty: every account."),
    )
    threshold = MoneyField(
        _("beyond"),
        help_text=_(
            "Margin: maintenance margin in equity, such as 0.8. Rejects: orders. Mismatch: USD. "
            "Stale data: seconds."
        ),
    )
    window_seconds = models.PositiveIntegerField(
        _("window, s"), default=600, help_text=_("In which rejects are counted.")
    )
    confirmations = models.PositiveSmallIntegerField(
        _("confirmations"), default=2, help_text=_("Readings in a row, so one tick never trips.")
    )
    scope = EnumField(RuleScope, verbose_name=_("holds"), default=RuleScope.ACCOUNT)
    action = EnumField(RuleAction, verbose_name=_("action"), default=RuleAction.PAUSE)
    is_enabled = models.BooleanField(_("enabled"), default=True)

    objects = RuleQuerySet.as_manager()

    class Meta:
        verbose_name = _("stop rule")
        verbose_name_plural = _("stop rules")
        ordering = ("stop_rule_id",)
        constraints = (
            one_of("stoprule", "trigger", RuleTrigger),
            one_of("stoprule", "scope", RuleScope),
            one_of("stoprule", "action", RuleAction),
            *non_negative("stoprule", "threshold"),
            *positive("stoprule", "window_seconds", "confirmations"),
            models.CheckConstraint(
                name="stoprule_margin_range",
                condition=~Q(trigger="margin") | Q(threshold__gt=0, threshold__lt=1),
                violation_error_code="threshold:range",
                violation_error_message=_("A margin ratio must be between 0 and 1."),
            ),
            models.CheckConstraint(
                name="stoprule_silence_range",
                condition=~Q(trigger="stale-data") | Q(threshold__gte=5),
                violation_error_code="threshold:range",
                violation_error_message=_("A silence must be of 5 seconds at least."),
            ),
        )

    def __str__(self) -> str:
        return self.stop_rule_id
