"""Whatever is sent to a form or a list: an error that names the field, no change, never a 500."""

from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.models import ExchangeAccount, RiskEnvelope
from controlplane.base.admin import AuditedModelAdmin, ReadOnlyModelAdmin
from controlplane.base.admin.forms import DocumentFormField, SecretFormField
from strategies.models import StrategyModule
from tests import factories
from tests.admin.forms import errors_of, form_data
from tests.admin.test_pages import MODELS, WITH_PAGE, address, label

pytestmark = pytest.mark.django_db
EDITABLE = [m for m in MODELS if isinstance(admin.site._registry[m], AuditedModelAdmin)]

MEGABYTE = "x" * 1_000_000
RIGHT_TO_LEFT = "abc\u202edef"
NUMBERS = (
    "abc", "NaN", "sNaN", "Infinity", "-Infinity", "-1", "9" * 40, "0." + "1" * 40, "1e400",
    "1e-400", "\x00", "--", MEGABYTE, RIGHT_TO_LEFT,
)  # fmt: skip
TEXTS = ("\x00", RIGHT_TO_LEFT, MEGABYTE)
KEYS = ("nothing-there", "\x00", MEGABYTE, RIGHT_TO_LEFT, "-1")
DOCUMENTS = (
    "{", "NaN", "[Infinity]", '{"a": "\\u0000"}', '{"a": "\\u202e"}', "[" * 100_000,
    "1" * 6000, '{"a": ' + "9" * 5000 + "}", f'"{MEGABYTE}"', "\x00",
)  # fmt: skip
LONG = 10_000
MAY_BE_NEGATIVE = {"maker_fee", "taker_fee", "profit_after_fee_target"}


def values_for(field: forms.Field, name: str) -> Iterator[str]:
    """Return what no sensible rule would let through in this field."""
    if isinstance(field, DocumentFormField):
        yield from DOCUMENTS
    elif isinstance(field, SecretFormField):
        yield from (MEGABYTE, "\x00")
    elif isinstance(field, forms.DecimalField | forms.IntegerField):
        yield from (v for v in NUMBERS if not (v == "-1" and name in MAY_BE_NEGATIVE))
    elif isinstance(field, forms.ChoiceField | forms.ModelChoiceField):
        yield from KEYS
    elif isinstance(field, forms.CharField | forms.GenericIPAddressField):
        yield from TEXTS


def attempts(form: forms.BaseForm) -> Iterator[dict[str, str]]:
    """Return bad values to post: one of each field at once, each has to answer for its own.

    What is long goes alone; a body has a limit of its own.
    """
    values = {name: list(values_for(field, name)) for name, field in form.fields.items()}
    for name, long in values.items():
        yield from ({name: value} for value in long if len(value) > LONG)
    short = {name: [value for value in all_ if len(value) <= LONG] for name, all_ in values.items()}
    for number in range(max(map(len, short.values()))):
        yield {name: all_[number] for name, all_ in short.items() if number < len(all_)}


def snapshot(model: type[Model]) -> str:
    encoder = DjangoJSONEncoder()
    return encoder.encode([str(row) for row in model._default_manager.order_by("pk").values()])


@pytest.mark.parametrize("model", EDITABLE, ids=label)
def test_bad_values_are_refused_by_field_and_change_nothing(
    model: type[Model], page: Client, rows: dict[str, Any]
) -> None:
    url = address(model, "change", rows[label(model)].pk)
    page.raise_request_exception = False
    form = page.get(url).context["adminform"].form
    good = form_data(page, url)
    before = snapshot(model)
    tried = 0
    for wrong in attempts(form):
        response = page.post(url, good | wrong)
        where = f"{label(model)}: { {name: value[:20] for name, value in wrong.items()} }"
        assert response.status_code == 200, where
        assert wrong.keys() <= set(errors_of(response)), where
        tried += len(wrong)
    assert tried
    assert snapshot(model) == before


