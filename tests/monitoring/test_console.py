"""The console pushes what a person may see, and nothing to anybody else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from controlplane import bus
from controlplane.base import events
from controlplane.kernel.events import EventType, Occurrence
from controlplane.routing import websocket_application
from markets.models import Quote, SynthPriceSnapshot
from monitoring import console
from monitoring.consumers import FORBIDDEN, SIGNED_OUT, ConsoleConsumer
from monitoring.dashboard import PANELS, delta_bar
from monitoring.groups import CONSOLE
from monitoring.models import MonitoringEvent
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)
ORIGIN = (b"origin", b"http://localhost")


@pytest.fixture(autouse=True)
async def no_listener_left() -> AsyncIterator[None]:
    yield
    listener = bus.ensure_listening()
    listener.cancel()
    await asyncio.gather(listener, return_exceptions=True)


def signed_in(*permissions: str, is_superuser: bool = False) -> Client:
    user = User.objects.create_user(
        "reader", password="a-long-password", is_staff=True, is_superuser=is_superuser
    )
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def socket_of(client: Client, query: str = "") -> WebsocketCommunicator:
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return WebsocketCommunicator(
        websocket_application(),
        f"/ws/console/{query}",
        headers=[ORIGIN, (b"cookie", cookies.encode()), (b"host", b"localhost")],
    )


async def message_with(socket: WebsocketCommunicator, text: str) -> dict[str, Any]:
    for _attempt in range(20):
        message: dict[str, Any] = await socket.receive_json_from(timeout=5)
        if any(text in html for html in message["panels"].values()):
            return message
    raise AssertionError(f"{text} was not pushed")


async def test_anonymous_and_unprivileged_people_see_nothing() -> None:
    anonymous = socket_of(Client())
    await anonymous.connect()
    assert (await anonymous.receive_output())["code"] == SIGNED_OUT
    bare = socket_of(await sync_to_async(signed_in)())
    await bare.connect()
    assert (await bare.receive_output())["code"] == FORBIDDEN


async def test_only_permitted_panels_are_pushed() -> None:
    socket = socket_of(await sync_to_async(signed_in)("view_marketdatafeed"))
    await socket.connect()
    message = await socket.receive_json_from(timeout=5)
    assert (message["sequence"], set(message["panels"])) == (1, {"feeds"})
    await socket.disconnect()


async def test_an_event_reaches_the_browser_without_reload() -> None:
    socket = socket_of(await sync_to_async(signed_in)(is_superuser=True))
    await socket.connect()
    first = await socket.receive_json_from(timeout=5)
    assert set(first["panels"]) == set(PANELS)
    await asyncio.sleep(0.3)  # the listener connects
    await sync_to_async(events.publish)(Occurrence(EventType.SYSTEM, "Something <b>new</b>"))
    second = await message_with(socket, "Something &lt;b&gt;new&lt;/b&gt;")
    assert second["sequence"] > 1
    await socket.disconnect()


async def test_a_client_that_missed_a_number_gets_every_panel_again_and_junk_nothing() -> None:
    socket = socket_of(await sync_to_async(signed_in)(is_superuser=True))
    await socket.connect()
    await socket.receive_json_from(timeout=5)
    for junk in ("{not json", "[" * 1000, "9" * 5000, "null", '{"refetch": 1}'):
        await socket.send_to(text_data=junk)
    await socket.send_to(bytes_data=b"\x00\xff")
    await socket.send_json_to({"refetch": True})
    again = await socket.receive_json_from(timeout=5)
    assert (again["sequence"], set(again["panels"])) == (2, set(PANELS))
    await socket.disconnect()


@pytest.fixture
def a_layer_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], InMemoryChannelLayer]:
    """Give this process a channel layer that holds so many messages for each listener."""

    def make(capacity: int) -> InMemoryChannelLayer:
        layer = InMemoryChannelLayer(capacity=capacity)
        monkeypatch.setitem(channel_layers.backends, "default", layer)
        return layer

    return make


def occurrence(text: str) -> Occurrence:
    return Occurrence(type=EventType.SYSTEM, message=text)


async def test_g05_what_a_full_channel_layer_dropped_is_on_record_and_shown_at_the_next_refresh(
    monkeypatch: pytest.MonkeyPatch, a_layer_of: Callable[[int], InMemoryChannelLayer]
) -> None:
    """The layer drops for a listener that does not keep up, and tells nobody."""
    monkeypatch.setattr("monitoring.consumers.REFRESH_SECONDS", 1.0)
    layer, told = a_layer_of(1), 0

    async def dropped(_consumer: ConsoleConsumer, _message: dict[str, Any]) -> None:
        nonlocal told
        told += 1
        await asyncio.Event().wait()  # it reads no more

    monkeypatch.setattr(ConsoleConsumer, "console_changed", dropped)
    socket = socket_of(await sync_to_async(signed_in)(is_superuser=True))
    await socket.connect()
    first = await socket.receive_json_from(timeout=5)
    for number in range(20):
        await layer.group_send(CONSOLE, {"type": "console.changed", "topic": "events"})
        await sync_to_async(events.publish)(occurrence(f"lost {number}"))
    shown = await message_with(socket, "lost 19")
    assert shown["sequence"] > first["sequence"]
    assert told <= 1
    kept = MonitoringEvent.objects.filter(message__startswith="lost ").order_by("pk")
    messages = [message async for message in kept.values_list("message", flat=True)]
    assert messages == [f"lost {number}" for number in range(20)]
    await socket.disconnect()


def test_dashboard_shows_utilization_in_its_band_and_unknown_as_unknown() -> None:
    known, unread = factories.account(), factories.account()
    state = known.state
    state.equity, state.initial_margin = Decimal(1000), Decimal(650)
    state.balance_at = timezone.now() - timedelta(seconds=3)
    state.save()
    page = signed_in(is_superuser=True).get("/admin/").content.decode()
    rows = [row for row in page.split("<tr>") if known.pk in row or unread.pk in row]
    accounts = {pk: next(r for r in rows if f"{pk}</a>" in r) for pk in (known.pk, unread.pk)}
    assert "65.0 %" in accounts[known.pk]
    assert "unknown" in accounts[unread.pk]
    assert "0.0 %" not in accounts[unread.pk]


@pytest.mark.parametrize(
    ("delta", "left", "width"),
    [("0", 50, 0), ("0.0005", 50, 25), ("-0.0005", 25, 25), ("9", 50, 50), ("-9", 0, 50)],
)
def test_delta_bar_grows_from_the_middle_and_ends_at_the_edge(
    delta: str, left: int, width: int
) -> None:
    bar = delta_bar(Decimal(delta), Decimal("0.0005"))
    assert (bar.left, bar.width) == (left, width)


def test_dashboard_shows_the_price_that_stands_in_for_a_feed() -> None:
    silent, polled = factories.feed(source="synthetic"), factories.feed(source="http")
    now = timezone.now()
    for feed, bid in ((silent, "61774.2"), (polled, "61775.2")):
        Quote.objects.create(
            feed=feed,
            bid=Decimal(bid),
            ask=Decimal(bid) + 1,
            bid_size=1,
            ask_size=1,
            venue_at=now,
            received_at=now,
            sequence=1,
        )
    for bid, seconds in (("60000.5", 9), ("61728.98363461257", 1)):
        for feed in (silent, polled):
            SynthPriceSnapshot.objects.create(
                feed=feed,
                symbol="BTC",
                mid_price=Decimal(bid) + 1,
                bid=Decimal(bid),
                ask=Decimal(bid) + 2,
                timestamp=now - timedelta(seconds=seconds),
                reason="http-timeout",
            )
    shown = console.render_panel(PANELS["feeds"], "en")
    assert "61,728.98363<br>61,730.98363" in shown
    assert "61,775.2<br>61,776.2" in shown
    assert shown.count("<br>") == 2


def test_every_panel_renders_in_every_language() -> None:
    factories.account()
    factories.feed()
    for panel in PANELS.values():
        for language in ("en", "zh-hans"):
            assert "<table" in console.render_panel(panel, language)
