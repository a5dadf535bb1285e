"""Configuration over the API: created, read, changed, deleted, with its audit."""

from decimal import Decimal

from rest_framework.test import APIClient

from accounts.models import ExchangeAccount, RiskEnvelope
from controlplane.base.models import AuditEvent
from controlplane.kernel.secrets import Secret
from tests import factories


def body(**fields):
    return {
        "accountId": "main",
        "exchange": fields.pop("exchange", None) or factories.venue().pk,
        "accountName": "Main",
        "maxPositionValue": "100000",
        "apiSecret": "secret-of-the-account",
        "apiKey": "the-api-key-of-main-account",
        **fields,
    }


def test_account_is_created_with_the_names_and_defaults_of_the_data_model(api: APIClient) -> None:
    answer = api.post("/api/v1/accounts/", body())
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert made["utilizationTargetMin"] == "0.5"
    assert made["deltaThreshold"] == "0.0005"
    assert made["status"] == "active"
    assert "apiKey" not in made
    assert made["apiKeyFingerprint"].startswith("…ount ")
    assert api.get("/api/v1/accounts/main/").json() == made
    envelope = api.get("/api/v1/risk-envelopes/", {"accountId": "main"}).json()["results"]
    assert [row["accountId"] for row in envelope] == ["main"]


def test_second_envelope_is_refused(api: APIClient) -> None:
    account = factories.account()
    answer = api.post("/api/v1/risk-envelopes/", {"accountId": account.pk})
    assert answer.status_code == 400
    assert answer.json()["details"] == {
        "accountId": [{"code": "unique", "message": "One envelope per account."}]
    }
    assert RiskEnvelope.objects.count() == 1
    assert api.delete(f"/api/v1/risk-envelopes/{account.risk_envelope.pk}/").status_code == 405


def test_blank_secret_leaves_the_stored_one(api: APIClient) -> None:
    account = factories.account(api_secret="stored-secret")
    answer = api.patch(f"/api/v1/accounts/{account.pk}/", {"apiSecret": "", "apiKey": "a-new-key"})
    assert answer.status_code == 200
    account.refresh_from_db()
    assert account.api_secret == Secret("stored-secret")
    assert account.api_key == Secret("a-new-key")


def test_inverted_band_names_the_field_and_the_rule(api: APIClient) -> None:
    account = factories.account()
    answer = api.patch(f"/api/v1/accounts/{account.pk}/", {"utilizationTargetMin": "0.9"})
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == ["utilizationTargetMin"]
    assert answer.json()["details"]["utilizationTargetMin"][0]["code"] == "band_inverted"
    account.refresh_from_db()
    assert account.utilization_target_min == Decimal("0.5")


def test_change_writes_only_the_columns_it_names(api: APIClient) -> None:
    feed = factories.feed()
    stale = type(feed).objects.get(pk=feed.pk)
    type(feed).objects.filter(pk=feed.pk).update(status="healthy")
    assert stale.status == "failing"
    answer = api.patch(f"/api/v1/market-feeds/{feed.pk}/", {"freshnessThreshold": 1500})
    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


def test_key_stays(api: APIClient) -> None:
    account = factories.account()
    answer = api.patch(f"/api/v1/accounts/{account.pk}/", {"accountId": "other"})
    assert answer.status_code == 400
    assert answer.json()["details"]["accountId"][0]["code"] == "immutable"
    assert list(ExchangeAccount.objects.values_list("pk", flat=True)) == [account.pk]


def test_needed_row_is_not_deleted_and_the_answer_says_by_what(api: APIClient) -> None:
    account = factories.account()
    answer = api.delete(f"/api/v1/venues/{account.exchange_id}/")
    assert answer.status_code == 409
    assert answer.json()["details"] == {
        "count": 1,
        "blockers": [{"entity": "ExchangeAccount", "id": account.pk}],
    }
    assert ExchangeAccount.objects.filter(pk=account.pk).exists()


def test_change_leaves_actor_surface_and_reason_in_the_audit(api: APIClient) -> None:
    account = factories.account()
    answer = api.patch(
        f"/api/v1/accounts/{account.pk}/",
        {"accountName": "Renamed"},
        headers={"X-Reason": "wrong name"},
    )
    assert answer.status_code == 200
    event = AuditEvent.objects.tracks(account).order_by("-pgh_id").first()
    assert event is not None
    assert event.pgh_data["account_name"] == "Renamed"
    assert event.pgh_context["surface"] == "api"
    assert event.pgh_context["reason"] == "wrong name"
    assert event.pgh_context["action"] == "changed"


def test_pages_follow_each_other_and_hold_every_row_once(api: APIClient) -> None:
    rows = {factories.account().pk for _ in range(5)}
    seen: list[str] = []
    path = "/api/v1/accounts/?limit=2"
    while path:
        page = api.get(path).json()
        seen += [row["accountId"] for row in page["results"]]
        path = page["next"]
    assert len(seen) == 5
    assert set(seen) == rows


def test_a_disabled_or_unmeasured_venue_is_not_told_of_as_healthy(api: APIClient) -> None:
    venue = factories.venue()
    path = f"/api/v1/venues/{venue.pk}/"
    told = api.get(path).json()
    assert (told["condition"], told["status"]) == ("not-measured", "healthy")
    type(venue).objects.update(is_enabled=False)
    assert api.get(path).json()["condition"] == "disabled"
