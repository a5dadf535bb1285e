"""Columns of many rows, each with values of its own, written by one statement."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, cast

from django.db import connection
from django.db.models import Field, Model


def rows_set(
    changes: Sequence[tuple[Model, Mapping[str, Any]]], *, standing: Sequence[str]
) -> set[Any]:
    """Write the changed columns of rows of one model and return the keys of those written.

    Compare-and-set: a row is written only while it stands as its object says in the columns
    `standing`. The objects take the new values whether or not their rows were written. A
    statement for each set of columns that changes.
    """
    by_columns: dict[tuple[str, ...], list[tuple[Model, Mapping[str, Any]]]] = {}
    for row, values in changes:
        by_columns.setdefault(tuple(sorted(values)), []).append((row, values))
    written: set[Any] = set()
    for columns, group in by_columns.items():
        written |= _update(group, columns, standing)
    for row, values in changes:
        for name, value in values.items():
            setattr(row, name, value)
    return written


def _update(
    group: Sequence[tuple[Model, Mapping[str, Any]]],
    columns: Sequence[str],
    standing: Sequence[str],
) -> set[Any]:
    meta = group[0][0]._meta
    assert meta.pk is not None
    known = [_field(meta, name) for name in (meta.pk.attname, *standing)]
    news = [_field(meta, name) for name in columns]
    # Without their lengths: a cast would cut what is too long, an assignment refuses it.
    types = [str(it.db_type(connection)).partition("(")[0] for it in (*known, *news)]
    lists = ", ".join(f"%s::{it}[]" for it in types)
    names = ", ".join([*(f"old_{it.column}" for it in known), *(f"new_{it.column}" for it in news)])
    changes = ", ".join(f"{it.column} = v.new_{it.column}" for it in news)
    same = " AND ".join(f"t.{it.column} = v.old_{it.column}" for it in known)
    values = [
        *(_list(it, [getattr(row, it.attname) for row, _ in group]) for it in known),
        *(
            _list(it, [new[name] for _, new in group])
            for it, name in zip(news, columns, strict=True)
        ),
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {meta.db_table} AS t SET {changes} "  # noqa: S608 - columns of our models
            f"FROM unnest({lists}) AS v ({names}) "
            f"WHERE {same} RETURNING t.{meta.pk.column}",
            values,
        )
        return {key for (key,) in cursor.fetchall()}


def _list(field: "Field[Any, Any]", values: Sequence[Any]) -> list[Any]:
    """Return a column's values as a parameter: one list is a fraction of many placeholders."""
    plain = (it.value if isinstance(it, Enum) else it for it in values)
    return [field.get_db_prep_save(it, connection) for it in plain]


def _field(meta: Any, name: str) -> "Field[Any, Any]":
    return cast("Field[Any, Any]", meta.get_field(name))
