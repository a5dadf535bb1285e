"""Columns of list pages: numbers with their unit, states in colour, links to what is related."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from unfold.decorators import display

from controlplane.kernel import units

Column = Callable[[models.Model], Any]


def plain(value: Any) -> str:
    """Return a number in plain digits without trailing zeros; other values as text."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return str(value)
    if not number.is_finite() or abs(number.adjusted()) > 40:
        return str(value)
    return units.plain(number)


def number(
    field: str, label: Any, *, unit: str = "", empty: Any = "–", places: int | None = None
) -> Column:
    """Return a column of numbers, right after each its unit.

    They are exact; with `places` they are rounded to so many, and pointing at one tells it whole.
    Zeros at the end are left off beyond cents.
    """

    @display(description=label, ordering=field, empty_value=empty)
    def column(row: models.Model) -> str | None:
        value = _value(row, field)
        if value is None:
            return None
        exact = f"{plain(value)} {unit}".rstrip()
        if places is None:
            return exact
        whole, _, digits = f"{value:,.{places}f}".partition(".")
        cents = digits.rstrip("0").ljust(min(places, 2), "0")
        short = f"{whole}.{cents} {unit}" if cents else f"{whole} {unit}"
        return format_html('<span title="{}">{}</span>', exact, short.rstrip())

    return _named(column, f"{field}_column")


def field(name: str, label: Any) -> Column:
    """Return a column of a field under another heading, or of a related row's field."""

    @display(description=label, ordering=name, empty_value="–")
    def column(row: models.Model) -> Any:
        return _value(row, name)

    return _named(column, f"{name}_field")


def badge(field: str, label: Any, colours: Mapping[Any, str], *, ordering: str = "") -> Column:
    """Return a column of states as labels; a state without a colour is grey.

    What is no field itself names one for `ordering`.
    """

    @display(description=label, ordering=ordering or field, label=dict(colours))
    def column(row: models.Model) -> str:
        value = _value(row, field)
        return "" if value is None else str(value)

    return _named(column, f"{field}_badge")


def duration(field: str, label: Any) -> Column:
    """Return a column of milliseconds."""
    return number(field, label, unit="ms")


def related(field: str, label: Any) -> Column:
    """Return a column that links to the row behind a foreign key."""

    @display(description=label, ordering=field, empty_value="–")
    def column(row: models.Model) -> Any:
        target = _value(row, field)
        return None if target is None else link(target)

    return _named(column, f"{field}_link")


def rows_link(
    model: type[models.Model], lookup: str, label: Any, *, text: Any, key: str = "pk"
) -> Column:
    """Return a read-only field that links to the list of `model` filtered to this row."""

    @display(description=label)
    def column(row: models.Model) -> Any:
        if row.pk is None:
            return None
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500 underline" href="{}?{}={}">{}</a>',
            address,
            lookup,
            _value(row, key),
            text,
        )

    return _named(column, f"{model._meta.model_name}_rows")


def link(row: models.Model, text: str | None = None) -> Any:
    """Return an HTML link to a row's page; its text alone when it has no page."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    try:
        address = reverse(name, args=[row.pk])
    except NoReverseMatch:
        return text or str(row)
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>',
        address,
        text or str(row),
    )


def _value(row: Any, path: str) -> Any:
    for part in path.split("__"):
        row = getattr(row, part, None)
    return row


def _named(column: Any, name: str) -> Column:
    column.__name__ = name.replace("__", "_")
    return column
