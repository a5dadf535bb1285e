"""Re-encrypt stored credentials with the newest key, and find those no key opens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.db import models, transaction
from django.db.models.functions import Cast

from controlplane.base.fields import SecretField

BATCH: Final = 200


@dataclass(slots=True)
class Rotation:
    """What a run did: stored values seen and re-encrypted, and rows that no key opens."""

    values: int = 0
    rotated: int = 0
    unreadable: list[str] = field(default_factory=list)


def secret_models() -> Iterator[tuple[type[models.Model], list[SecretField]]]:
    """Yield each model with encrypted columns, and those columns."""
    for model in apps.get_models():
        columns = [column for column in model._meta.fields if isinstance(column, SecretField)]
        if columns:
            yield model, columns


def rows() -> int:
    """Return how many rows hold encrypted columns."""
    return sum(model._default_manager.count() for model, _ in secret_models())


def rotate(*, apply: bool = True, on_batch: Callable[[int], None] = lambda done: None) -> Rotation:
    """Re-encrypt every value that the first key did not encrypt; `apply=False` only counts.

    Works in batches, each a transaction of its own, and skips what is done: an interrupted run
    is simply started again. Touches no other column. Rows no key opens are left as they are.
    """
    result = Rotation()
    done = 0
    for model, columns in secret_models():
        last: Any = None
        while True:
            with transaction.atomic():
                keys = _batch(model, columns, last, result, apply=apply)
            if not keys:
                break
            last, done = keys[-1], done + len(keys)
            on_batch(done)
    return result


def _batch(
    model: type[models.Model],
    columns: list[SecretField],
    last: Any,
    result: Rotation,
    *,
    apply: bool,
) -> list[Any]:
    # The stored bytes, past the field that would decrypt them.
    stored = {f"stored_{c.name}": Cast(c.name, models.BinaryField()) for c in columns}
    rows = model._default_manager.order_by("pk")
    if apply:
        rows = rows.select_for_update(of=("self",))
    if last is not None:
        rows = rows.filter(pk__gt=last)
    keys = []
    for key, *tokens in rows.annotate(**stored).values_list("pk", *stored)[:BATCH]:
        keys.append(key)
        changes = {}
        for column, token in zip(columns, tokens, strict=True):
            if token is None:
                continue
            result.values += 1
            try:
                if (secret := _outdated(column, bytes(token))) is not None:
                    changes[column.name] = secret
            except InvalidToken:
                result.unreadable.append(f"{model._meta.label} {key} {column.name}")
        result.rotated += len(changes)
        if changes and apply:
            model._default_manager.filter(pk=key).update(**changes)
    return keys


def _outdated(column: SecretField, token: bytes) -> str | None:
    """Return the text of a token an older key made, else None; raises InvalidToken."""
    try:
        Fernet(column.fernet_keys[0]).decrypt(token)
    except InvalidToken:
        text: str = column.fernet.decrypt(token).decode()
        return text
    return None
