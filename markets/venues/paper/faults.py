"""Faults a paper venue can be told to commit: lost replies and lies. For tests and drills."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import web

HANG_SECONDS: Final = 3600
ANY: Final = "*"


class FaultKind(StrEnum):
    """RESET cuts the connection; HANG never answers; RAW writes bytes as they are, then closes;
    ANSWER gives an answer of its own.
    """

    RESET = "reset"
    HANG = "hang"
    RAW = "raw"
    ANSWER = "answer"


@dataclass(slots=True)
class Fault:
    """What befalls the next `times` requests of a method and path (ANY matches all).

    With `accepts` the venue does what was asked first, so only the reply is lost or false.
    """

    kind: FaultKind
    method: str = ANY
    path: str = ANY
    accepts: bool = True
    times: int = 1
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] | None = None

    def matches(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in (ANY, method) and self.path in (ANY, path)

    async def commit(self, request: web.Request) -> web.Response:
        """Answer `request` falsely, or not at all."""
        transport = request.transport
        if self.kind is FaultKind.HANG:
            await asyncio.sleep(HANG_SECONDS)
        elif self.kind is FaultKind.RESET and transport is not None:
            transport.abort()
        elif self.kind is FaultKind.RAW and transport is not None:
            transport.write(self.body)
            transport.close()
        return web.Response(status=self.status, body=self.body, headers=self.headers)


class Faults:
    """The faults still to be committed, in the order given."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for a request, used up by one."""
        for fault in self._waiting:
            if fault.matches(method, path):
                fault.times -= 1
                return fault
        return None
