"""Messages between processes, on PostgreSQL LISTEN/NOTIFY.

A message sent inside a transaction is delivered after its commit and never for a rollback. It
carries ids, never the record: a lost message is repaired by the next sweep or refetch. Each
process that has consumers runs one listener, which hands messages to its local channel layer,
so consumers and groups are ordinary Channels code.
"""

import asyncio
import json
import logging
from typing import Any, Final

import psycopg
from channels.layers import get_channel_layer
from django.db import connection

logger = logging.getLogger(__name__)

CHANNEL: Final = "controlplane"
MAX_BYTES: Final = 7900  # PostgreSQL refuses payloads of 8000 bytes and more
RECONNECT_SECONDS: Final = 1.0

_listeners: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}


def send(group: str, kind: str, **ids: str | int | None) -> None:
    """Tell every process's members of `group`; `kind` names the consumer's handler method.

    `kind` is written as Channels does (`feed.changed` calls `feed_changed`). Raises ValueError
    for a message too large for NOTIFY.
    """
    payload = json.dumps({"group": group, "type": kind, **ids}, separators=(",", ":"))
    if len(payload.encode()) > MAX_BYTES:
        raise ValueError(f"A bus message carries ids, not records: {len(payload)} bytes.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])


def ensure_listening() -> asyncio.Task[None]:
    """Start this process's listener on the running loop, once."""
    loop = asyncio.get_running_loop()
    task = _listeners.get(loop)
    if task is None or task.done():
        task = _listeners[loop] = loop.create_task(listen(), name="bus-listener")
    return task


async def listen() -> None:
    """Hand messages to the local channel layer until cancelled; reconnects when cut off."""
    while True:
        try:
            # Asked anew each time and off the loop: an embedded server may have to start again.
            parameters = await asyncio.to_thread(listening_parameters)
            async with await psycopg.AsyncConnection.connect(**parameters) as listening:
                await listening.execute(f"LISTEN {CHANNEL}")
                async for notification in listening.notifies():
                    await _deliver(notification.payload)
        except (psycopg.Error, OSError) as error:
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


async def _deliver(payload: str) -> None:
    layer = get_channel_layer()
    assert layer is not None
    try:
        message = json.loads(payload)
        group = message.pop("group")
        await layer.group_send(group, message)
    except (ValueError, KeyError, AttributeError, TypeError):
        logger.warning("A message on the bus was not ours and was dropped.")
