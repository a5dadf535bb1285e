"""The form made from a module's configuration schema, where the schema is simple enough for one."""

from collections.abc import Mapping
from typing import Any, Final

from django_jsonform.widgets import JSONFormWidget

_SIMPLE: Final = frozenset({"string", "number", "integer", "boolean"})
_KEYWORDS: Final = frozenset(
    {"type", "title", "description", "default", "enum", "minimum", "maximum", "properties"}
    | {"required", "items", "minLength", "maxLength", "minItems", "maxItems"}
    | {"exclusiveMinimum", "exclusiveMaximum", "additionalProperties", "$schema"}
)


def config_widget(schema: Mapping[str, Any]) -> JSONFormWidget | None:
    """Return a form for the schema, or None where only the text of the document will do."""
    if schema.get("type") == "object" and schema.get("properties") and _is_plain(schema):
        return JSONFormWidget(schema=dict(schema))
    return None


def _is_plain(schema: Any) -> bool:
    """Tell whether the browser's form knows every keyword of the schema."""
    if not isinstance(schema, Mapping) or not _KEYWORDS.issuperset(schema):
        return False
    kind = schema.get("type")
    if kind == "object":
        return schema.get("additionalProperties") in {None, False} and all(
            _is_plain(part) for part in schema.get("properties", {}).values()
        )
    if kind == "array":
        return _is_plain(schema.get("items"))
    return isinstance(kind, str) and kind in _SIMPLE
