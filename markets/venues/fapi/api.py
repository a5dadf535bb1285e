"""What the ways to all /fapi venues share: where the clock is, and what an answer proves."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from markets.venues.errors import VenueError
from markets.venues.fapi import parsing
from markets.venues.fapi.errors import failure
from markets.venues.fapi.operations import Operation
from markets.venues.shared import HttpAnswer, Transport


class FapiApi(ABC):
    transport: Transport

    @abstractmethod
    async def call(self, operation: Operation, params: Mapping[str, Any]) -> HttpAnswer: ...

    def failure(self, answer: HttpAnswer, *, now_ms: int) -> VenueError | None:
        return failure(answer, now_ms=now_ms)

    async def ask_time(self) -> HttpAnswer:
        return await self.call(Operation.TIME, {})

    def server_ms(self, answer: HttpAnswer) -> int:
        return parsing.server_ms(answer.body)

    async def close(self) -> None:
        await self.transport.close()
