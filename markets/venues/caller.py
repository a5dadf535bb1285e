"""How every adapter calls its venue: once, by the venue's clock, and believing only evidence."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from markets.venues.checks import EPOCH, BadAnswer
from markets.venues.errors import (
    MOST_KEPT,
    AuthenticationFailed,
    ClockRefused,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    ProxyRefused,
    RateLimited,
    VenueError,
    VenueUnavailable,
)
from markets.venues.moments import check_time, wall_ms
from markets.venues.ratelimit.limiter import Gate
from markets.venues.ratelimit.terms import Cost, Told
from markets.venues.shared import HttpAnswer, ServerClock

Operation = TypeVar("Operation")
Result = TypeVar("Result")
Params = Mapping[str, Any]


class Api(Protocol[Operation]):
    """One account's (or nobody's) way to a venue: names, signs and sends an operation once."""

    clock: ServerClock
    gate: Gate
    asks_time: Operation
    """The operation whose answer tells the venue's time."""
    is_dated: bool
    """Whether every answer tells it, so that what is asked for anyway sets the clock."""

    async def call(self, operation: Operation, params: Params) -> HttpAnswer: ...

    def cost(self, operation: Operation, params: Params) -> Cost:
        """Return what a request takes of the venue's limits."""
        ...

    def told(self, answer: HttpAnswer, *, now_ms: int) -> Sequence[Told]:
        """Return what an answer tells of the limits' use; `now_ms` is the venue's clock."""
        ...

    def needs_clock(self, operation: Operation) -> bool:
        """Tell whether what is sent carries the venue's time."""
        ...

    def failure(self, answer: HttpAnswer, *, now_ms: int) -> VenueError | None:
        """Return what an answer proves went wrong, or None when its body is worth reading."""
        ...

    def server_ms(self, answer: HttpAnswer) -> int:
        """Read the venue's clock off an answer that tells it; raises BadAnswer."""
        ...

    async def close(self) -> None: ...


class Caller(Generic[Operation]):
    """Makes calls and turns what comes back into a body worth reading, or an error that says
    what is proven. Every request passes the gate before it is signed: one that had to wait is
    as fresh as any.
    """

    def __init__(self, api: Api[Operation]) -> None:
        self._api = api
        self._clock = api.clock

    async def act(
        self, operation: Operation, params: Params, parse: Callable[[bytes], Result]
    ) -> Result:
        """Call once. Whatever happens after the first byte and is not evidence is unknown."""
        try:
            if self._api.needs_clock(operation):
                await self._know_clock()
            answer = await self._answer(operation, params)
        except VenueError:
            raise
        except Exception as error:
            raise OutcomeUnknown(str(error) or type(error).__name__) from error
        try:
            return self._believed(parse(answer.body))
        except VenueError:
            raise
        except Exception as error:
            raise OutcomeUnknown(str(error) or type(error).__name__, body=answer.body) from error

    async def read(
        self, operation: Operation, params: Params, parse: Callable[[bytes], Result]
    ) -> Result:
        """Query and parse; every failure but throttling and a bad key is VenueUnavailable."""
        with reading():
            return self._believed(parse(await self._body(operation, params)))

    async def read_dated(
        self, operation: Operation, params: Params, parse: Callable[[bytes, datetime], Result]
    ) -> Result:
        """Likewise an answer that does not say of when it is: `parse` is told of when at least.

        That is the venue's time before it was asked: what is later may or may not be in it.
        """
        with reading():
            if not self._api.is_dated:
                await self._know_clock()
            asked_ns = time.monotonic_ns()
            body = await self._body(operation, params)
            return self._believed(parse(body, _moment(self._clock.ms_at(asked_ns))))

    async def venue_now(self) -> datetime:
        """Return the venue's time; raises VenueUnavailable or RateLimited when it is unknown."""
        with reading():
            return await self.sending_time()

    async def sending_time(self) -> datetime:
        """Return the venue's time before something is sent; raises NotSent or RateLimited."""
        await self._know_clock()
        return _moment(self._clock.now_ms())

    async def server_time(self) -> datetime:
        """Ask the venue for its time now.

        Raises VenueUnavailable, RateLimited, or ProxyRefused when it is the proxy's fault.
        """
        try:
            ms = self._api.server_ms(await self._answer(self._api.asks_time, {}))
        except (RateLimited, ProxyRefused):
            raise
        except (VenueError, BadAnswer) as error:
            raise VenueUnavailable(str(error)) from None
        return _moment(ms)

    async def close(self) -> None:
        await self._api.close()

    def now_ms(self) -> int:
        """Return the venue's time, or ours while the venue's was not measured."""
        return self._clock.now_ms() if self._clock.is_known else wall_ms()

    def _believed(self, said: Result) -> Result:
        return check_time(said, now_ms=self.now_ms())

    async def _body(self, operation: Operation, params: Params) -> bytes:
        if self._api.needs_clock(operation) and self._clock.is_stale:
            await self._set_clock()
        return (await self._answer(operation, params)).body

    async def _answer(self, operation: Operation, params: Params) -> HttpAnswer:
        """Send once, when the limits allow it, and judge the answer."""
        api = self._api
        permit = await api.gate.enter(api.cost(operation, params))
        sent_ns = time.monotonic_ns()
        try:
            answer = await api.call(operation, params)
        except NotSent:
            permit.unsent()
            raise
        except BaseException:
            permit.lost()
            raise
        now_ms = self.now_ms()
        error = api.failure(answer, now_ms=now_ms)
        await permit.answered(
            answer.status,
            api.told(answer, now_ms=now_ms),
            error if isinstance(error, RateLimited) else None,
        )
        if error is None:
            if api.is_dated and self._clock.is_stale:
                with suppress(BadAnswer):  # whoever needs the time asks for it
                    self._learn(answer, sent_ns)
            return answer
        if isinstance(error, ClockRefused):
            self._clock.doubt()
        if isinstance(error, OutcomeUnknown):
            error.body, error.status = answer.body[:MOST_KEPT], answer.status
        raise error

    async def _know_clock(self) -> None:
        if not self._clock.is_known:
            await self._set_clock()

    async def _set_clock(self) -> None:
        async with self._clock.measuring():
            if self._clock.is_stale:
                await self._measure()

    async def _measure(self) -> None:
        """Learn the venue's clock; raises NotSent, because what needs it has not been sent."""
        sent_ns = time.monotonic_ns()
        try:
            self._learn(await self._answer(self._api.asks_time, {}), sent_ns)
        except (RateLimited, NotSent):
            raise
        except (VenueError, BadAnswer) as error:
            raise NotSent(f"The venue's clock is not to be had: {error}") from None

    def _learn(self, answer: HttpAnswer, sent_ns: int) -> None:
        """Set the clock by an answer that tells the time; raises BadAnswer."""
        server_ms = self._api.server_ms(answer)
        self._clock.learn(server_ms, sent_ns=sent_ns, received_ns=time.monotonic_ns())


def _moment(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


@contextmanager
def reading() -> Iterator[None]:
    """Have every failure but throttling, a bad key and an unknown order be VenueUnavailable."""
    try:
        yield
    except (RateLimited, AuthenticationFailed, OrderNotFound, VenueUnavailable):
        raise
    except (VenueError, BadAnswer) as error:
        raise VenueUnavailable(str(error)) from None
