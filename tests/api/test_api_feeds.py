"""A person's say in where a feed's price comes from, over the API."""

from collections.abc import Callable

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests import factories


@pytest.mark.parametrize("verb", ["failover", "failback"])
def test_api_verb_needs_its_permission_and_a_reason(
    verb: str, client_with: Callable[..., APIClient]
) -> None:
    feed = factories.feed(forced_source=None if verb == "failover" else "http")
    path, body = f"/api/v1/market-feeds/{feed.pk}/{verb}/", {"reason": "venue lies"}
    assert client_with("view_marketdatafeed").post(path, body).status_code == 403
    client = client_with("view_marketdatafeed", "failover_marketdatafeed")
    assert client.post(path, {}).status_code == 400
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["forcedSource"]) == (
        200,
        "http" if verb == "failover" else None,
    )
    if verb == "failback":
        assert client.post(path, body).status_code == 409


def test_api_accepting_a_changed_contract_needs_its_permission_and_a_reason(
    client_with: Callable[..., APIClient],
) -> None:
    change = {"tick": {"from": "0.1", "to": "0.5"}}
    frozen = factories.instrument(frozen_at=timezone.now(), frozen_for=change)
    path, body = f"/api/v1/instruments/{frozen.pk}/accept/", {"reason": "announced"}
    assert client_with("view_instrument").post(path, body).status_code == 403
    client = client_with("view_instrument", "accept_instrument")
    assert client.get(f"/api/v1/instruments/{frozen.pk}/").json()["frozenFor"] == change
    assert client.post(path, {}).status_code == 400
    answer = client.post(path, body)
    assert (answer.status_code, answer.json()["frozenAt"]) == (200, None)
    assert client.post(path, body).status_code == 409
