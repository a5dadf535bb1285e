"""Strategy modules, the accounts they may use, and the limits they are held to."""

from decimal import Decimal

import pgtrigger
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, Sum
from django.utils.translation import gettext_lazy as _

from accounts.domain.risk import LimitScope, ScopeLimits
from accounts.models import ExchangeAccount
from controlplane.base import audit
from controlplane.base.fields import (
    DocumentField,
    EnumField,
    MoneyField,
    PercentField,
    RatioField,
    SlugKey,
    TextLine,
    UUIDKey,
    finite,
    one_of,
    positive,
)
from controlplane.base.models import Timestamped
from markets.models import Instrument, Venue
from strategies.choices import ModuleStatus
from strategies.domain import config as config_rules
from strategies.querysets import LimitQuerySet, ModuleQuerySet

TARGETS = (LimitScope.VENUE, LimitScope.ACCOUNT, LimitScope.MODULE, LimitScope.INSTRUMENT)
"""The scopes that have a target; each is named as its column."""
SYSTEM_HEDGE = "system-hedge"
"""The built-in module that owns hedges of books without a hedge-only module of their own."""


@audit.track()
class StrategyModule(Timestamped):
    """A strategy with its configuration; dry-run until somebody says otherwise."""

    module_id = SlugKey(_("module"))
    name = TextLine(_("name"))
    type = TextLine(
        _("type"),
        max_length=64,
        help_text=_("market-making, funding-arbitrage, hedge-only or a plug-in's name."),
    )
    config_schema = DocumentField(_("configuration schema"), default=dict, blank=True)
    config = DocumentField(_("configuration"), default=dict, blank=True)
    dry_run_enabled = models.BooleanField(_("dry run"), default=True)
    max_concurrent_signals = models.PositiveIntegerField(_("signals at once"), default=1)
    profit_after_fee_target = PercentField(_("profit target after fees, %"), default=0)
    requires_sandbox = models.BooleanField(_("sandbox only"), default=False)
    status = EnumField(ModuleStatus, verbose_name=_("status"), default=ModuleStatus.DISABLE)

    objects = ModuleQuerySet.as_manager()

    class Meta:
        verbose_name = _("strategy module")
        verbose_name_plural = _("strategy modules")
        ordering = ("module_id",)
        permissions = (
            ("enable_strategymodule", "Can enable a module"),
            ("disable_strategymodule", "Can disable a module"),
        )
        constraints = (
            one_of("module", "status", ModuleStatus),
            *finite("module", "profit_after_fee_target"),
            *positive("module", "max_concurrent_signals"),
        )

    def __str__(self) -> str:
        return self.module_id

    def clean(self) -> None:
        super().clean()
        if (problem := config_rules.schema_problem(self.config_schema)) is not None:
            raise ValidationError({"config_schema": ValidationError(problem, code="schema")})
        if problems := config_rules.config_problems(self.config, self.config_schema):
            raise ValidationError(
                {"config": [ValidationError(text, code="schema") for text in problems[:20]]}
            )


