"""Failing a feed over and back by hand, in the console."""

from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from markets.models import MarketDataFeed
from tests import factories

LIST = reverse("admin:markets_marketdatafeed_changelist")


def act(page: Client, action: str, feed: MarketDataFeed, **more: str) -> Any:
    return page.post(LIST, {"action": action, "_selected_action": feed.pk, **more}, follow=True)


def forced(feed: MarketDataFeed) -> str | None:
    return MarketDataFeed.objects.values_list("forced_source", flat=True).get(pk=feed.pk)


def test_failover_and_failback_need_a_reason_and_a_permission(page: Client, clerk: Client) -> None:
    feed, why = factories.feed(), {"confirmed": "1", "change_reason": "the venue lies"}
    act(page, "fail_over", feed, confirmed="1", change_reason="")
    assert act(clerk, "fail_over", feed, **why).status_code == 403
    assert forced(feed) is None
    act(page, "fail_over", feed, **why)
    assert forced(feed) == "http"
    act(page, "fail_back", feed, **why)
    assert forced(feed) is None


def test_accepting_a_changed_contract_needs_a_reason_and_a_permission(
    page: Client, clerk: Client
) -> None:
    listed = reverse("admin:markets_instrument_changelist")
    change = {"tick": {"from": "0.1", "to": "0.5"}, "listed": {"from": "true", "to": "halted"}}
    frozen = factories.instrument(frozen_at=timezone.now(), frozen_for=change)

    def accept(client: Client, reason: str) -> Any:
        body = {"action": "accept_change", "_selected_action": frozen.pk, "confirmed": "1"}
        return client.post(listed, {**body, "change_reason": reason}, follow=True)

    assert "listed: true → halted; price tick: 0.1 → 0.5" in accept(page, "").content.decode()
    assert accept(clerk, "announced").status_code == 403
    frozen.refresh_from_db()
    assert frozen.frozen_for == change
    accept(page, "announced")
    frozen.refresh_from_db()
    assert (frozen.frozen_at, frozen.frozen_for) == (None, {})
    assert b"is not frozen" in accept(page, "again").content
