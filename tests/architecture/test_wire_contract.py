"""The API holds the data model's promise field by field, in JSON and in its OpenAPI schema."""

import re
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from tests import factories
from tests.api.bodies import VALID
from tests.api.rows import make_rows
from tests.architecture.wire_table import TABLE, UNSET, Field

COMPONENTS = {
    "market-feeds": "Feed",
    "synth-prices": "SynthPrice",
    "accounts": "Account",
    "risk-envelopes": "RiskEnvelope",
    "proxy-sessions": "ProxySession",
    "strategy-modules": "Module",
    "allocations": "Allocation",
    "order-intents": "Intent",
    "hedge-executions": "HedgeExecution",
    "monitoring-events": "Event",
}
ROUTES = sorted(TABLE)
LINES = [(route, name) for route in ROUTES for name in TABLE[route]]


@pytest.fixture
def api(db: None) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_superuser("root"))
    return client


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    assert schema["openapi"] == "3.1.0"
    found: dict[str, Any] = schema["components"]["schemas"]
    return found


def holds(field: Field, value: Any) -> bool:
    """Whether a JSON value is of the kind the table promises."""
    if value is None:
        return field.null
    match field.kind:
        case "key":
            return str(UUID(value)) == value
        case "number":
            return isinstance(value, str) and bool(re.fullmatch(r"-?\d+(\.\d*[1-9])?", value))
        case "integer":
            return type(value) is int
        case "flag":
            return type(value) is bool
        case "enum":
            return value in field.values
        case "time":
            return value.endswith("Z") and datetime.fromisoformat(value).utcoffset() is not None
        case "document":
            return isinstance(value, dict | list)
        case "names":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str)


@pytest.mark.parametrize("route", ROUTES)
def test_stored_entity_has_exactly_the_promised_fields(route: str, api: APIClient) -> None:
    row = make_rows()[route]
    shown = api.get(f"/api/v1/{route}/{row.pk}/").json()
    promised = {name: field for name, field in TABLE[route].items() if field.access != "write"}
    assert set(shown) == set(promised)
    wrong = {name: shown[name] for name, field in promised.items() if not holds(field, shown[name])}
    assert wrong == {}


NEEDED = {"accounts": {"apiKey", "apiSecret"}}
"""Keys without which an account of the venue in VALID is refused; they have no default."""


@pytest.mark.parametrize("route", sorted(set(VALID) & set(TABLE)))
def test_what_a_create_leaves_out_gets_the_promised_default(route: str, api: APIClient) -> None:
    needed = NEEDED.get(route, set())
    marks = {f"{name}Fingerprint" for name in needed}
    body = {
        name: value
        for name, value in VALID[route]().items()
        if name in needed
        or (TABLE[route][name].default is UNSET and TABLE[route][name].access != "write")
    }
    made = api.post(f"/api/v1/{route}/", body)
    assert made.status_code == 201, made.content
    told = {name: field for name, field in TABLE[route].items() if name not in marks}
    expected = {n: f.default for n, f in told.items() if f.default is not UNSET}
    assert {name: made.json()[name] for name in expected} == expected
    for name in body:
        left_out = {key: value for key, value in body.items() if key != name}
        answer = api.post(f"/api/v1/{route}/", left_out)
        code = "missing_credential" if name in needed else "required"
        assert answer.json()["details"][name][0]["code"] == code


@pytest.mark.parametrize("route", ["order-intents", "hedge-executions", "monitoring-events"])
def test_machine_rows_have_the_promised_defaults(route: str, api: APIClient) -> None:
    shown = api.get(f"/api/v1/{route}/{make_rows()[route].pk}/").json()
    expected = {n: f.default for n, f in TABLE[route].items() if f.default is not UNSET}
    assert {name: shown[name] for name in expected} == expected


def test_new_account_has_an_envelope_with_the_promised_defaults(api: APIClient) -> None:
    account = factories.account()
    shown = api.get(f"/api/v1/risk-envelopes/{account.risk_envelope.pk}/").json()
    table = TABLE["risk-envelopes"]
    expected = {name: field.default for name, field in table.items() if field.default is not UNSET}
    assert {name: shown[name] for name in expected} == expected


@pytest.mark.parametrize("route", ROUTES)
def test_schema_has_exactly_the_promised_fields(route: str, components: dict[str, Any]) -> None:
    table = TABLE[route]
    shown = components[COMPONENTS[route]]["properties"]
    assert set(shown) == {name for name, field in table.items() if field.access != "write"}
    accepted = components.get(f"{COMPONENTS[route]}Request", {}).get("properties", {})
    assert set(accepted) == {name for name, field in table.items() if field.access != "read"}


@pytest.mark.parametrize(("route", "name"), LINES)
def test_schema_says_of_each_field_what_is_promised(
    route: str, name: str, components: dict[str, Any]
) -> None:
    field = TABLE[route][name]
    suffix = "Request" if field.access == "write" else ""
    said = components[f"{COMPONENTS[route]}{suffix}"]["properties"][name]
    assert said["description"]
    assert said.get("readOnly", False) == (field.access == "read")
    assert said.get("writeOnly", False) == (field.access == "write")
    if field.access == "both" and field.default not in (UNSET, None, "", {}):
        asked = components[f"{COMPONENTS[route]}Request"]["properties"][name]
        assert asked["default"] == field.default
    check_type(field, said, components)


def check_type(field: Field, said: dict[str, Any], components: dict[str, Any]) -> None:
    if field.kind == "enum":
        (reference,) = re.findall(r"#/components/schemas/(\w+)", str(said))[:1]
        assert components[reference]["enum"] == list(field.values)
        return
    types = {
        "key": "string",
        "text": "string",
        "number": "string",
        "time": "string",
        "integer": "integer",
        "flag": "boolean",
        "names": "array",
    }
    formats = {"key": "uuid", "number": "decimal", "time": "date-time"}
    if field.kind == "document":
        assert "type" not in said
        return
    expected = types[field.kind]
    assert said["type"] == ([expected, "null"] if field.null else expected)
    if field.kind in formats:
        assert said["format"] == formats[field.kind]
