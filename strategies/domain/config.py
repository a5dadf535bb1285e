"""Rules for a module's configuration schema and for a configuration against it.

People write schemas, and a schema is a small program: a pattern can be made to take for ever, a
reference to load from elsewhere or to go round in circles, a chain of references to double its
work at each link. So only keywords that are known, bounded and really checked are allowed, and
the work of one check is bounded before it starts.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import jsonschema
from jsonschema.protocols import Validator

DIALECT: Final = jsonschema.Draft202012Validator
DIALECT_URI: Final = "https://json-schema.org/draft/2020-12/schema"
REFERENCE: Final = "#/$defs/"

MAX_SCHEMA_BYTES: Final = 32 * 1024
MAX_DEPTH: Final = 16
MAX_DEFINITIONS: Final = 50
MAX_VALUES: Final = 1000
"""A configuration holds at most this many values, containers included."""
MAX_WORK: Final = 200_000
"""Values in the schema (references followed) times values in the configuration."""
MAX_NUMBER: Final = 10**30

FORMATS: Final = ("date", "ipv4", "ipv6", "uuid")
FORMAT_CHECKER: Final = jsonschema.FormatChecker(FORMATS)

ONE_SCHEMA: Final = frozenset(
    {"additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"}
)
SCHEMA_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SCHEMA_MAP: Final = frozenset({"properties", "$defs", "dependentSchemas"})
PLAIN: Final = frozenset(
    {
        "$schema",
        "$ref",
        "$comment",
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "type",
        "enum",
        "const",
        "format",
        "required",
        "dependentRequired",
        "minProperties",
        "maxProperties",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minContains",
        "maxContains",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    }
)


def schema_problem(schema: Any) -> str | None:
    """Return what is wrong with a configuration schema, or None.

    A schema is a JSON Schema (2020-12) object of at most 32 kB and 16 levels, without patterns,
    whose references lead to its own `$defs` and never in a circle.
    """
    if not isinstance(schema, dict):
        return "The schema must be a JSON object."
    if (problem := _shape_problem(schema, "schema")) is not None:
        return problem
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        return f"The schema is larger than {MAX_SCHEMA_BYTES} bytes."
    try:
        DIALECT.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"Not a JSON Schema: {error.message[:200]}"
    return _keyword_problem(schema) or _reference_problem(schema)


def config_problems(config: Any, schema: dict[str, Any]) -> list[str]:
    """Return what in `config` breaks `schema`, each with its place; empty when it fits.

    A configuration is a JSON object; `schema` must be one that `schema_problem` passed.
    """
    if not isinstance(config, dict):
        return ["The configuration must be a JSON object."]
    if (problem := _shape_problem(config, "configuration")) is not None:
        return [problem]
    values = _count(config)
    if values > MAX_VALUES:
        return [f"The configuration holds {values} values; at most {MAX_VALUES} are allowed."]
    if values * _work(schema, schema, {}) > MAX_WORK:
        return ["The configuration is too large for a schema as involved as this."]
    validator: Validator = DIALECT(schema, format_checker=FORMAT_CHECKER)
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))
    return [
        f"{'.'.join(str(part) for part in error.absolute_path) or 'config'}: {error.message[:200]}"
        for error in errors
    ]


def _values(root: Any) -> Iterator[tuple[Any, int]]:
    """Yield every value with its depth; no recursion, so no document is too deep to look at."""
    waiting = [(root, 0)]
    while waiting:
        value, depth = waiting.pop()
        yield value, depth
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)


def _count(root: Any) -> int:
    return sum(1 for _value in _values(root))


def _shape_problem(root: Any, name: str) -> str | None:
    for value, depth in _values(root):
        if depth > MAX_DEPTH:
            return f"The {name} is nested deeper than {MAX_DEPTH} levels."
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            return f"The {name} holds a number that is not finite."
        if abs(value) >= MAX_NUMBER:
            return f"The {name} holds a number of more than 30 digits."
    return None


def _children(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas that stand directly inside a schema."""
    for keyword, value in schema.items():
        if keyword in ONE_SCHEMA:
            yield value
        elif keyword in SCHEMA_LIST:
            yield from value
        elif keyword in SCHEMA_MAP:
            yield from value.values()


def _subschemas(root: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [root]
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, dict):
            yield schema
            waiting.extend(_children(schema))


def _keyword_problem(root: Mapping[str, Any]) -> str | None:
    for schema in _subschemas(root):
        for keyword in schema:
            if keyword not in PLAIN | ONE_SCHEMA | SCHEMA_LIST | SCHEMA_MAP:
                return f"{keyword[:40]} is not allowed in a schema."
        if "$defs" in schema and schema is not root:
            return "$defs is allowed at the top of a schema only."
        if schema.get("format", FORMATS[0]) not in FORMATS:
            return f"format must be one of {', '.join(FORMATS)}: others would not be checked."
    if root.get("$schema", DIALECT_URI) != DIALECT_URI:
        return f"$schema must be {DIALECT_URI}."
    return None


def _reference_problem(root: Mapping[str, Any]) -> str | None:
    definitions: Mapping[str, Any] = root.get("$defs", {})
    if len(definitions) > MAX_DEFINITIONS:
        return f"$defs holds more than {MAX_DEFINITIONS} schemas."
    for target in _references(root):
        if not target.startswith(REFERENCE) or target.removeprefix(REFERENCE) not in definitions:
            return "$ref must name an entry of the schema's own #/$defs/."
    if _goes_in_circles(definitions):
        return "$ref goes in a circle."
    return None


def _references(root: Any) -> Iterable[str]:
    return (schema["$ref"] for schema in _subschemas(root) if "$ref" in schema)


def _goes_in_circles(definitions: Mapping[str, Any]) -> bool:
    """Whether taking away definitions that lead nowhere leaves some that lead to each other."""
    leads = {
        name: {target.removeprefix(REFERENCE) for target in _references(schema)}
        for name, schema in definitions.items()
    }
    while ended := [name for name, targets in leads.items() if not targets]:
        for name in ended:
            del leads[name]
        for targets in leads.values():
            targets.difference_update(ended)
    return bool(leads)


def _work(schema: Any, root: Mapping[str, Any], known: dict[str, int]) -> int:
    """Return how many values a schema holds when every reference is written out."""
    if not isinstance(schema, dict):
        return 1
    plain = {key: value for key, value in schema.items() if key in PLAIN}
    total = _count(plain)
    total += sum(_work(child, root, known) for child in _children(schema))
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        if name not in known:
            known[name] = _work(root["$defs"][name], root, known)
        total += known[name]
    return total