@audit.track()
class AccountAllocation(Timestamped):
    """A module may use a share of an account. The shares of one account sum to at most 1."""

    allocation_id = UUIDKey()
    module = models.ForeignKey(
        StrategyModule, models.CASCADE, related_name="allocations", verbose_name=_("module")
    )
    account = models.ForeignKey(
        ExchangeAccount, models.CASCADE, related_name="allocations", verbose_name=_("account")
    )
    weight = RatioField(_("weight"), default=1)
    max_concurrent_orders = models.PositiveIntegerField(_("orders at once"), default=10)
    sandbox_mode = models.BooleanField(_("sandbox"), default=True)

    class Meta:
        verbose_name = _("account allocation")
        verbose_name_plural = _("account allocations")
        ordering = ("module_id", "account_id")
        constraints = (
            models.UniqueConstraint(fields=("module", "account"), name="allocation_unique_pair"),
            *positive("allocation", "weight", "max_concurrent_orders"),
            models.CheckConstraint(
                name="allocation_weight_range",
                condition=Q(weight__lte=1),
                violation_error_code="weight:range",
                violation_error_message=_("weight must be at most 1."),
            ),
        )
        triggers = (
            pgtrigger.Trigger(
                name="allocation_weights_fit",
                when=pgtrigger.After,
                operation=pgtrigger.Insert | pgtrigger.Update,
                timing=pgtrigger.Deferred,
                func="""
                    PERFORM 1 FROM accounts_exchangeaccount
                        WHERE account_id = NEW.account_id FOR NO KEY UPDATE;
                    IF (SELECT sum(weight) FROM strategies_accountallocation
                        WHERE account_id = NEW.account_id) > 1
                    THEN
                        RAISE EXCEPTION 'allocation weights of account % exceed 1', NEW.account_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NULL;
                """,
            ),
        )

    def __str__(self) -> str:
        return f"{self.module_id} → {self.account_id}"

    def clean(self) -> None:
        super().clean()
        if self.account_id and self.weight is not None:
            self._check_weights()
        if self.module_id and self.module.requires_sandbox and not self.sandbox_mode:
            raise ValidationError(
                {
                    "sandbox_mode": ValidationError(
                        _("%(module)s runs in the sandbox only."),
                        code="sandbox_required",
                        params={"module": self.module_id},
                    )
                }
            )

    def _check_weights(self) -> None:
        others = AccountAllocation.objects.filter(account_id=self.account_id).exclude(pk=self.pk)
        used: Decimal = others.aggregate(total=Sum("weight"))["total"] or Decimal(0)
        if used + self.weight > 1:
            raise ValidationError(
                {
                    "weight": ValidationError(
                        _("The weights of %(account)s would sum to %(total)s; at most 1 is left."),
                        code="weights_exceed_one",
                        params={"account": self.account_id, "total": used + self.weight},
                    )
                }
            )


def _targets_match() -> Q:
    """Return the condition that a limit has its scope's target and no other."""
    condition = Q()
    for scope in LimitScope:
        others = [name for name in TARGETS if name != scope]
        only = Q(**{f"{name}__isnull": True for name in others})
        if scope in TARGETS:
            only &= Q(**{f"{scope}__isnull": False})
        condition |= Q(scope=str(scope)) & only
    return condition


@audit.track()
class RiskLimit(Timestamped):
    """What the positions and orders of one scope may be worth together, in USD; empty: no limit.

    The scope names which one of the targets is set; the firm's has none.
    """

    limit_id = UUIDKey()
    scope = EnumField(LimitScope, verbose_name=_("scope"))
    venue = models.ForeignKey(
        Venue, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("venue")
    )
    account = models.ForeignKey(
        ExchangeAccount,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("account"),
    )
    module = models.ForeignKey(
        StrategyModule,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("module"),
    )
    instrument = models.ForeignKey(
        Instrument,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("instrument"),
    )
    max_order_value = MoneyField(_("largest order, USD"), null=True, blank=True)
    max_long_value = MoneyField(_("long at most, USD"), null=True, blank=True)
    max_short_value = MoneyField(_("short at most, USD"), null=True, blank=True)
    max_gross_value = MoneyField(_("gross at most, USD"), null=True, blank=True)
    max_net_value = MoneyField(_("net at most, USD"), null=True, blank=True)
    max_orders_per_minute = models.PositiveIntegerField(_("orders a minute"), null=True, blank=True)

    objects = LimitQuerySet.as_manager()

    class Meta:
        verbose_name = _("risk limit")
        verbose_name_plural = _("risk limits")
        ordering = ("limit_id",)
        constraints = (
            one_of("risklimit", "scope", LimitScope),
            *positive("risklimit", "max_order_value", "max_long_value", "max_short_value"),
            *positive("risklimit", "max_gross_value", "max_net_value", "max_orders_per_minute"),
            models.UniqueConstraint(
                fields=("scope", "venue", "account", "module", "instrument"),
                name="risklimit_unique_target",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="risklimit_target_of_scope",
                condition=_targets_match(),
                violation_error_code="scope:target",
                violation_error_message=_("Choose exactly the target that the scope names."),
            ),
        )

    def __str__(self) -> str:
        return self.limits().name

    def limits(self) -> ScopeLimits:
        """Return the row as the value the gate works on."""
        target = self.venue_id or self.account_id or self.module_id or self.instrument_id
        return ScopeLimits(
            scope=LimitScope(self.scope),
            target="" if target is None else str(target),
            max_order_value=self.max_order_value,
            max_long_value=self.max_long_value,
            max_short_value=self.max_short_value,
            max_gross_value=self.max_gross_value,
            max_net_value=self.max_net_value,
            max_orders_per_minute=self.max_orders_per_minute,
        )
