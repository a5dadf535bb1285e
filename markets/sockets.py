"""`/ws/quotes/`: prices to people and programs, at the rate each can take.

The protocol is told in docs/quotes.md.
"""

import asyncio
import contextlib
import json
import logging
from collections import Counter
from typing import Any, Final

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from controlplane.base.sockets import Person, current_user
from markets.domain.conflation import FASTEST, SLOWEST, Conflation
from markets.quotes_tap import quote_tap, wire_quote

logger = logging.getLogger(__name__)

PERMISSION: Final = "markets.view_quote"
TURN_SECONDS: Final = 0.05
SIGNED_IN_SECONDS: Final = 5.0
"""How often it is looked up whether the person may still listen."""
ACKNOWLEDGED_SECONDS: Final = 10.0
"""A listener that takes nothing for so long is cut."""
SOCKETS_PER_USER: Final = 10
SUBSCRIPTIONS: Final = 20
FEEDS_NAMED: Final = 200
MAX_MESSAGE: Final = 8192
MESSAGES_PER_SECOND: Final = 50
"""More than every acknowledgement that the fastest subscriptions could want."""

SIGNED_OUT: Final = 4401
FORBIDDEN: Final = 4403
TOO_SLOW: Final = 4408
TOO_MANY: Final = 4429
TOO_LARGE: Final = 1009
BROKEN: Final = 1011

_sockets: Counter[Any] = Counter()


