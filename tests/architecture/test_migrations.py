"""C10 · Two builds run beside each other while one is rolled out: both work on the newer schema."""

from collections.abc import Iterator

import pytest
from django.db import models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import (
    AddField,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
)
from django.db.migrations.operations.base import Operation

BEFORE_THE_RULE = {
    "base": 1,
    "markets": 15,
    "accounts": 14,
    "strategies": 5,
    "hedging": 8,
    "monitoring": 6,
}
"""The last migration of each app that was made without this rule."""
TAKES_AWAY = (DeleteModel, RemoveField, RenameField, RenameModel)


def objections(operation: Operation) -> Iterator[str]:
    """Yield what the build before this one could not live with."""
    if isinstance(operation, TAKES_AWAY):
        yield f"{type(operation).__name__}: it still reads what is taken away or renamed"
    if isinstance(operation, AddField) and not isinstance(operation.field, models.ManyToManyField):
        field = operation.field
        if not field.null and field.db_default is models.NOT_PROVIDED and not field.generated:
            yield f"{operation.model_name}.{operation.name}: its rows lack it (no db_default)"


@pytest.mark.parametrize("app", sorted(BEFORE_THE_RULE))
def test_c10_the_build_before_works_on_the_schema_of_this_one(app: str) -> None:
    found = [
        f"{name}: {text}"
        for (label, name), migration in MigrationLoader(None).disk_migrations.items()
        if label == app and int(name[:4]) > BEFORE_THE_RULE[app]
        for operation in migration.operations
        for text in objections(operation)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("operation", "objected"),
    [
        (AddField("a", "b", models.IntegerField()), 1),
        (AddField("a", "b", models.IntegerField(default=1)), 1),
        (AddField("a", "b", models.IntegerField(db_default=1)), 0),
        (AddField("a", "b", models.IntegerField(null=True)), 0),
        (RemoveField("a", "b"), 1),
        (RenameField("a", "b", "c"), 1),
    ],
)
def test_c10_what_the_build_before_could_not_live_with_is_named(
    operation: Operation, objected: int
) -> None:
    assert len(list(objections(operation))) == objected
