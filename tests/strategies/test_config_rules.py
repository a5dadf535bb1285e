"""A schema that people write cannot hang, load or slip past the check."""

import time
from typing import Any

import pytest

from strategies.domain.config import config_problems, schema_problem


def nested(levels: int) -> dict:
    schema: dict = {}
    for _level in range(levels):
        schema = {"properties": {"inner": schema}}
    return schema


def test_ordinary_schema_is_accepted_and_checks_a_configuration() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "maxLength": 10},
            "$id": {"type": "integer", "minimum": 1},
            "spread": {"$ref": "#/$defs/share"},
            "since": {"type": "string", "format": "date"},
        },
        "required": ["spread"],
        "additionalProperties": False,
        "$defs": {"share": {"type": "number", "minimum": 0, "maximum": 1}},
    }
    assert schema_problem(schema) is None
    assert config_problems({"spread": 0.5, "pattern": "x", "$id": 3}, schema) == []
    assert config_problems({"spread": 2, "since": "soon"}, schema) == [
        "since: 'soon' is not a 'date'",
        "spread: 2 is greater than the maximum of 1",
    ]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ([], "The schema must be a JSON object."),
        ({"type": "no-such-type"}, "Not a JSON Schema"),
        ({"properties": []}, "Not a JSON Schema"),
        ({"pattern": "(a+)+$"}, "pattern is not allowed"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "pattern is not allowed"),
        ({"patternProperties": {"(a+)+$": {}}}, "patternProperties is not allowed"),
        ({"allOf": [{"not": {"patternProperties": {"x": True}}}]}, "patternProperties is not"),
        ({"$id": "https://example.com/x"}, "$id is not allowed"),
        ({"$anchor": "here"}, "$anchor is not allowed"),
        ({"$dynamicRef": "#here"}, "$dynamicRef is not allowed"),
        ({"unevaluatedProperties": {"pattern": "x"}}, "unevaluatedProperties is not allowed"),
        ({"xyz": 1}, "xyz is not allowed"),
        ({"format": "regex"}, "format must be one of"),
        ({"$schema": "http://169.254.169.254/"}, "$schema must be"),
        ({"$ref": "http://169.254.169.254/latest"}, "$ref must name"),
        ({"$ref": "file:///etc/passwd"}, "$ref must name"),
        ({"$ref": "#"}, "$ref must name"),
        ({"$ref": "#/$defs/absent"}, "$ref must name"),
        ({"$ref": "#/properties/a", "properties": {"a": {}}}, "$ref must name"),
        ({"properties": {"a": {"$defs": {}}}}, "$defs is allowed at the top"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}}, "$ref goes in a circle"),
        (
            {
                "$defs": {
                    "a": {"allOf": [{"$ref": "#/$defs/b"}]},
                    "b": {"not": {"$ref": "#/$defs/a"}},
                }
            },
            "$ref goes in a circle",
        ),
        ({"$defs": {f"d{n}": {} for n in range(51)}}, "$defs holds more than 50"),
        (nested(9), "nested deeper than 16 levels"),
        (nested(100_000), "nested deeper than 16 levels"),
        ({"maximum": float("inf")}, "not finite"),
        ({"maximum": float("nan")}, "not finite"),
        ({"maximum": 10**30}, "more than 30 digits"),
        ({"multipleOf": 0}, "Not a JSON Schema"),
        ({"description": "x" * 33_000}, "larger than 32768 bytes"),
    ],
)
def test_dangerous_schema_is_refused_with_its_reason(schema, problem) -> None:
    assert problem in (schema_problem(schema) or "")


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ([], "must be a JSON object"),
        ({"a": [0] * 1000}, "at most 1000"),
        ({"a": 10**400}, "more than 30 digits"),
        ({"a": float("nan")}, "not finite"),
        (nested(100_000), "nested deeper"),
    ],
)
def test_configuration_is_bounded_before_it_is_checked(config, problem) -> None:
    (found,) = config_problems(config, {})
    assert problem in found


def test_schema_that_doubles_its_work_at_each_reference_costs_nothing() -> None:
    definitions = {"d0": {"type": "integer"}} | {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n - 1}"}] * 2} for n in range(1, 40)
    }
    schema = {"$ref": "#/$defs/d39", "$defs": definitions}
    assert schema_problem(schema) is None
    started = time.monotonic()
    assert config_problems({}, schema) == [
        "The configuration is too large for a schema as involved as this."
    ]
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "schema",
    [
        {"uniqueItems": True},
        {"items": {"multipleOf": 1e-300}},
        {"uniqueItems": True, "items": {"type": ["object", "number"]}},
    ],
)
def test_largest_configuration_is_checked_within_two_seconds(schema) -> None:
    schema = {"properties": {"list": schema}}
    assert schema_problem(schema) is None
    config: dict[str, Any] = {"list": [{} if n % 2 else n for n in range(990)]}
    started = time.monotonic()
    config_problems(config, schema)
    assert time.monotonic() - started < 2
