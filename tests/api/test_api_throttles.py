"""Hedge throttles over the API: seen by many, released by few, with a reason."""

from collections.abc import Callable

from rest_framework.test import APIClient

from hedging.models import HedgeThrottle


def test_releasing_over_the_api_needs_its_own_permission(
    client_with: Callable[..., APIClient],
) -> None:
    throttle = HedgeThrottle.objects.create(
        scope="book", target="live:a", cause="failures", count=1
    )
    path = f"/api/v1/hedge-throttles/{throttle.pk}/release/"
    assert client_with("view_hedgethrottle").post(path, {"reason": "x"}).status_code == 403
    client = client_with("view_hedgethrottle", "release_hedgethrottle")
    assert client.post(path, {}).status_code == 400
    answer = client.post(path, {"reason": "mended"})
    assert (answer.status_code, answer.json()["releaseReason"]) == (200, "mended")
    assert client.post(path, {"reason": "mended"}).status_code == 409
