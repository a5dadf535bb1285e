"""Whatever a body holds: a refusal that names the field and the rule, and nothing changed."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from controlplane.base.api import fields
from monitoring.models import MonitoringEvent
from tests import factories
from tests.api.bodies import VALID, fields_of, model_of, viewsets, writable

LONG = "x" * 1_000_000
WRONG_TYPES: list[Any] = [{"a": 1}, [1], [[]]]
SIGNED = {"profitAfterFeeTarget"}
FREE_TEXT = ["a\x00b", "a\u202eb", "\u200b", LONG]


def junk_for(field: Any, name: str) -> list[Any]:
    """Return values that a field of this kind must refuse."""
    null = [] if field.allow_null else [None]
    match field:
        case fields.NumberField():
            negative = [] if name in SIGNED else ["-1", -1]
            texts = ["NaN", "Infinity", "-Infinity", "1e400", "1" * 40, "0." + "1" * 30, "abc", ""]
            more = [" 1", "1,000", "１２", "0x1", "1_0", True, 10**40, LONG]
            return [*WRONG_TYPES, *null, *negative, *texts, *more]
        case fields.IntegerField():
            return [*WRONG_TYPES, *null, "5", 1.5, -1, 10**40, True, "NaN", LONG]
        case fields.FlagField():
            return [*WRONG_TYPES, *null, "true", "yes", 1, 0, "", LONG]
        case fields.ChoiceField():
            blank = [] if field.allow_blank else [""]
            return [*WRONG_TYPES, *null, *blank, "no-such-value", 5, True, *FREE_TEXT]
        case fields.ReferenceListField():
            return ["nothing", {"a": 1}, ["nothing"], [5], [None], [["a"]], ["a\x00"], ["x"] * 300]
        case fields.ReferenceField():
            return [*WRONG_TYPES, *null, "nothing", "", 5, True, *FREE_TEXT]
        case fields.SecretField():
            return [*WRONG_TYPES, None, 5, True, *FREE_TEXT, "x" * 4097]
        case fields.DocumentField():
            deep: Any = {}
            for _level in range(25):
                deep = {"a": deep}
            odd = [{"a": "\x00"}, {"\u202e": 1}, {"type": LONG}, {"const": 10**40}]
            return [*null, "text", 5, [1], True, deep, *odd]
        case _:
            blank = [] if getattr(field, "allow_blank", False) else ["", "   "]
            return [*WRONG_TYPES, *null, *blank, 5, 1.5, True, *FREE_TEXT]


def attempts(prefix: str) -> Iterator[dict[str, Any]]:
    """Return junk to send: a value of each field at once, each has to answer for its own.

    What is long goes alone; a body has a limit of its own.
    """
    values = {name: junk_for(field, name) for name, field in writable(prefix).items()}
    for name, all_ in values.items():
        yield from ({name: value} for value in all_ if is_long(value))
    short = {name: [v for v in all_ if not is_long(v)] for name, all_ in values.items()}
    for number in range(max(map(len, short.values()))):
        yield {name: all_[number] for name, all_ in short.items() if number < len(all_)}


def is_long(value: Any) -> bool:
    return len(str(value)) > 10_000


def snapshot(model: Any) -> Any:
    return (
        list(model.objects.order_by("pk").values()),
        MonitoringEvent.objects.count(),
        model.pgh_event_models["insert"].objects.count(),
    )


def assert_refused(answer: Any, sent: dict[str, Any]) -> set[str]:
    """Return the fields of `sent` that were refused: one at least, each with its code."""
    shown = f"{ {k: str(v)[:60] for k, v in sent.items()} }: {answer.status_code}"
    assert 400 <= answer.status_code < 500, shown
    told = answer.json()
    assert set(told) == {"code", "message", "details"}, shown
    named = {place.partition(".")[0] for place in told["details"]}
    assert named & set(sent), f"{shown} {told}"
    for problems in told["details"].values():
        assert all(problem["code"] for problem in problems), shown
        assert len(json.dumps(problems)) < 5000, shown
    return named & set(sent)


def assert_each_refused(send: Callable[[dict[str, Any]], Any], wrong: dict[str, Any]) -> None:
    """Send until every field was refused; rules of a whole row speak after those of its fields."""
    while wrong:
        refused = assert_refused(send(wrong), wrong)
        wrong = {name: value for name, value in wrong.items() if name not in refused}


def test_every_entity_that_people_write_is_tried() -> None:
    assert set(VALID) | {"risk-envelopes"} == set(viewsets())


@pytest.mark.parametrize("prefix", sorted(VALID))
def test_valid_body_names_every_writable_field_and_is_stored(prefix, api: APIClient) -> None:
    body = VALID[prefix]()
    assert set(body) == set(writable(prefix))
    answer = api.post(f"/api/v1/{prefix}/", body)
    assert answer.status_code == 201, answer.content
    made = answer.json()
    for name, value in body.items():
        if not fields_of(prefix)[name].write_only:
            assert made[name] == value, name


@pytest.mark.parametrize("prefix", sorted(VALID))
def test_junk_in_any_field_is_refused_and_changes_nothing(prefix, api: APIClient) -> None:
    body, model = VALID[prefix](), model_of(prefix)
    key = model._meta.pk.name
    before = snapshot(model)
    tried = 0
    for wrong in attempts(prefix):
        assert_each_refused(lambda bad: api.post(f"/api/v1/{prefix}/", {**body, **bad}), wrong)
        tried += len(wrong)
    assert snapshot(model) == before
    made = api.post(f"/api/v1/{prefix}/", body)
    row = model.objects.get(pk=next(iter(made.json().values())))
    before = snapshot(model)
    for wrong in attempts(prefix):
        assert_each_refused(lambda bad: api.patch(f"/api/v1/{prefix}/{row.pk}/", bad), wrong)
        tried += len(wrong)
    assert snapshot(model) == before
    assert tried > 50, key


@pytest.mark.parametrize("prefix", sorted(VALID))
def test_unknown_and_read_only_fields_are_refused(prefix, api: APIClient) -> None:
    body, model = VALID[prefix](), model_of(prefix)
    names = [name for name, field in fields_of(prefix).items() if field.read_only]
    before = snapshot(model)
    extra = ["isSuperuser", "id", "pk", "owner", "secretsFingerprint", "__proto__", "a\u202eb"]
    for name in [*names, *extra]:
        answer = api.post(f"/api/v1/{prefix}/", {**body, name: "active"})
        assert_refused(answer, {name: "active"})
        code = answer.json()["details"][name][0]["code"]
        assert code == ("read_only" if name in names else "unknown_field")
    assert snapshot(model) == before


RAW_BODIES = {
    "NaN": b'{"maxPositionValue": NaN}',
    "Infinity": b'{"maxPositionValue": Infinity}',
    "minus infinity": b'{"maxPositionValue": -Infinity}',
    "overflow": b'{"maxPositionValue": 1e400}',
    "long integer": b'{"maxPositionValue": ' + b"9" * 5000 + b"}",
    "long fraction": b'{"maxPositionValue": 0.' + b"9" * 5000 + b"}",
    "one key twice": b'{"accountName": "a", "accountName": "b"}',
    "surrogate": b'{"accountName": "\\ud800"}',
    "surrogate in a name": b'{"\\udc00": 1}',
    "broken UTF-8": b'{"accountName": "\xff"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "deep": b'{"accountName": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a bit too deep": b'{"accountName": ' + b"[" * 33 + b"]" * 33 + b"}",
    "too large": b'{"accountName": "' + b"x" * 1_100_000 + b'"}',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "text": b'"text"',
    "cut off": b'{"accountName": "a',
    "not JSON": b"accountName=a",
    "NUL": b"\x00",
}


@pytest.mark.parametrize("raw", RAW_BODIES.values(), ids=RAW_BODIES.keys())
@pytest.mark.parametrize("method", ["post", "patch"])
def test_body_that_is_no_json_object_is_refused(raw, method, api: APIClient) -> None:
    account = factories.account()
    before = snapshot(type(account))
    path = "/api/v1/accounts/" if method == "post" else f"/api/v1/accounts/{account.pk}/"
    answer = getattr(api, method)(path, raw, content_type="application/json")
    assert 400 <= answer.status_code < 500, answer.content
    assert set(answer.json()) == {"code", "message", "details"}
    assert snapshot(type(account)) == before


def test_half_a_surrogate_pair_names_its_field(api: APIClient) -> None:
    raw = b'{"accountName": ["\\ud800"]}'
    answer = api.post("/api/v1/accounts/", raw, content_type="application/json")
    assert_refused(answer, {"accountName": raw})


def test_numbers_never_pass_through_a_double(api: APIClient) -> None:
    account = factories.account()
    raw = b'{"deltaThreshold": 0.100000000000000001}'
    path = f"/api/v1/accounts/{account.pk}/"
    assert api.patch(path, raw, content_type="application/json").status_code == 200
    assert api.get(path).json()["deltaThreshold"] == "0.100000000000000001"


def test_document_refuses_a_number_it_would_change(api: APIClient) -> None:
    module = factories.module()
    path = f"/api/v1/strategy-modules/{module.pk}/"
    for number in (b"0.1000000000000000000001", b"1e400"):
        raw = b'{"config": {"size": ' + number + b"}}"
        assert_refused(api.patch(path, raw, content_type="application/json"), {"config": raw})
    assert api.patch(path, {"config": {"size": 0.25}}).json()["config"] == {"size": 0.25}


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"config": {"size": "large"}}, "config", "schema"),
        ({"configSchema": {"type": "no-such-type"}}, "configSchema", "schema"),
        ({"configSchema": {"$ref": "http://192.0.2.1/schema"}}, "configSchema", "schema"),
        ({"configSchema": {"patternProperties": {"(a+)+$": {}}}}, "configSchema", "schema"),
    ],
)
def test_config_and_its_schema_hold_together(changes, field, code, api: APIClient) -> None:
    body = {**VALID["strategy-modules"](), **changes}
    answer = api.post("/api/v1/strategy-modules/", body)
    assert_refused(answer, {field: changes})
    assert answer.json()["details"][field][0]["code"] == code


@pytest.mark.parametrize(
    ("prefix", "changes", "field", "code"),
    [
        ("market-feeds", {"symbol": "NOPE"}, "symbol", "unknown_symbol"),
        ("market-feeds", {"failoverDeadline": 500}, "failoverDeadline", "order"),
        ("market-feeds", {"wsEndpoint": "wss://192.0.2.1"}, "wsEndpoint", "invalid"),
        ("venues", {"restEndpoint": "https://169.254.169.254"}, "restEndpoint", "invalid"),
        ("venues", {"restEndpoint": "file:///etc/passwd"}, "restEndpoint", "invalid"),
        ("accounts", {"utilizationTargetMin": "0.9"}, "utilizationTargetMin", "band_inverted"),
        ("accounts", {"syncIntervalSeconds": 0}, "syncIntervalSeconds", "min_value"),
        ("proxy-sessions", {"port": 70_000}, "port", "max_value"),
        ("proxy-profiles", {"rotationMinutes": None}, "rotationMinutes", "missing"),
        ("allocations", {"weight": "1.5"}, "weight", "weights_exceed_one"),
        ("risk-limits", {"scope": "firm"}, "scope", "target"),
        ("risk-limits", {"moduleId": None}, "scope", "target"),
        ("risk-limits", {"maxNetValue": "0"}, "maxNetValue", "positive"),
        (
            "stop-loss-configs",
            {"maxDailyDrawdownPercent": "101"},
            "maxDailyDrawdownPercent",
            "range",
        ),
    ],
)
def test_rules_of_the_model_hold_over_the_api(prefix, changes, field, code, api: APIClient) -> None:
    model = model_of(prefix)
    body = {**VALID[prefix](), **changes}
    before = snapshot(model)
    answer = api.post(f"/api/v1/{prefix}/", body)
    assert_refused(answer, {field: changes})
    assert code in {problem["code"] for problem in answer.json()["details"][field]}
    assert snapshot(model) == before


def test_bodies_are_json_only(api: APIClient) -> None:
    answer = api.post("/api/v1/accounts/", json.dumps({}), content_type="text/plain")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
