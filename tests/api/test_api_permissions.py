"""Who may do what: every route and method, made from the router."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.urls import URLPattern, reverse
from rest_framework.test import APIClient

from controlplane.api_urls import router, urlpatterns
from controlplane.base.api.viewsets import EntityViewSet
from tests.api.bodies import VALID
from tests.api.rows import make_rows

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
COMPUTED = {"audit", "books"}
PREFIXES = sorted({prefix for prefix, _view, _name in router.registry} - COMPUTED)
VIEWS: dict[str, Any] = {prefix: view for prefix, view, _name in router.registry}
KEYS = {
    "pk": "00000000-0000-7000-8000-000000000000",
    "key": "live:account-1",
}


def routes() -> Iterator[str]:
    """Yield a path for every route of the API."""
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        names = pattern.pattern.regex.groupindex
        yield reverse(f"api:{pattern.name}", kwargs={name: KEYS[name] for name in names})


@pytest.mark.parametrize("path", sorted(set(routes())))
def test_anonymous_gets_nothing_anywhere(path: str, db: None) -> None:
    client = APIClient(raise_request_exception=False)
    for method in METHODS:
        answer = getattr(client, method)(path)
        if path == reverse("api:login"):
            assert answer.status_code in {400, 405, 200}
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", sorted({path for path in routes() if "/auth/" not in path}))
def test_without_permissions_a_signed_in_user_gets_no_entity(
    path: str, client_with: Callable[..., APIClient]
) -> None:
    client = client_with()
    for method in METHODS:
        answer = getattr(client, method)(path)
        if path.endswith(("/schema/", "/docs/")):
            assert answer.status_code < 500
        else:
            assert answer.status_code in {403, 405}, (method, path)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_viewer_reads_and_changes_nothing(
    prefix: str, client_with: Callable[..., APIClient]
) -> None:
    row = make_rows()[prefix]
    client = client_with(f"view_{row._meta.model_name}")
    path = f"/api/v1/{prefix}/{row.pk}/"
    assert client.get(path).status_code == 200
    listed = client.get(f"/api/v1/{prefix}/").json()["results"]
    assert str(row.pk) in {str(value) for entry in listed for value in entry.values()}
    before = list(type(row).objects.values())
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(path, {}).status_code in {403, 405}
    assert client.post(f"/api/v1/{prefix}/", {}).status_code in {403, 405}
    assert list(type(row).objects.values()) == before


@pytest.mark.parametrize("prefix", sorted(VALID))
def test_each_method_needs_its_own_permission(
    prefix: str, client_with: Callable[..., APIClient]
) -> None:
    body, model = VALID[prefix](), VIEWS[prefix].queryset.model
    name = model._meta.model_name
    made = client_with(f"add_{name}").post(f"/api/v1/{prefix}/", body)
    assert made.status_code == 201
    key = model._meta.pk.attname
    row = model.objects.order_by("-created_at").first()
    path = f"/api/v1/{prefix}/{getattr(row, key)}/"
    for codename, allowed in (("add", None), ("change", "patch"), ("delete", "delete")):
        client = client_with(f"{codename}_{name}")
        for method in ("get", "patch", "delete"):
            answer = getattr(client, method)(path, {} if method == "patch" else None)
            assert (answer.status_code < 300) == (method == allowed), (codename, method)


@pytest.mark.parametrize(
    "prefix", [prefix for prefix in PREFIXES if not issubclass(VIEWS[prefix], EntityViewSet)]
)
def test_rows_of_machines_are_not_written_over_the_api(prefix: str, api: APIClient) -> None:
    row = make_rows()[prefix]
    before = list(type(row).objects.values())
    for method in ("put", "patch", "delete"):
        answer = getattr(api, method)(f"/api/v1/{prefix}/{row.pk}/", {})
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    refused = 400 if prefix == "emergency-stops" else 405  # a stop is engaged by a POST
    assert api.post(f"/api/v1/{prefix}/", {}).status_code == refused
    assert list(type(row).objects.values()) == before


def test_books_and_audit_need_their_own_permissions(client_with: Callable[..., APIClient]) -> None:
    make_rows()
    for path, codename in (("books", "view_hedgeexecution"), ("audit", "view_auditevent")):
        assert client_with("view_exchangeaccount").get(f"/api/v1/{path}/").status_code == 403
        answer = client_with(codename).get(f"/api/v1/{path}/")
        assert answer.status_code == 200
        assert answer.json()["results"]
        assert client_with(codename).post(f"/api/v1/{path}/", {}).status_code in {403, 405}
