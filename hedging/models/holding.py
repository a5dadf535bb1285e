"""What keeps a book from being hedged: a throttle that tripped, or sizes too small to trade."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from controlplane.base import audit
from controlplane.base.fields import (
    AssetField,
    DocumentField,
    EnumField,
    SizeField,
    UUIDKey,
    finite,
    one_of,
)
from controlplane.base.models import Entity
from hedging.domain.throttle import ThrottleCause, ThrottleScope
from hedging.querysets import DustQuerySet, ThrottleQuerySet


@audit.track()
class HedgeThrottle(Entity):
    """Hedging that ran wild is off until a person releases it; a restart changes nothing.

    `target` is a book's key or a module's id, `count` how many of the cause there were.
    """

    throttle_id = UUIDKey()
    scope = EnumField(ThrottleScope, verbose_name=_("scope"))
    target = models.CharField(_("target"), max_length=80)
    cause = EnumField(ThrottleCause, verbose_name=_("cause"))
    count = models.PositiveIntegerField(_("count"))
    tripped_at = models.DateTimeField(_("tripped at"), auto_now_add=True)
    released_at = models.DateTimeField(_("released at"), null=True, blank=True)
    released_by = models.CharField(_("released by"), max_length=200, blank=True)
    release_reason = models.TextField(_("why released"), blank=True)

    objects = ThrottleQuerySet.as_manager()

    class Meta:
        verbose_name = _("hedge throttle")
        verbose_name_plural = _("hedge throttles")
        ordering = ("-throttle_id",)
        permissions = (("release_hedgethrottle", "Can release a hedge throttle"),)
        constraints = (
            one_of("throttle", "scope", ThrottleScope),
            one_of("throttle", "cause", ThrottleCause),
            models.UniqueConstraint(
                fields=("scope", "target"),
                condition=Q(released_at__isnull=True),
                name="throttle_standing_once",
            ),
            models.CheckConstraint(
                name="throttle_release_whole",
                condition=Q(released_at__isnull=True, released_by="", release_reason="")
                | (Q(released_at__isnull=False) & ~Q(released_by="") & ~Q(release_reason="")),
                violation_error_code="released_at:whole",
                violation_error_message=_("A release has a person, a time and a reason."),
            ),
        )
        triggers = (
            pgtrigger.Protect(name="throttle_kept", operation=pgtrigger.Delete),
            pgtrigger.Protect(
                name="throttle_released_stays",
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__released_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.scope} {self.target}"


class HedgeDust(Entity):
    """What of a book is out of its threshold and below every contract's minimum.

    Sizes are signed, long positive: base and BTC-equivalent. `skipped` says of each account why.
    """

    dust_id = UUIDKey()
    book = models.CharField(_("book"), max_length=80)
    symbol = AssetField(_("symbol"))
    delta_base = SizeField(_("delta"))
    delta_btc = SizeField(_("delta, BTC"))
    skipped = DocumentField(_("skipped"), default=list, blank=True)
    since = models.DateTimeField(_("since"), auto_now_add=True)
    seen_at = models.DateTimeField(_("last seen"))
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    objects = DustQuerySet.as_manager()

    class Meta:
        verbose_name = _("dust")
        verbose_name_plural = _("dust")
        ordering = ("-dust_id",)
        constraints = (
            *finite("dust", "delta_base", "delta_btc"),
            models.UniqueConstraint(
                fields=("book", "symbol"),
                condition=Q(closed_at__isnull=True),
                name="dust_open_once",
            ),
        )
        triggers = (pgtrigger.Protect(name="dust_kept", operation=pgtrigger.Delete),)

    def __str__(self) -> str:
        return f"{self.book} {self.symbol}"
