"""Admin pages that belong to no app of ours: the audit trail, people, tokens, sign-in attempts."""

from collections.abc import Iterable
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django_q.models import Failure, OrmQ, Schedule, Success
from knox.models import AuthToken
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from controlplane.base import trail
from controlplane.base.admin import ConsoleModelAdmin, ReadOnlyModelAdmin, badge, field
from controlplane.base.trail import AuditEvent

# Schedule.func runs any dotted name and task rows are pickles; jobs have a page of their own.
for model in (Failure, OrmQ, Schedule, Success, AccessAttempt, AccessFailureLog, AccessLog):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
for model in (User, Group, AuthToken):
    if admin.site.is_registered(model):
        admin.site.unregister(model)

SURFACE_COLOURS = {
    "admin": "primary",
    "api": "info",
    "job": "success",
    "command": "warning",
    "feed": "success",
    "sentinel": "success",
    trail.DATABASE: "danger",
}


class EntityFilter(DropdownFilter):
    title = _("entity")
    parameter_name = "entity"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(m._meta.label, str(m._meta.verbose_name)) for m in trail.tracked_models()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(pgh_obj_model=self.value()) if self.value() else queryset


class SurfaceFilter(DropdownFilter):
    title = _("surface")
    parameter_name = "surface"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, name) for name in trail.SURFACES]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(surface=self.value()) if self.value() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyModelAdmin):
    """Every audited change of every entity, newest first."""

    list_display = (
        field("pgh_created_at", _("time")),
        "entity",
        "object",
        "action",
        "actor",
        badge("surface", _("surface"), SURFACE_COLOURS),
        "reason",
        "changes",
    )
    list_display_links = None
    list_filter = (EntityFilter, SurfaceFilter)
    search_fields = ("pgh_obj_id__exact", "actor__exact")
    search_help_text = _("Key of a row, or an actor's name")
    ordering = ("-pgh_created_at", "-pgh_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return AuditEvent.objects.order_by(*self.ordering)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        # The list shows all there is of a change.
        raise Http404

    @display(description=_("entity"))
    def entity(self, event: AuditEvent) -> str:
        return trail.entry(event).entity

    @display(description=_("row"))
    def object(self, event: AuditEvent) -> Any:
        name = event.pgh_obj_model.lower().replace(".", "_")
        try:
            address = reverse(f"admin:{name}_history", args=[event.pgh_obj_id])
        except NoReverseMatch:
            return event.pgh_obj_id
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>',
            address,
            event.pgh_obj_id,
        )

    @display(description=_("action"))
    def action(self, event: AuditEvent) -> str:
        return trail.entry(event).action

    @display(description=_("reason"))
    def reason(self, event: AuditEvent) -> str:
        return trail.entry(event).reason

    @display(description=_("changes"))
    def changes(self, event: AuditEvent) -> str:
        return render_to_string("admin/audit_changes.html", {"changes": trail.entry(event).changes})


@admin.register(User)
class UserAdmin(ConsoleModelAdmin, DjangoUserAdmin):  # type: ignore[misc]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(ConsoleModelAdmin, DjangoGroupAdmin):  # type: ignore[misc]
    pass


@admin.register(AuthToken)
class AuthTokenAdmin(ReadOnlyModelAdmin):
    """API tokens: only digests are stored, and not even those are shown. Delete to revoke."""

    list_display = ("token_key", "user", "created", "expiry")
    list_select_related = ("user",)
    fields = ("token_key", "user", "created", "expiry")
    ordering = ("-created",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("knox.delete_authtoken")
