"""The two kinds of admin: audited configuration, and records that machines keep."""

from typing import Any, ClassVar, Final

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import models
from django.forms import BaseModelForm, ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from controlplane.base import audit, edits, trail
from controlplane.base.admin.actions import actor_of
from controlplane.base.admin.changelist import BoundedPaginator, ConsoleChangeList
from controlplane.base.admin.columns import plain
from controlplane.base.admin.forms import (
    AuditedForm,
    DecimalInput,
    DocumentFormField,
    ReasonForm,
    RelatedSelect,
    RelatedSelectMultiple,
    SecretFormField,
)
from controlplane.base.admin.stops import ENGAGE
from controlplane.base.fields import DocumentField, SecretField, SlugKey

NUL: Final = "\x00"  # PostgreSQL holds no text with it
MAX_KEY_LENGTH: Final = 200
HISTORY_LIMIT: Final = 200


class FieldsMixin:
    """Form fields for our column types; shared by admins and their inlines."""

    admin_site: Any
    get_autocomplete_fields: Any

    def formfield_for_dbfield(
        self, db_field: models.Field, request: HttpRequest, **kwargs: Any
    ) -> Any:
        if isinstance(db_field, SecretField):
            return SecretFormField(
                label=capfirst(db_field.verbose_name), max_length=db_field.max_length
            )
        if isinstance(db_field, DocumentField):
            return DocumentFormField(
                label=capfirst(db_field.verbose_name),
                required=not db_field.blank,
                help_text=db_field.help_text,
                initial=db_field.get_default,
            )
        if isinstance(db_field, models.DecimalField):
            kwargs["widget"] = DecimalInput
        return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = RelatedSelect(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = RelatedSelectMultiple(db_field, self.admin_site)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


class ConsoleModelAdmin(FieldsMixin, ModelAdmin):
    """Pages that stay quick on any number of rows and answer nonsense with an error text."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 200
    list_filter_submit = True
    list_fullwidth = True
    compressed_fields = True
    warn_unsaved_form = True
    actions_on_bottom = False

    def __init__(self, model: type[models.Model], admin_site: Any) -> None:
        super().__init__(model, admin_site)
        self.readonly_preprocess_fields: dict[str, Any] = {
            field.name: plain
            for field in model._meta.concrete_fields
            if isinstance(field, models.DecimalField)
        }

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleChangeList]:
        return ConsoleChangeList

    def has_stop_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm(ENGAGE)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        if NUL in object_id or len(object_id) > MAX_KEY_LENGTH:
            raise Http404
        return super().get_object(request, object_id, from_field)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        if NUL in search_term:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term[:MAX_KEY_LENGTH])

    def response_action(self, request: HttpRequest, queryset: models.QuerySet) -> Any:
        if any(NUL in key for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise SuspiciousOperation
        return super().response_action(request, queryset)

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        # Configuration is deleted one row at a time, with its consequences shown.
        actions.pop("delete_selected", None)
        return actions


class AuditedModelAdmin(ConsoleModelAdmin):
    """Configuration: every change carries its actor and reason, and shows in the history.

    `owned` names models whose rows go with a deleted one, whatever the permissions on them.
    `verb_fields` are changed by actions only, so that each has its own permission.
    """

    form = AuditedForm
    object_history_template = "admin/audit_history.html"
    delete_confirmation_template = "admin/audited_delete.html"
    owned: ClassVar[tuple[type[models.Model], ...]] = ()
    verb_fields: ClassVar[tuple[str, ...]] = ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = tuple(
            field.name for field in self.model._meta.fields if obj and isinstance(field, SlugKey)
        )
        return (*super().get_readonly_fields(request, obj), *fixed, *self.verb_fields)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """The key first, also where it is not editable any more."""
        fields = super().get_fields(request, obj)
        return sorted(fields, key=lambda name: name != self.model._meta.pk.name)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fieldsets = [
            (name, {**options, "fields": [f for f in options["fields"] if f != "change_reason"]})
            for name, options in super().get_fieldsets(request, obj)
        ]
        may = self.has_change_permission(request, obj) if obj else True
        if may:
            fieldsets.append((_("This change"), {"fields": ["change_reason"]}))
        return fieldsets

    def save_model(
        self, request: HttpRequest, obj: models.Model, form: BaseModelForm, change: bool
    ) -> None:
        action = audit.CHANGED if change else audit.CREATED
        reason = form.cleaned_data.get("change_reason", "")
        with edits.edit(action, actor=actor_of(request), reason=reason):
            super().save_model(request, obj, form, change)

    def save_related(
        self, request: HttpRequest, form: BaseModelForm, formsets: Any, change: bool
    ) -> None:
        action = audit.CHANGED if change else audit.CREATED
        reason = form.cleaned_data.get("change_reason", "")
        actor = actor_of(request)
        with edits.edit(action, actor=actor, reason=reason):
            super().save_related(request, form, formsets, change)
            edits.announce(form.instance, action, actor=actor, reason=reason)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        form = ReasonForm(request.POST if request.method == "POST" else None)
        form.fields["change_reason"].required = False
        if request.method == "POST" and not form.is_valid():
            raise PermissionDenied(form.errors["change_reason"][0])
        return super().delete_view(
            request, object_id, {**(extra_context or {}), "reason_form": form}
        )

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        actor, reason = actor_of(request), request.POST.get("change_reason", "").strip()
        with edits.edit(audit.DELETED, actor=actor, reason=reason):
            edits.announce(obj, audit.DELETED, actor=actor, reason=reason)
            super().delete_model(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        shown, counts, lacking, protected = super().get_deleted_objects(objs, request)
        lacking -= {model._meta.verbose_name for model in self.owned}
        return shown, counts, lacking, protected

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Keep no second log: the audit trail has the change itself."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Keep no second log: the audit trail has the change itself."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Keep no second log: the audit trail has the change itself."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of %(object)s") % {"object": row},
            "opts": self.model._meta,
            "original": row,
            "object": row,
            "entries": trail.entries(row, limit=HISTORY_LIMIT),
            "limit": HISTORY_LIMIT,
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.object_history_template, context)


class ReadOnlyModelAdmin(ConsoleModelAdmin):
    """Records that machines keep: to be read, never edited, not even by a superuser."""

    form = ModelForm
    sortable_by = ()
    list_disable_select_all = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST":
            raise PermissionDenied
        return super().changeform_view(request, *args, **kwargs)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        context["show_history"] = False  # a record is its own history
        return super().render_change_form(request, context, *args, **kwargs)
