"""Emergency stops: what was stopped, why, and how far each account has got."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.choices import AccountStatus
from accounts.models import ExchangeAccount
from controlplane.base import audit
from controlplane.base.fields import EnumField, UUIDKey, one_of
from controlplane.base.models import Entity
from hedging import triggers
from hedging.domain.emergency import StopScope, StopState, StopTrigger
from hedging.querysets import StoppedQuerySet, StopQuerySet


@audit.track()
class EmergencyStop(Entity):
    """A stop of everything in its scope; holds until a person releases it.

    `target` names the account, book, venue or module; it is blank for all. `flatten`: positions
    are closed too. A drill is the same, on accounts of paper venues only.
    """

    stop_id = UUIDKey()
    scope = EnumField(StopScope, verbose_name=_("scope"))
    target = models.CharField(_("target"), max_length=80, blank=True)
    trigger = EnumField(StopTrigger, verbose_name=_("trigger"), default=StopTrigger.MANUAL)
    state = EnumField(StopState, verbose_name=_("state"), default=StopState.ENGAGED)
    flatten = models.BooleanField(_("close positions"), default=True)
    drill = models.BooleanField(_("drill"), default=False)
    reason = models.TextField(_("reason"))
    engaged_by = models.CharField(_("engaged by"), max_length=200)
    released_by = models.CharField(_("released by"), max_length=200, blank=True)
    release_reason = models.TextField(_("why released"), blank=True)
    created_at = models.DateTimeField(_("engaged at"), auto_now_add=True)
    latched_at = models.DateTimeField(_("latched at"), null=True, blank=True)
    released_at = models.DateTimeField(_("released at"), null=True, blank=True)

    objects = StopQuerySet.as_manager()

    class Meta:
        verbose_name = _("emergency stop")
        verbose_name_plural = _("emergency stops")
        ordering = ("-stop_id",)
        permissions = (
            ("engage_emergencystop", "Can engage an emergency stop"),
            ("release_emergencystop", "Can release an emergency stop"),
        )
        constraints = (
            one_of("stop", "scope", StopScope),
            one_of("stop", "trigger", StopTrigger),
            one_of("stop", "state", StopState),
            models.UniqueConstraint(
                fields=("scope", "target"), condition=~Q(state="released"), name="stop_once"
            ),
            models.CheckConstraint(
                name="stop_target_fits",
                condition=Q(scope="all", target="") | (~Q(scope="all") & ~Q(target="")),
                violation_error_code="target:missing",
                violation_error_message=_("Every scope but all has a target."),
            ),
            models.CheckConstraint(
                name="stop_has_reason",
                condition=~Q(reason=""),
                violation_error_code="reason:missing",
                violation_error_message=_("A stop has a reason."),
            ),
            models.CheckConstraint(
                name="stop_release_whole",
                condition=(Q(state="released", released_at__isnull=False) & ~Q(release_reason=""))
                | (~Q(state="released") & Q(released_at__isnull=True)),
                violation_error_code="released_at:whole",
                violation_error_message=_("A release has a person, a time and a reason."),
            ),
        )
        triggers = (
            triggers.born_engaged("stop_born_engaged", "stop_id"),
            triggers.legal_stop_moves(
                "stop_legal_moves",
                "stop_id",
                ("stop_id", "scope", "target", "flatten", "drill", "reason", "created_at"),
            ),
            pgtrigger.Protect(name="stop_kept", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.scope} {self.target}".strip()


class StoppedAccount(Entity):
    """One account of a stop and how far it has got; without `confirmed_at` it is NOT confirmed.

    `book` is the key of the book whose sides are closed in step. `prior_status` is what the
    account goes back to. `lease` and `leased_until` name the process at work on it.
    """

    row_id = UUIDKey()
    stop = models.ForeignKey(
        EmergencyStop, models.PROTECT, related_name="accounts", verbose_name=_("stop")
    )
    account = models.ForeignKey(
        ExchangeAccount, models.PROTECT, related_name="stops", verbose_name=_("account")
    )
    book = models.CharField(_("book"), max_length=80)
    prior_status = EnumField(AccountStatus, verbose_name=_("status before"))
    state = EnumField(StopState, verbose_name=_("state"), default=StopState.ENGAGED)
    blocked_at = models.DateTimeField(_("blocked at"))
    cancelled_at = models.DateTimeField(_("orders cancelled at"), null=True, blank=True)
    flat_at = models.DateTimeField(_("flat at"), null=True, blank=True)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, blank=True)
    deadline_at = models.DateTimeField(_("to be confirmed by"))
    overdue_at = models.DateTimeField(_("told overdue at"), null=True, blank=True)
    residual = models.TextField(_("left, too small to trade"), blank=True)
    is_answering = models.BooleanField(_("venue answers"), default=True)
    attempts = models.PositiveIntegerField(_("failed attempts"), default=0)
    next_try_at = models.DateTimeField(_("next attempt at"))
    last_error = models.TextField(_("last error"), blank=True)
    lease = models.UUIDField(_("lease"), null=True, blank=True)
    leased_until = models.DateTimeField(_("leased until"), null=True, blank=True)

    objects = StoppedQuerySet.as_manager()

    class Meta:
        verbose_name = _("stopped account")
        verbose_name_plural = _("stopped accounts")
        ordering = ("-row_id",)
        constraints = (
            one_of("stopped", "state", StopState),
            one_of("stopped", "prior_status", AccountStatus),
            models.UniqueConstraint(fields=("stop", "account"), name="stopped_once_per_stop"),
            models.CheckConstraint(
                name="stopped_confirmed_is_latched",
                condition=Q(state__in=["latched", "released"], confirmed_at__isnull=False)
                | Q(
                    state__in=["engaged", "cancelling", "flattening", "verifying"],
                    confirmed_at__isnull=True,
                ),
                violation_error_code="confirmed_at:latched",
                violation_error_message=_("A confirmed account is latched."),
            ),
        )
        triggers = (
            triggers.born_engaged("stopped_born_engaged", "row_id"),
            triggers.legal_stop_moves(
                "stopped_legal_moves",
                "row_id",
                ("row_id", "stop_id", "account_id", "prior_status", "blocked_at"),
            ),
            pgtrigger.Protect(name="stopped_kept", operation=pgtrigger.Delete),
        )

    def __str__(self) -> str:
        return f"{self.account_id} {self.state}"