class Refused(Exception):
    """What a client asked for is not done; goes out as `{code, message}`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Subscription:
    """What one subscription listens to; `feed_ids` or `symbols`, and all feeds with neither."""

    def __init__(self, name: str, asked: dict[str, Any]) -> None:
        self.name = name
        self.feed_ids = _names(asked, "feeds")
        self.symbols = _names(asked, "symbols")
        self.pace = Conflation(_rate(asked))

    def wants(self, feed_id: str, symbol: str) -> bool:
        if self.feed_ids is None and self.symbols is None:
            return True
        return feed_id in (self.feed_ids or ()) or symbol in (self.symbols or ())


def _names(asked: dict[str, Any], field: str) -> frozenset[str] | None:
    names = asked.get(field)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Refused("invalid", f"{field} must be a list of texts.")
    if not 0 < len(names) <= FEEDS_NAMED:
        raise Refused("invalid", f"{field} must name 1 to {FEEDS_NAMED}.")
    return frozenset(names)


def _rate(asked: dict[str, Any]) -> float:
    rate = asked.get("maxPerSecond", 1)
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise Refused("invalid", "maxPerSecond must be a number.")
    if not SLOWEST <= rate <= FASTEST:
        raise Refused("invalid", f"maxPerSecond must be from {SLOWEST} to {FASTEST}, not {rate}.")
    return rate


class QuotesConsumer(AsyncWebsocketConsumer):
    """One listener. It is sent a snapshot, then numbered changes, for each subscription."""

    async def connect(self) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.pusher: asyncio.Task[None] | None = None
        self.counted: Any = None
        self.heard: tuple[int, int] = (0, 0)
        self.known: dict[str, str] = {}
        user: Person = self.scope["user"]
        await self.accept()
        if not user.is_authenticated:
            await self.close(code=SIGNED_OUT)
            return
        if not await database_sync_to_async(_may_listen)(user):
            await self.close(code=FORBIDDEN)
            return
        if _sockets[user.pk] >= SOCKETS_PER_USER:
            await self._refuse(Refused("too_many_sockets", f"At most {SOCKETS_PER_USER} a user."))
            await self.close(code=TOO_MANY)
            return
        self.counted = user.pk
        _sockets[user.pk] += 1
        self.tap = quote_tap()
        await self.tap.join(self._changed)
        self.pusher = asyncio.create_task(self._push_for_ever(), name="quotes-push")

    async def disconnect(self, code: int) -> None:
        if self.counted is None:
            return
        _sockets[self.counted] -= 1
        self.counted = None
        self.tap.leave(self._changed)
        if self.pusher is not None:
            self.pusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.pusher

    # What the client says

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        if self.counted is None:
            return
        if len(text_data or bytes_data or "") > MAX_MESSAGE:
            await self.close(code=TOO_LARGE)
            return
        if self._is_too_fast():
            await self.close(code=TOO_MANY)
            return
        message: dict[str, Any] = {}
        try:
            message = _parsed(text_data)
            await self._obey(message)
        except Refused as refusal:
            await self._refuse(refusal, message.get("id"))

    def _is_too_fast(self) -> bool:
        second = int(self._now())
        count = self.heard[1] + 1 if self.heard[0] == second else 1
        self.heard = (second, count)
        return count > MESSAGES_PER_SECOND

    async def _obey(self, message: dict[str, Any]) -> None:
        kind, name = message.get("type"), message.get("id")
        if kind not in ("subscribe", "unsubscribe", "ack"):
            raise Refused("invalid", "type must be subscribe, unsubscribe or ack.")
        if not isinstance(name, str) or not 0 < len(name) <= 64:
            raise Refused("invalid", "id must be a text of 1 to 64 characters.")
        if kind == "subscribe":
            await self._subscribe(name, message)
            return
        found = self.subscriptions.get(name)
        if found is None:
            raise Refused("unknown_subscription", "There is no subscription of this id.")
        if kind == "unsubscribe":
            del self.subscriptions[name]
            await self._say({"type": "unsubscribed", "id": name})
            return
        sequence = message.get("sequence")
        is_number = isinstance(sequence, int) and not isinstance(sequence, bool)
        if not (is_number and found.pace.acknowledge(int(sequence or 0), self._now())):
            raise Refused("invalid", "sequence must be the number of a message that was sent.")

    async def _subscribe(self, name: str, asked: dict[str, Any]) -> None:
        if name not in self.subscriptions and len(self.subscriptions) >= SUBSCRIPTIONS:
            raise Refused("too_many_subscriptions", f"At most {SUBSCRIPTIONS} a socket.")
        if not await self._may_still_listen():
            raise Refused("forbidden", "You may not see quotes.")
        made = Subscription(name, asked)
        if missing := sorted((made.feed_ids or frozenset()) - self.tap.rows.keys()):
            raise Refused("unknown_feed", f"There is no feed {', '.join(missing)[:200]}.")
        self.subscriptions[name] = made
        self.known |= {key: row[1] for key, row in self.tap.rows.items()}
        rows = [row for key, row in self.tap.rows.items() if made.wants(key, row[1])]
        await self._say(
            {
                "type": "snapshot",
                "id": name,
                "sequence": made.pace.sent(self._now()),
                "quotes": [wire_quote(row) for row in rows],
            }
        )

    # What it is sent

    def _changed(self, feed_ids: set[str]) -> None:
        """Gather what each subscription has not been sent; a word from the tap."""
        self.known |= {key: self.tap.rows[key][1] for key in feed_ids & self.tap.rows.keys()}
        for item in self.subscriptions.values():
            item.pace.change({key for key in feed_ids if item.wants(key, self.known.get(key, ""))})

    async def _push_for_ever(self) -> None:
        try:
            await self._push()
        except Exception:
            logger.exception("Pushing quotes broke; the listener may connect again.")
            await self.close(code=BROKEN)

    async def _push(self) -> None:
        looked = self._now()
        while True:
            await asyncio.sleep(TURN_SECONDS)
            now = self._now()
            for item in list(self.subscriptions.values()):
                if item.pace.silent_for(now) > ACKNOWLEDGED_SECONDS:
                    await self.close(code=TOO_SLOW)
                    return
                if changed := item.pace.take(now):
                    await self._say(self._delta(item, changed, now))
            if now - looked >= SIGNED_IN_SECONDS:
                looked = now
                if not await self._may_still_listen():
                    await self.close(code=SIGNED_OUT)
                    return

    def _delta(self, item: Subscription, changed: set[str], now: float) -> dict[str, Any]:
        rows = self.tap.rows
        return {
            "type": "delta",
            "id": item.name,
            "sequence": item.pace.sent(now),
            "quotes": [wire_quote(rows[key]) for key in sorted(changed & rows.keys())],
            "removed": sorted(changed - rows.keys()),
        }

    async def _may_still_listen(self) -> bool:
        user = await current_user(self.scope)
        may: bool = await database_sync_to_async(_may_listen)(user)
        return may

    async def _refuse(self, refusal: Refused, name: object = None) -> None:
        about = {"id": name} if isinstance(name, str) else {}
        said = {"type": "error", "code": refusal.code, "message": refusal.message}
        await self._say({**said, **about})

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message, separators=(",", ":")))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _may_listen(user: Person) -> bool:
    return user.is_active and user.has_perm(PERMISSION)


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        raise Refused("malformed", "A message is a JSON object in a text frame.") from None
    if not isinstance(message, dict):
        raise Refused("malformed", "A message is a JSON object in a text frame.")
    return message