@pytest.mark.parametrize("model", EDITABLE, ids=label)
def test_an_empty_and_a_nonsense_form_are_refused(
    model: type[Model], page: Client, rows: dict[str, Any]
) -> None:
    page.raise_request_exception = False
    url = address(model, "add")
    before = snapshot(model)
    form = page.get(url).context["adminform"].form
    for value in ("", "\x00", RIGHT_TO_LEFT, "[]", "-1"):
        response = page.post(url, dict.fromkeys(form.fields, value))
        assert response.status_code == 200
        assert errors_of(response)
    assert snapshot(model) == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"utilization_target_min": "0.9"}, "utilization_target_min"),
        ({"utilization_target_max": "1.1"}, "utilization_target_min"),
        ({"delta_threshold": "0"}, "delta_threshold"),
        ({"max_position_value": "0"}, "max_position_value"),
        ({"sync_interval_seconds": "0"}, "sync_interval_seconds"),
        ({"risk_envelope-0-max_leverage": "0"}, "max_leverage"),
        ({"risk_envelope-0-max_drawdown_percent": "101"}, "max_drawdown_percent"),
        ({"risk_envelope-0-slippage_tolerance": "NaN"}, "slippage_tolerance"),
    ],
)
def test_account_rules_name_their_field(page: Client, changes: dict[str, str], field: str) -> None:
    account = factories.account()
    url = address(ExchangeAccount, "change", account.pk)
    before = snapshot(ExchangeAccount) + snapshot(RiskEnvelope)
    assert field in errors_of(page.post(url, form_data(page, url) | changes))
    assert snapshot(ExchangeAccount) + snapshot(RiskEnvelope) == before


def test_a_second_envelope_is_refused(page: Client) -> None:
    account = factories.account()
    url = address(RiskEnvelope, "add")
    errors = errors_of(page.post(url, form_data(page, url) | {"account": account.pk}))
    assert list(errors) == ["account"]
    assert RiskEnvelope.objects.count() == 1


@pytest.mark.parametrize(
    ("schema", "config", "field"),
    [
        ('{"type": "nonsense"}', "{}", "config_schema"),
        ("[]", "{}", "config_schema"),
        ('{"properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}', "{}", "config_schema"),
        ('{"$ref": "http://127.0.0.1/x"}', "{}", "config_schema"),
        ('{"required": ["a"]}', "{}", "config"),
        ('{"properties": {"a": {"type": "integer"}}}', '{"a": "x"}', "config"),
    ],
)
def test_module_configuration_must_fit_its_schema(
    page: Client, schema: str, config: str, field: str
) -> None:
    module = factories.module()
    url = address(StrategyModule, "change", module.pk)
    data = form_data(page, url) | {"config_schema": schema, "config": config}
    before = snapshot(StrategyModule)
    assert field in errors_of(page.post(url, data))
    assert snapshot(StrategyModule) == before


def test_a_simple_schema_gives_a_form_and_its_answer_is_checked(page: Client) -> None:
    schema = {"type": "object", "properties": {"leverage": {"type": "number", "maximum": 5}}}
    module = factories.module(config_schema=schema, config={"leverage": 2})
    url = address(StrategyModule, "change", module.pk)
    assert "data-django-jsonform" in page.get(url).content.decode()
    data = form_data(page, url)
    assert "config" in errors_of(page.post(url, data | {"config": '{"leverage": 6}'}))
    assert errors_of(page.post(url, data | {"config": '{"leverage": 3}'})) == {}
    module.refresh_from_db()
    assert module.config == {"leverage": 3}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}]}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
    ],
)
def test_any_other_schema_leaves_the_text_of_the_document(
    page: Client, schema: dict[str, Any]
) -> None:
    module = factories.module(config_schema=schema, config={"a": "x"})
    url = address(StrategyModule, "change", module.pk)
    assert "data-django-jsonform" not in page.get(url).content.decode()


def test_loopback_aside_no_foreign_address_is_taken(page: Client) -> None:
    venue = factories.venue()
    url = address(type(venue), "change", venue.pk)
    for endpoint in ("https://evil.example", "file:///etc/passwd", "http://10.0.0.1", "nonsense"):
        errors = errors_of(page.post(url, form_data(page, url) | {"rest_endpoint": endpoint}))
        assert "rest_endpoint" in errors


