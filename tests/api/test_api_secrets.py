"""No answer of the API ever holds a credential."""

import base64
from urllib.parse import quote

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from controlplane.api_urls import router
from tests.api.bodies import VALID, writable
from tests.api.rows import CANARY, make_rows

PREFIXES = sorted(prefix for prefix, _view, _name in router.registry)
FORMS = [
    CANARY,
    CANARY[::-1],
    CANARY.encode().hex(),
    base64.b64encode(CANARY.encode()).decode().rstrip("="),
    quote(CANARY),
]


def assert_no_secret(answer) -> None:
    text = answer.content.decode() + str(dict(answer.headers))
    assert not [form for form in FORMS if form in text], text[:500]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_stored_credentials_are_never_shown(prefix: str, api: APIClient) -> None:
    rows = make_rows()
    paths = [f"/api/v1/{prefix}/"]
    if prefix in rows:
        paths.append(f"/api/v1/{prefix}/{rows[prefix].pk}/")
    for path in paths:
        for method in ("get", "options", "patch", "delete", "post"):
            assert_no_secret(getattr(api, method)(path))


@pytest.mark.parametrize("prefix", ["accounts", "proxy-sessions", "alert-routes"])
def test_sent_credentials_are_never_echoed(prefix: str, api: APIClient) -> None:
    body = VALID[prefix]()
    secret = [name for name, field in writable(prefix).items() if field.write_only]
    assert secret
    sent = {**body, **{name: f"user:{CANARY}-{name}" for name in secret}}
    for name in secret:
        for value in (f"{CANARY}\x00", CANARY * 1000, [CANARY], {"a": CANARY}):
            answer = api.post(f"/api/v1/{prefix}/", {**sent, name: value})
            assert (answer.status_code, list(answer.json()["details"])) == (400, [name])
            assert_no_secret(answer)
    made = api.post(f"/api/v1/{prefix}/", sent)
    assert made.status_code == 201
    assert_no_secret(made)
    for name in secret:
        assert made.json()[f"{name}Fingerprint"]
    assert_no_secret(api.get("/api/v1/audit/"))
    assert_no_secret(api.get("/api/v1/monitoring-events/"))


def test_changed_credential_is_seen_in_the_audit_by_its_fingerprint(api: APIClient) -> None:
    account = make_rows()["accounts"]
    path = f"/api/v1/accounts/{account.pk}/"
    assert api.patch(path, {"apiSecret": f"{CANARY}-other"}).status_code == 200
    audit = api.get("/api/v1/audit/", {"entity": "ExchangeAccount", "surface": "api"})
    (change,) = audit.json()["results"]
    assert list(change["changes"]) == ["secretsFingerprint"]
    assert_no_secret(audit)


def test_filters_do_not_reach_credentials() -> None:
    for prefix, view, _name in router.registry:
        names = set(getattr(getattr(view, "filterset_class", None), "base_filters", ()))
        secret = (
            {name for name, field in writable(prefix).items() if field.write_only}
            if (prefix in VALID)
            else set()
        )
        assert not names & secret


def test_schema_never_shows_a_credential_field_in_an_answer() -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    components = schema["components"]["schemas"]
    for name in ("Account", "ProxySession", "AlertRoute"):
        assert not {"apiKey", "apiSecret", "auth", "target"} & set(components[name]["properties"])
