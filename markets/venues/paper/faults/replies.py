"""How an answer is lost, cut or falsified on its way out."""

import asyncio
from typing import Final

from aiohttp import web

from markets.venues.paper.faults.kinds import FaultKind
from markets.venues.paper.faults.model import Fault
from markets.venues.paper.venue import Reply

HANG_SECONDS: Final = 3600
REPLY_KINDS: Final = frozenset(
    {
        FaultKind.RESET,
        FaultKind.HANG,
        FaultKind.RAW,
        FaultKind.ANSWER,
        FaultKind.MID_REPLY,
        FaultKind.POISON,
    }
)


def whole(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


async def falsified(
    fault: Fault, request: web.Request, reply: Reply, *, date: str
) -> web.StreamResponse:
    """Answer `request` falsely, or not at all; `reply` is the true answer, `date` the venue's."""
    transport = request.transport
    content = fault.body * fault.repeat
    if fault.kind is FaultKind.HANG:
        await asyncio.sleep(HANG_SECONDS)
    elif fault.kind is FaultKind.RESET and transport is not None:
        transport.abort()
    elif fault.kind is FaultKind.RAW and transport is not None:
        transport.write(content)
        transport.close()
    elif fault.kind is FaultKind.MID_REPLY:
        return await _cut(fault, request, reply)
    elif fault.kind is FaultKind.POISON:
        body = reply.body.replace(fault.find, fault.put)
        return web.Response(status=reply.status, body=body, headers=reply.headers)
    headers = {"Date": date, **(fault.headers or {})}
    return web.Response(status=fault.status, body=content, headers=headers)


async def _cut(fault: Fault, request: web.Request, reply: Reply) -> web.StreamResponse:
    """Promise the whole body, send its first bytes, and cut the connection."""
    promised = {**reply.headers, "Content-Length": str(max(len(reply.body), fault.size + 1))}
    answer = web.StreamResponse(status=reply.status, headers=promised)
    await answer.prepare(request)
    await answer.write(reply.body[: fault.size])
    if request.transport is not None:
        request.transport.close()
    return answer
