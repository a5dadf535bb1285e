"""Names on the wire: camelCase of the column, and the words the data model fixes."""

from collections.abc import Mapping
from typing import Final

from django.db import models

NAMES: Final[Mapping[str, str]] = {
    "exchange": "exchange",
    "venue": "exchange",
    "proxy_profile": "proxyProfile",
    "source_feeds": "sourceFeeds",
    "venues": "exchanges",
}
"""References that are not called after the key they hold."""


def camel(name: str) -> str:
    """Return `ws_latency_p95` as `wsLatencyP95`."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def wire_name(field: models.Field | models.ForeignObjectRel) -> str:
    """Return what a model's field is called on the wire; a reference carries its `Id`."""
    if field.name in NAMES:
        return NAMES[field.name]
    if field.many_to_many or field.one_to_many:
        return f"{camel(field.name).removesuffix('s')}Ids"
    if field.is_relation:
        return f"{camel(field.name)}Id"
    return camel(field.name)


def wire_names(model: type[models.Model]) -> dict[str, str]:
    """Return model field -> wire name for all fields of a model."""
    return {field.name: wire_name(field) for field in model._meta.get_fields()}
