"""`/metrics`: what Prometheus reads of the feeds, and who may."""

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from rest_framework.test import APIClient

from markets.models import FeedTraffic
from tests import factories

pytestmark = pytest.mark.django_db


def reader(*, may_see: bool = True) -> APIClient:
    client = APIClient()
    user = User.objects.create_user("prometheus")
    if may_see:
        user.user_permissions.add(Permission.objects.get(codename="view_marketdatafeed"))
    client.force_authenticate(user)
    return client


def test_metrics_tell_each_feeds_figures_and_leave_out_what_is_unknown() -> None:
    feed = factories.feed(status="degraded", ws_latency_p95=12)
    FeedTraffic.objects.create(
        feed=feed,
        since=timezone.now(),
        quotes=70,
        gaps=2,
        connections=3,
        message_rate="8.5",
        dropped={"crossed": 4},
        observed_at=timezone.now(),
    )
    factories.feed(exchange=feed.exchange, symbol="ETH", is_enabled=False)
    answer = reader().get("/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    lines = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    of = f'exchange="{feed.exchange_id}",feed="{feed.pk}"'
    expected = [
        f'status{{{of},status="degraded",symbol="BTC"}} 1.0',
        f'dropped_total{{{of},reason="crossed",symbol="BTC"}} 4.0',
        f'ws_latency_p95_seconds{{{of},symbol="BTC"}} 0.012',
        f'quotes_per_second{{{of},symbol="BTC"}} 8.5',
        f'quotes_total{{{of},symbol="BTC"}} 70.0',
        f'gaps_total{{{of},symbol="BTC"}} 2.0',
        f'connections_total{{{of},symbol="BTC"}} 3.0',
    ]
    assert [text for text in expected if f"controlplane_feed_{text}" not in lines] == []
    assert [line for line in lines if "http_latency" in line or "ETH" in line] == []


def test_metrics_are_for_those_who_may_see_feeds() -> None:
    assert APIClient().get("/metrics").status_code == 401
    assert reader(may_see=False).get("/metrics").status_code == 403
