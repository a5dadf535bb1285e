"""Junk in paths, queries and headers is refused, never a 500, always in one shape."""

from urllib.parse import quote

import pytest
from rest_framework.test import APIClient

from controlplane.api_urls import router
from tests import factories
from tests.api.rows import make_rows

PREFIXES = sorted(prefix for prefix, _view, _name in router.registry)
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
KEYS = [
    "%00",
    "nothing",
    "0",
    "-",
    "x" * 5000,
    quote("\u202e"),
    quote("né"),
    "%ff",
    "%ED%A0%80",
    "00000000-0000-7000-8000-000000000000",
    "00000000-0000-7000-8000-00000000000g",
    "00000000000070008000000000000000",
    "..%2f..%2fetc%2fpasswd",
    "';drop table",
    "a b",
]
JUNK = ["\x00", "", "x" * 3000, "\u202e", "nothing", "-1", "1e400", "NaN", "[]", "' or 1=1"]


def assert_one_shape(answer, method: str) -> None:
    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400 and method != "head":
        assert set(answer.json()) == {"code", "message", "details"}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_junk_in_a_path_leads_nowhere(prefix: str, api: APIClient) -> None:
    for key in KEYS:
        for method in METHODS:
            answer = getattr(api, method)(f"/api/v1/{prefix}/{key}/")
            assert_one_shape(answer, method)
            assert answer.status_code in {404, 405, 400} or method == "options", (method, key)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_unknown_filters_and_junk_values_are_refused(prefix: str, api: APIClient) -> None:
    make_rows()
    path = f"/api/v1/{prefix}/"
    view = next(view for name, view, _base in router.registry if name == prefix)
    filters = getattr(view, "filterset_class", None)
    for name in (
        "nothing",
        "format",
        "password",
        "apiSecret",
        "account__apiKey",
        "ordering",
        "\x00",
    ):
        answer = api.get(path, {name: "1"})
        assert (answer.status_code, list(answer.json()["details"])) == (400, [name])
    for name in filters.base_filters if filters else ():
        for value in JUNK:
            answer = api.get(path, {name: value})
            assert_one_shape(answer, "get")
            if answer.status_code == 400:
                assert list(answer.json()["details"]) == [name]
        answer = api.get(path, {name: "\x00"})
        assert (answer.status_code, list(answer.json()["details"])) == (400, [name])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("createdAtAfter", ["yesterday", "2026-13-01", "99999-01-01T00:00:00Z", "1e5", "\x00"]),
        ("status", ["ACTIVE", "nothing", "active ,paused"]),
        ("limit", ["0", "-1", "501", "1.5", "ten", "１", "9" * 50, ""]),
        ("cursor", ["x", "cD0=", "cD0lMDA=", "r" * 3000, "é", ""]),
    ],
)
def test_query_value_that_means_nothing_names_its_parameter(name, values, api: APIClient) -> None:
    for value in values:
        answer = api.get("/api/v1/accounts/", {name: value})
        if value == "" and name in {"cursor", "status"}:
            continue
        assert answer.status_code == 400, (name, value)
        assert list(answer.json()["details"]) == [name]


def test_times_at_the_ends_of_the_calendar_are_harmless(api: APIClient) -> None:
    for value in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00"):
        assert_one_shape(api.get("/api/v1/accounts/", {"createdAtAfter": value}), "get")


def test_filters_find_what_they_name(api: APIClient) -> None:
    account = factories.account(status="paused")
    factories.account()
    for query in (
        {"status": "paused"},
        {"exchange": account.exchange_id},
        {"accountName": account.account_name},
        {"createdAtBefore": account.created_at.isoformat(), "createdAtAfter": "2020-01-01T00:00Z"},
    ):
        found = api.get("/api/v1/accounts/", query).json()["results"]
        expected = [] if "createdAtBefore" in query else [account.pk]
        assert [row["accountId"] for row in found] == expected, query


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Token \x00"},
        {"Authorization": "Token " + "x" * 5000},
        {"Authorization": "Token"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "\xff\xfe"},
        {"Accept": "text/html"},
        {"Accept": ";;;"},
        {"Accept-Language": "x" * 5000},
        {"X-HTTP-Method-Override": "DELETE"},
        {"Cookie": "sessionid=\x00; csrftoken=\xff"},
        {"Host": "evil.example"},
        {"Content-Type": "multipart/form-data"},
        {"Content-Length": "-1"},
        {"X-Reason": "a\u202eb".encode().decode("latin-1")},
        {"X-Reason": "\xff"},
        {"X-Reason": "x" * 501},
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "patch"])
def test_junk_in_headers_is_harmless(method: str, headers, db: None) -> None:
    client = APIClient(raise_request_exception=False)
    account = factories.account()
    path = f"/api/v1/accounts/{account.pk}/"
    body = {} if method == "get" else {"data": b"{}", "content_type": "application/json"}
    answer = getattr(client, method)(path, headers=headers, **body)
    assert_one_shape(answer, method)
    assert answer.status_code >= 400


def test_reason_that_is_no_text_is_refused(api: APIClient) -> None:
    account = factories.account()
    path = f"/api/v1/accounts/{account.pk}/"
    for reason in ("\xff", "a\x7f", "x" * 501, "a\u202eb".encode().decode("latin-1")):
        answer = api.patch(path, {"accountName": "Other"}, headers={"X-Reason": reason})
        assert (answer.status_code, list(answer.json()["details"])) == (400, ["X-Reason"])
    account.refresh_from_db()
    assert account.account_name != "Other"


@pytest.mark.parametrize("path", ["nothing/", "accounts/x/y/", "accounts", "%00/", "../admin/x"])
def test_paths_that_lead_nowhere_answer_in_json(path: str, api: APIClient) -> None:
    answer = api.get(f"/api/v1/{path}")
    if answer.status_code != 301:
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
