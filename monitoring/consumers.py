"""The live console: panels pushed to browsers as they change."""

import asyncio
import contextlib
from typing import Any, Final
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.utils import timezone

from controlplane import bus
from controlplane.base.sockets import current_user
from monitoring import console
from monitoring.dashboard import PANELS
from monitoring.groups import CONSOLE

PUSH_SECONDS: Final = 0.4
"""The least time between two pushes; changes in between are one push (latest wins)."""
REFRESH_SECONDS: Final = 5.0
"""Every panel is read again this often, so a lost message costs no more than that."""
MAX_MESSAGE: Final = 1024
SIGNED_OUT: Final = 4401
FORBIDDEN: Final = 4403


class ConsoleConsumer(AsyncJsonWebsocketConsumer):
    """Pushes the panels a person may see, as numbered messages.

    A message is `{"sequence", "at", "panels": {topic: html}}`. A client that misses a number
    sends `{"refetch": true}` and gets every panel again. Sign-out closes the socket.
    """

    async def connect(self) -> None:
        self.sequence = 0
        self.changed = set(PANELS)
        self.pusher: asyncio.Task[None] | None = None
        user = self.scope["user"]
        await self.accept()
        if not (user.is_authenticated and user.is_staff):
            await self.close(code=SIGNED_OUT)
            return
        self.language = self._language()
        if not await database_sync_to_async(console.visible_panels)(user):
            await self.close(code=FORBIDDEN)
            return
        bus.ensure_listening()
        await self.channel_layer.group_add(CONSOLE, self.channel_name)
        self.pusher = asyncio.create_task(self._push_for_ever(), name="console-push")

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(CONSOLE, self.channel_name)
        if self.pusher is not None:
            self.pusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.pusher

    async def console_changed(self, message: dict[str, Any]) -> None:
        """Mark a panel as changed; a message from the bus."""
        if message.get("topic") in PANELS:
            self.changed.add(message["topic"])

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """Read short texts; anything else says nothing to us."""
        if text_data and len(text_data) <= MAX_MESSAGE:
            await super().receive(text_data=text_data)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if isinstance(content, dict) and content.get("refetch") is True:
            self.changed = set(PANELS)

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        try:
            return await super().decode_json(text_data)
        except (ValueError, RecursionError):
            return None

    async def _push_for_ever(self) -> None:
        refreshed = asyncio.get_running_loop().time()
        while True:
            if self.changed:
                topics, self.changed = self.changed, set()
                await self._push(topics)
            await asyncio.sleep(PUSH_SECONDS)
            if asyncio.get_running_loop().time() - refreshed >= REFRESH_SECONDS:
                refreshed = asyncio.get_running_loop().time()
                self.changed = set(PANELS)
                if not await self._still_signed_in():
                    await self.close(code=SIGNED_OUT)
                    return

    async def _push(self, topics: set[str]) -> None:
        panels = await database_sync_to_async(self._render)(topics)
        self.sequence += 1
        await self.send_json(
            {"sequence": self.sequence, "at": timezone.now().isoformat(), "panels": panels}
        )

    def _render(self, topics: set[str]) -> dict[str, str]:
        return {
            panel.topic: console.render_panel(panel, self.language)
            for panel in console.visible_panels(self.scope["user"])
            if panel.topic in topics
        }

    async def _still_signed_in(self) -> bool:
        user = await current_user(self.scope)
        self.scope["user"] = user
        return bool(user.is_authenticated and user.is_active and user.is_staff)

    def _language(self) -> str:
        asked = parse_qs(self.scope["query_string"].decode("latin-1")).get("language", [""])[0]
        return asked if asked in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
