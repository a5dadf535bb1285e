"""What is computed or gathered rather than stored: audit, books."""

from collections.abc import Callable

from django.db import connection
from rest_framework.test import APIClient

from hedging.models import HedgeExecution
from monitoring.models import MonitoringEvent
from strategies.models import OrderIntent
from tests import factories
from tests.hedging import world


def test_audit_shows_before_and_after_and_changes_from_outside(api: APIClient) -> None:
    account = factories.account(account_name="Old")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_exchangeaccount SET max_position_value = 5")
    answer = api.patch(
        f"/api/v1/accounts/{account.pk}/", {"accountName": "New"}, headers={"X-Reason": "typo"}
    )
    assert answer.status_code == 200
    query = {"entity": "ExchangeAccount", "objectId": account.pk}
    inside, outside, created = api.get("/api/v1/audit/", query).json()["results"]
    assert inside["changes"] == {"accountName": ["Old", "New"]}
    assert (inside["surface"], inside["reason"], inside["action"]) == ("api", "typo", "changed")
    assert list(outside["changes"]) == ["maxPositionValue"]
    assert (outside["surface"], outside["actor"]) == ("database", "")
    assert created["operation"] == "insert"
    assert api.get("/api/v1/audit/", {**query, "surface": "api"}).json()["results"] == [inside]
    assert api.get("/api/v1/audit/", {**query, "actor": "nobody"}).json()["results"] == []


def test_audit_pages_hold_every_change_once(api: APIClient) -> None:
    for _number in range(7):
        factories.venue()
    seen: list[str] = []
    path = "/api/v1/audit/?entity=Venue&limit=3"
    while path:
        page = api.get(path).json()
        seen += [change["auditId"] for change in page["results"]]
        path = page["next"]
    assert len(set(seen)) == len(seen)
    assert len([name for name in seen if name.startswith("markets.VenueEvent")]) >= 7


def test_books_tell_their_threshold_and_unknown_delta(api: APIClient) -> None:
    module = factories.module(dry_run_enabled=False)
    first, second = sorted(
        (factories.account(), factories.account()), key=lambda account: account.pk
    )
    for account in (first, second):
        factories.allocation(account=account, module=module)
    (book,) = api.get("/api/v1/books/").json()["results"]
    assert book["key"] == f"live:{first.pk}"
    assert book["accountIds"] == [first.pk, second.pk]
    assert book["moduleIds"] == [module.pk]
    assert (book["thresholdBtc"], book["netDeltaBtc"], book["state"]) == ("0.0005", None, "unknown")
    assert api.get(f"/api/v1/books/{book['key']}/").json() == book
    assert api.get("/api/v1/books/live:nothing/").status_code == 404


def test_hedge_verb_hedges_a_breach_once_with_its_reason(
    client_with: Callable[..., APIClient],
) -> None:
    btc = world.market("BTC")
    long, short = (world.trader(btc, account_id=name) for name in ("a-long", "b-short"))
    world.join(long, short)
    world.holds(long, btc, "1.02")
    world.holds(short, btc, "-1")
    path, body = "/api/v1/books/live:a-long/hedge/", {"reason": "before the announcement"}
    for codename in ("view_hedgeexecution", "hedge_book"):
        assert client_with(codename).post(path, body).status_code == 403
    client = client_with("view_hedgeexecution", "hedge_book")
    assert client.post(path, {}).json()["details"]["reason"][0]["code"] == "required"
    assert HedgeExecution.objects.count() == OrderIntent.objects.count() == 0

    answer = client.post(path, body)
    assert answer.status_code == 200, answer.content
    begun = answer.json()["execution"]
    assert (begun["triggerReason"], begun["deltaBefore"], begun["symbol"]) == (
        "manual",
        "0.02",
        "BTC",
    )
    assert answer.json()["book"]["state"] == "hedging"
    assert MonitoringEvent.objects.filter(type="hedge").exists()
    assert client.post(path, body).json()["execution"] is None
    assert HedgeExecution.objects.count() == 1
    missing = client.post("/api/v1/books/live:nothing/hedge/", body)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
