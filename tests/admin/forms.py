"""What a browser would send for a form, filled in with what is there."""

from typing import Any

from django.test import Client


def form_data(page: Client, address: str) -> dict[str, Any]:
    """Return the values of every field on a form page, inlines included."""
    context = page.get(address).context
    data: dict[str, Any] = {}
    forms = [context["adminform"].form]
    for inline in context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            shown = bound.field.widget.format_value(value) if value not in (None, "") else ""
            if isinstance(shown, list):
                data[bound.html_name] = shown
            elif value is True:
                data[bound.html_name] = "on"
            elif value is not False and shown is not None:
                data[bound.html_name] = shown
    return data


def errors_of(response: Any) -> dict[str, list[str]]:
    """Return field -> error texts of a refused form, inlines included; empty when accepted."""
    if response.status_code == 302 or "adminform" not in (response.context or ()):
        return {}
    found = {name: list(texts) for name, texts in response.context["adminform"].form.errors.items()}
    for inline in response.context["inline_admin_formsets"]:
        for errors in inline.formset.errors:
            found |= {name: list(texts) for name, texts in errors.items()}
    return found
