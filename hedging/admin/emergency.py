"""Admin pages of emergency stops: the button, how far a stop has got, and its release."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from controlplane.base.admin import (
    ReadOnlyModelAdmin,
    actor_of,
    badge,
    confirm_with_reason,
    related,
)
from controlplane.base.admin.forms import ReasonForm
from controlplane.base.validators import plain_text
from controlplane.kernel.errors import ControlPlaneError
from hedging.domain.emergency import StopScope, StopState
from hedging.emergency.scopes import book_of
from hedging.emergency.verbs import stop_engage, stop_release
from hedging.models import EmergencyStop, StoppedAccount

STATE_COLOURS = {
    StopState.ENGAGED: "danger",
    StopState.CANCELLING: "danger",
    StopState.FLATTENING: "danger",
    StopState.VERIFYING: "warning",
    StopState.LATCHED: "info",
    StopState.RELEASED: "success",
}


class EngageForm(ReasonForm):
    """What to stop, and why; confirmed by a tick."""

    scope = forms.ChoiceField(
        label=_("Scope"),
        choices=[(str(scope), str(scope)) for scope in StopScope],
        widget=UnfoldAdminSelectWidget,
    )
    target = forms.CharField(
        label=_("Target"),
        required=False,
        max_length=80,
        validators=[plain_text],
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Account, book, venue or module; empty for all."),
    )
    flatten = forms.BooleanField(
        label=_("Close positions"), required=False, initial=True, widget=UnfoldBooleanWidget
    )
    drill = forms.BooleanField(
        label=_("Drill: accounts of paper venues only"), required=False, widget=UnfoldBooleanWidget
    )
    sure = forms.BooleanField(
        label=_("Yes, stop it now"),
        widget=UnfoldBooleanWidget,
        error_messages={"required": _("Tick this to confirm.")},
    )
    field_order = ("scope", "target", "flatten", "drill", "change_reason", "sure")


@admin.register(EmergencyStop)
class EmergencyStopAdmin(ReadOnlyModelAdmin):
    list_display = (
        "created_at",
        "scope",
        "target",
        "trigger",
        badge("state", _("state"), STATE_COLOURS),
        "drill",
        "engaged_by",
        "reason",
        "latched_at",
        "released_at",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("scope", ChoicesDropdownFilter),
        ("trigger", ChoicesDropdownFilter),
        "drill",
    )
    search_fields = ("target__exact",)
    search_help_text = _("Target")
    ordering = ("-stop_id",)
    actions = ("release",)
    readonly_fields = ("by_account",)
    change_list_template = "admin/hedging/emergencystop_list.html"

    def get_urls(self) -> list[URLPattern]:
        engage = path(
            "engage/",
            self.admin_site.admin_view(self.engage_view),
            name="hedging_emergencystop_engage",
        )
        return [engage, *super().get_urls()]

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hedging.release_emergencystop")

    def has_engage_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("hedging.engage_emergencystop")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may = {"may_engage": self.has_engage_permission(request)}
        return super().changelist_view(request, {**may, **(extra_context or {})})

    @admin.action(permissions=["release"], description=_("Release…"))
    def release(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        return confirm_with_reason(self, request, queryset, verb=stop_release)

    @display(description=_("accounts"))
    def by_account(self, stop: EmergencyStop) -> str:
        """Every account of the stop with its times, and those NOT confirmed."""
        return render_to_string(
            "admin/hedging/stopped_accounts.html",
            {"rows": stop.accounts.select_related("account").order_by("account_id")[:500]},
        )

    def engage_view(self, request: HttpRequest) -> HttpResponse:
        """Ask what to stop and why; a posted, confirmed form stops it."""
        if not self.has_engage_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            form = EngageForm(request.POST)
            if form.is_valid() and (stop := self._engage(request, form)) is not None:
                return redirect("admin:hedging_emergencystop_change", stop.pk)
        else:
            form = EngageForm(initial=self._asked(request))
        return TemplateResponse(
            request,
            "admin/hedging/engage_stop.html",
            {
                **self.admin_site.each_context(request),
                "title": _("Emergency stop"),
                "opts": self.model._meta,
                "form": form,
                "back": reverse("admin:hedging_emergencystop_changelist"),
            },
        )

    @staticmethod
    def _asked(request: HttpRequest) -> dict[str, str]:
        """Return what a link asks to stop; it may name a book by an account that is in it."""
        asked = {name: request.GET.get(name, "")[:80] for name in ("scope", "target", "account")}
        account = asked.pop("account").replace("\x00", "")
        if asked["scope"] == StopScope.BOOK and account:
            asked["target"] = book_of(account)
        return asked

    def _engage(self, request: HttpRequest, form: EngageForm) -> EmergencyStop | None:
        given = form.cleaned_data
        try:
            stop = stop_engage(
                scope=given["scope"],
                target=given["target"],
                reason=given["change_reason"],
                flatten=given["flatten"],
                drill=given["drill"],
                actor=actor_of(request),
            )
        except ControlPlaneError as refusal:
            form.add_error("target", refusal.message)
            return None
        self.message_user(request, _("Stopped: %(stop)s.") % {"stop": stop}, messages.WARNING)
        return stop


@admin.register(StoppedAccount)
class StoppedAccountAdmin(ReadOnlyModelAdmin):
    list_display = (
        related("stop", _("stop")),
        related("account", _("account")),
        "book",
        badge("state", _("state"), STATE_COLOURS),
        "blocked_at",
        "cancelled_at",
        "flat_at",
        "confirmed_at",
        "deadline_at",
        "last_error",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("account", AutocompleteSelectFilter),
    )
    list_select_related = ("stop", "account")
    ordering = ("-row_id",)
