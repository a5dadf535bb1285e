"""Rules for a module's configuration schema and for a configuration against it."""

import json
from typing import Any, Final

import jsonschema
from jsonschema.protocols import Validator

DIALECT: Final = jsonschema.Draft202012Validator
MAX_SCHEMA_BYTES: Final = 32 * 1024
# Patterns run on user texts can be made to take for ever; references can be made to load.
FORBIDDEN_KEYWORDS: Final = frozenset({"pattern", "patternProperties", "$dynamicRef", "$id"})


def schema_problem(schema: Any) -> str | None:
    """Return what is wrong with a configuration schema, or None.

    A schema must be a JSON Schema (2020-12) object, at most 32 kB, without patterns, and with
    references only inside itself.
    """
    if not isinstance(schema, dict):
        return "The schema must be a JSON object."
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        return f"The schema is larger than {MAX_SCHEMA_BYTES} bytes."
    if (keyword := _forbidden(schema)) is not None:
        return f"{keyword} is not allowed in a schema."
    try:
        DIALECT.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"Not a JSON Schema: {error.message[:200]}"
    return None


def config_problems(config: Any, schema: dict[str, Any]) -> list[str]:
    """Return what in `config` breaks `schema`, each with its place; empty when it fits."""
    validator: Validator = DIALECT(schema)
    try:
        return [
            f"{'.'.join(str(part) for part in error.absolute_path) or 'config'}: "
            f"{error.message[:200]}"
            for error in sorted(validator.iter_errors(config), key=lambda e: list(map(str, e.path)))
        ]
    except (RecursionError, jsonschema.exceptions.RefResolutionError) as error:
        return [f"The schema cannot be applied: {type(error).__name__}."]


def _forbidden(schema: Any) -> str | None:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in FORBIDDEN_KEYWORDS and not isinstance(value, dict):
                return str(key)
            if key == "$ref" and not (isinstance(value, str) and value.startswith("#/$defs/")):
                return "$ref to anything but #/$defs/"
            if (found := _forbidden(value)) is not None:
                return found
    if isinstance(schema, list):
        return next((found for item in schema if (found := _forbidden(item))), None)
    return None
