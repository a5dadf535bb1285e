"""What the ways to all /fapi venues share: where the clock is, and what an answer proves."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from markets.venues.errors import VenueError
from markets.venues.fapi import limits, parsing
from markets.venues.fapi.errors import failure
from markets.venues.fapi.operations import Operation
from markets.venues.ratelimit.limiter import Gate
from markets.venues.ratelimit.terms import Cost, Told
from markets.venues.shared import HttpAnswer, Transport


class FapiApi(ABC):
    transport: Transport
    gate: Gate
    asks_time = Operation.TIME
    is_dated = False

    @abstractmethod
    async def call(self, operation: Operation, params: Mapping[str, Any]) -> HttpAnswer: ...

    def failure(self, answer: HttpAnswer, *, now_ms: int) -> VenueError | None:
        return failure(answer, now_ms=now_ms)

    def cost(self, operation: Operation, params: Mapping[str, Any]) -> Cost:
        return limits.cost(operation, params)

    def told(self, answer: HttpAnswer, *, now_ms: int) -> Sequence[Told]:
        return limits.told(answer.headers, now_ms=now_ms)

    def server_ms(self, answer: HttpAnswer) -> int:
        return parsing.server_ms(answer.body)

    async def close(self) -> None:
        await self.transport.close()
