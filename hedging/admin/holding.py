"""Admin pages of what keeps books from being hedged: throttles and dust."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from controlplane.base.admin import ReadOnlyModelAdmin, badge, confirm_with_reason, number
from hedging.domain.throttle import ThrottleCause
from hedging.models import HedgeDust, HedgeThrottle
from hedging.services import throttle_release

CAUSE_COLOURS = dict.fromkeys(ThrottleCause, "danger")


@admin.register(HedgeThrottle)
class HedgeThrottleAdmin(ReadOnlyModelAdmin):
    list_display = (
        "tripped_at",
        "scope",
        "target",
        badge("cause", _("cause"), CAUSE_COLOURS),
        "count",
        "released_at",
        "released_by",
        "release_reason",
    )
    list_filter = (("scope", ChoicesDropdownFilter), ("cause", ChoicesDropdownFilter))
    search_fields = ("target__exact",)
    search_help_text = _("Book or module")
    ordering = ("-throttle_id",)
    actions = ("release",)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hedging.release_hedgethrottle")

    @admin.action(permissions=["release"], description=_("Release: hedge again…"))
    def release(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=throttle_release)


@admin.register(HedgeDust)
class HedgeDustAdmin(ReadOnlyModelAdmin):
    list_display = (
        "since",
        "book",
        "symbol",
        number("delta_base", _("delta")),
        number("delta_btc", _("delta"), unit="BTC", places=6),
        "seen_at",
        "closed_at",
    )
    search_fields = ("book__exact",)
    search_help_text = _("Book")
    ordering = ("-dust_id",)
