"""Messages between processes, on PostgreSQL LISTEN/NOTIFY.

A message sent inside a transaction is delivered after its commit and never for a rollback. It
carries ids, never the record: a lost message is repaired by the next sweep or refetch. Each
process that has consumers runs one listener, which hands messages to its local channel layer,
so consumers and groups are ordinary Channels code. What every process must hear, whatever its
work runs on, is handed to a function by a `Listener` on a thread of its own.
"""

import asyncio
import atexit
import json
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import psycopg
from channels.layers import get_channel_layer
from django.db import connection

logger = logging.getLogger(__name__)

CHANNEL: Final = "controlplane"
MAX_BYTES: Final = 7900  # PostgreSQL refuses payloads of 8000 bytes and more
RECONNECT_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 2.0
"""The longest that the end of a process waits for its listening connection to be closed."""

Message = Mapping[str, Any]

_listeners: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}


def send(group: str, kind: str, **ids: str | int | None) -> None:
    """Tell every process's members of `group`; `kind` names the consumer's handler method.

    `kind` is written as Channels does (`feed.changed` calls `feed_changed`). Raises ValueError
    for a message too large for NOTIFY.
    """
    send_each(group, kind, [ids])


def send_each(group: str, kind: str, messages: Iterable[Mapping[str, str | int | None]]) -> None:
    """Send several such messages with one statement."""
    payloads = [_payload(group, kind, ids) for ids in messages]
    calls = ", ".join(["pg_notify(%s, %s)"] * len(payloads))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {calls}", [it for text in payloads for it in (CHANNEL, text)])


def _payload(group: str, kind: str, ids: Mapping[str, str | int | None]) -> str:
    payload = json.dumps({"group": group, "type": kind, **ids}, separators=(",", ":"))
    if len(payload.encode()) > MAX_BYTES:
        raise ValueError(f"A bus message carries ids, not records: {len(payload)} bytes.")
    return payload


def ensure_listening() -> asyncio.Task[None]:
    """Start this process's listener on the running loop, once."""
    loop = asyncio.get_running_loop()
    task = _listeners.get(loop)
    if task is None or task.done():
        task = _listeners[loop] = loop.create_task(listen(_to_layer), name="bus-listener")
    return task


async def listen(
    hand_on: Callable[[str, Message], Awaitable[None]],
    *,
    connected: Callable[[], None] = lambda: None,
) -> None:
    """Hand messages on, by group, until cancelled; reconnects when cut off.

    `connected` is called whenever messages begin to come: those sent before are lost.
    """
    while True:
        try:
            # Asked anew each time and off the loop: an embedded server may have to start again.
            parameters = await asyncio.to_thread(listening_parameters)
            async with await psycopg.AsyncConnection.connect(**parameters) as listening:
                await listening.execute(f"LISTEN {CHANNEL}")
                connected()
                async for notification in listening.notifies():
                    await _deliver(notification.payload, hand_on)
        except (psycopg.Error, OSError, RuntimeError) as error:  # the last: it does not start
            logger.warning("The message listener lost PostgreSQL (%s); trying again.", error)
            await asyncio.sleep(RECONNECT_SECONDS)


def listening_parameters() -> dict[str, Any]:
    """Return what a connection of its own, for LISTEN, is opened with."""
    parameters = connection.get_connection_params()
    unwanted = {"cursor_factory", "context"}
    return {
        **{key: value for key, value in parameters.items() if key not in unwanted},
        "autocommit": True,
    }


class Listener:
    """Hands every message of `group` to `heard`, on a daemon thread of this process.

    Both functions run on that thread, should be quick, and may be called from the start on:
    `connected` whenever messages begin to come, as what was sent before is lost. A forked child
    begins without the thread; whoever needs it says `ensure` as often as it likes.
    """

    def __init__(
        self, group: str, *, heard: Callable[[Message], None], connected: Callable[[], None]
    ) -> None:
        self._group = group
        self._heard = heard
        self._connected = connected
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] = lambda: None
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def ensure(self) -> None:
        """Listen from now on, in this process; nothing is waited for."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            loop = asyncio.new_event_loop()
            task = loop.create_task(listen(self._hand_on, connected=self._connected))
            self._stop = lambda: loop.call_soon_threadsafe(task.cancel)
            self._thread = threading.Thread(
                target=_run_until_cancelled, args=(loop, task), name="bus-listener", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Close the connection and end the thread, if they are there; `ensure` begins anew."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._stop()
            thread.join(CLOSE_SECONDS)

    async def _hand_on(self, group: str, message: Message) -> None:
        if group == self._group:
            self._heard(message)

    def _forget(self) -> None:
        self._lock, self._thread = threading.Lock(), None


def _run_until_cancelled(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _to_layer(group: str, message: Message) -> None:
    layer = get_channel_layer()
    assert layer is not None
    await layer.group_send(group, dict(message))


async def _deliver(payload: str, hand_on: Callable[[str, Message], Awaitable[None]]) -> None:
    try:
        message = json.loads(payload)
        group = message.pop("group")
        await hand_on(group, message)
    except (ValueError, KeyError, AttributeError, TypeError):
        logger.warning("A message on the bus was not ours and was dropped.")