JUNK = (
    "account__exact=%00", "p=-1", "p=zzz", "p=99999999999999999999", "o=zzz", "o=-99.1.x", "q=%00",
    "q=%27%22%3C", f"q={'x' * 5000}", "state__exact=nonsense", "all=", "e=1", "_popup=1",
    "account__pk__exact=nonsense", "instrument__pk__exact=nonsense", "status__exact=%F0%9F",
    "sandbox__exact=maybe", "is_enabled__exact=maybe", "event_id__gte=zzz", "entity=zzz",
    "surface=%00", "pk__in=1,2", "id__exact=9999999999999999999999", "_to_field=secret",
    "exchange__rest_endpoint__startswith=a", "api_secret__startswith=a", "_facets=True",
    "venue__pk__exact[]=1", "account__pk__exact=a&account__pk__exact=b", "created_at__gte=x",
)  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=label)
def test_lists_shrug_off_junk_in_the_address(
    model: type[Model], page: Client, rows: dict[str, Any]
) -> None:
    page.raise_request_exception = False
    for query in JUNK:
        status = page.get(f"{address(model, 'changelist')}?{query}").status_code
        assert status in {200, 302, 400}, f"{label(model)} ?{query}"


@pytest.mark.parametrize("model", WITH_PAGE, ids=label)
def test_pages_of_impossible_keys_are_not_found(
    model: type[Model], page: Client, rows: dict[str, Any]
) -> None:
    page.raise_request_exception = False
    listing = address(model, "changelist")
    for key in ("%00", "_00", "x" * 5000, "-1", "%F0%9F", "..%2F", "nothing", "9" * 40):
        for kind in ("change", "history", "delete"):
            status = page.get(f"{listing}{key}/{kind}/").status_code
            assert status in {302, 403, 404}, f"{label(model)} {kind} {key[:20]}"


def test_a_megabyte_key_is_not_found(page: Client) -> None:
    url = reverse("admin:accounts_exchangeaccount_changelist") + "x" * 1_000_000 + "/change/"
    assert page.get(url).status_code == 404


@pytest.mark.parametrize("term", ["\x00", "x" * 100_000, "'", "\u202e"])
def test_autocomplete_takes_any_term(page: Client, rows: dict[str, Any], term: str) -> None:
    page.raise_request_exception = False
    query = {
        "app_label": "accounts",
        "model_name": "exchangeaccount",
        "field_name": "exchange",
        "term": term,
    }
    assert page.get(reverse("admin:autocomplete"), query).status_code in {200, 400}


@pytest.mark.parametrize("action", ["pause", "nonsense", "\x00", "delete_selected"])
@pytest.mark.parametrize("selected", ["nothing", "\x00", "x" * 100_000])
def test_actions_on_nonsense_do_nothing(page: Client, action: str, selected: str) -> None:
    account = factories.account()
    page.raise_request_exception = False
    response = page.post(
        address(ExchangeAccount, "changelist"),
        {
            "action": action,
            "_selected_action": selected,
            "confirmed": "yes",
            "change_reason": "x",
        },
    )
    assert response.status_code in {200, 302, 400, 403}
    account.refresh_from_db()
    assert account.status == "active"


def test_a_reason_with_control_characters_is_refused(page: Client) -> None:
    account = factories.account()
    url = address(ExchangeAccount, "change", account.pk)
    data = form_data(page, url) | {"account_name": "New", "change_reason": RIGHT_TO_LEFT}
    assert "change_reason" in errors_of(page.post(url, data))
    account.refresh_from_db()
    assert account.account_name != "New"


def test_read_only_admins_are_exactly_what_machines_write() -> None:
    names = {
        model._meta.label
        for model in MODELS
        if isinstance(admin.site._registry[model], ReadOnlyModelAdmin)
    }
    assert names == {
        "accounts.AccountState", "accounts.AccountSyncJob", "accounts.EquitySample",
        "accounts.FundingPayment", "accounts.Position", "accounts.Transfer", "base.AuditEvent",
        "hedging.Fill",
        "hedging.EmergencyStop", "hedging.HedgeDust", "hedging.HedgeExecution",
        "hedging.HedgeThrottle", "hedging.ReconciliationBreak", "hedging.ResolutionStep",
        "hedging.StoppedAccount",
        "knox.AuthToken", "markets.FeedTraffic", "markets.FundingRate", "markets.Quote",
        "markets.StreamHolder", "markets.StreamLease",
        "markets.SynthPriceSnapshot", "markets.VenueBan", "monitoring.Alert",
        "monitoring.JobRun", "monitoring.MonitoringEvent", "strategies.OrderIntent",
        "strategies.QuarantinedAnswer", "strategies.UnknownClosure",
    }  # fmt: skip
